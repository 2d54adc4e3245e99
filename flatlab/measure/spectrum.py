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

End = Literal["largest", "smallest"]
ENDS: tuple[End, ...] = get_args(End)
DOUBT = 1e-3  # the probability with which an eigenvalue of a multiplicity may be missed


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
        Whether every residual is within tol of its value's size and, for k > 1, a further start found nothing more.
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

    Q is fully reorthogonalised, so no eigenvalue is found twice that is one once. The search goes on until every
    residual is at most tol |theta|, or the products are used up; for a value apart from the others the error of theta
    is about the square of that, relative. From one start a repeated eigenvalue is found once. So for k > 1 it starts
    again on the space that is left, until nothing appears there above the k-th value.

    Source: Golub & Van Loan, Matrix Computations, section 10.1. Explained in the appendix
    [Instrument](https://flatlab.github.io/flatlab/book/instrument.html).
    """
    a = Symmetric(operator, "eigenvalues")
    door.choice("which", which, ENDS)
    door.count("k", k, 1, a.size, "as an operator of that size has eigenvalues")
    door.count("max_products", max_products, k, what=f"because finding {k} eigenvalues takes as many products")
    search = _Search(a, k, 1 if which == "largest" else -1, tol, max_products, seed)
    search.run()
    values, residuals, vectors = search.outermost()
    met = search.met() and search.sure
    return Eigen(values.to(a.device), vectors, residuals.to(a.device), search.products, a.method, met)  # type: ignore[arg-type]


class _Search:
    """The outermost k Ritz pairs of one or several Lanczos runs, each orthogonal to those before it.

    From one start an eigenvalue is found once, however often it is one. So where several are asked for, the search
    starts again on the space that is left, until nothing appears there that is above the last of those found. `sign` is
    1 where the largest are sought and -1 where the smallest are.
    """

    def __init__(self, a: Symmetric, k: int, sign: int, tol: float, most: int, seed: int) -> None:
        self.a, self.k, self.sign, self.tol, self.most = a, k, sign, tol, most
        self.generator = torch.Generator(a.device).manual_seed(door.seed(seed))
        self.runs: list[Lanczos] = []
        self.products, self.sure = 0, False

    def run(self) -> None:
        """Start, and start again, until the pairs are good and nothing is missing, or the products are used up."""
        self.runs = [Lanczos(self.a, self.generator, self.a.gradient() if self.a.gradient else None)]
        while self.products < self.most:
            if not self.runs[-1].exhausted and not self.met():
                self._step(self.runs[-1])
            elif not self.sure and self.met():
                self._start_again()
            else:
                break
        self.sure |= self.runs[0].exhausted

    def _start_again(self) -> None:
        against = torch.cat([run.spanned() for run in self.runs])
        if self.k == 1 or len(against) == self.a.size:
            self.sure = True
            return
        last = self.sign * self.outermost(vectors=False)[0][-1].item()
        least = min((self.sign * each.ritz()[0]).min().item() for each in self.runs)
        run, above = Lanczos(self.a, self.generator, against=against), None
        while above is None and self.products < self.most:
            self._step(run)
            above = self._above(run, last, least)
        self.sure = above is False
        if above:
            self.runs.append(run)

    def met(self) -> bool:
        """Whether there are k pairs whose residuals are small."""
        if not self.products:
            return False
        values, residuals, _ = self.outermost(vectors=False)
        return len(values) == self.k and bool((residuals <= self.tol * values.abs()).all())

    def outermost(self, vectors: bool = True) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """The values, residuals and vectors of the pairs found so far, at most k of them."""
        thetas, ss, residuals = zip(*(run.ritz() for run in self.runs))
        of_run = torch.cat([torch.full_like(theta, number, dtype=torch.long) for number, theta in enumerate(thetas)])
        column = torch.cat([torch.arange(len(theta), device="cpu") for theta in thetas])
        theta, residual = torch.cat(thetas), torch.cat(residuals)
        order = theta.argsort(descending=self.sign > 0)[: self.k]
        found = None
        if vectors:
            of_run, column = of_run[order], column[order]
            parts = [run.vectors(s[:, column[of_run == number]]) for number, (run, s) in enumerate(zip(self.runs, ss))]
            found = torch.cat(parts, 1)[:, of_run.argsort(stable=True).argsort().to(self.a.device)]
        return theta[order], residual[order], found

    def _step(self, run: Lanczos) -> None:
        run.step()
        self.products += 1

    def _above(self, run: Lanczos, last: float, least: float) -> bool | None:
        """Whether a further start finds an eigenvalue above the last one; None where it must go on to tell.

        Were there one, j steps from a random start would have come nearer to it, except with a probability of 1.648
        sqrt(n) exp(-(2j - 1) sqrt(e)), where e is how far the largest Ritz value is below the last one, relative to the
        range of the spectrum (Kuczynski & Wozniakowski 1992).
        """
        theta, _, residuals = run.ritz()
        theta = self.sign * theta
        top = theta.argmax()
        if theta[top] > last + self.tol * abs(last):
            return True
        settled = run.exhausted or bool(residuals[top] <= self.tol * theta[top].abs())
        least = min(least, theta.min().item())
        share = (last - theta[top].item()) / (last - least) if theta[top] < last else 0.0
        doubt = 1.648 * math.sqrt(run.size) * math.exp(-(2 * run.products - 1) * math.sqrt(share))
        return False if settled or doubt < DOUBT else None


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
    seed, steps = door.seed(seed), min(steps, a.size)
    quadratures = [_quadrature(a, steps, seed + probe) for probe in range(probes)]
    nodes, weights = (torch.stack(parts) for parts in zip(*quadratures))
    low, high = nodes.min().item(), nodes.max().item()
    sigma = sigma or max(high - low, abs(high)) / 100 or 1.0
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
    theta, s, _ = lanczos.ritz()
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
