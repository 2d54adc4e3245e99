"""What a symmetric operator's spectrum looks like: extreme eigenvalues, trace, density.

Operators are ours (`f.hessian(x)`, `f.gauss_newton(x)`) or anybody's: see `operators`. Every number comes with its
residual or its standard error.
"""

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch

from flatlab.measure import door
from flatlab.measure.arithmetic import in_own_arithmetic
from flatlab.measure.estimate import Estimate
from flatlab.measure.operators import Symmetric
from flatlab.measure.protocols import Operator

End = Literal["largest", "smallest"]
ENDS: tuple[End, ...] = get_args(End)


@dataclass(frozen=True)
class Eigen:
    """Eigenpairs, outermost first. ``float(eigen)`` is the first value.

    Attributes
    ----------
    values : Tensor
        The eigenvalues, of shape (k,), in float64.
    vectors : Tensor
        Their vectors, of shape (size, k).
    residuals : Tensor
        The lengths of A v - value v, of shape (k,): an eigenvalue lies within this of the value.
    products : int
        How many products A v were made.
    method : str
        How the operator makes its products.
    converged : bool
        Whether every residual is within tol of its value's size.
    """

    values: torch.Tensor
    vectors: torch.Tensor = field(repr=False)
    residuals: torch.Tensor
    products: int
    method: str
    converged: bool

    def __float__(self) -> float:
        return self.values[0].item()


@dataclass(frozen=True)
class Density:
    """A spectral density phi(t) = 1/n sum_i delta(t - lambda_i), smoothed by a Gaussian.

    Attributes
    ----------
    grid : Tensor
        Where it is given, of shape (points,).
    density, stderr : Tensor
        The mean over the probes and its standard error, of shape (points,).
    nodes, weights : Tensor
        Each probe's Ritz values and their weights, which sum to 1, of shape (probes, steps).
    sigma : float
        The width of the Gaussian.
    """

    grid: torch.Tensor
    density: torch.Tensor
    stderr: torch.Tensor
    nodes: torch.Tensor = field(repr=False)
    weights: torch.Tensor = field(repr=False)
    sigma: float = 0.0


@in_own_arithmetic
def eigenvalues(
    operator: Operator, k: int = 1, *, which: End = "largest", tol: float = 1e-3, max_products: int = 200, seed: int = 0
) -> Eigen:
    """Find the k largest or smallest eigenvalues of a symmetric operator, by Lanczos.

    Parameters
    ----------
    operator : Operator
        `f.hessian(x)`, `f.gauss_newton(x)`, an operator of scipy or curvlinops, a square matrix. Where it has a
        .gradient(), the search starts half along that and half at random, which takes fewer products.
    k : int
        How many.
    which : {"largest", "smallest"}
        From which end, with their sign.
    tol : float
        Largest residual, relative to the eigenvalue's size.
    max_products : int
        Most products A v.
    seed : int
        Of the start.

    Returns
    -------
    Eigen
        With every value's residual.

    Raises
    ------
    ValueError
        For what is no symmetric operator, and when k or max_products do not fit.
    FloatingPointError
        Where a product is not finite.

    Notes
    -----
    In a basis Q of a Krylov space the operator is a small tridiagonal matrix::

        A Q = Q T + r e^T,    T s = theta s,    residual |A Q s - theta Q s| = |r| |s_last|

    Q is fully reorthogonalised, so no eigenvalue is found twice. The search goes on until every residual is at most
    tol |theta|, or the products are used up; for a value apart from the others the error of theta is about the square
    of that, relative.

    Source: Golub & Van Loan, Matrix Computations, section 10.1. Explained in the appendix
    [Instrument](https://flatlab.github.io/flatlab/book/instrument.html).
    """
    a = Symmetric(operator, "eigenvalues")
    door.choice("which", which, ENDS)
    door.count("k", k, 1, a.size, "as an operator of that size has eigenvalues")
    door.count("max_products", max_products, k, what=f"because finding {k} eigenvalues takes as many products")
    lanczos = Lanczos(a, seed, a.gradient() if a.gradient else None)
    while True:
        lanczos.step()
        theta, s = lanczos.ritz()
        order = theta.argsort(descending=which == "largest")[:k]
        residuals = lanczos.length * s[-1, order].abs()
        met = len(order) == k and bool((residuals <= tol * theta[order].abs()).all())
        exhausted = lanczos.products == a.size
        if met or exhausted or lanczos.products >= max_products:
            return Eigen(
                theta[order], lanczos.vectors(s[:, order]), residuals, lanczos.products, a.method, met or exhausted
            )


class Lanczos:
    """The Lanczos recurrence with full reorthogonalisation, from a random start; a `hint` of its length is added to
    it."""

    def __init__(self, operator: Symmetric, seed: int, hint: torch.Tensor | None = None) -> None:
        self.operator, self.length = operator, 0.0
        self.diagonal: list[float] = []
        self.off: list[float] = []
        self.generator = torch.Generator(operator.device).manual_seed(seed)
        self.basis = torch.empty(0, operator.size, dtype=operator.dtype, device=operator.device)
        start = self._random()
        if hint is not None and 0 < hint.norm() < math.inf:
            start = start + start.norm() * (hint / hint.norm())
        self._append(start)

    @property
    def products(self) -> int:
        """How many products have been taken."""
        return len(self.diagonal)

    def step(self) -> None:
        """One product: an entry of T, and the next basis vector. .length becomes |r|."""
        q = self.basis[self.products]
        w = self.operator @ q
        self.diagonal.append((q @ w).double().item())
        w = self._orthogonal(w)
        self.length = w.norm().double().item()
        if not math.isfinite(self.length):
            raise FloatingPointError(
                "the operator's product is not finite: measure where the loss and its derivatives are."
            )
        if self.length <= 100 * torch.finfo(w.dtype).eps * max(map(abs, self.diagonal + self.off)):
            self.length = 0.0  # an invariant subspace: go on in a new direction
            w = self._orthogonal(self._random())
        self.off.append(self.length)
        if self.products < self.operator.size:
            self._append(w)

    def ritz(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Eigenvalues (ascending) and eigenvectors of T, in float64."""
        t = torch.diag(torch.tensor(self.diagonal, dtype=torch.float64))
        beside = torch.tensor(self.off[: self.products - 1], dtype=torch.float64)
        return torch.linalg.eigh(t + torch.diag(beside, 1) + torch.diag(beside, -1))

    def vectors(self, s: torch.Tensor) -> torch.Tensor:
        """Ritz vectors, one a column."""
        return self.basis[: self.products].T @ s.to(self.basis)

    def _orthogonal(self, w: torch.Tensor) -> torch.Tensor:
        basis = self.basis[: self.products]
        for _ in range(2):  # twice is enough (Kahan)
            w = torch.addmv(w, basis.T, basis @ w, alpha=-1)
        return w

    def _random(self) -> torch.Tensor:
        return torch.randn(
            self.operator.size, generator=self.generator, device=self.basis.device, dtype=self.basis.dtype
        )

    def _append(self, w: torch.Tensor) -> None:
        count = self.products
        if count == len(self.basis):  # room for as many vectors again
            room = self.basis.new_empty(max(16, 2 * count), self.operator.size)
            room[:count] = self.basis
            self.basis = room
        torch.div(w, w.norm(), out=self.basis[count])


@in_own_arithmetic
def density(
    operator: Operator,
    *,
    steps: int = 64,
    probes: int = 4,
    seed: int = 0,
    points: int = 1000,
    sigma: float | None = None,
) -> Density:
    """Estimate the spectral density by stochastic Lanczos quadrature.

    Parameters
    ----------
    operator : Operator
        As for `eigenvalues`.
    steps : int
        Lanczos steps per probe.
    probes : int
        Random starts; the standard error is over them.
    seed : int
        Of the starts.
    points : int
        How many points of the density are given.
    sigma : float, optional
        Width of the smoothing; left out, a hundredth of the range of the nodes.

    Returns
    -------
    Density
        With its standard error at each point.

    Raises
    ------
    ValueError
        For what is no symmetric operator, and for no steps, probes or points.
    FloatingPointError
        Where a product is not finite.

    Notes
    -----
    With the eigenpairs (theta_j, s_j) of each probe's tridiagonal matrix T::

        phi(t) ~ 1/probes sum_l sum_j w_j^l N(t; theta_j^l, sigma^2),    w_j = (first entry of s_j)^2

    Sources: Ubaru, Chen & Saad 2017; Ghorbani, Krishnan & Xiao 2019. Explained in the appendix
    [Instrument](https://flatlab.github.io/flatlab/book/instrument.html).
    """
    a = Symmetric(operator, "density")
    for name, count in (("steps", steps), ("probes", probes), ("points", points)):
        door.count(name, count)
    steps = min(steps, a.size)
    quadratures = [_quadrature(a, steps, seed + probe) for probe in range(probes)]
    nodes, weights = (torch.stack(parts) for parts in zip(*quadratures))
    low, high = nodes.min().item(), nodes.max().item()
    sigma = sigma or max(high - low, abs(high)) / 100 or 1.0
    grid = torch.linspace(low - 5 * sigma, high + 5 * sigma, points, dtype=torch.float64)
    kernel = torch.exp(-0.5 * ((grid - nodes[..., None]) / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))
    each = (weights[..., None] * kernel).sum(1)  # (probes, points)
    stderr = each.std(0) / math.sqrt(probes) if probes > 1 else torch.full_like(grid, math.nan)
    return Density(grid, each.mean(0), stderr, nodes, weights, sigma)


def _quadrature(operator: Symmetric, steps: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Nodes and weights of one probe's Gauss quadrature."""
    lanczos = Lanczos(operator, seed)
    while lanczos.products < steps:
        lanczos.step()
    theta, s = lanczos.ritz()
    return theta, s[0].square()


@in_own_arithmetic
def trace(
    operator: Operator, *, tol: float = 0.02, max_products: int = 300, sketch: int = 10, seed: int = 0
) -> Estimate:
    """Estimate the trace by Hutch++: exact on a sketched subspace, sampled on the rest.

    Parameters
    ----------
    operator : Operator
        As for `eigenvalues`.
    tol : float
        The standard error to reach, relative to the value.
    max_products : int
        Most products A v.
    sketch : int
        The size of the subspace.
    seed : int
        Of the random signs.

    Returns
    -------
    Estimate
        Its .samples counts the random vectors g.

    Raises
    ------
    ValueError
        For what is no symmetric operator, and when max_products leaves no two samples beside the sketch.

    Notes
    -----
    With an orthonormal basis Q of A S, and random signs S and g::

        tr A = tr(Q^T A Q) + E[ g^T (I - Q Q^T) A (I - Q Q^T) g ]

    It samples until the standard error is at most tol |value| or the products are used up. Source: Meyer, Musco, Musco
    & Woodruff 2021. Explained in the appendix [Instrument](https://flatlab.github.io/flatlab/book/instrument.html).
    """
    a = Symmetric(operator, "trace")
    door.count("sketch", sketch)
    if max_products < 2 * sketch + 2:
        raise ValueError(
            f"max_products is {max_products}: a sketch of {sketch} takes {2 * sketch}, and two samples two more."
        )
    generator = torch.Generator(a.device).manual_seed(seed)
    sketch = min(sketch, a.size)
    basis = torch.linalg.qr(torch.stack([a @ _signs(a, generator) for _ in range(sketch)], 1))[0]
    exact = sum((q @ (a @ q)).double().item() for q in basis.T)
    samples = []  # type: ignore[var-annotated]
    while 2 * sketch + len(samples) < max_products:
        g = _signs(a, generator)
        g = g - basis @ (basis.T @ g)
        samples.append((g @ (a @ g)).double().item())
        if len(samples) >= 8:
            rest = Estimate.mean(samples)
            if rest.stderr <= tol * abs(exact + rest.value):
                break
    rest = Estimate.mean(samples)
    return Estimate(exact + rest.value, rest.stderr, len(samples))


def _signs(operator: Symmetric, generator: torch.Generator) -> torch.Tensor:
    signs = torch.randint(0, 2, (operator.size,), generator=generator, device=operator.device)
    return signs.to(operator.dtype) * 2 - 1
