"""What a measurement asks of an f and of an operator, in types: `Objective` and `Hessian` are examples, a user's own classes others."""

from typing import Any, Protocol

import torch


class Function(Protocol):
    """A function f of one flat vector x in R^n: an `Objective`, or anything with these members.

    A search for a maximum needs .value and .gradient only, and a path only .loss_and_accuracy. What is drawn from the data (groups,
    minibatches, the noise of the gradient) also needs the members that say that f is a mean over rows.
    """

    x: torch.Tensor  # (n,), the point that is measured where none is given
    size: int  # n
    rows: int  # N, over which f is a mean
    batch_norm: str  # how BatchNorm layers normalise: it is part of what f is, and each result records it

    def value(self, x: torch.Tensor, /) -> float:
        """f(x)."""
        ...

    def gradient(self, x: torch.Tensor, /) -> tuple[float, torch.Tensor]:
        """(f(x), grad f(x)), the gradient of shape (n,)."""
        ...

    def loss_and_accuracy(self, x: torch.Tensor, /) -> tuple[float, float | None]:
        """(f(x), accuracy in percent); the accuracy is None where there are no classes."""
        ...

    def hessian(self, x: torch.Tensor | None = None, /) -> "Operator":
        """The operator v -> grad^2 f(x) v."""
        ...

    def subset(self, rows: Any, /) -> "Function":
        """The mean over some of the rows, by their numbers."""
        ...


class Operator(Protocol):
    """A symmetric linear map A: f.hessian(x), f.gauss_newton(x), a square tensor, or anything with these members."""

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
        """Where those vectors lie."""
        ...

    def __matmul__(self, v: torch.Tensor, /) -> torch.Tensor:
        """A v, for a vector of shape (n,) or the columns of a matrix of shape (n, k)."""
        ...
