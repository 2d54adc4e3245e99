"""The loss between two points, along paths (the paper's Figures 3 and 7, a learned curve), and on planes."""

import math
from dataclasses import dataclass, field

import torch
from torch import nn

ALPHAS = tuple(k / 8 - 1 for k in range(25))  # linspace(-1, 2, 25), the paper's, exactly
CURVE = tuple(k / 24 for k in range(25))  # linspace(0, 1, 25)
PLANE = tuple(k / 10 for k in range(-10, 11))  # linspace(-1, 1, 21), with 0 exactly


@dataclass(frozen=True)
class Path:
    """The loss and accuracy (percent) along a path; alpha = 0 is the first point and alpha = 1 the second."""

    alphas: tuple
    loss: tuple
    accuracy: tuple
    kind: str  # "line", "arc" or "curve"
    batch_norm: str
    middle: torch.Tensor | None = field(default=None, repr=False, compare=False)  # (n,) what a curve learned

    def barrier(self):
        """max over alpha in [0, 1] of f(alpha) - ((1 - alpha) f(0) + alpha f(1)): how far the path rises
        above the chord between its ends. Zero or more where both ends are among the alphas. Raises ValueError
        where they are not."""
        loss = dict(zip(self.alphas, self.loss))
        if 0 not in loss or 1 not in loss:
            raise ValueError("the barrier lies between alpha = 0 and alpha = 1: have both among the alphas.")
        return max(
            value - ((1 - alpha) * loss[0] + alpha * loss[1]) for alpha, value in loss.items() if 0 <= alpha <= 1
        )

    def __float__(self):
        return self.barrier()


@dataclass(frozen=True)
class Surface:
    """The loss and accuracy (percent) on a plane: loss[i][j] is that at alphas[i] and betas[j]."""

    alphas: tuple
    betas: tuple
    loss: tuple = field(repr=False)
    accuracy: tuple = field(repr=False)
    batch_norm: str

    def rise(self):
        """The largest loss minus that at (0, 0). Raises ValueError where (0, 0) is not on the grid."""
        if 0 not in self.alphas or 0 not in self.betas:
            raise ValueError("the rise counts from alpha = beta = 0: have 0 among the alphas and the betas.")
        loss = torch.tensor(self.loss, dtype=torch.float64)  # its maximum is nan where one of them is
        return (loss.max() - loss[self.alphas.index(0), self.betas.index(0)]).item()

    def __float__(self):
        return self.rise()


@dataclass(frozen=True)
class Triangle:
    """How two points lie as seen from a third. `float(triangle)` is the ratio of their distances from it."""

    a: float  # |a - x0|
    b: float  # |b - x0|
    ab: float  # |a - b|
    degrees: float  # the angle at x0, 0 to 180

    @property
    def ratio(self):
        """|a - x0| / |b - x0|: the paper's 3 to 10 where a is the small batch's point and b the large's."""
        return self.a / self.b

    def __float__(self):
        return self.ratio


def line(f, a, b, alphas=ALPHAS):
    """f((1 - alpha) a + alpha b) for each alpha: the straight line through two points.

    f       an `Objective`; its BatchNorm policy decides how the points between are normalised
    a, b    points of f, at alpha = 0 and 1 (in the paper small and large batch)

    Returns a `Path`. Both ends are reproduced exactly. Raises ValueError for points that do not fit, and for
    no alphas. Source: Keskar et al. 2017, Figure 3; Goodfellow et al. 2015. Explained in the chapter
    [Between two minima](https://flatlab.github.io/flatlab/book/between_two_minima.html).
    """
    return _path(f, (a, b), alphas, "line", lambda alpha: (1 - alpha, alpha))


def arc(f, a, b, alphas=ALPHAS):
    """f(cos(alpha pi/2) a + sin(alpha pi/2) b) for each alpha: the curved path of Figure 7.

    At alpha = -1 and 2 the points are -b and -a. Arguments, result and errors as for `line`.
    Source: Keskar et al. 2017, Figure 7.
    """
    return _path(f, (a, b), alphas, "arc", lambda alpha: (_cosine(alpha), _cosine(1 - alpha)))


def connect(f, a, b, *, steps=1000, batch=256, lr=1e-3, seed=0, alphas=CURVE):
    """The loss along a quadratic Bezier curve from a to b, bent by a point m that is learned:

        x(t) = (1 - t)^2 a + 2 t (1 - t) m + t^2 b,    m = argmin E f(x(t)),    t uniform in [0, 1]

    m starts half way and is moved by Adam; each step draws one t and some rows, and dx/dm = 2 t (1 - t).

    f       an `Objective`; its BatchNorm policy holds for the minibatches too
    a, b    points of f, at alpha = 0 and 1
    steps   of Adam, its rate falling in a straight line from lr to 0
    batch   rows a step, drawn anew; None for all of them, the only way where the data are a list of batches
    alphas  where the curve is measured in the end, over all rows

    Returns a `Path` of kind "curve" with m as .middle. Both ends are reproduced exactly. Raises ValueError
    for arguments that do not fit and for equal points, FloatingPointError when m does not stay finite.
    Source: Garipov et al. 2018, section 3.
    """
    alphas = _numbers(alphas)
    _check_points(a, b)
    if torch.equal(a, b):
        raise ValueError("a and b are the same point: there is nothing to connect.")
    if steps < 1 or not 0 < lr < math.inf or (batch is not None and batch < 1):
        raise ValueError(f"steps is {steps}, batch {batch} and lr {lr}: all are above 0 (batch may be None).")
    if batch is not None and not hasattr(f, "inputs"):
        raise ValueError("rows cannot be picked from a list of batches: pass batch=None, to use all.")
    generator = torch.Generator().manual_seed(seed)
    m = _sum((0.5, 0.5), (a, b))
    adam = torch.optim.Adam([m], lr=lr)
    for step in range(steps):
        t = torch.rand((), generator=generator, dtype=torch.float64).item()
        part = f if batch is None else f.subset(torch.randperm(f.rows, generator=generator)[:batch])
        _, gradient = part.gradient(_sum(_bezier(t), (a, m, b)))
        m.grad = 2 * t * (1 - t) * gradient
        adam.param_groups[0]["lr"] = lr * (1 - step / steps)
        adam.step()
    m.grad = None
    if not m.isfinite().all():
        raise FloatingPointError(f"after {steps} steps the curve is not finite: pass an lr below {lr:g}.")
    return _path(f, (a, m, b), alphas, "curve", _bezier, middle=m)


def plane(f, x, directions=None, alphas=PLANE, betas=None, *, through=None):
    """f(x + alpha d1 + beta d2) on a grid; or, on the plane through three points,

        f((1 - alpha - beta) x + alpha b + beta c)

    f           an `Objective`
    x           a point of f, at alpha = beta = 0
    directions  d1 and d2, two vectors like x: those of `directions`, for instance
    alphas      have 0 among them for the centre: k / 25 for k = -25 ... 25 (a linspace may miss it)
    betas       default: the alphas
    through     in place of directions, the points b and c, at (1, 0) and (0, 1)

    Returns a `Surface`. It reproduces the points x, b and c exactly (x + (b - x) would miss b by a rounding).
    Raises ValueError for arguments that do not fit.
    Sources: Li et al. 2018, section 4; Garipov et al. 2018, Figure 1.
    """
    if (directions is None) == (through is None):
        raise ValueError("a plane is x and two directions, or x and two points to pass through: give either.")
    two = tuple(through if directions is None else directions)
    if len(two) != 2:
        raise ValueError(f"a plane takes two directions, or points, beside x, but these are {len(two)}.")
    _check_points(x, *two)
    alphas = _numbers(alphas)
    betas = alphas if betas is None else _numbers(betas)
    own = (lambda alpha, beta: 1) if through is None else (lambda alpha, beta: 1 - alpha - beta)
    values = [
        [f.loss_and_accuracy(_sum((own(alpha, beta), alpha, beta), (x, *two))) for beta in betas] for alpha in alphas
    ]
    loss, accuracy = (tuple(tuple(value[part] for value in row) for row in values) for part in (0, 1))
    return Surface(alphas, betas, loss, accuracy, f.batch_norm)


def directions(model, count=2, *, normalise="filter", seed=0):
    """Random directions around a network, orthogonal, and filter by filter as long as the network's own:

        d_k = |w| g_k / |g_k|  for a filter w,    g_k standard normal, made orthogonal to g_1 ... g_{k-1}

    A filter is what a weight holds at one index of its first dimension: in a Linear layer a row. Parameters
    of fewer than two dimensions (biases, scales of norm layers) stay where they are: zero in every direction.
    So does a filter of fewer than k entries in the k-th direction, in which it has no room left.

    model       an nn.Module, at the point to look around; it is only read
    normalise   "filter"; "layer": a whole weight as one filter; None: that too, but as long as its draw

    Returns (count, n), in the order of an `Objective`'s x, on the model's device; the draws depend on the
    seed and the kind of device. Raises ValueError where a direction would be zero.
    Source: Li et al. 2018, section 4.
    """
    if normalise not in ("filter", "layer", None):
        raise ValueError(f"normalise is {normalise!r}: choose 'filter', 'layer' or None.")
    if count < 1:
        raise ValueError(f"count is {count}: ask for one direction or more.")
    if not isinstance(model, nn.Module) or not any(p.requires_grad for p in model.parameters()):
        raise ValueError("the model must be an nn.Module with parameters that have requires_grad.")
    weights = [p.detach() for p in model.parameters() if p.requires_grad]
    generator = torch.Generator(weights[0].device).manual_seed(seed)
    found = torch.cat([_around(weight, count, normalise, generator) for weight in weights], 1)
    if not found.any(1).all():
        raise ValueError(f"no filter of the network has {count} entries, not all 0: ask for fewer.")
    return found


def triangle(x0, a, b):
    """The distances |a - x0|, |b - x0|, |a - b| between a start and two ends, and the angle at x0:

        2 atan2(|u - v|, |u + v|)    with unit vectors u, v from x0 to a and b

    which unlike the arc cosine is accurate near 0 and 180 degrees too (Kahan). All in float64.

    Returns a `Triangle`. Raises ValueError for points that do not fit, or of which two are equal.
    Source of the ratio: Keskar et al. 2017, section 3.
    """
    _check_points(x0, a, b)
    x0, a, b = (point.detach().double() for point in (x0, a, b))
    (to_a, u), (to_b, v), (between, _) = map(_length_and_unit, (a - x0, b - x0, a - b))
    if not all(0 < length < math.inf for length in (to_a, to_b, between)):
        raise ValueError(
            f"x0, a and b are {to_a:g}, {to_b:g} and {between:g} apart: pass three finite points, no two of them equal."
        )
    return Triangle(to_a, to_b, between, 2 * torch.atan2((u - v).norm(), (u + v).norm()).rad2deg().item())


def _cosine(alpha):
    """cos(alpha pi/2), exactly 0, 1 or -1 where alpha is whole, so that the path meets its ends exactly."""
    return (1.0, 0.0, -1.0, 0.0)[int(alpha) % 4] if alpha == int(alpha) else math.cos(alpha * math.pi / 2)


def _bezier(t):
    return (1 - t) ** 2, 2 * t * (1 - t), t**2


def _path(f, points, alphas, kind, weights, middle=None):
    alphas = _numbers(alphas)
    _check_points(*points)
    loss, accuracy = zip(*(f.loss_and_accuracy(_sum(weights(alpha), points)) for alpha in alphas))
    return Path(alphas, loss, accuracy, kind, f.batch_norm, middle)


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


def _check_points(*points):
    """Refuse points of different sizes: torch would stretch one of them to fit."""
    kinds = {(tuple(p.shape), p.dtype, p.device) if torch.is_tensor(p) else type(p) for p in points}
    if len(kinds) > 1 or not torch.is_tensor(points[0]) or points[0].dim() != 1:
        raise ValueError(
            "points and directions must be vectors of one size, type and device, but these are "
            + " and ".join(sorted(map(str, kinds)))
            + "."
        )


def _numbers(alphas):
    alphas = tuple(float(alpha) for alpha in alphas)
    if not alphas or not all(map(math.isfinite, alphas)):
        raise ValueError("alphas and betas must be finite numbers, one or more of each.")
    return alphas
