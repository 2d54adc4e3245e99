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
from flatlab.measure.lanczos import Lanczos
from flatlab.measure.operators import Symmetric
from flatlab.measure.protocols import Operator

#: From which end of a spectrum eigenvalues are taken.
End = Literal["largest", "smallest"]
ENDS: tuple[End, ...] = get_args(End)
DOUBT = 1e-3  # the probability that a repeated eigenvalue is missed


@dataclass(frozen=True, eq=False)
class Eigen:
    """Eigenpairs, outermost first. ``float(eigen)`` is the first value.

    Attributes
    ----------
    values : Tensor
        The eigenvalues, of shape (k,), in float64.
    vectors : Tensor
        Their vectors, of shape (size, k).
    residuals : Tensor
        The lengths of `A v - value v`, of shape (k,): an eigenvalue lies within this of the value.
    products : int
        How many products A v were made.
    method : str
        How the operator makes its products.
    converged : bool
        Whether every residual is within tol of its value's size, and no repeated value is missing.
    """

    values: torch.Tensor
    vectors: torch.Tensor = field(repr=False)
    residuals: torch.Tensor
    products: int
    method: str
    converged: bool

    def __float__(self) -> float:
        return self.values[0].item()


@dataclass(frozen=True, eq=False)
class Density:
    """A spectral density: how many eigenvalues there are near t, as a share, smoothed by a Gaussian.

        phi(t) = 1/n sum_i delta(t - lambda_i)

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
        `.gradient()`, the search starts half along that and half at random, which takes fewer products.
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

        A Q = Q T + r e^T,    T s = theta s,    |A Q s - theta Q s| = |r| |s_last|

    where e is the last unit vector, s_last the last entry of s, and the right-hand side the residual. Q is fully
    reorthogonalised, so no eigenvalue is found twice that is one once. The search goes on until every residual is at
    most `tol |theta|`, or the products are used up; for a value apart from the others the error of theta is about the
    square of that, relative. From one start a repeated eigenvalue is found once. So where several values are asked for
    and found, it starts again at random, orthogonal to what was found, until it is all but certain (0.999) that none of
    them is there once more above the last.

    Source: Golub & Van Loan, Matrix Computations, section 10.1. Explained in the appendix
    [Instrument](https://flatlab.github.io/flatlab/book/instrument.html).

    Examples
    --------
    Of a network it would be `f.hessian(x)` in place of the matrix:

    >>> flatlab.eigenvalues(torch.diag(torch.tensor([3.0, 1.0, 2.0])), k=2).values
    tensor([3.0000, 2.0000], dtype=torch.float64)
    """
    a = Symmetric(operator, "eigenvalues")
    door.choice("which", which, ENDS)
    door.count("k", k, 1, a.size, "as an operator of that size has eigenvalues")
    tol = door.tolerance("tol", tol)
    door.count("max_products", max_products, k, what=f"because finding {k} eigenvalues takes as many products")
    sign = 1 if which == "largest" else -1
    generator = torch.Generator(a.device).manual_seed(door.seed(seed))
    lanczos, met = Lanczos(a, generator, a.gradient() if a.gradient else None), False
    while not met and not lanczos.exhausted and lanczos.products < max_products:
        lanczos.step()
        theta, s = lanczos.ritz()
        order = (sign * theta).argsort(descending=True)[:k]
        met = len(order) == k and bool((lanczos.length * s[-1, order].abs() <= tol * theta[order].abs()).all())
    found, products, sure = _outermost(lanczos, k, sign), lanczos.products, lanczos.exhausted
    while met and not sure:
        again = Lanczos(a, generator, against=found.vectors)
        more, sure = _search_again(again, found, sign, tol, max_products - products)
        products += again.products
        found = found.joined(more, sign) if more else found
        met = found.met(tol) and products < max_products
    values, residuals = found.values.to(a.device), found.residuals.to(a.device)
    return Eigen(values, found.vectors, residuals, products, a.method, sure)


@dataclass(frozen=True)
class _Pairs:
    """Ritz pairs, outermost first, with the images A v of their vectors."""

    values: torch.Tensor
    residuals: torch.Tensor
    vectors: torch.Tensor
    images: torch.Tensor

    def met(self, tol: float) -> bool:
        return bool((self.residuals <= tol * self.values.abs()).all())

    def joined(self, more: "_Pairs", sign: int) -> "_Pairs":
        """The outermost of both, as many as here."""
        both = [torch.cat(parts, -1) for parts in zip(vars(self).values(), vars(more).values())]
        order = (sign * both[0]).argsort(descending=True)[: len(self.values)]
        return _Pairs(*(part[..., order.to(part.device)] for part in both))


def _outermost(lanczos: Lanczos, count: int, sign: int) -> _Pairs:
    theta, s = lanczos.ritz()
    order = (sign * theta).argsort(descending=True)[:count]
    theta, s = theta[order], s[:, order]
    return _Pairs(theta, lanczos.length * s[-1].abs(), lanczos.vectors(s), lanczos.images(s, theta))


def _search_again(lanczos: Lanczos, found: _Pairs, sign: int, tol: float, most: int) -> tuple[_Pairs | None, bool]:
    """Search the space orthogonal to the pairs found for others above the last of them: (those, whether there is none).

    Another pair of the nearest value above the last would have a share of a random start. Its square is below delta
    with a probability of about sqrt(2/pi n delta), and the recurrence bounds it.
    """
    values = sign * found.values
    rounding = 1000 * torch.finfo(lanczos.basis.dtype).eps * values.abs().max().item()
    bound = values[-1].item() + max(tol * abs(values[-1].item()), rounding)
    if not (values > bound).any():
        return None, True
    nearest = sign * values[values > bound].min().item()
    while lanczos.products < most and not lanczos.exhausted:
        lanczos.step()
        theta, s = lanczos.ritz()
        above = sign * theta > bound
        if above.any():
            if bool((lanczos.length * s[-1, above].abs() <= tol * theta[above].abs()).all()):
                more = _coupled(_outermost(lanczos, int(above.sum()), sign), found)
                if more.met(tol) or lanczos.exhausted:
                    return more, False
        elif 2 / math.pi * lanczos.size * lanczos.share(nearest) <= DOUBT**2:
            return None, True
    count = int((sign * lanczos.ritz()[0] > bound).sum())
    if count:
        return _coupled(_outermost(lanczos, count, sign), found), False
    return None, lanczos.exhausted


def _coupled(more: _Pairs, found: _Pairs) -> _Pairs:
    """Pairs from the space orthogonal to those found, with what A moves from them into the space of those."""
    along = found.images.T @ more.vectors  # V^T A v, by the symmetry of A
    residuals = (more.residuals.square() + along.double().square().sum(0).to(more.residuals)).sqrt()
    return _Pairs(more.values, residuals, more.vectors, more.images + found.vectors @ along)


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
        For what is no symmetric operator, for no steps, probes or points, and for a sigma that is not above 0.
    FloatingPointError
        Where a product is not finite.

    Notes
    -----
    With the eigenpairs (theta_j, s_j) of each probe's tridiagonal matrix T::

        phi(t) ~ 1/probes sum_l sum_j w_j^l N(t; theta_j^l, sigma^2),    w_j = (s_j)_1^2

    Here l counts the probes, `N(t; theta, sigma^2)` is the normal density, and a weight is the square of the first
    entry of s_j.

    Sources: Ubaru, Chen & Saad 2017; Ghorbani, Krishnan & Xiao 2019. Explained in the appendix
    [Instrument](https://flatlab.github.io/flatlab/book/instrument.html).
    """
    a = Symmetric(operator, "density")
    for name, count in (("steps", steps), ("probes", probes), ("points", points)):
        door.count(name, count)
    if sigma is not None:
        sigma = door.positive("sigma", sigma, "the width of the smoothing", 0.01)
    seed, steps = door.seed(seed), min(steps, a.size)
    quadratures = [_quadrature(a, steps, seed + probe) for probe in range(probes)]
    nodes, weights = (torch.stack(parts) for parts in zip(*quadratures))
    low, high = nodes.min().item(), nodes.max().item()
    if sigma is None:
        sigma = max(high - low, abs(high)) / 100 or 1.0
    grid = torch.linspace(low - 5 * sigma, high + 5 * sigma, points, dtype=torch.float64, device="cpu")
    kernel = torch.exp(-0.5 * ((grid - nodes[..., None]) / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))
    each = (weights[..., None] * kernel).sum(1)  # (probes, points)
    stderr = each.std(0) / math.sqrt(probes) if probes > 1 else torch.full_like(grid, math.nan)
    return Density(grid, each.mean(0), stderr, nodes, weights, sigma)


def _quadrature(operator: Symmetric, steps: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Nodes and weights of one probe's Gauss quadrature."""
    lanczos = Lanczos(operator, torch.Generator(operator.device).manual_seed(seed))
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
        Its `.samples` counts the random vectors g.

    Raises
    ------
    ValueError
        For what is no symmetric operator, and when max_products leaves no two samples beside the sketch.
    FloatingPointError
        Where a product is not finite.

    Notes
    -----
    With an orthonormal basis Q of A S, and random signs S and g::

        tr A = tr(Q^T A Q) + E g^T P A P g,    P = I - Q Q^T

    It samples until the standard error is at most `tol |value|` or the products are used up. Source: Meyer, Musco,
    Musco & Woodruff 2021. Explained in the appendix [Instrument](https://flatlab.github.io/flatlab/book/instrument.html).
    """
    a = Symmetric(operator, "trace")
    tol = door.tolerance("tol", tol)
    door.count("sketch", sketch)
    door.count("max_products", max_products)
    if max_products < 2 * sketch + 2:
        raise ValueError(
            f"max_products is {max_products}: a sketch of {sketch} takes {2 * sketch}, and two samples two more."
        )
    generator = torch.Generator(a.device).manual_seed(door.seed(seed))
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
