"""The loss between two points, along paths (the paper's Figures 3 and 7, a learned curve), and on planes."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import torch
from torch import nn

from flatlab.measure import door
from flatlab.measure.arithmetic import in_own_arithmetic
from flatlab.measure.protocols import Function, MeanFunction

ALPHAS = tuple(k / 8 - 1 for k in range(25))  # linspace(-1, 2, 25), the paper's, exactly
CURVE = tuple(k / 24 for k in range(25))  # linspace(0, 1, 25)
PLANE = tuple(k / 10 for k in range(-10, 11))  # linspace(-1, 1, 21), with 0 exactly

#: Which path the loss was measured along, that of `line`, of `arc` or of `connect`.
PathKind = Literal["line", "arc", "curve"]
#: What in a random direction is as long as in the network, as `directions` explains it.
Normalisation = Literal["filter", "layer"]


@dataclass(frozen=True)
class Path:
    """The loss and accuracy (percent) along a path. ``float(path)`` is its barrier."""

    alphas: tuple[float, ...]  # 0 is the first point, 1 the second
    loss: tuple[float, ...]  # f at each alpha
    accuracy: tuple[float | None, ...]  # in percent; None where f has none
    kind: PathKind  # which path it is
    batch_norm: str  # the objective's choice
    middle: torch.Tensor | None = field(default=None, repr=False, compare=False)  # the learned point, of shape (n,)

    def barrier(self) -> float:
        """How far the path rises above the chord between its ends.

        Returns
        -------
        float
            Zero or more, or nan where a loss between the ends is nan.

        Raises
        ------
        ValueError
            If 0 and 1 are not both among the alphas.

        Notes
        -----
        ::

            max_{alpha in [0, 1]} f(alpha) - (1 - alpha) f(0) - alpha f(1)

        over the alphas that were measured.
        """
        loss = dict(zip(self.alphas, self.loss))
        if 0 not in loss or 1 not in loss:
            raise ValueError("the barrier lies between alpha = 0 and alpha = 1: have both among the alphas.")
        rises = [value - ((1 - alpha) * loss[0] + alpha * loss[1]) for alpha, value in loss.items() if 0 <= alpha <= 1]
        return float(np.max(rises))  # nan where one of them is, which Python's max is not

    def __float__(self) -> float:
        return self.barrier()


@dataclass(frozen=True)
class Surface:
    """The loss and accuracy (percent) on a plane. ``float(surface)`` is its rise."""

    alphas: tuple[float, ...]  # the grid along the first direction, or towards the first point
    betas: tuple[float, ...]  # along the second direction, or towards the second point
    loss: tuple[tuple[float, ...], ...] = field(repr=False)  # loss[i][j] is that at alphas[i] and betas[j]
    accuracy: tuple[tuple[float | None, ...], ...] = field(repr=False)  # likewise, in percent; None where f has none
    batch_norm: str  # the objective's choice

    def rise(self) -> float:
        """The largest loss minus that at (0, 0).

        Returns
        -------
        float
            Zero or more, or nan where a loss is nan.

        Raises
        ------
        ValueError
            If (0, 0) is not on the grid.
        """
        if 0 not in self.alphas or 0 not in self.betas:
            raise ValueError("the rise counts from alpha = beta = 0: have 0 among the alphas and the betas.")
        centre = self.loss[self.alphas.index(0)][self.betas.index(0)]
        return float(np.max(self.loss) - centre)  # nan where one of them is, which Python's max is not

    def __float__(self) -> float:
        return self.rise()


@dataclass(frozen=True)
class Triangle:
    """How two points lie as seen from a third. ``float(triangle)`` is the ratio of their distances from it."""

    a: float  # `|a - x0|`
    b: float  # `|b - x0|`
    ab: float  # `|a - b|`
    degrees: float  # the angle at x0, 0 to 180

    @property
    def ratio(self) -> float:
        """``|a - x0| / |b - x0|``, in the paper 3 to 10 where a is the small batch's point and b the large's."""
        return self.a / self.b

    def __float__(self) -> float:
        return self.ratio


@in_own_arithmetic
def line(f: Function, a: torch.Tensor, b: torch.Tensor, alphas: Iterable[float] = ALPHAS) -> Path:
    """The loss along the straight line through two points.

    Parameters
    ----------
    f : Objective
        Its BatchNorm policy decides how the points between are normalised: ``"batch"`` or ``"recompute"``, where the
        network has BatchNorm.
    a, b : Tensor
        Points of f, at alpha = 0 and 1 (in the paper the small and the large batch's).
    alphas : iterable of float
        Where the line is measured.

    Returns
    -------
    Path
        Both ends are reproduced exactly.

    Raises
    ------
    ValueError
        If the points do not fit or are not finite, for no alphas, and for running averages, which the points between do
        not have.

    Notes
    -----
    For each alpha::

        f((1 - alpha) a + alpha b)

    Sources: Keskar et al. 2017, Figure 3; Goodfellow, Vinyals and Saxe 2015. Explained in the chapter
    `Between two minima <https://flatlab.github.io/flatlab/book/between_two_minima.html>`_.

    Examples
    --------
    >>> net, rows = torch.nn.Linear(2, 1), (torch.eye(2), torch.zeros(2, 1))
    >>> f = flatlab.Objective(net, rows, loss=torch.nn.functional.mse_loss)
    >>> flatlab.line(f, torch.zeros(3), torch.tensor([1.0, 2.0, 0.0]), alphas=(0, 0.5, 1)).loss
    (0.0, 0.625, 2.5)
    """
    return _path(f, {"a": a, "b": b}, alphas, "line", lambda alpha: (1 - alpha, alpha))


@in_own_arithmetic
def arc(f: Function, a: torch.Tensor, b: torch.Tensor, alphas: Iterable[float] = ALPHAS) -> Path:
    """The loss along the curved path of Figure 7 through two points.

    Parameters
    ----------
    f : Objective
        Its BatchNorm policy decides how the points between are normalised: ``"batch"`` or ``"recompute"``, where the
        network has BatchNorm.
    a, b : Tensor
        Points of f, at alpha = 0 and 1; at alpha = -1 and 2 the path is at -b and -a.
    alphas : iterable of float
        Where the path is measured.

    Returns
    -------
    Path
        Both ends are reproduced exactly.

    Raises
    ------
    ValueError
        If the points do not fit or are not finite, for no alphas, and for running averages, which the points between do
        not have.

    Notes
    -----
    For each alpha::

        f(cos(alpha pi/2) a + sin(alpha pi/2) b)

    Source: Keskar et al. 2017, Figure 7. Explained in the chapter
    `Between two minima <https://flatlab.github.io/flatlab/book/between_two_minima.html>`_.
    """
    return _path(f, {"a": a, "b": b}, alphas, "arc", lambda alpha: (_cosine(alpha), _cosine(1 - alpha)))


@in_own_arithmetic
def connect(
    f: MeanFunction,
    a: torch.Tensor,
    b: torch.Tensor,
    *,
    steps: int = 1000,
    batch: int | None = 256,
    lr: float = 1e-3,
    seed: int = 0,
    alphas: Iterable[float] = CURVE,
) -> Path:
    """The loss along a quadratic Bezier curve from a to b, bent by a point m that is learned.

    Parameters
    ----------
    f : Objective
        Its BatchNorm policy, ``"batch"`` or ``"recompute"``, holds for the minibatches too.
    a, b : Tensor
        Points of f, at alpha = 0 and 1.
    steps : int
        Of Adam, whose rate falls in a straight line from lr to 0.
    batch : int or None
        Rows for each step, drawn anew; None for all of them, the only way where the data are a list of batches.
    lr : float
        The learning rate of the first step.
    seed : int
        Of the draws.
    alphas : iterable of float
        Where the curve is measured in the end, over all rows.

    Returns
    -------
    Path
        Of kind "curve", with m as `.middle`. Both ends are reproduced exactly.

    Raises
    ------
    ValueError
        If an argument makes no sense, for equal points, and for running averages, which the points between do not have.
    FloatingPointError
        If m does not stay finite.

    Notes
    -----
    ::

        x(t) = (1 - t)^2 a + 2 t (1 - t) m + t^2 b,    m = argmin E f(x(t))

    with t uniform in [0, 1]. m starts half way and is moved by Adam; each step draws one t and some rows, and the
    slope of x(t) in m is `2 t (1 - t)`.

    Source: Garipov et al. 2018, section 3.
    """
    door.function(f, "connect", "gradient", "loss_and_accuracy", "batch_norm")
    a, b = door.points(f, "connect", a=a, b=b)
    _refuse_frozen(f)
    alphas = door.numbers("alphas", alphas)
    if torch.equal(a, b):
        raise ValueError("a and b are the same point: there is nothing to connect.")
    steps, seed = door.count("steps", steps), door.seed(seed)
    lr = door.positive("lr", lr, "the learning rate of the first step", 1e-3)
    if batch is not None:
        batch = door.count("batch", batch, what="or None for all rows")
        if not hasattr(f, "inputs"):
            raise ValueError("rows cannot be picked from a list of batches: pass batch=None, to use all.")
    generator = torch.Generator("cpu").manual_seed(seed)
    m = _sum((0.5, 0.5), (a, b))
    adam = torch.optim.Adam([m], lr=lr)
    for step in range(steps):
        t = torch.rand((), generator=generator, dtype=torch.float64, device="cpu").item()
        part = f if batch is None else f.subset(torch.randperm(f.rows, generator=generator, device="cpu")[:batch])
        _, gradient = part.gradient(_sum(_bezier(t), (a, m, b)))
        m.grad = 2 * t * (1 - t) * gradient
        adam.param_groups[0]["lr"] = lr * (1 - step / steps)
        with torch.device("cpu"):  # where Adam counts its steps, whatever the default device is
            adam.step()
    m.grad = None
    if not m.isfinite().all():
        raise FloatingPointError(f"after {steps} steps the curve is not finite: pass an lr below {lr:g}.")
    return _path(f, {"a": a, "m": m, "b": b}, alphas, "curve", _bezier, middle=m)


@in_own_arithmetic
def plane(
    f: Function,
    x: torch.Tensor,
    directions: Iterable[torch.Tensor] | None = None,
    alphas: Iterable[float] = PLANE,
    betas: Iterable[float] | None = None,
    *,
    through: Iterable[torch.Tensor] | None = None,
) -> Surface:
    """The loss on a plane: on a grid along two directions, or through three points.

    Parameters
    ----------
    f : Objective
        Whose loss it is.
    x : Tensor
        A point of f, at alpha = beta = 0.
    directions : pair of Tensor, optional
        d1 and d2, two vectors like x: those of `directions`, for instance.
    alphas : iterable of float
        With 0 among them for the centre: `k / 25` for k = -25 ... 25 (a linspace may miss it).
    betas : iterable of float, optional
        The alphas without them.
    through : pair of Tensor, in place of directions
        The points b and c, at (1, 0) and (0, 1).

    Returns
    -------
    Surface
        It reproduces the points x, b and c exactly (`x + (b - x)` would miss b by a rounding).

    Raises
    ------
    ValueError
        If the vectors do not fit, are not finite or are not two, for no alphas or betas, and through points for running
        averages, which belong to one net.

    Notes
    -----
    On a grid, and on the plane through three points::

        f(x + alpha d1 + beta d2)
        f((1 - alpha - beta) x + alpha b + beta c)

    Sources: Li et al. 2018, section 4; Garipov et al. 2018, Figure 1.
    """
    door.function(f, "plane", "loss_and_accuracy", "batch_norm")
    for given in (directions, through):
        door.instance(given, (Iterable, type(None)), "a plane takes two directions, or points, in a list or a tuple")
    if directions is not None and through is None:
        name, two = "directions", tuple(directions)
    elif through is not None and directions is None:
        name, two = "through", tuple(through)
        _refuse_frozen(f)
    else:
        raise ValueError("a plane is x and two directions, or x and two points to pass through: give either.")
    if len(two) != 2:
        raise ValueError(f"a plane takes two directions, or points, besides x, and these are {len(two)}.")
    vectors = door.points(f, "plane", x=x, **{f"{name}[{k}]": vector for k, vector in enumerate(two)})
    alphas = door.numbers("alphas", alphas)
    betas = alphas if betas is None else door.numbers("betas", betas)
    own = (lambda alpha, beta: 1) if through is None else (lambda alpha, beta: 1 - alpha - beta)
    values = [
        [f.loss_and_accuracy(_sum((own(alpha, beta), alpha, beta), vectors)) for beta in betas] for alpha in alphas
    ]
    loss = tuple(tuple(each for each, _ in row) for row in values)
    accuracy = tuple(tuple(each for _, each in row) for row in values)
    return Surface(alphas, betas, loss, accuracy, f.batch_norm)


def directions(
    model: nn.Module, count: int = 2, *, normalise: Normalisation | None = "filter", seed: int = 0
) -> torch.Tensor:
    """Random directions around a network, orthogonal, and filter by filter as long as the network's own.

    Parameters
    ----------
    model : nn.Module
        The network at the point to look around; it is only read.
    count : int
        How many directions.
    normalise : {"filter", "layer", None}
        What is as long as the network's own: every filter; every weight, as one filter; nothing, so that a weight's
        part is as long as its draw.
    seed : int
        Of the draws, which depend on the kind of device too.

    Returns
    -------
    Tensor
        Of shape (count, n), in the order of an `Objective`'s x, on the model's device.

    Raises
    ------
    ValueError
        If an argument makes no sense, if a direction would be zero, or if the network's parameters are not finite.

    Notes
    -----
    ::

        d_k = |w| g_k / |g_k|

    for a filter w, with g_k standard normal and made orthogonal to the earlier ones. A filter is what a weight holds at
    one index of its first dimension: in a Linear layer a row. Parameters of fewer than two dimensions (biases, scales
    of norm layers) stay where they are: zero in every direction. So does a filter of fewer than k entries in the k-th
    direction, in which it has no room left.

    Source: Li et al. 2018, section 4.
    """
    door.choice("normalise", normalise, (*get_args(Normalisation), None))
    count, seed = door.count("count", count, what="so many directions"), door.seed(seed)
    if not isinstance(model, nn.Module) or not any(p.requires_grad for p in model.parameters()):
        raise ValueError("the model must be an nn.Module with parameters that have requires_grad.")
    weights = [p.detach() for p in model.parameters() if p.requires_grad]
    generator = torch.Generator(weights[0].device).manual_seed(seed)
    found = torch.cat([_around(weight, count, normalise, generator) for weight in weights], 1)
    seen = found.any(1)
    if not (seen & found.isfinite().all(1)).all():
        if seen.all():
            raise ValueError("the network's parameters are not finite, and directions looks around a finite point.")
        raise ValueError(f"no filter of the network has {count} entries, not all 0: ask for fewer.")
    return found


@in_own_arithmetic
def triangle(x0: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> Triangle:
    """The distances between a start and two ends, and the angle at the start.

    Parameters
    ----------
    x0, a, b : Tensor
        The start and the ends, three points of one objective.

    Returns
    -------
    Triangle

    Raises
    ------
    ValueError
        If the points do not fit, or two of them are equal.

    Notes
    -----
    The distances are ``|a - x0|``, ``|b - x0|`` and ``|a - b|``; with unit vectors u, v from x0 to a and b the angle
    is::

        2 atan2(|u - v|, |u + v|)

    which unlike the arc cosine is accurate near 0 and 180 degrees too (Kahan). All is computed in float64.

    Source of the ratio: Keskar et al. 2017, section 3.

    Examples
    --------
    >>> flatlab.triangle(torch.zeros(2), torch.tensor([3.0, 0.0]), torch.tensor([0.0, 4.0]))
    Triangle(a=3.0, b=4.0, ab=5.0, degrees=90.0)
    """
    x0, a, b = (point.double() for point in door.points(None, "triangle", x0=x0, a=a, b=b))
    (to_a, u), (to_b, v), (between, _) = map(_length_and_unit, (a - x0, b - x0, a - b))
    if not all(0 < length < math.inf for length in (to_a, to_b, between)):
        raise ValueError(
            f"x0, a and b are {to_a:g}, {to_b:g} and {between:g} apart: pass three finite points, no two of them equal."
        )
    return Triangle(to_a, to_b, between, 2 * torch.atan2((u - v).norm(), (u + v).norm()).rad2deg().item())


def _cosine(alpha: float) -> float:
    """cos(alpha pi/2), exactly 0, 1 or -1 where alpha is whole, so that the path meets its ends exactly."""
    return (1.0, 0.0, -1.0, 0.0)[int(alpha) % 4] if alpha == int(alpha) else math.cos(alpha * math.pi / 2)


def _bezier(t: float) -> tuple[float, float, float]:
    return (1 - t) ** 2, 2 * t * (1 - t), t**2


def _path(
    f: Function,
    points: dict[str, torch.Tensor],
    alphas: Iterable[float],
    kind: PathKind,
    weights: Callable[[float], tuple[float, ...]],
    middle: torch.Tensor | None = None,
) -> Path:
    door.function(f, kind, "loss_and_accuracy", "batch_norm")
    alphas = door.numbers("alphas", alphas)
    vectors = door.points(f, kind, **points)
    _refuse_frozen(f)
    loss, accuracy = zip(*(f.loss_and_accuracy(_sum(weights(alpha), vectors)) for alpha in alphas))
    return Path(alphas, loss, accuracy, kind, f.batch_norm, middle)


def _refuse_frozen(f: Function) -> None:
    """Running averages belong to one net: the other end of a path would not have its own loss."""
    if f.batch_norm == "frozen" and door.has_batch_norm(f):
        raise ValueError(
            "between two nets there is a net that was never trained and has no running averages of its own, and f "
            "holds those of "
            "one net: take an Objective with batch_norm='recompute' or 'batch'."
        )


@torch.no_grad()
def _sum(weights, points):
    """sum_i weight_i point_i: exactly point_i where its weight is 1 and the others are 0."""
    total = weights[0] * points[0]
    for weight, point in zip(weights[1:], points[1:]):
        total.add_(point, alpha=weight)
    return total


def _around(weight, count, normalise, generator):
    """One parameter's part of the directions: (count, its size)."""
    if weight.dim() < 2:
        return weight.new_zeros(count, weight.numel())
    filters = (weight.flatten(1) if normalise == "filter" else weight.reshape(1, -1)).double()
    units, parts = [], []
    for k in range(count):
        draw = torch.randn(filters.shape, generator=generator, device=weight.device, dtype=torch.float64)
        rest = draw if k < filters.shape[1] else torch.zeros_like(draw)
        for unit in 2 * units:  # Gram-Schmidt; twice is enough (Kahan)
            rest = rest - (rest * unit).sum(1, keepdim=True) * unit
        units.append(nn.functional.normalize(rest, dim=1))
        parts.append((filters if normalise else draw).norm(dim=1, keepdim=True) * units[k])
    return torch.stack(parts).flatten(1).to(weight.dtype)


def _length_and_unit(v):
    """|v| and v / |v|, scaled first so that no square overflows or vanishes."""
    largest = v.abs().max().clamp_min(torch.finfo(v.dtype).tiny)  # the length of zero is then 0
    scaled = v / largest
    return (largest * scaled.norm()).item(), scaled / scaled.norm()
