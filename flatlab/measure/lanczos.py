"""The Lanczos recurrence: an orthonormal basis in which a symmetric operator is a tridiagonal matrix."""

import math

import torch

from flatlab.measure.operators import Symmetric


class Lanczos:
    """The recurrence A Q = Q T + r e^T with full reorthogonalisation.

    Parameters
    ----------
    operator : Symmetric
        A.
    generator : torch.Generator
        Draws the start, on the operator's device.
    hint : Tensor, optional
        A vector that is added to the start, at the start's length.
    against : Tensor, optional
        Orthonormal rows. The recurrence is that of the operator on the space orthogonal to them.

    Attributes
    ----------
    products : int
        How many products A q were made: the size of T.
    """

    def __init__(
        self,
        operator: Symmetric,
        generator: torch.Generator,
        hint: torch.Tensor | None = None,
        against: torch.Tensor | None = None,
    ) -> None:
        self.operator, self.generator = operator, generator
        self.against = operator.empty(0) if against is None else against
        self.size = operator.size - len(self.against)
        self.diagonal: list[float] = []
        self.beside: list[float] = []
        self.outside: list[torch.Tensor] = []  # of each product, the part along the rows of `against`
        self.basis = operator.empty(0)
        start = self._random()
        if hint is not None and 0 < hint.norm() < math.inf:
            both = start + start.norm() * (hint / hint.norm())
            start = both if both.norm() > 1e-3 * start.norm() else start  # where they cancel, as in one dimension
        self._append(start)

    @property
    def products(self) -> int:
        return len(self.diagonal)

    @property
    def exhausted(self) -> bool:
        """Whether the basis is one of the whole space."""
        return self.products == self.size

    def step(self) -> None:
        """One product: an entry of T, and the next basis vector."""
        q = self.basis[self.products]
        w = self.operator @ q
        self.outside.append((self.against @ w).double().cpu())
        self.diagonal.append((q @ w).double().item())
        w = self._orthogonal(w)
        length = w.norm().double().item()
        if length <= 100 * torch.finfo(w.dtype).eps * max(map(abs, self.diagonal + self.beside)):
            length = 0.0  # an invariant subspace: go on in a new direction
            w = self._random()
        self.beside.append(length)
        if not self.exhausted:
            self._append(w)

    def ritz(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Eigenvalues of T (ascending), its eigenvectors and the residuals |A Q s - theta Q s|; float64 on the CPU."""
        off = torch.tensor(self.beside[: self.products - 1], dtype=torch.float64, device="cpu")
        t = torch.diag(torch.tensor(self.diagonal, dtype=torch.float64, device="cpu"))
        theta, s = torch.linalg.eigh(t + torch.diag(off, 1) + torch.diag(off, -1))
        outside = torch.stack(self.outside, 1) @ s
        return theta, s, (outside.square().sum(0) + (self.beside[-1] * s[-1]).square()).sqrt()

    def vectors(self, s: torch.Tensor) -> torch.Tensor:
        """Ritz vectors, one per column."""
        return self.basis[: self.products].T @ s.to(self.basis)

    def spanned(self) -> torch.Tensor:
        """The basis as rows, with r where A leads out of it."""
        return self.basis[: self.products + (self.beside[-1] > 0 and not self.exhausted)]

    def _orthogonal(self, w: torch.Tensor) -> torch.Tensor:
        for _ in range(2):  # twice is enough (Kahan)
            for rows in (self.against, self.basis[: self.products]):
                w = torch.addmv(w, rows.T, rows @ w, alpha=-1)
        return w

    def _random(self) -> torch.Tensor:
        a = self.operator
        drawn = torch.randn(a.size, generator=self.generator, device=a.device, dtype=a.dtype)
        return self._orthogonal(drawn) if len(self.against) or self.products else drawn

    def _append(self, w: torch.Tensor) -> None:
        count = self.products
        if count == len(self.basis):  # room for as many vectors again
            room = self.operator.empty(max(16, 2 * count))
            room[:count] = self.basis
            self.basis = room
        torch.div(w, w.norm(), out=self.basis[count])
