"""Where the loss is searched: the box of Metric 2.1, in the full space or in a random subspace."""

import math
from dataclasses import dataclass

import torch

HELD = 2**28                                       # numbers of A that are kept in memory (1 GiB in float32); else drawn at each use
BLOCK = 2**24                                      # numbers of A drawn at once


@dataclass(frozen=True)
class Region:
    """The box { x + A z : |z_i| <= radius_i }; A is the identity when there is no subspace."""

    x: torch.Tensor                                # (n,)
    radius: torch.Tensor                           # (p,)
    subspace: "Subspace | None" = None

    def point(self, u):
        """x + A (r u) for u in [-1, 1]^p."""
        z = self.radius * u
        return self.x + (z if self.subspace is None else self.subspace @ z)

    def pull(self, gradient):
        """The gradient in u of a function whose gradient at the point is given: r A^T g."""
        return self.radius * (gradient if self.subspace is None else self.subspace.transpose(gradient))


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
