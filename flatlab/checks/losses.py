"""Losses that a student's code differentiates by autograd, and so has at hand where it runs.

What else a check or a hidden test gives to a student's function answers by number alone.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Quartic:
    """f(x) = c x + x A x / 2 + sum_i (B x)_i^4 / 4, which autograd can differentiate: H = A + 3 B^T diag((B x)^2) B."""

    c: Tensor
    A: Tensor
    B: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """f(x), a tensor of one number."""
        c, A, B = (part.to(x) for part in (self.c, self.A, self.B))
        return c @ x + x @ (A @ x) / 2 + (B @ x).pow(4).sum() / 4


@dataclass(frozen=True, eq=False)
class Net:
    """Half the mean squared distance of a net with one layer of tanh from its targets, as a function of its weights."""

    inputs: Tensor  # N x inputs
    targets: Tensor  # N x outputs
    width: int

    @property
    def size(self) -> int:
        """The number of weights."""
        return self.width * (self.inputs.shape[1] + self.targets.shape[1])

    def outputs(self, x: Tensor) -> Tensor:
        """The net's outputs, N x outputs."""
        first = x[: self.width * self.inputs.shape[1]].reshape(self.width, -1)
        second = x[first.numel() :].reshape(-1, self.width)
        return torch.tanh(self.inputs.to(x) @ first.T) @ second.T

    def __call__(self, x: Tensor) -> Tensor:
        """f(x), a tensor of one number."""
        return (self.outputs(x) - self.targets.to(x)).square().sum(1).mean() / 2
