"""The inner problem of sharpness: the largest value of f over a box around a point.

    max  f(x + A z)   subject to  |z_i| <= r_i

No method here finds the global maximum: each value is a lower bound of it, and carries what is needed to judge it. All methods but
scipy's work in u = z / r, u in [-1, 1]^p, and use no absolute tolerance or step size, so multiplying the loss by any positive number
changes nothing.
"""

import math
from dataclasses import dataclass, field, replace

import torch

@dataclass(frozen=True)
class Maximum:
    """The largest value found: a lower bound of the maximum over the region.

    `float(maximum)` is the value.
    """

    value: float                                   # f at .x
    x: torch.Tensor = field(repr=False)            # (n,)
    evaluations: int                               # of f and its gradient
    history: tuple = field(repr=False)             # the best value after each evaluation; the first is f at the centre
    at_bound: float                                # share of the p coordinates that lie on the boundary
    converged: bool                                # the first-order conditions hold, or nothing better was found in reach
    method: str

    def __float__(self):
        return self.value


def maximise(f, region, *, method="lbfgs", steps=10):
    """A large value of f over a region.

    method      "lbfgs"  vertex steps, then projected L-BFGS (default); "apgd"  Auto-PGD;
                "scipy"  the paper's protocol, which is not scale-free and can stop where it starts;
                "best"   the best of lbfgs and apgd
    steps       evaluations of f and its gradient after the first (iterations for "scipy")

    Returns a `Maximum`, never below f at the region's centre. Raises ValueError for an unknown method or no steps, and
    FloatingPointError where f at the centre is not finite.
    Sources: Keskar et al. 2017, section 2.2.1; Croce & Hein 2020 for Auto-PGD. Explained in the chapter
    [Measuring sharpness](https://flatlab.github.io/flatlab/book/measuring_sharpness.html).
    """
    if method not in METHODS:
        raise ValueError(f"method is {method!r}: choose one of {', '.join(METHODS)}.")
    if steps < 1:
        raise ValueError(f"steps is {steps}: take at least one.")
    return METHODS[method](f, region, steps)


class _Search:
    """h(u) = f(x + A (r u)) on the box [-1, 1]^p, remembering the best point evaluated."""

    def __init__(self, f, region):
        self.f, self.region = f, region
        self.value, self.best, self.history = -math.inf, None, []

    def __call__(self, u):
        value, gradient = self.f.gradient(self.region.point(u))
        if not self.history and not abs(value) < math.inf:
            raise FloatingPointError(f"the loss at the region's centre is {value}: a maximum is sought where the loss is finite.")
        if value > self.value:
            self.value, self.best = value, u
        self.history.append(self.value)
        return value, self.region.pull(gradient)

    def start(self):
        """The centre, its value and gradient."""
        u = torch.zeros_like(self.region.radius)
        return u, *self(u)

    def maximum(self, method, converged):
        at_bound = (self.best.abs() >= 1).double().mean().item()
        return Maximum(self.value, self.region.point(self.best), len(self.history), tuple(self.history), at_bound, converged, method)


def _lbfgs(f, region, steps):
    """Vertex steps while they climb, then projected L-BFGS.

    Near a minimum f is convex, and the maximum of a convex function over a box is at a vertex. Stepping to the vertex sign(g) never
    lowers a convex f. When such a step fails, f has bent, and the curvature pairs gathered so far give quasi-Newton steps on the
    coordinates that are free to move.
    """
    search = _Search(f, region)
    u, value, gradient = search.start()
    pairs, vertices, length, converged = [], True, 1.0, False
    while len(search.history) <= steps and not converged:
        if vertices:
            trial = _sign(gradient)
            converged = torch.equal(trial, u)
        else:
            free = ~((u >= 1) & (gradient > 0) | (u <= -1) & (gradient < 0))
            direction = _two_loop(torch.where(free, gradient, 0), [[torch.where(free, v, 0) for v in pair] for pair in pairs])
            trial = (u + length * direction).clamp(-1, 1)
            converged = torch.equal(trial, u)
        if converged:
            break
        new_value, new_gradient = search(trial)
        pairs = [*pairs, (trial - u, gradient - new_gradient)][-10:]
        if new_value > value:
            u, value, gradient, length = trial, new_value, new_gradient, 1.0
        elif vertices:
            vertices = False
        else:
            length /= 4
    return search.maximum("lbfgs", converged)


def _two_loop(gradient, pairs):
    """The L-BFGS ascent direction: Nocedal & Wright, algorithm 7.4, for -f, using the pairs along which f is concave."""
    direction, used = gradient, []
    for s, y in reversed(pairs):
        curvature = s @ y
        if curvature > 0:
            used.append((s, y, curvature, (s @ direction) / curvature))
            direction = direction - used[-1][3] * y
    if not used:
        return gradient / gradient.abs().mean().clamp_min(torch.finfo(gradient.dtype).tiny)
    s, y, curvature, _ = used[0]
    direction = direction * (curvature / (y @ y))
    for s, y, curvature, weight in reversed(used):
        direction = direction + s * (weight - (y @ direction) / curvature)
    return direction


def _apgd(f, region, steps):
    """Auto-PGD: signed gradient steps with momentum, halving the step at checkpoints that show no progress.

    Croce & Hein 2020, algorithm 1, with their constants.
    """
    search = _Search(f, region)
    u, value, gradient = search.start()
    best = (u, value, gradient)
    before, step = u, 2.0
    marks, mark, climbs = _checkpoints(steps), 0, 0
    step_then, value_then = step, value
    for k in range(1, steps + 1):
        target = (u + step * _sign(gradient)).clamp(-1, 1)
        trial = target if k == 1 else (u + 0.75 * (target - u) + 0.25 * (u - before)).clamp(-1, 1)
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
    return search.maximum("apgd", converged=step < 2e-2)


def _checkpoints(steps):
    places = [0.0, 0.22]
    while places[-1] < 1:
        places.append(places[-1] + max(places[-1] - places[-2] - 0.03, 0.06))
    return {math.ceil(place * steps) for place in places[1:]}


def _scipy(f, region, steps):
    """The paper's protocol: scipy's L-BFGS-B from the centre, in z, with its own tolerances.

    Its first step is about the gradient itself and its stopping rule an absolute one, so the answer depends on the scale of the
    loss: at a well-trained point it can return the centre. Kept for comparison.
    """
    from scipy.optimize import Bounds, minimize                 # an extra: the default path does without scipy
    search = _Search(f, region)
    radius = region.radius.double().cpu().numpy()

    def negative(z):
        value, gradient = search((torch.from_numpy(z) / torch.from_numpy(radius)).to(region.radius))
        return -value, -(gradient.double().cpu().numpy() / radius)

    result = minimize(negative, 0 * radius, jac=True, method="L-BFGS-B", bounds=Bounds(-radius, radius), options={"maxiter": steps})
    return search.maximum("scipy", converged=result.status == 0)


def _best(f, region, steps):
    """The better of L-BFGS and Auto-PGD, with the evaluations of both."""
    first, second = _lbfgs(f, region, steps), _apgd(f, region, steps)
    history = first.history + tuple(max(first.value, value) for value in second.history)
    return replace(max(first, second, key=float), evaluations=len(history), history=history)


METHODS = {"lbfgs": _lbfgs, "apgd": _apgd, "scipy": _scipy, "best": _best}


def _sign(gradient):
    """sign(g), with a fixed pseudo-random sign where g is zero, so that a search cannot stall where the loss underflows."""
    if gradient.all():
        return gradient.sign()
    generator = torch.Generator(gradient.device).manual_seed(0)
    random = torch.randint(0, 2, gradient.shape, generator=generator, device=gradient.device).to(gradient) * 2 - 1
    return torch.where(gradient == 0, random, gradient.sign())
