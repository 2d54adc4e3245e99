"""The inner problem of sharpness: the largest value of f over a region around a point.

    max  f(x + A z)   subject to  ||z / r|| <= 1          (a box or a ball)

No method here finds the global maximum: each value is a lower bound of it, and carries what is needed to judge it. All
methods except the paper's own work in u = z / r, in the unit ball, and use no absolute tolerance or step size, so
multiplying the loss by any positive number changes nothing.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch

from flatlab.measure import door
from flatlab.measure.arithmetic import in_own_arithmetic
from flatlab.measure.protocols import Function
from flatlab.measure.region import Region

PAIRS = 5  # steps that L-BFGS remembers; 3 to 20 are usual, and each is two vectors of size n

STARTS = 8  # from which a box larger than the paper's is searched: of its hills one start often misses the highest
LARGEST_ONCE = 1e-3  # of the paper's eps, at which one start finds what eight do, within a few percent
AGREED = 0.01  # the share of the rise by which a second start may end lower

#: How a largest value is searched, as `maximise` explains it.
SearchMethod = Literal["lbfgs", "apgd", "vertex", "best", "scipy", "scipy-scaled"]


@dataclass(frozen=True, eq=False)
class Maximum:
    """The largest value found: a lower bound of the maximum over the region. ``float(maximum)`` is the value."""

    value: float  # f at x
    x: torch.Tensor = field(repr=False)  # where it was found, of shape (n,)
    evaluations: int  # of f and its gradient, over all starts
    history: tuple[float, ...] = field(repr=False)  # the best value after each evaluation; the first is f at the centre
    at_bound: float  # share of the p coordinates that lie on the boundary; for a ball 0 or 1
    converged: bool  # first-order conditions hold or nothing better is in reach, and a second of several starts agrees
    method: str  # by which it was searched

    def __float__(self) -> float:
        return self.value


@in_own_arithmetic
def maximise(
    f: Function,
    region: Region,
    *,
    method: SearchMethod = "lbfgs",
    steps: int = 10,
    starts: int | None = None,
    seed: int = 0,
) -> Maximum:
    """A large value of f over a region, found by first-order search.

    Parameters
    ----------
    f : Objective
        What the largest value is asked of.
    region : Region
        A `box`, for instance.
    method : {"lbfgs", "apgd", "vertex", "best", "scipy", "scipy-scaled"}
        - ``"lbfgs"``: vertex steps, then projected L-BFGS.
        - ``"apgd"``: Auto-PGD.
        - ``"vertex"``: vertex steps only, `u <- argmax g . u`, as long as the value rises.
        - ``"best"``: lbfgs and apgd, each with its own evaluations.
        - ``"scipy"``: the paper's protocol, which is not scale-free and can stop where it starts; boxes only.
        - ``"scipy-scaled"``: the same search in u, on the rise in units of ``mean |r g|``, where it works; boxes only.
    steps : int
        Evaluations of f and its gradient after the first of a start (iterations for scipy's two methods).
    starts : int, optional
        The first is the region's centre, further ones are random points of the region; the best value is kept. Without
        it there is one, and in a `box` larger than the paper's (eps above 1e-3) there are eight, except for scipy's two
        methods.
    seed : int
        Of the random starts.

    Returns
    -------
    Maximum
        Never below f at the region's centre. Its `.converged` holds where the first-order conditions do, or where
        nothing better is in reach. Of several starts, a second one must also end within 1 % of the best rise, and one
        start alone has no `.converged` in a box larger than the paper's.

    Raises
    ------
    ValueError
        For an unknown method, no steps, no starts, or a ball where only a box will do.
    FloatingPointError
        If f or its gradient is not finite at the centre.
    ImportError
        If the method is scipy's and scipy is not installed.

    Notes
    -----
    Sources: Keskar et al. 2017, section 2.2.2; Croce & Hein 2020 for Auto-PGD. Explained in the chapter
    `Measuring sharpness <https://flatlab.github.io/flatlab/book/measuring_sharpness.html>`_.
    """
    door.function(f, "maximise", "value", "gradient")
    door.instance(region, Region, "maximise takes a Region: flatlab.box(f, x, eps)")
    door.points(f, "maximise", x=region.x)
    door.choice("method", method, SEARCHES)
    starts = usual_starts(region.eps, method) if starts is None else door.count("starts", starts)
    steps, seed = door.count("steps", steps), door.seed(seed)
    if "scipy" in method and region.norm != math.inf:
        raise ValueError(
            f"method {method!r} knows boxes only, and this region is a ball: choose lbfgs, apgd, vertex or best."
        )
    if "scipy" in method:
        _scipy_optimize()
    search = _Search(f, region)
    centre, tops = torch.zeros_like(region.radius), []
    for start in range(starts):
        tops.append(search.run(SEARCHES[method], region.random(seed + start) if start else centre, steps))
    lowest = search.value - AGREED * (search.value - search.history[0])
    agreed = sorted(tops)[-2] >= lowest if starts > 1 else not _is_large(region.eps)
    return Maximum(
        search.value,
        region.point(search.best),
        len(search.history),
        tuple(search.history),
        region.at_bound(search.best),
        search.converged and agreed,
        method,
    )


def usual_starts(eps: float | None, method: SearchMethod) -> int:
    """How many starts a search takes where none are asked for."""
    return STARTS if _is_large(eps) and "scipy" not in method else 1


def _is_large(eps: float | None) -> bool:
    return eps is not None and eps > LARGEST_ONCE


class _Search:
    """h(u) = f(x + A (r u)) on the unit ball, remembering the best point evaluated."""

    def __init__(self, f: Function, region: Region) -> None:
        self.f, self.region = f, region
        self.value, self.converged, self.top = -math.inf, False, -math.inf
        self.best, self.history = torch.zeros_like(region.radius), list[float]()

    def __call__(self, u):
        """h(u) and its gradient. A value that is not finite counts as no rise."""
        value, gradient = self.f.gradient(self.region.point(u))
        if not self.history:
            _check_centre(value, gradient)
        value = value if abs(value) < math.inf else -math.inf
        self.top = max(self.top, value)
        if value > self.value:
            self.value, self.best = value, u
        self.history.append(self.value)
        return value, self.region.pull(gradient)

    def run(self, method, u, steps):
        """Search from u: the highest value on the way. `.converged` is what the run said that found the best point of
        all."""
        before, self.top = self.value, -math.inf
        converged = method(self, u, steps)
        if self.value > before:
            self.converged = converged
        return self.top


def _check_centre(value: float, gradient: torch.Tensor) -> None:
    """A search that has no slope to begin with would return the centre, as if nothing near it were higher."""
    if not abs(value) < math.inf:
        raise FloatingPointError(
            f"the loss at the region's centre is {value}: a maximum is sought where the loss is finite."
        )
    if not gradient.isfinite().all():
        raise FloatingPointError(
            f"the loss at the region's centre is {value:g}, and its gradient is not finite: a search has no way to "
            "go from there."
        )


def _vertex(search, u, steps):
    """u <- argmax g.u while the value rises. For a convex f it never falls, and the maximum is such a point."""
    value, gradient = search(u)
    for _ in range(steps):
        trial = search.region.steepest(gradient)
        if torch.equal(trial, u):
            return True
        new_value, new_gradient = search(trial)
        if not new_value > value:
            return False
        u, value, gradient = trial, new_value, new_gradient
    return False


def _lbfgs(search, u, steps):
    """Vertex steps while they climb, then projected L-BFGS.

    Near a minimum f is convex, and the maximum of a convex function over a box is at a vertex: the step to the vertex
    sign(g) never lowers it. A climb begins with a part of that way, u + g / mean |g|, where large derivatives count for
    more. Then each step aims by what the last one told (`_aim`). A vertex that is its own next is left by flipping its
    coordinates of small |g|, fewer each time. Where a step to a vertex fails, f has bent, and the curvature pairs
    gathered so far give quasi-Newton steps.
    """
    region = search.region
    value, gradient = search(u)
    trial = region.project(u + gradient / gradient.abs().mean().clamp_min(torch.finfo(u.dtype).tiny))
    best, settled, moves = (value, u, gradient), None, []
    first, growth, kicked, kick = True, math.inf, False, 0.5
    for used in range(1, steps + 1):
        new_value, new_gradient = search(trial)
        move = u, gradient, trial, new_gradient
        moves = [*moves, move][-PAIRS:]
        if new_value > value or kicked and new_value > -math.inf:
            value, u, gradient = new_value, trial, new_gradient
            best = max(best, (value, u, gradient), key=lambda point: point[0])
            trial, growth = (region.steepest(gradient), math.inf) if first else _aim(region, *move)
            if torch.equal(trial, u):
                trial = region.steepest(gradient)
        else:
            vertex = region.steepest(gradient)
            if not growth > 0 or torch.equal(trial, vertex):
                return _quasi_newton(search, *best, moves, steps - used)
            trial = vertex
        first = kicked = False
        if torch.equal(trial, u):
            value, u, gradient = best
            trial, settled = region.steepest(gradient - kick * gradient.abs().mean() * u), value
            first, kicked, kick = True, True, kick / 2
            if torch.equal(trial, u):
                break
    return settled == best[0]


def _aim(region, u, gradient, new, new_gradient):
    """Where to go from `new` after the step to it from u, and the share by which the slope grew along that step.

    Where f is convex along it, to the vertex of the gradient extrapolated along it: what will turn, turns now. Where it
    is concave, to the vertex; but in a box a coordinate whose derivative turned along it goes to where its secant
    vanishes.
    """
    step = new - u
    slopes = step * gradient
    new_slopes = step.mul_(new_gradient)
    slope = slopes.sum()
    growth = ((new_slopes.sum() - slope) / slope.abs()).item()
    if growth > 0:
        return region.steepest(torch.lerp(gradient, new_gradient, 1 + min(growth, 2))), growth
    vertex = region.steepest(new_gradient)
    if region.norm != math.inf:
        return vertex, growth
    rose, falls = slopes.clamp_(min=0), new_slopes.neg_().clamp_(min=0)
    turned = torch.minimum(rose, falls).sign_()  # 1 or 0: with a mask all this takes several times as long
    share = rose.div_(falls.add_(rose).clamp_(min=torch.finfo(u.dtype).tiny))
    return vertex.lerp_(torch.lerp(u, new, share, out=share), turned), growth


def _quasi_newton(search, value, u, gradient, moves, steps):
    """Projected L-BFGS on the coordinates that are free to move."""
    region, length = search.region, 1.0
    pairs = [_pair(*move) for move in moves]
    for _ in range(steps):
        tangent = region.tangent(u, gradient)
        direction = _two_loop(tangent(gradient), [[tangent(v) for v in pair] for pair in pairs])
        trial = region.project(u + length * direction)
        if torch.equal(trial, u):
            return True
        new_value, new_gradient = search(trial)
        pairs = [*pairs, _pair(u, gradient, trial, new_gradient)][-PAIRS:]
        if new_value > value:
            u, value, gradient, length = trial, new_value, new_gradient, 1.0
        else:
            length /= 4
    return False


def _pair(u, gradient, new, new_gradient):
    """A step and the change of -grad h along it."""
    return new - u, gradient - new_gradient


def _two_loop(gradient, pairs):
    """The L-BFGS ascent direction: Nocedal & Wright, algorithm 7.4, for -f, using the pairs along which f is
    concave."""
    direction, used = gradient.clone(), []
    for s, y in reversed(pairs):
        curvature = s @ y
        if curvature > 0:
            used.append((s, y, curvature, (s @ direction) / curvature))
            direction.addcmul_(y, used[-1][3], value=-1)
    if not used:
        return gradient / gradient.abs().mean().clamp_min(torch.finfo(gradient.dtype).tiny)
    s, y, curvature, _ = used[0]
    direction *= curvature / (y @ y)
    for s, y, curvature, weight in reversed(used):
        direction.addcmul_(s, weight - (y @ direction) / curvature)
    return direction


def _apgd(search, u, steps):
    """Auto-PGD: steepest steps with momentum, halving the step at checkpoints that show no progress.

    Croce & Hein 2020, algorithm 1, with their constants.
    """
    region = search.region
    value, gradient = search(u)
    best = (u, value, gradient)
    before, step = u, 2.0
    marks, mark, climbs = _checkpoints(steps), 0, 0
    step_then, value_then = step, value
    for k in range(1, steps + 1):
        target = region.project(u + step * region.steepest(gradient))
        trial = target if k == 1 else region.project(u + 0.75 * (target - u) + 0.25 * (u - before))
        before, u, last = u, trial, value
        value, gradient = search(u)
        climbs += value > last
        if value > best[1]:
            best = (u, value, gradient)
        if k in marks:
            stuck = step == step_then and best[1] == value_then
            step_then, value_then = step, best[1]
            if climbs < 0.75 * (k - mark) or stuck:
                step /= 2
                u, value, gradient = best
                before = u
            mark, climbs = k, 0
    return step < 2e-2


def _checkpoints(steps):
    places = [0.0, 0.22]
    while places[-1] < 1:
        places.append(places[-1] + max(places[-1] - places[-2] - 0.03, 0.06))
    return {math.ceil(place * steps) for place in places[1:]}


def _best(search, u, steps):
    """L-BFGS and then Auto-PGD, both from u."""
    tops = search.run(_lbfgs, u, steps), search.run(_apgd, u, steps)
    search.top = max(tops)
    return search.converged


def _scipy(search, u, steps):
    """The paper's protocol: scipy's L-BFGS-B in z, with its own tolerances.

    Its first step is about the gradient itself and its stopping rule an absolute one, so the answer depends on the
    scale of the loss: at a well-trained point it can return the centre. Kept for comparison.
    """
    radius = search.region.radius.double().clamp_min(1e-300)  # a coordinate of radius 0 stays put, and has gradient 0
    return _lbfgs_b(search, u, search(u), radius, 0.0, 1.0, maxiter=steps)


def _scipy_scaled(search, u, steps):
    """scipy's L-BFGS-B in u, on (h - h(u0)) / mean |grad h(u0)|, with tolerances that cannot stop it at once."""
    value, gradient = first = search(u)
    return _lbfgs_b(
        search, u, first, 1.0, value, gradient.abs().mean().item() or 1.0, maxiter=steps, ftol=1e-12, gtol=1e-12
    )


def _scipy_optimize():
    """scipy's module, an extra: the default path does without it."""
    try:
        import scipy.optimize
    except ImportError as error:
        raise ImportError(f"this method needs scipy ({error}): pip install scipy, or take another method.") from error
    return scipy.optimize


def _lbfgs_b(search, u, first, unit, base, scale, **options):
    """Minimise -(h - base) / scale by scipy's L-BFGS-B in the variables unit * u; `first` is h and its gradient at
    u."""
    optimize = _scipy_optimize()
    begin, bound = (unit * u.double()).cpu().numpy(), (unit * torch.ones_like(u, dtype=torch.float64)).cpu().numpy()

    def negative(v):
        value, gradient = first if (v == begin).all() else search((torch.from_numpy(v).to(u.device) / unit).to(u.dtype))
        return (base - value) / scale, (-gradient.double() / unit / scale).cpu().numpy()

    bounds = optimize.Bounds(-bound, bound)
    return optimize.minimize(negative, begin, jac=True, method="L-BFGS-B", bounds=bounds, options=options).status == 0


SEARCHES: dict[SearchMethod, Callable[["_Search", torch.Tensor, int], bool]] = {
    "lbfgs": _lbfgs,
    "apgd": _apgd,
    "vertex": _vertex,
    "best": _best,
    "scipy": _scipy,
    "scipy-scaled": _scipy_scaled,
}
