"""Paths meet their ends exactly and follow their formulas; the barrier is that of known functions."""

import math

import pytest
import torch
from torch import nn

import flatlab
from flatlab import paper
from flatlab.paths import ALPHAS


class Named:
    """A function of x in place of a network."""

    batch_norm = "batch"

    def __init__(self, function):
        self.function, self.seen = function, []

    def loss_and_accuracy(self, x):
        self.seen.append(x)
        return self.function(x), 50.0


A, B = torch.randn(2, 30, generator=torch.Generator().manual_seed(0))
B[3] = 0                                                          # a zero weight must not pick up the other end's


@pytest.mark.parametrize("path, start, end", [(flatlab.line, 8, 16), (flatlab.arc, 8, 16)])
def test_both_ends_are_reproduced_bit_for_bit(path, start, end):
    f = Named(lambda x: 0.0)
    path(f, A, B)
    assert torch.equal(f.seen[start], A) and torch.equal(f.seen[end], B)


def test_the_alphas_are_the_papers():
    assert ALPHAS == tuple(torch.linspace(-1, 2, 25, dtype=torch.float64).tolist())
    assert ALPHAS == pytest.approx(tuple(paper.curve("fig3", "F1")["alpha"]))


def test_the_formulas():
    f = Named(lambda x: 0.0)
    flatlab.line(f, A, B, [0.25])
    flatlab.arc(f, A, B, [0.25, -1, 2])
    torch.testing.assert_close(f.seen[0], 0.75 * A + 0.25 * B)
    torch.testing.assert_close(f.seen[1], math.cos(math.pi / 8) * A + math.sin(math.pi / 8) * B)
    assert torch.equal(f.seen[2], -B) and torch.equal(f.seen[3], -A)


def test_barriers_of_known_functions():
    """On the line from -1 to 1, z^2 has its chord above it: barrier 0; 1 - z^2 rises by 1; a slope has none."""
    a, b = torch.tensor([-1.0]), torch.tensor([1.0])
    for function, height in ((lambda z: z.item() ** 2, 0), (lambda z: 1 - z.item() ** 2, 1), (lambda z: 3 * z.item(), 0)):
        assert flatlab.line(Named(function), a, b).barrier() == pytest.approx(height)
    with pytest.raises(ValueError, match="have both among the alphas"):
        flatlab.line(Named(lambda z: 0.0), a, b, [0, 0.5]).barrier()


def test_a_line_on_a_network_has_its_ends_losses():
    torch.manual_seed(0)
    f = flatlab.Objective(nn.Linear(4, 3), (torch.randn(20, 4), torch.arange(20) % 3))
    a, b = f.x, f.x.flip(0)
    path = flatlab.line(f, a, b)
    assert (path.loss[8], path.loss[16]) == (f.value(a), f.value(b))
    assert path.accuracy[8] == f.accuracy(a)
