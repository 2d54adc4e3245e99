"""What a measurement asks of an f and of an operator, in types: `Objective` and `flatlab.hessian.Hessian` are examples,
a user's own classes others."""

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import torch


class Function(Protocol):
    """A function f of one flat vector x in `R^n`: an `Objective`, or anything with these members."""

    @property
    def x(self) -> torch.Tensor:
        """The point, of shape (n,), that is measured where none is given."""
        ...

    @property
    def size(self) -> int:
        """How many parameters, n."""
        ...

    @property
    def batch_norm(self) -> str:
        """How BatchNorm layers normalise. It is part of what f is, and each result records it."""
        ...

    def value(self, x: torch.Tensor, /) -> float:
        """f(x)."""
        ...

    def gradient(self, x: torch.Tensor, /) -> tuple[float, torch.Tensor]:
        """f(x) and `grad f(x)`, of shape (n,)."""
        ...

    def loss_and_accuracy(self, x: torch.Tensor, /) -> tuple[float, float | None]:
        """(f(x), accuracy in percent); the accuracy is None where there are no classes."""
        ...


class MeanFunction(Function, Protocol):
    """A function that is a mean over rows of data, some of which can be picked: for groups, minibatches and the
    gradient's noise."""

    #: One number for a batch, of its outputs and its targets.
    loss: Callable[..., torch.Tensor]

    @property
    def rows(self) -> int:
        """How many rows, N."""
        ...

    def subset(self, numbers: Any, /) -> "MeanFunction":
        """The mean over some of the rows, by their numbers."""
        ...

    def chunks(self) -> Iterable[tuple[torch.Tensor, torch.Tensor, float]]:
        """(inputs, targets, weight), a part of the rows at a time."""
        ...

    def outputs(self, x: torch.Tensor, inputs: torch.Tensor, /) -> Any:
        """The network's outputs at the point x."""
        ...

    def hessian(self, x: torch.Tensor, /) -> "Operator":
        """The operator `v -> grad^2 f(x) v`."""
        ...


class Operator(Protocol):
    """A symmetric linear map A: `f.hessian(x)`, `f.gauss_newton(x)`, a square tensor, or what has these members."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, n)."""
        ...

    @property
    def dtype(self) -> Any:
        """The type of the vectors that it takes."""
        ...

    @property
    def device(self) -> Any:
        """Where the vectors that it takes lie."""
        ...

    def __matmul__(self, v: torch.Tensor, /) -> torch.Tensor:
        """A v, for a vector of shape (n,) or the columns of a matrix of shape (n, k)."""
        ...
