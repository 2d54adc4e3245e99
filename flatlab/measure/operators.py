"""Symmetric operators of any origin, as `spectrum` takes them: ours, curvlinops', scipy's, a matrix."""

from collections.abc import Callable

import numpy as np
import torch

from flatlab.measure import door
from flatlab.measure.protocols import Operator


class Symmetric:
    """A real symmetric operator: products of a vector, in one type and on one device.

    Where an operator has no .shape, .dtype and .device, its .size and its .x, a vector that it takes, tell them.
    """

    def __init__(self, operator: Operator, measurement: str) -> None:
        door.operator(operator, measurement)
        like = operator if getattr(operator, "dtype", None) is not None else getattr(operator, "x", None)
        self.size = int(getattr(operator, "size", 0) if like is not operator else operator.shape[0])
        if like is None or self.size < 1:
            raise ValueError(
                f"{measurement} takes an operator with .shape (n, n), .dtype, .device and products A @ v, "
                f"but this {type(operator).__name__} does not tell them, or n is 0."
            )
        self.operator = operator
        self.method: str = getattr(operator, "method", type(operator).__name__)
        self.gradient: Callable[[], torch.Tensor] | None = getattr(operator, "gradient", None)
        self.numpy = not isinstance(like.dtype, torch.dtype)  # scipy's operators, sparse matrices, arrays
        if like.dtype.is_complex if not self.numpy else np.dtype(like.dtype).kind == "c":
            raise ValueError(f"{measurement} takes a real operator, but this one is of type {like.dtype}.")
        if not self.numpy and like.dtype not in (torch.float32, torch.float64):
            raise ValueError(
                f"{measurement} takes products in float32 or float64, but this one is of type {like.dtype}."
            )
        self.dtype = torch.float32 if like.dtype in (torch.float32, np.float32) else torch.float64
        self.device = torch.device("cpu" if self.numpy else like.device)

    def __matmul__(self, v: torch.Tensor) -> torch.Tensor:
        """A v. Raises FloatingPointError where it is not finite."""
        if self.numpy:
            product = torch.from_numpy(np.array(self.operator @ v.numpy()).reshape(-1)).to(v)
        else:
            product = (self.operator @ v).detach()
        if not product.isfinite().all():
            raise FloatingPointError(
                "the operator's product is not finite: measure where the loss and its derivatives are."
            )
        return product
