"""Where the loss is searched: a box, as in Metric 2.1, or a ball, in the full space or in a random subspace."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from flatlab.measure import door
from flatlab.measure.arithmetic import in_own_arithmetic
from flatlab.measure.protocols import Function

DIRECTIONS_HELD = 2**28  # numbers of A that are kept in memory (1 GiB in float32); else drawn at each use
BLOCK = 2**24  # numbers of A drawn at once


@dataclass(frozen=True, eq=False)
class Region:
    """A box or an ellipsoid around a point, in the full space or in a random subspace: what `maximise` searches.

    A search works in `u = z / r`, with r the radius, where the region is the unit ball of its norm. A coordinate whose
    radius is 0 stays where it is.

    Parameters
    ----------
    x : Tensor
        The centre, of shape (n,).
    radius : Tensor
        Of shape (p,), finite and with none negative; p is n without a subspace.
    subspace : Subspace, optional
        A, of shape (n, p); the identity without one.
    norm : float
        ``math.inf`` for a box, 2 for an ellipsoid.
    eps : float, optional
        The relative size of a box of Metric 2.1; without one the region is another.

    Raises
    ------
    ValueError
        If the centre and the radius are no finite vectors that fit, or the norm is another.

    Notes
    -----
    The region is::

        { x + A z : ||z / r|| <= 1 }

    with r the radius and the division coordinate by coordinate.
    """

    x: torch.Tensor
    radius: torch.Tensor
    subspace: "Subspace | None" = None
    norm: float = math.inf
    eps: float | None = None

    def __post_init__(self) -> None:
        if self.norm not in (2, math.inf):
            raise ValueError(f"norm is {self.norm!r}: choose 2 for a ball or math.inf for a box.")
        object.__setattr__(self, "x", door.points(None, "a Region", x=self.x)[0])
        object.__setattr__(self, "radius", door.vectors(None, "a Region", radius=self.radius)[0])
        p = len(self.x) if self.subspace is None else self.subspace.columns
        if len(self.radius) != p or not ((self.radius >= 0) & self.radius.isfinite()).all():
            raise ValueError(
                f"the radius must be {p:,} numbers, none of them negative, infinite or NaN: one for each direction."
            )

    def point(self, u: torch.Tensor) -> torch.Tensor:
        """The point `x + A (r u)`."""
        if self.subspace is None:
            return torch.addcmul(self.x, self.radius, u)
        return self.x + self.subspace @ (self.radius * u)

    def pull(self, gradient: torch.Tensor) -> torch.Tensor:
        """The gradient in u of a function whose gradient at the point is given: ``r A^T g``."""
        return self.radius * (gradient if self.subspace is None else self.subspace.transpose(gradient))

    def project(self, u: torch.Tensor) -> torch.Tensor:
        """The nearest point of the unit ball."""
        return u.clamp(-1, 1) if self.norm == math.inf else u / u.norm().clamp_min(1)

    def steepest(self, gradient: torch.Tensor) -> torch.Tensor:
        """The u in the unit ball with the largest g.u: the vertex sign(g), or ``g / ||g||``.

        Where g is zero, as where the loss underflows, a fixed pseudo-random vector takes its place, so that a search
        cannot stall.
        """
        if self.norm == math.inf:
            vertex = gradient.sign()
            if vertex.count_nonzero() == len(vertex):
                return vertex
            return vertex.addcmul_(vertex.abs().neg_().add_(1), self._stand_in_signs)
        gradient = gradient if gradient.any() else self._stand_in
        gradient = gradient / gradient.abs().max()  # so that no square underflows
        return gradient / gradient.norm()

    @property
    def _stand_in(self) -> torch.Tensor:
        return _stand_in(len(self.radius), self.radius.device, self.radius.dtype)[0]

    @property
    def _stand_in_signs(self) -> torch.Tensor:
        return _stand_in(len(self.radius), self.radius.device, self.radius.dtype)[1]

    def tangent(self, u: torch.Tensor, gradient: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
        """The linear map v -> the part of v along which u can move both ways within the region, where f wants to leave
        it.

        Box: the coordinates that are not held at a bound. Ball: at the sphere, no radial part.
        """
        if self.norm == math.inf:
            free = ((u.abs() < 1) | (u * gradient < 0)).to(u.dtype)
            return lambda v: free * v
        length = u.norm()
        if length < 1 - 1e-6 or u @ gradient < 0:
            return lambda v: v
        normal = u / length
        return lambda v: v - (normal @ v) * normal

    def at_bound(self, u: torch.Tensor) -> float:
        """The share of the coordinates that lie on the box's faces; for a ball, whether u lies on the sphere."""
        return (u.abs() >= 1).count_nonzero().item() / len(u) if self.norm == math.inf else float(u.norm() >= 1 - 1e-6)

    def random(self, seed: int) -> torch.Tensor:
        """A uniformly random u of the unit ball."""
        generator = torch.Generator(self.x.device).manual_seed(seed)
        like: dict[str, Any] = {"generator": generator, "device": self.radius.device, "dtype": self.radius.dtype}
        if self.norm == math.inf:
            return 2 * torch.rand(len(self.radius), **like) - 1
        u = torch.randn(len(self.radius), **like)
        return u / u.norm() * torch.rand((), **like) ** (1 / len(u))


@lru_cache(maxsize=1)
def _stand_in(size: int, device: torch.device, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """A vector and its signs, drawn once for all the regions of a size: a net with units that are never active has
    zeros in every gradient."""
    generator = torch.Generator(device).manual_seed(0)
    drawn = torch.randn(size, generator=generator, device=device, dtype=dtype)
    return drawn, drawn.sign()


class Subspace:
    """A random subspace: A in R^{n x p} with independent standard normal entries, drawn a block of its rows at a time.

    Parameters
    ----------
    x : Tensor
        A point: A has its n rows, its type and its device.
    columns : int
        p, from 1 to n.
    seed : int
        Of the entries, which depend on the kind of device too.

    Raises
    ------
    ValueError
        If p is not from 1 to n.

    Notes
    -----
    The paper says that A's columns are "randomly generated" and no more. Unit variance is the reading that gives C1
    sharpness of the size of its Table 4; with it F1's large batch comes out far flatter than there.
    """

    def __init__(self, x: torch.Tensor, columns: int, seed: int) -> None:
        self.columns = door.count("subspace", columns, 1, len(x), "the size of x")
        self.x, self.seed = x, seed
        self.held = [self._draw(*part) for part in self._parts()] if len(x) * self.columns <= DIRECTIONS_HELD else None

    def _parts(self) -> list[tuple[int, int]]:
        height = max(1, BLOCK // self.columns)
        return [(start, min(start + height, len(self.x))) for start in range(0, len(self.x), height)]

    def _draw(self, start: int, stop: int) -> torch.Tensor:
        generator = torch.Generator(self.x.device).manual_seed(hash((self.seed, start)) % 2**63)
        return torch.randn(stop - start, self.columns, generator=generator, device=self.x.device, dtype=self.x.dtype)

    def blocks(self) -> Iterator[tuple[int, int, torch.Tensor]]:
        """(start, stop, A[start:stop]), block by block."""
        for index, (start, stop) in enumerate(self._parts()):
            yield start, stop, self.held[index] if self.held else self._draw(start, stop)

    def __matmul__(self, z: torch.Tensor) -> torch.Tensor:
        """A z, of shape (n,)."""
        product = torch.empty_like(self.x)
        for start, stop, block in self.blocks():
            product[start:stop] = block @ z
        return product

    def transpose(self, v: torch.Tensor) -> torch.Tensor:
        """``A^T v``, of shape (p,)."""
        product = v.new_zeros(self.columns)
        for start, stop, block in self.blocks():
            product += block.T @ v[start:stop]
        return product

    def coordinates(self, x: torch.Tensor) -> torch.Tensor:
        """``A^+ x = (A^T A)^{-1} A^T x``, the coordinates of x's projection on the columns of A."""
        gram = x.new_zeros(self.columns, self.columns)
        for _, _, block in self.blocks():
            gram += block.T @ block
        return torch.linalg.solve(gram.double(), self.transpose(x).double()).to(x.dtype)


@in_own_arithmetic
def box(
    f: Function, x: torch.Tensor | None = None, eps: float = 1e-3, *, subspace: int | None = None, seed: int = 0
) -> Region:
    """The region of Metric 2.1, in which sharpness looks for the largest loss.

    Parameters
    ----------
    f : Objective
        Whose points they are.
    x : Tensor, optional
        A point of f; f.x without one.
    eps : float
        The relative size of the box, above 0; the paper has 1e-3 and 5e-4.
    subspace : int, optional
        p, the number of random dimensions (the paper has 100); the full space without one.
    seed : int
        Of the subspace.

    Returns
    -------
    Region

    Raises
    ------
    ValueError
        If the point does not fit or is not finite, eps is not above 0 or p is not from 1 to n.

    Notes
    -----
    Equation (3) of Keskar et al. 2017::

        |z_i| <= eps (|x_i| + 1),            i = 1..n
        |z_i| <= eps (|(A^+ x)_i| + 1),      i = 1..p

    The first is the full space, where A is the identity. The second is a random subspace, where A has n rows and p
    columns of standard normal entries and ``A^+`` is its pseudo-inverse.

    Explained in the chapter `Measuring sharpness <https://flatlab.github.io/flatlab/book/measuring_sharpness.html>`_.
    """
    x = door.point(f, x, "box", "value")
    eps = door.positive("eps", eps, "the relative size of the box", 1e-3)
    seed = door.seed(seed)
    if subspace is None:
        return Region(x, eps * (x.abs() + 1), eps=eps)
    a = Subspace(x, subspace, seed)
    return Region(x, eps * (a.coordinates(x).abs() + 1), a, eps=eps)
