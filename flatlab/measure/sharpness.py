"""How much does the loss rise near a point? Metric 2.1 of Keskar et al. 2017; the adaptive and the average sharpness of
Andriushchenko et al. 2023."""

import copy
import math
from dataclasses import dataclass, field

import torch

from flatlab.measure.estimate import Estimate
from flatlab.measure.maximise import Maximum, maximise
from flatlab.measure.region import Region, box


@dataclass(frozen=True)
class Sharpness:
    """phi = 100 (peak - base) / (1 + base). `float(sharpness)` is phi, in percent."""

    percent: float  # phi, a lower bound
    base: float  # f(x)
    peak: float  # the largest value found in the box
    eps: float
    subspace: int | None  # p, or None for the full space
    batch_norm: str  # the objective's choice; it changes phi by an order of magnitude
    seed: int  # of the subspace
    maximum: Maximum = field(repr=False)

    def __float__(self):
        return self.percent

    def __str__(self):
        space = "full space" if self.subspace is None else f"{self.subspace} random dimensions"
        return (
            f"phi({self.eps:g}) >= {self.percent:.4g} %  (f rises from {self.base:.4g} to {self.peak:.4g}; {space}, "
            f"BatchNorm {self.batch_norm}, {self.maximum.evaluations} evaluations)"
        )


def sharpness(f, x=None, eps=1e-3, *, subspace=None, method="lbfgs", steps=10, starts=1, seed=0):
    """Metric 2.1, equation (4): the sharpness of f at x,

        phi = 100 (max_{z in C_eps} f(x + A z) - f(x)) / (1 + f(x)),

    with the box C_eps of `box`. It is a lower bound, as every maximum found by search is, and it does not change when the part
    of the loss above f(x) is found at another scale: no tolerance in the search is absolute.

    f           an `Objective` over the training set
    x           a point of f, default f.x
    eps, subspace, seed     see `box`; the seed also draws the further starts
    method, steps, starts   see `maximise`

    Returns a `Sharpness`. Raises ValueError for arguments that make no sense, and FloatingPointError where f(x) is not finite.
    Source: Keskar et al. 2017, Metric 2.1. Explained in the chapter
    [Measuring sharpness](https://flatlab.github.io/flatlab/book/measuring_sharpness.html).
    """
    x = f.x if x is None else x
    maximum = maximise(
        f, box(f, x, eps, subspace=subspace, seed=seed), method=method, steps=steps, starts=starts, seed=seed
    )
    base = maximum.history[0]
    percent = 100 * (maximum.value - base) / (1 + base)
    return Sharpness(percent, base, maximum.value, eps, subspace, f.batch_norm, seed, maximum)


@dataclass(frozen=True)
class AdaptiveSharpness:
    """The mean over groups of rows of max L_S(x + delta) - L_S(x). `float(sharpness)` is it, in the loss's own units."""

    value: float  # a lower bound, as each group's maximum is one
    stderr: float  # of the mean over the groups; nan for one group
    rises: tuple = field(repr=False)  # one a group
    rho: float
    norm: float  # 2 or inf
    group: int  # most rows in a group
    normalise_logits: bool
    batch_norm: str  # under "batch" each group is normalised by its own statistics
    evaluations: int = field(repr=False)  # over all groups, each of one group's rows

    def __float__(self):
        return self.value

    def __str__(self):
        norm = "inf" if self.norm == math.inf else "2"
        error = "" if math.isnan(self.stderr) else f" +- {self.stderr:.2g}"
        logits = ", logits of unit length" if self.normalise_logits else ""
        return (
            f"adaptive sharpness (rho {self.rho:g}, norm {norm}) >= {self.value:.4g}{error}  (mean over {len(self.rises)} "
            f"groups of {self.group} rows{logits}; BatchNorm {self.batch_norm})"
        )


def adaptive_sharpness(
    f, x=None, rho=None, *, norm="inf", group=None, normalise_logits=False, method="lbfgs", steps=20, seed=0
):
    """The worst rise of the loss when each weight moves in proportion to its size,

        S_max = E_S max_{ ||delta / |x| ||_p <= rho }  L_S(x + delta) - L_S(x),

    with the mean over groups S of the rows. A weight that is zero stays zero. With norm inf and one group it is the sharpness of
    Metric 2.1 in the box rho |x_i|, as a rise and not a share.

    f           an `Objective` over two tensors
    x           a point of f, default f.x
    rho         above 0; default 1e-3 for norm inf, as Metric 2.1's, and 0.1 for norm 2
    norm        p, "inf" or 2
    group       m, the rows of a group, drawn without replacement; groups are as equal as can be. None: all rows as one group
                (the source has 128)
    normalise_logits    divide each row's outputs by their length first, so that the scale of the logits does not count
    method, steps       see `maximise`; `steps` for each group
    seed        of the groups

    Returns an `AdaptiveSharpness`, in the units of the loss. Raises ValueError for arguments that make no sense, and
    FloatingPointError where a group's loss at x is not finite.
    Source: Andriushchenko et al. 2023, "A modern look at the relationship between sharpness and generalization", section 2.
    Explained in the chapter [Measuring sharpness](https://flatlab.github.io/flatlab/book/measuring_sharpness.html).
    """
    if norm not in (2, "inf", math.inf):
        raise ValueError(f'norm is {norm!r}: choose 2 or "inf".')
    norm = float(norm)
    rho = _above_zero(rho, default=1e-3 if norm == math.inf else 0.1)
    x = f.x if x is None else x
    if group is not None and not 1 <= group <= f.rows:
        raise ValueError(f"group is {group}: choose 1 to {f.rows:,}, the rows there are, or None for all.")
    if normalise_logits:
        f = _with_unit_logits(f)
    groups = [f]
    if group is not None:
        order = torch.randperm(f.rows, generator=torch.Generator().manual_seed(seed))
        groups = [f.subset(rows.to(x.device)) for rows in order.tensor_split(-(-f.rows // group))]
    region = Region(x, rho * x.abs(), norm=norm)
    found = [maximise(part, region, method=method, steps=steps) for part in groups]
    rises = tuple(maximum.value - maximum.history[0] for maximum in found)
    stderr = Estimate.mean(rises).stderr if len(rises) > 1 else math.nan
    return AdaptiveSharpness(
        math.fsum(rises) / len(rises),
        stderr,
        rises,
        rho,
        norm,
        group or f.rows,
        normalise_logits,
        f.batch_norm,
        sum(maximum.evaluations for maximum in found),
    )


def average_sharpness(f, x=None, rho=None, *, adaptive=True, samples=100, seed=0):
    """The mean rise of the loss under Gaussian noise on the weights,

        S_avg = E f(x + delta) - f(x),    delta ~ N(0, rho^2 diag(x^2)),  or N(0, rho^2 I) when not adaptive.

    f           an `Objective`
    x           a point of f, default f.x
    rho         above 0; default 0.05 when adaptive, else 0.01
    samples     of delta, 2 or more; each is one evaluation of f
    seed        of the samples

    Returns an `Estimate` in the units of the loss, with the standard error of the mean over the samples. Raises ValueError for
    arguments that make no sense, and FloatingPointError where f(x) is not finite.
    Source: Andriushchenko et al. 2023, "A modern look at the relationship between sharpness and generalization", section 2.
    Explained in the chapter [Measuring sharpness](https://flatlab.github.io/flatlab/book/measuring_sharpness.html).
    """
    rho = _above_zero(rho, default=0.05 if adaptive else 0.01)
    x = f.x if x is None else x
    if samples < 2:
        raise ValueError(f"samples is {samples}: a standard error needs 2 or more.")
    base = f.value(x)
    if not abs(base) < math.inf:
        raise FloatingPointError(f"f(x) is {base}: a rise is measured from where the loss is finite.")
    generator = torch.Generator(x.device).manual_seed(seed)
    scale = rho * x.abs() if adaptive else rho
    rises = [
        f.value(x + scale * torch.randn(len(x), generator=generator, device=x.device, dtype=x.dtype)) - base
        for _ in range(samples)
    ]
    return Estimate.mean(rises)


def _above_zero(rho, default):
    rho = default if rho is None else rho
    if not 0 < rho < math.inf:
        raise ValueError(f"rho is {rho}: it is the relative size of the move and must be above 0, e.g. {default:g}.")
    return rho


def _with_unit_logits(f):
    """f with each row's outputs divided by their length. The network is shared."""
    normalised = copy.copy(f)
    normalised.loss = lambda outputs, targets: f.loss(torch.nn.functional.normalize(outputs, dim=-1), targets)
    return normalised
