"""`numgrad.summary`: what it counts, and that the model is afterwards as it was."""

import pytest

import numgrad as ng
from numgrad import nn
from numgrad.nn._hooks import HookedCall


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.shared = nn.Linear(8, 8, bias=False)
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(8, 5), nn.Dropout(0.5))])
        self.norm = nn.BatchNorm1d(8)

    def forward(self, x):
        x = self.norm(self.shared(self.shared(x)))
        return self.blocks[0](x), {"same": x}


def test_rows():
    model = Two()
    model.blocks[0][0].weight.requires_grad_(False)
    found = ng.summary(model, ng.ones(3, 8), repeats=2)
    rows = {row.label: row for row in found.rows}
    assert list(rows) == ["Two", "shared: Linear", "norm: BatchNorm1d", "blocks.0: Sequential",
                          "0: Linear", "1: Dropout"]  # fmt: skip
    assert rows["Two"].output == "[3, 5], [3, 8]"
    assert rows["shared: Linear"].calls == 2
    assert rows["shared: Linear"].multiply_adds == 2 * 3 * 8 * 8
    assert (
        rows["blocks.0: Sequential"].multiply_adds == rows["0: Linear"].multiply_adds == 3 * 8 * 5
    )
    assert found.multiply_adds == 2 * 3 * 8 * 8 + 3 * 8 * 5
    assert found.parameters == rows["Two"].parameters == 64 + 45 + 16
    assert found.trained == found.parameters - 40 and "(40 frozen)" in str(found)
    assert all(0 < row.seconds <= found.seconds for row in found.rows)
    assert all(len(row.times) == 2 for row in found.rows)
    assert "shared: Linear (called 2 times)" in str(found)
    assert "<td" in found._repr_html_() and "blocks.0: Sequential" in found._repr_html_()


def test_batched_products_are_counted():
    class Scores(nn.Module):
        def forward(self, x):
            return x @ x.transpose(1, 2)

    assert ng.summary(Scores(), ng.ones(4, 6, 7)).multiply_adds == 4 * 6 * 6 * 7


def test_the_model_is_as_it_was():
    model = Two().train()
    model.blocks.eval()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    ng.manual_seed(1)
    expected = ng.rand(2)
    ng.manual_seed(1)
    call = HookedCall.__call__
    ng.summary(model, ng.ones(3, 8))
    assert ng.equal(ng.rand(2), expected)
    assert model.training and model.norm.training and not model.blocks[0][1].training
    assert all(ng.equal(v, before[k]) for k, v in model.state_dict().items())
    assert HookedCall.__call__ is call and ng.is_grad_enabled()
    with pytest.raises(RuntimeError):
        ng.summary(model, ng.ones(3, 9))
    assert HookedCall.__call__ is call and model.training


def test_not_a_module():
    with pytest.raises(TypeError, match="expects a module, got function"):
        ng.summary(lambda x: x, ng.ones(1))
