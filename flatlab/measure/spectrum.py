"""What a symmetric operator's spectrum looks like: extreme eigenvalues, trace, density.

An operator has .size, `operator @ v`, and .x, a vector of the device and type to work in.
Every number comes with its residual or its standard error.
"""

import math
from dataclasses import dataclass, field

import torch

from flatlab.measure.estimate import Estimate


@dataclass(frozen=True)
class Eigen:
    """Eigenpairs, outermost first. `float(eigen)` is the first value."""

    values: torch.Tensor  # (k,) float64
    vectors: torch.Tensor = field(repr=False)  # (size, k)
    residuals: torch.Tensor  # (k,) |A v - value v|: an eigenvalue lies within this of the value
    products: int
    method: str  # how the operator makes its products
    converged: bool  # every residual is within tol of its value's size

    def __float__(self):
        return self.values[0].item()


@dataclass(frozen=True)
class Density:
    """A spectral density phi(t) = 1/n sum_i delta(t - lambda_i), smoothed by a Gaussian of width sigma."""

    grid: torch.Tensor  # (points,)
    density: torch.Tensor  # (points,), mean over the probes
    stderr: torch.Tensor  # (points,)
    nodes: torch.Tensor = field(repr=False)  # (probes, steps) Ritz values
    weights: torch.Tensor = field(repr=False)  # (probes, steps), each row sums to 1
    sigma: float = 0.0


def eigenvalues(operator, k=1, *, which="largest", tol=1e-3, max_products=200, seed=0):
    """The k largest (or smallest, with their sign) eigenvalues of a symmetric operator, by Lanczos.

        A Q = Q T + r e^T,    T s = theta s,    residual |A Q s - theta Q s| = |r| |s_last|

    Q is fully reorthogonalised, so no eigenvalue is found twice. It goes on until every residual is at most tol |theta|, or the
    products are used up; for a value apart from the others the error of theta is about the square of that, relative.

    operator    of size n: f.hessian(x), f.gauss_newton(x), or anything with .size, .x, .method and @; where it has a .gradient(),
                the search starts half along that and half at random, which takes fewer products
    k, which    how many, and from which end
    tol         largest residual, relative to the eigenvalue's size

    Returns an `Eigen`. Raises ValueError when k or max_products do not fit, FloatingPointError where a product is not finite.
    Source: Golub & Van Loan, Matrix Computations, section 10.1. Explained in the appendix
    [Instrument](https://flatlab.github.io/flatlab/book/instrument.html).
    """
    if which not in ("largest", "smallest"):
        raise ValueError(f"which is {which!r}: choose 'largest' or 'smallest'.")
    if not 1 <= k <= operator.size:
        raise ValueError(f"k is {k}: an operator of size {operator.size:,} has between 1 and that many eigenvalues.")
    if max_products < k:
        raise ValueError(f"max_products is {max_products}: finding {k} eigenvalues takes at least as many products.")
    lanczos = Lanczos(operator, seed, operator.gradient() if hasattr(operator, "gradient") else None)
    while True:
        lanczos.step()
        theta, s = lanczos.ritz()
        order = theta.argsort(descending=which == "largest")[:k]
        residuals = lanczos.length * s[-1, order].abs()
        met = len(order) == k and bool((residuals <= tol * theta[order].abs()).all())
        exhausted = lanczos.products == operator.size
        if met or exhausted or lanczos.products >= max_products:
            return Eigen(
                theta[order],
                lanczos.vectors(s[:, order]),
                residuals,
                lanczos.products,
                operator.method,
                met or exhausted,
            )


class Lanczos:
    """The Lanczos recurrence from a random start, to which a `hint` of its own length is added, with full reorthogonalisation."""

    def __init__(self, operator, seed, hint=None):
        self.operator, self.diagonal, self.off, self.length = operator, [], [], 0.0
        self.generator = torch.Generator(operator.x.device).manual_seed(seed)
        self.basis = torch.empty(0, operator.size, dtype=operator.x.dtype, device=operator.x.device)
        start = self._random()
        if hint is not None and 0 < hint.norm() < math.inf:
            start = start + start.norm() * (hint / hint.norm())
        self._append(start)

    @property
    def products(self):
        return len(self.diagonal)

    def step(self):
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

    def ritz(self):
        """Eigenvalues (ascending) and eigenvectors of T, in float64."""
        t = torch.diag(torch.tensor(self.diagonal, dtype=torch.float64))
        beside = torch.tensor(self.off[: self.products - 1], dtype=torch.float64)
        return torch.linalg.eigh(t + torch.diag(beside, 1) + torch.diag(beside, -1))

    def vectors(self, s):
        """Ritz vectors, one a column."""
        return self.basis[: self.products].T @ s.to(self.basis)

    def _orthogonal(self, w):
        basis = self.basis[: self.products]
        for _ in range(2):  # twice is enough (Kahan)
            w = torch.addmv(w, basis.T, basis @ w, alpha=-1)
        return w

    def _random(self):
        return torch.randn(
            self.operator.size, generator=self.generator, device=self.basis.device, dtype=self.basis.dtype
        )

    def _append(self, w):
        count = self.products
        if count == len(self.basis):  # room for as many vectors again
            room = self.basis.new_empty(max(16, 2 * count), self.operator.size)
            room[:count] = self.basis
            self.basis = room
        torch.div(w, w.norm(), out=self.basis[count])


def density(operator, *, steps=64, probes=4, seed=0, points=1000, sigma=None):
    """The spectral density by stochastic Lanczos quadrature.

        phi(t) ~ 1/probes sum_l sum_j w_j^l N(t; theta_j^l, sigma^2),    w_j = (first entry of T's j-th eigenvector)^2

    steps       Lanczos steps a probe
    probes      random starts; the standard error is over them
    sigma       width of the smoothing; default: a hundredth of the range of the nodes

    Returns a `Density`. Raises ValueError for no steps or no probes.
    Sources: Ubaru, Chen & Saad 2017; Ghorbani, Krishnan & Xiao 2019. Explained in the appendix
    [Instrument](https://flatlab.github.io/flatlab/book/instrument.html).
    """
    if steps < 1 or probes < 1:
        raise ValueError(f"steps is {steps} and probes is {probes}: take at least one of each.")
    steps = min(steps, operator.size)
    quadratures = [_quadrature(operator, steps, seed + probe) for probe in range(probes)]
    nodes, weights = (torch.stack(parts) for parts in zip(*quadratures))
    low, high = nodes.min().item(), nodes.max().item()
    sigma = sigma or max(high - low, abs(high)) / 100 or 1.0
    grid = torch.linspace(low - 5 * sigma, high + 5 * sigma, points, dtype=torch.float64)
    kernel = torch.exp(-0.5 * ((grid - nodes[..., None]) / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))
    each = (weights[..., None] * kernel).sum(1)  # (probes, points)
    stderr = each.std(0) / math.sqrt(probes) if probes > 1 else torch.full_like(grid, math.nan)
    return Density(grid, each.mean(0), stderr, nodes, weights, sigma)


def _quadrature(operator, steps, seed):
    """Nodes and weights of one probe's Gauss quadrature."""
    lanczos = Lanczos(operator, seed)
    while lanczos.products < steps:
        lanczos.step()
    theta, s = lanczos.ritz()
    return theta, s[0].square()


def trace(operator, *, tol=0.02, max_products=300, sketch=10, seed=0):
    """The trace by Hutch++: exact on a sketched subspace, sampled on the rest.

        tr A = tr(Q^T A Q) + E[ g^T (I - Q Q^T) A (I - Q Q^T) g ],   Q an orthonormal basis of A S,  S and g random signs

    It samples until the standard error is at most tol |value| or the products are used up; .samples counts the g.

    Returns an `Estimate`. Raises ValueError when max_products leaves no two samples beside the sketch.
    Source: Meyer, Musco, Musco & Woodruff 2021. Explained in the appendix
    [Instrument](https://flatlab.github.io/flatlab/book/instrument.html).
    """
    if max_products < 2 * sketch + 2:
        raise ValueError(
            f"max_products is {max_products}: a sketch of {sketch} takes {2 * sketch}, and two samples two more."
        )
    generator = torch.Generator(operator.x.device).manual_seed(seed)
    sketch = min(sketch, operator.size)
    basis = torch.linalg.qr(torch.stack([operator @ _signs(operator, generator) for _ in range(sketch)], 1))[0]
    exact = sum((q @ (operator @ q)).double().item() for q in basis.T)
    samples = []
    while 2 * sketch + len(samples) < max_products:
        g = _signs(operator, generator)
        g = g - basis @ (basis.T @ g)
        samples.append((g @ (operator @ g)).double().item())
        if len(samples) >= 8:
            rest = Estimate.mean(samples)
            if rest.stderr <= tol * abs(exact + rest.value):
                break
    rest = Estimate.mean(samples)
    return Estimate(exact + rest.value, rest.stderr, len(samples))


def _signs(operator, generator):
    signs = torch.randint(0, 2, (operator.size,), generator=generator, device=operator.x.device)
    return signs.to(operator.x.dtype) * 2 - 1
