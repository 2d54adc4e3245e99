"""Where the loss is searched: a box, as in Metric 2.1, or a ball, in the full space or in a random subspace."""

import math
from dataclasses import dataclass
from functools import cached_property

import torch

HELD = 2**28  # numbers of A that are kept in memory (1 GiB in float32); else drawn at each use
BLOCK = 2**24  # numbers of A drawn at once


@dataclass(frozen=True)
class Region:
    """{ x + A z : ||z / radius|| <= 1 }: a box (norm inf) or an ellipsoid (norm 2); A is the identity without a subspace.

    A search works in u = z / radius, where the region is the unit ball of its norm. A coordinate whose radius is 0 stays put.
    """

    x: torch.Tensor  # (n,)
    radius: torch.Tensor  # (p,), none negative
    subspace: "Subspace | None" = None
    norm: float = math.inf

    def __post_init__(self):
        if self.norm not in (2, math.inf):
            raise ValueError(f'norm is {self.norm!r}: choose 2 for a ball or "inf" for a box.')

    def point(self, u):
        """x + A (r u)."""
        if self.subspace is None:
            return torch.addcmul(self.x, self.radius, u)
        return self.x + self.subspace @ (self.radius * u)

    def pull(self, gradient):
        """The gradient in u of a function whose gradient at the point is given: r A^T g."""
        return self.radius * (gradient if self.subspace is None else self.subspace.transpose(gradient))

    def project(self, u):
        """The nearest point of the unit ball."""
        return u.clamp(-1, 1) if self.norm == math.inf else u / u.norm().clamp_min(1)

    def steepest(self, gradient):
        """The u in the unit ball with the largest g.u: the vertex sign(g), or g / ||g||.

        Where g is zero, as where the loss underflows, a fixed pseudo-random vector takes its place, so that a search cannot stall.
        """
        if self.norm == math.inf:
            vertex = gradient.sign()
            return (
                vertex
                if vertex.count_nonzero() == len(vertex)
                else vertex.addcmul_(1 - vertex.abs(), self._stand_in.sign())
            )
        gradient = gradient if gradient.any() else self._stand_in
        gradient = gradient / gradient.abs().max()  # so that no square underflows
        return gradient / gradient.norm()

    @cached_property
    def _stand_in(self):
        """Drawn once: a net with units that are never active has zeros in every gradient."""
        generator = torch.Generator(self.radius.device).manual_seed(0)
        return torch.randn(self.radius.shape, generator=generator, device=self.radius.device, dtype=self.radius.dtype)

    def tangent(self, u, gradient):
        """The linear map v -> the part of v along which u can move both ways within the region, where f wants to leave it.

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

    def at_bound(self, u):
        """The share of the coordinates that lie on the box's faces; for a ball, whether u lies on the sphere."""
        return (u.abs() >= 1).count_nonzero().item() / len(u) if self.norm == math.inf else float(u.norm() >= 1 - 1e-6)

    def random(self, seed):
        """A uniformly random u of the unit ball."""
        generator = torch.Generator(self.x.device).manual_seed(seed)
        like = {"generator": generator, "device": self.radius.device, "dtype": self.radius.dtype}
        if self.norm == math.inf:
            return 2 * torch.rand(len(self.radius), **like) - 1
        u = torch.randn(len(self.radius), **like)
        return u / u.norm() * torch.rand((), **like) ** (1 / len(u))


class Subspace:
    """A in R^{n x p} with independent standard normal entries from a seed, drawn a block of rows at a time.

    The paper says that A's columns are "randomly generated" and no more; unit variance is the reading that gives sharpness of the
    size of its Table 4. The entries depend on the seed and the kind of device.
    """

    def __init__(self, x, columns, seed):
        if not 1 <= columns <= len(x):
            raise ValueError(f"the subspace has {columns} dimensions: choose 1 to {len(x):,}, the size of x.")
        self.x, self.columns, self.seed = x, columns, seed
        self.held = [self._draw(*block) for block in self._blocks()] if len(x) * columns <= HELD else None

    def _blocks(self):
        rows = max(1, BLOCK // self.columns)
        return [(start, min(start + rows, len(self.x))) for start in range(0, len(self.x), rows)]

    def _draw(self, start, stop):
        generator = torch.Generator(self.x.device).manual_seed(hash((self.seed, start)) % 2**63)
        return torch.randn(stop - start, self.columns, generator=generator, device=self.x.device, dtype=self.x.dtype)

    def rows(self):
        """(start, stop, A[start:stop]), block by block."""
        for index, (start, stop) in enumerate(self._blocks()):
            yield start, stop, self.held[index] if self.held else self._draw(start, stop)

    def __matmul__(self, z):
        """A z, of shape (n,)."""
        product = torch.empty_like(self.x)
        for start, stop, rows in self.rows():
            product[start:stop] = rows @ z
        return product

    def transpose(self, v):
        """A^T v, of shape (p,)."""
        return sum(rows.T @ v[start:stop] for start, stop, rows in self.rows())

    def coordinates(self, x):
        """A^+ x = (A^T A)^{-1} A^T x, the coordinates of x's projection on the columns of A."""
        gram = sum(rows.T @ rows for _, _, rows in self.rows())
        return torch.linalg.solve(gram.double(), self.transpose(x).double()).to(x.dtype)


def box(f, x=None, eps=1e-3, *, subspace=None, seed=0):
    """The region of Metric 2.1, equation (3):

        full space       |y_i| <= eps (|x_i| + 1),            i = 1..n
        random subspace  |z_i| <= eps (|(A^+ x)_i| + 1),      i = 1..p,  A in R^{n x p} standard normal

    x           a point of f, default f.x
    eps         above 0; the paper has 1e-3 and 5e-4
    subspace    p, the number of random dimensions (the paper has 100), or None for the full space

    Returns a `Region`. Raises ValueError for an eps that is not positive or a p that is not in 1..n.
    Source: Keskar et al. 2017, equation (3). Explained in the chapter
    [Measuring sharpness](https://flatlab.github.io/flatlab/book/measuring_sharpness.html).
    """
    x = f.x if x is None else x
    if not eps > 0 or not math.isfinite(eps):
        raise ValueError(f"eps is {eps}: it is the relative size of the box and must be above 0, e.g. 1e-3.")
    if subspace is None:
        return Region(x, eps * (x.abs() + 1))
    a = Subspace(x, subspace, seed)
    return Region(x, eps * (a.coordinates(x).abs() + 1), a)
