"""A training step with most of what there is in it: attention, dropout, AdamW, clipping."""

import copy
import math

import numgrad as torch
from numgrad import nn
from numgrad.nn import functional as F

VOCABULARY, WIDTH, HEADS, LENGTH = 11, 16, 2, 6


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.dropout = nn.Dropout(0.2)
        self.register_buffer("mask", torch.triu(torch.ones(LENGTH, LENGTH), diagonal=1).bool())

    def forward(self, x):
        batch, length, width = x.shape
        parts = self.qkv(x).view(batch, length, 3, HEADS, width // HEADS).permute(2, 0, 3, 1, 4)
        query, key, value = parts
        scores = (query @ key.transpose(-2, -1)) / math.sqrt(width // HEADS)
        scores = scores.masked_fill(self.mask[:length, :length], -torch.inf)
        mixed = self.dropout(torch.softmax(scores, dim=-1)) @ value
        return self.out(mixed.transpose(1, 2).reshape(batch, length, width))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention = Attention()
        self.feed_forward = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH), nn.Dropout(0.1)
        )

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.feed_forward(self.norm2(x))


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, WIDTH)
        self.positions = nn.Embedding(LENGTH, WIDTH)
        self.blocks = nn.Sequential(Block(), Block())
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)

    def forward(self, tokens):
        x = self.tokens(tokens) + self.positions(torch.arange(tokens.shape[1]))
        return self.head(self.norm(self.blocks(x)))


def stepper(model):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)

    def step(tokens, targets):
        loss = F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    return step


def train(step, lengths):
    torch.manual_seed(5)
    losses = []
    for length in lengths:
        tokens = torch.randint(0, VOCABULARY, (3, length))
        losses.append(step(tokens, tokens.roll(-1, 1)).item())
    return losses


def test_as_eager():
    torch.manual_seed(1)
    eager = Transformer()
    model = copy.deepcopy(eager)
    compiled = torch.compile(stepper(model), fullgraph=True, options={"passes": ()})
    lengths = [6, 6, 6, 4, 4, 6, 4, 6]
    assert train(stepper(eager), lengths) == train(compiled, lengths)
    for a, b in zip(eager.parameters(), model.parameters(), strict=True):
        assert torch.equal(a, b) and torch.equal(a.grad, b.grad)
    assert compiled.programs == 2  # one for each length


def test_with_all_passes():
    torch.manual_seed(1)
    eager = Transformer()
    model = copy.deepcopy(eager)
    compiled = torch.compile(stepper(model), fullgraph=True, mode="max-autotune")
    for a, b in zip(train(stepper(eager), [6] * 5), train(compiled, [6] * 5), strict=True):
        assert math.isclose(a, b, rel_tol=1e-4)
    assert len(compiled.graph.calls) < len(compiled.recorded_graph.calls)


def test_module_in_an_eager_loop():
    torch.manual_seed(1)
    eager = Transformer()
    model = copy.deepcopy(eager)
    compiled = torch.compile(model)
    losses = [], []
    for network, collected in ((eager, losses[0]), (compiled, losses[1])):
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        torch.manual_seed(2)
        for _ in range(5):
            tokens = torch.randint(0, VOCABULARY, (2, LENGTH))
            loss = F.cross_entropy(network(tokens).flatten(0, 1), tokens.flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            collected.append(loss.item())
    for a, b in zip(*losses, strict=True):
        assert math.isclose(a, b, rel_tol=1e-4)
    assert compiled.reason is None
    compiled.eval()
    with torch.no_grad():
        tokens = torch.randint(0, VOCABULARY, (2, LENGTH))
        assert torch.equal(compiled(tokens), compiled(tokens))
        assert torch.allclose(compiled(tokens), model(tokens), atol=1e-5)
