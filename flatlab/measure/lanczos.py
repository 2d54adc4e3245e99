"""The Lanczos recurrence: an orthonormal basis in which a symmetric operator is a tridiagonal matrix."""

import math

import torch

from flatlab.measure.operators import Symmetric


class Lanczos:
    """The recurrence A Q = Q T + r e^T with full reorthogonalisation, from a random start.

    Parameters
    ----------
    operator : Symmetric
        A.
    generator : torch.Generator
        Draws the start, on the operator's device.
    hint : Tensor, optional
        A vector that is added to the start, at the start's length.
    against : Tensor, optional
        Orthonormal columns. The recurrence is that of A on the space orthogonal to them.

    Attributes
    ----------
    products : int
        How many products A q were made: the size of T.
    length : float
        |r|; 0 where the basis spans an invariant subspace, after which it goes on in a new direction.
    """

    def __init__(
        self,
        operator: Symmetric,
        generator: torch.Generator,
        hint: torch.Tensor | None = None,
        against: torch.Tensor | None = None,
    ) -> None:
        self.operator, self.generator, self.length = operator, generator, 0.0
        self.against = None if against is None else against.T
        self.size = operator.size - (0 if against is None else against.shape[1])
        self.diagonal: list[float] = []
        self.off: list[float] = []
        self.basis = torch.empty(0, operator.size, dtype=operator.dtype, device=operator.device)
        start = self._random()
        if hint is not None and 0 < hint.norm() < math.inf:
            both = start + start.norm() * (hint / hint.norm())
            start = both if both.norm() > 1e-3 * start.norm() else start  # they cancel where the size is 1
        self._append(start)

    @property
    def products(self) -> int:
        """How many products have been taken."""
        return len(self.diagonal)

    @property
    def exhausted(self) -> bool:
        """Whether the basis is one of the whole space."""
        return self.products == self.size

    def step(self) -> None:
        """One product: an entry of T, and the next basis vector."""
        q = self.basis[self.products]
        w = self.operator @ q
        if self.products == 1:
            self._check_symmetry(w)
        self.diagonal.append((q @ w).double().item())
        w = self._orthogonal(w)
        self.length = _length(w).double().item()
        if self.length <= 100 * torch.finfo(w.dtype).eps * max(map(abs, self.diagonal + self.off)):
            self.length = 0.0  # an invariant subspace: go on in a new direction
            w = self._random()
        self.off.append(self.length)
        if not self.exhausted:
            self._append(w)

    def ritz(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Eigenvalues (ascending) and eigenvectors of T, in float64 on the CPU."""
        t, beside = (
            torch.tensor(part, dtype=torch.float64, device="cpu")
            for part in (self.diagonal, self.off[: self.products - 1])
        )
        return torch.linalg.eigh(torch.diag(t) + torch.diag(beside, 1) + torch.diag(beside, -1))

    def vectors(self, s: torch.Tensor) -> torch.Tensor:
        """Ritz vectors, one a column."""
        return self.basis[: self.products].T @ s.to(self.basis)

    def images(self, s: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
        """A v of Ritz vectors v, without their parts along `against`: theta v + r s_last."""
        images = self.vectors(s * theta)
        if self.length == 0 or self.exhausted:
            return images
        return images.addr(self.basis[self.products], self.length * s[-1].to(images))

    def share(self, value: float) -> float:
        """The most that the square of the start's share along an eigenvector of this eigenvalue can be.

        Notes
        -----
        With the orthonormal polynomials p_j of the start's spectral measure, which T's recurrence gives, it is the
        Christoffel function ``1 / sum_j p_j(value)^2``. Source: Szego, Orthogonal Polynomials, section 3.4.
        """
        before, now, total = 0.0, 1.0, 1.0
        for j in range(self.products):
            if self.off[j] == 0:
                return 0.0
            if total > 1e100:
                break
            left = self.off[j - 1] * before if j else 0.0
            before, now = now, ((value - self.diagonal[j]) * now - left) / self.off[j]
            total += now * now
        return 1 / total

    def _check_symmetry(self, w: torch.Tensor) -> None:
        """The second product shows at no cost whether q_0 . A q_1 is q_1 . A q_0, which is the first |r|."""
        if self.operator.gradient or self.against is not None:  # a second derivative is symmetric
            return
        there, back, size = (self.basis[0] @ w).double().item(), self.off[0], _length(w).double().item()
        if abs(there - back) > 10 * torch.finfo(w.dtype).eps ** 0.5 * max(size, back, abs(self.diagonal[0])):
            raise ValueError(
                f"the operator is not symmetric: u . A v is {there:.6g} and v . A u is {back:.6g} for two vectors: "
                "pass a symmetric one, such as (A + A.T) / 2."
            )

    def _orthogonal(self, w: torch.Tensor) -> torch.Tensor:
        basis = self.basis[: self.products]
        for _ in range(2):  # twice is enough (Kahan)
            if self.against is not None:
                w = torch.addmv(w, self.against.T, self.against @ w, alpha=-1)
            w = torch.addmv(w, basis.T, basis @ w, alpha=-1)
        return w

    def _random(self) -> torch.Tensor:
        drawn = torch.randn(
            self.operator.size, generator=self.generator, device=self.basis.device, dtype=self.basis.dtype
        )
        return drawn if not self.products and self.against is None else self._orthogonal(drawn)

    def _append(self, w: torch.Tensor) -> None:
        count = self.products
        if count == len(self.basis):  # room for as many vectors again
            room = self.basis.new_empty(max(16, 2 * count), self.operator.size)
            room[:count] = self.basis
            self.basis = room
        torch.div(w, _length(w).to(w.dtype), out=self.basis[count])


def _length(w: torch.Tensor) -> torch.Tensor:
    """The length of a vector, also where the squares of its entries are beyond the numbers of its type."""
    length = w.norm()
    return length if 0 < length < math.inf else torch.linalg.vector_norm(w, dtype=torch.float64)
