"""How much does the loss rise near a point? Metric 2.1 of Keskar et al. 2017; the adaptive and the average sharpness of
Andriushchenko et al. 2023."""

import copy
import math
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import nn

from flatlab.measure import door
from flatlab.measure.arithmetic import in_own_arithmetic
from flatlab.measure.estimate import Estimate
from flatlab.measure.maximise import Maximum, SearchMethod, maximise
from flatlab.measure.protocols import Function, MeanFunction
from flatlab.measure.region import Region, box


@dataclass(frozen=True, eq=False)
class Sharpness:
    """What `sharpness` returns.

        phi = 100 (peak - base) / (1 + base)

    ``float(sharpness)`` is phi, in percent.
    """

    percent: float  # phi, a lower bound
    base: float  # f(x)
    peak: float  # the largest value found in the box
    eps: float  # the relative size of the box
    subspace: int | None  # p, or None for the full space
    batch_norm: str  # the objective's choice; it changes phi by an order of magnitude
    seed: int  # of the subspace
    maximum: Maximum = field(repr=False)  # where the peak is, and how it was found

    def __float__(self) -> float:
        return self.percent

    def __str__(self) -> str:
        space = "full space" if self.subspace is None else f"{self.subspace} random dimensions"
        return (
            f"phi({self.eps:g}) >= {self.percent:.4g} %  (f rises from {self.base:.4g} to {self.peak:.4g}; {space}, "
            f"BatchNorm {self.batch_norm}, {self.maximum.evaluations} evaluations)"
        )


@in_own_arithmetic
def sharpness(
    f: Function,
    x: torch.Tensor | None = None,
    eps: float = 1e-3,
    *,
    subspace: int | None = None,
    method: SearchMethod = "lbfgs",
    steps: int = 10,
    starts: int | None = None,
    seed: int = 0,
) -> Sharpness:
    """The sharpness of f at x, Metric 2.1 of Keskar et al. 2017: how far the loss rises in a small box around x.

    Parameters
    ----------
    f : Objective
        Over the training set.
    x : Tensor, optional
        A point of f; f.x without one.
    eps, subspace
        The size of the box and its random dimensions: see `box`.
    method, steps, starts
        How the largest loss is searched: see `maximise`. An eps above the paper's 1e-3 has eight starts and takes eight
        times as long, unless `starts` says otherwise.
    seed : int
        Of the subspace and of the further starts.

    Returns
    -------
    Sharpness

    Raises
    ------
    ValueError
        If an argument makes no sense: the sentence says which one.
    FloatingPointError
        If f(x) or its gradient is not finite.

    Notes
    -----
    Equation (4), with the box C_eps of `box`::

        phi = 100 (max_{z in C_eps} f(x + A z) - f(x)) / (1 + f(x))

    It is a lower bound, as every maximum found by search is. It does not change when the part of the loss above f(x) is
    found at another scale, because no tolerance in the search is absolute. Explained in the chapter `Measuring
    sharpness <https://flatlab.github.io/flatlab/book/measuring_sharpness.html>`_.

    Examples
    --------
    A network of your own, at the point 0, where the loss is 0. In a corner of the box both errors are 0.2:

    >>> net, rows = torch.nn.Linear(2, 1), (torch.eye(2), torch.zeros(2, 1))
    >>> f = flatlab.Objective(net, rows, loss=torch.nn.functional.mse_loss)
    >>> print(flatlab.sharpness(f, torch.zeros(3), eps=0.1))
    phi(0.1) >= 4 %  (f rises from 0 to 0.04; full space, BatchNorm batch, 26 evaluations)
    """
    x = door.point(f, x, "sharpness", "gradient", "batch_norm")
    region = box(f, x, eps, subspace=subspace, seed=seed)
    maximum = maximise(f, region, method=method, steps=steps, starts=starts, seed=seed)
    base = maximum.history[0]
    if not 1 + base > 0:
        raise ValueError(f"f(x) is {base:g}, and phi is relative to 1 + f(x): it takes a loss above -1.")
    percent = 100 * (maximum.value - base) / (1 + base)
    return Sharpness(percent, base, maximum.value, eps, subspace, f.batch_norm, seed, maximum)


@dataclass(frozen=True)
class AdaptiveSharpness:
    """What `adaptive_sharpness` returns. ``float(sharpness)`` is the mean rise over the groups, in the loss's own
    units."""

    value: float  # a lower bound, as each group's maximum is one
    stderr: float  # of the mean over the groups; nan for one group
    rises: tuple[float, ...] = field(repr=False)  # one for each group
    rho: float  # the relative size of the move
    norm: float  # 2 or inf
    group: int  # most rows in a group
    normalise_logits: bool  # whether each row's outputs were centred and divided by their length
    batch_norm: str  # under "batch" each group is normalised by its own statistics
    evaluations: int = field(repr=False)  # over all groups, each of one group's rows

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        norm = "inf" if self.norm == math.inf else "2"
        error = "" if math.isnan(self.stderr) else f" +- {self.stderr:.2g}"
        logits = ", centred logits of unit length" if self.normalise_logits else ""
        return (
            f"adaptive sharpness (rho {self.rho:g}, norm {norm}) >= {self.value:.4g}{error}  (mean over "
            f"{len(self.rises)} "
            f"groups of {self.group} rows{logits}; BatchNorm {self.batch_norm})"
        )


@in_own_arithmetic
def adaptive_sharpness(
    f: MeanFunction,
    x: torch.Tensor | None = None,
    rho: float | None = None,
    *,
    norm: Literal["inf", 2] = "inf",
    group: int | None = None,
    normalise_logits: bool = False,
    method: SearchMethod = "lbfgs",
    steps: int = 20,
    seed: int = 0,
) -> AdaptiveSharpness:
    """The worst rise of the loss when each weight moves in proportion to its size.

    Parameters
    ----------
    f : Objective
        Over two tensors, (inputs, targets).
    x : Tensor, optional
        A point of f; f.x without one.
    rho : float, optional
        The relative size of the move, above 0; 1e-3 for norm inf, as in Metric 2.1, and 0.1 for norm 2.
    norm : {"inf", 2}
        The p of the formula.
    group : int, optional
        m, the rows of a group, drawn without replacement; groups are as equal as can be. Without it all rows are one
        group (the source has 128).
    normalise_logits : bool
        Centre each row's outputs and divide them by their length first, as the source does, so that neither a bias that
        all classes share nor the scale of the logits counts.
    method, steps
        How the largest loss of each group is searched: see `maximise`.
    seed : int
        Of the groups.

    Returns
    -------
    AdaptiveSharpness
        In the units of the loss.

    Raises
    ------
    ValueError
        If an argument makes no sense: the sentence says which one.
    FloatingPointError
        If a group's loss at x or its gradient is not finite.

    Notes
    -----
    The mean is over groups S of the rows::

        S_max = E_S R_S,    R_S = max_{ ||delta / |x| ||_p <= rho } L_S(x + delta) - L_S(x)

    A weight that is zero stays zero. With norm inf and one group it is the sharpness of Metric 2.1 in the box ``rho
    |x_i|``, as a rise and not a share.

    Source: Andriushchenko et al. 2023, "A modern look at the relationship between sharpness and generalization",
    section 2. Tried in the chapter `Does sharpness predict?
    <https://flatlab.github.io/flatlab/book/does_sharpness_predict.html>`_.

    Examples
    --------
    Each weight grows by a tenth, so the loss does by 21 %:

    >>> net, rows = torch.nn.Linear(2, 1), (torch.eye(2), torch.zeros(2, 1))
    >>> f = flatlab.Objective(net, rows, loss=torch.nn.functional.mse_loss)
    >>> x = torch.tensor([1.0, 2.0, 0.0])
    >>> f.value(x), round(float(flatlab.adaptive_sharpness(f, x, rho=0.1)), 3)
    (2.5, 0.525)
    """
    x = door.point(f, x, "adaptive_sharpness", "gradient", "rows", "batch_norm")
    door.choice("norm", "inf" if norm == math.inf else norm, (2, "inf"))
    p = float(norm)
    rho = _size_of_move(rho, default=1e-3 if p == math.inf else 0.1)
    seed = door.seed(seed)
    if normalise_logits:
        f = _with_unit_logits(f)
    groups = [f]
    if group is not None:
        group = door.count("group", group, 1, f.rows, "the rows there are, or None for all of them")
        order = torch.randperm(f.rows, generator=torch.Generator("cpu").manual_seed(seed), device="cpu")
        groups = [f.subset(chosen.to(x.device)) for chosen in order.tensor_split(-(-f.rows // group))]
    region = Region(x, rho * x.abs(), norm=p)
    found = [maximise(part, region, method=method, steps=steps) for part in groups]
    rises = tuple(maximum.value - maximum.history[0] for maximum in found)
    stderr = Estimate.mean(rises).stderr if len(rises) > 1 else math.nan
    return AdaptiveSharpness(
        math.fsum(rises) / len(rises),
        stderr,
        rises,
        rho,
        p,
        group or f.rows,
        normalise_logits,
        f.batch_norm,
        sum(maximum.evaluations for maximum in found),
    )


@in_own_arithmetic
def average_sharpness(
    f: Function,
    x: torch.Tensor | None = None,
    rho: float | None = None,
    *,
    adaptive: bool = True,
    samples: int = 100,
    seed: int = 0,
) -> Estimate:
    """The mean rise of the loss under Gaussian noise on the weights.

    Parameters
    ----------
    f : Objective
        Over the training set.
    x : Tensor, optional
        A point of f; f.x without one.
    rho : float, optional
        The size of the noise, above 0; 0.05 when adaptive, else 0.01.
    adaptive : bool
        Whether each weight's noise is in proportion to its size.
    samples : int
        Of the noise, 2 or more; each is one evaluation of f.
    seed : int
        Of the samples.

    Returns
    -------
    Estimate
        In the units of the loss, with the standard error of the mean over the samples.

    Raises
    ------
    ValueError
        If an argument makes no sense: the sentence says which one.
    FloatingPointError
        If f(x) is not finite.

    Notes
    -----
    ::

        S_avg = E f(x + delta) - f(x),    delta ~ N(0, rho^2 diag(x^2))

    When not adaptive, the covariance is ``rho^2 I``.

    Source: Andriushchenko et al. 2023, "A modern look at the relationship between sharpness and generalization",
    section 2. Tried in the chapter `Does sharpness predict?
    <https://flatlab.github.io/flatlab/book/does_sharpness_predict.html>`_.
    """
    x = door.point(f, x, "average_sharpness", "value")
    rho = _size_of_move(rho, default=0.05 if adaptive else 0.01)
    samples = door.count("samples", samples, 2, what="because a standard error needs them")
    seed = door.seed(seed)
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


def _size_of_move(rho: float | None, default: float) -> float:
    return default if rho is None else door.positive("rho", rho, "the relative size of the move", default)


def _with_unit_logits(f: MeanFunction) -> MeanFunction:
    """f with each row's outputs centred and divided by their length. The network is shared."""
    normalised = copy.copy(f)
    normalised.loss = lambda outputs, targets: f.loss(_unit_logits(outputs, targets), targets)
    return normalised


def _unit_logits(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The outputs with mean 0 and length 1 over the classes: the last dimension, or the second where cross_entropy has
    them there."""
    if not torch.is_tensor(outputs) or outputs.dim() < 2:
        raise ValueError(
            "normalise_logits takes a network whose outputs are one tensor, with a row of logits for each target."
        )
    classes = 1 if targets.shape == outputs.shape[:1] + outputs.shape[2:] else -1
    if outputs.shape[classes] < 2:
        raise ValueError("normalise_logits takes two logits or more: a single one has no length besides its sign.")
    centred = outputs - outputs.mean(classes, keepdim=True)
    return nn.functional.normalize(centred, dim=classes, eps=1e-10)
