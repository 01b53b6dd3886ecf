"""What a type checker, and so an editor, knows of a user's program: checked by mypy, never run."""

from typing import Any, assert_type

import numgrad
import numgrad as torch
from numgrad.nn import functional as F
from numgrad.utils.data import DataLoader, TensorDataset

x = numgrad.tensor([1.0])
assert_type(x, torch.Tensor)
assert_type(x.sum(), torch.Tensor)
assert_type(x.sum(dim=0, keepdim=True).exp(), torch.Tensor)
assert_type(numgrad.exp(x), torch.Tensor)
assert_type(x + 1, torch.Tensor)
assert_type(1 - x * x, torch.Tensor)
assert_type(x @ x, torch.Tensor)
assert_type(-x, torch.Tensor)
assert_type(x[0], torch.Tensor)
assert_type(x.view(-1, 1).T.reshape(1).clone(), torch.Tensor)
assert_type(x.add_(1), torch.Tensor)
assert_type(x > 0, torch.Tensor)
assert_type(x.to(torch.float64).detach(), torch.Tensor)
assert_type(x.backward(), None)
assert_type(x.shape, torch.Size)
assert_type(x.dtype, torch.dtype)
assert_type(x.device, torch.device)
assert_type(x.requires_grad, bool)
assert_type(torch.zeros(2, 3), torch.Tensor)
assert_type(torch.randn(2, 3, requires_grad=True), torch.Tensor)
assert_type(torch.cat([x, x]), torch.Tensor)
assert_type(torch.where(x > 0, x, -x), torch.Tensor)
assert_type(F.relu(x), torch.Tensor)
assert_type(F.softmax(x, dim=0), torch.Tensor)
assert_type(F.cross_entropy(x, x), torch.Tensor)

model = torch.nn.Sequential(torch.nn.Linear(1, 2), torch.nn.ReLU())
assert_type(model.state_dict(), dict[str, Any])
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
optimizer.zero_grad()
loader = DataLoader(TensorDataset(x, x), batch_size=2, shuffle=True)
with torch.no_grad():
    for parameter in model.parameters():
        assert_type(parameter, torch.nn.Parameter)
        assert_type(parameter * 2, torch.Tensor)

# What operations are called with: a wrong name or too many arguments are errors.
numgrad.exp(x, out=x)
numgrad.mul(2, x)
x.exp(out=x)
x.mul(2)
numgrad.exp(x, x)  # type: ignore[call-arg]
x.mul(2, 3)  # type: ignore[call-arg, arg-type]
assert_type(torch.summary(model, x).parameters, int)
torch.viz.graph(model, x).save("graph.svg")
