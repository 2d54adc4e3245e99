"""What Lab 5 asks of a student's functions."""

import copy
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from flatlab.checks.answer import Hill, Student, Wrong, check, match, normals, numbers, printed, table, unchanged
from flatlab.checks.lab7 import mean_interval, unpaired
from flatlab.checks.racing import DRAWS, RATE, Race, accuracy, end_of, lap, marker, rivals, signals, start_of

POINT = "the new point, a list of numbers"


def bowl(seed: int, count: int = 6) -> tuple[Hill, Tensor]:
    """A bowl with several curvatures, and a point on its side."""
    curvature, centre, x = normals(3, count, seed=seed).double()
    return Hill(curvature.exp() + 0.3, centre, 1.0, 1), x + 2 * x.sign()


# Sharpness-aware steps


def slope(f: Hill, y: Tensor) -> Tensor:
    """The gradient of a bowl, not written down."""
    return f.curvature * (y - f.centre)


def towards(f: Hill, x: Tensor, rho: float, scale: Tensor | float = 1.0) -> Tensor:
    """rho T^2 g / |T g| for the gradient g at x, with T = scale; rho g / |g| where it is 1."""
    g = slope(f, x)
    return rho * scale**2 * g / (scale * g).norm()


def refuse_bad_ascent(f: Hill, x: Tensor, before: Tensor) -> None:
    """A hint where a function has moved x, or asked for another number of gradients than two."""
    unchanged("x", x, before)
    if f.gradients != 2:
        raise Wrong(f"it asks for {f.gradients} gradients: the step needs two, at x and at x + e.")


@check
def sam_step(student: Student) -> None:
    """sam_step(f, x, lr, rho): x - lr times the gradient at `x + rho g / |g|`."""
    problems = [(*bowl(51, 6), 0.1, 0.8), (*bowl(52, 9), 0.05, 0.5)]
    answers = []
    for f, x, lr, rho in problems:
        before = x.clone()
        answers.append(numbers(student(f, x, lr, rho), x.shape, POINT))
        unchanged("x", x, before)

    def each(law: Callable[[Hill, Tensor, float, float], Tensor]) -> Tensor:
        return torch.cat([law(*problem) for problem in problems])

    def from_x(climb: Callable[[Hill, Tensor, float], Tensor]) -> Tensor:
        return each(lambda f, x, lr, rho: x - lr * slope(f, x + climb(f, x, rho)))

    right = from_x(towards)
    start = each(lambda f, x, lr, rho: x)
    match(
        torch.cat(answers),
        right,
        [
            (from_x(lambda f, x, rho: -towards(f, x, rho)), "you descend to look: e goes up, along + g."),
            (from_x(lambda f, x, rho: rho * slope(f, x)), "e is not normalised: its length should be rho."),
            (
                from_x(lambda f, x, rho: towards(f, x, rho) / len(x)),
                "e is divided by the number of entries: |e| = rho.",
            ),
            (
                from_x(lambda f, x, rho: towards(f, x, rho) / len(x) ** 0.5),
                "e is divided by the root of the number of entries: |e| = rho.",
            ),
            (
                from_x(lambda f, x, rho: rho * slope(f, x).sign()),
                "e is rho times the signs of g, the climb in a box: take g / |g|, the climb in a ball.",
            ),
            (
                from_x(lambda f, x, rho: rho * slope(f, x) / slope(f, x).square().sum()),
                "you divide by the squared length of g: divide by its length.",
            ),
            (from_x(lambda f, x, rho: 0 * x), "this is the plain step: the gradient that counts is the one at x + e."),
            (
                each(lambda f, x, lr, rho: x + towards(f, x, rho) - lr * slope(f, x + towards(f, x, rho))),
                "you step from x + e: climb to look, and step from x.",
            ),
            (
                each(lambda f, x, lr, rho: x + lr * slope(f, x + towards(f, x, rho))),
                "you go up: the step is against the gradient.",
            ),
            (
                each(lambda f, x, lr, rho: x - lr * (slope(f, x) + slope(f, x + towards(f, x, rho))) / 2),
                "you take the mean of both gradients: the one at x only says where to climb.",
            ),
            (
                each(lambda f, x, lr, rho: -lr * slope(f, x + towards(f, x, rho))),
                "that is the step alone: return the new point.",
            ),
            (each(lambda f, x, lr, rho: x + towards(f, x, rho)), "that is the point that you look from: step from x."),
            (start, "that is x itself: it did not step."),
        ],
        "this is not x - lr times the gradient at x + rho g / |g|.",
    )
    for f, x, _, _ in problems:
        refuse_bad_ascent(f, x, x)


@check
def asam_step(student: Student) -> None:
    """asam_step(f, x, lr, rho, eta): x - lr times the gradient at `x + rho T^2 g / |T g|`, with `T = |x| + eta`."""
    problems = [(*bowl(53, 6), 0.1, 0.4, 0.2), (*bowl(54, 9), 0.05, 0.3, 0.05)]
    answers = []
    for f, x, lr, rho, eta in problems:
        before = x.clone()
        answers.append(numbers(student(f, x, lr, rho, eta), x.shape, POINT))
        unchanged("x", x, before)

    def from_x(climb: Callable[[Hill, Tensor, float, Tensor, float], Tensor]) -> Tensor:
        return torch.cat(
            [x - lr * slope(f, x + climb(f, x, rho, x.abs() + eta, eta)) for f, x, lr, rho, eta in problems]
        )

    def one_step(law: Callable[[Hill, Tensor, float, Tensor], Tensor]) -> Tensor:
        return torch.cat([law(f, x, lr, towards(f, x, rho, x.abs() + eta)) for f, x, lr, rho, eta in problems])

    match(
        torch.cat(answers),
        from_x(lambda f, x, rho, T, eta: towards(f, x, rho, T)),
        [
            (
                from_x(lambda f, x, rho, T, eta: towards(f, x, rho, T) / T),
                "T stands once in e, and so e depends on how the weights are scaled: it is T times T g.",
            ),
            (
                from_x(lambda f, x, rho, T, eta: rho * T**2 * slope(f, x) / slope(f, x).norm()),
                "T is missing in the length below: divide by |T g|.",
            ),
            (
                from_x(lambda f, x, rho, T, eta: rho * T**2 * slope(f, x) / (T**2 * slope(f, x)).norm()),
                "you divide by the length of T^2 g: divide by |T g|.",
            ),
            (from_x(lambda f, x, rho, T, eta: rho * T**2 * slope(f, x)), "e is not divided by |T g|."),
            (from_x(lambda f, x, rho, T, eta: towards(f, x, rho)), "T does not enter: this is the step of exercise 1."),
            (from_x(lambda f, x, rho, T, eta: towards(f, x, rho, x.abs())), "eta is missing: T = |x| + eta."),
            (
                from_x(lambda f, x, rho, T, eta: towards(f, x, rho, x + eta)),
                "T has the sign of x: it is |x| + eta, entry by entry.",
            ),
            (
                from_x(lambda f, x, rho, T, eta: towards(f, x, rho, (x.norm() + eta).expand_as(x))),
                "T is one number, from the length of all of x: it has an entry for each of x.",
            ),
            (from_x(lambda f, x, rho, T, eta: -towards(f, x, rho, T)), "you descend to look: e goes up."),
            (from_x(lambda f, x, rho, T, eta: 0 * x), "this is the plain step: take the gradient at x + e."),
            (
                one_step(lambda f, x, lr, e: x + e - lr * slope(f, x + e)),
                "you step from x + e: climb to look, and step from x.",
            ),
            (one_step(lambda f, x, lr, e: x + lr * slope(f, x + e)), "you go up: the step is against the gradient."),
        ],
        "this is not x - lr times the gradient at x + rho T^2 g / |T g| with T = |x| + eta.",
    )
    for f, x, *_ in problems:
        refuse_bad_ascent(f, x, x)


# BatchNorm


def normalised(
    rows: Tensor, scale: Tensor | float, shift: Tensor | float, by: Tensor | None = None, unbiased: bool = False
) -> Tensor:
    """scale (h - mean) / sqrt(variance + 1e-5) + shift, with the statistics of these rows or of others."""
    by = rows if by is None else by
    away = (by.var(-2, unbiased=unbiased, keepdim=True) + 1e-5).sqrt()
    return scale * (rows - by.mean(-2, keepdim=True)) / away + shift


def ghosts(h: Tensor, size: int, scale: Tensor | float, shift: Tensor | float, unbiased: bool = False) -> Tensor:
    """`normalised` part by part, in parts of `size` rows and a last one with the rest."""
    if len(h) % size == 0:
        return normalised(h.view(-1, size, h.shape[1]), scale, shift, unbiased=unbiased).view_as(h)
    return torch.cat([normalised(part, scale, shift, unbiased=unbiased) for part in h.split(size)])


@check
def ghost_norm(student: Student) -> None:
    """ghost_norm(h, size, scale, shift): h normalised in parts of `size` rows."""
    h = 2 * normals(10, 3, seed=55).double() + torch.linspace(-2, 3, 10)[:, None]
    scale, shift, size = torch.tensor([1.5, 0.5, 2.0]).double(), torch.tensor([0.3, -1.0, 0.0]).double(), 4
    given = h.clone()
    answer = student(given, size, scale.clone(), shift.clone())
    refuse_parts(answer, len(h))
    found = table(answer, h.shape, "a table like h, 10 rows of 3 numbers")
    unchanged("h", given, h)

    def alike(unbiased: bool) -> list[tuple[Tensor, str]]:
        parts = h.split(size)
        return [
            (
                normalised(h, scale, shift, unbiased=unbiased),
                "these are the statistics of the whole batch: each part has its own.",
            ),
            (
                torch.cat([normalised(one, scale, shift, parts[0], unbiased) for one in parts]),
                "the statistics of the first part are used for all: each part has its own.",
            ),
            (
                torch.cat([normalised(one, scale, shift, unbiased=unbiased) for one in h.tensor_split(size)]),
                "size is the number of parts in yours: it is the number of rows in a part.",
            ),
            (
                torch.cat([normalised(one, scale, shift, unbiased=unbiased) for one in h.tensor_split(len(parts))]),
                "your parts are about equally long: each has `size` rows, and the last one has the rest.",
            ),
            (ghosts(h, size, 1, 0, unbiased), "scale and shift do not enter."),
            (ghosts(h, size, scale, 0, unbiased), "shift does not enter."),
            (ghosts(h, size, 1, shift, unbiased), "scale does not enter."),
            (
                torch.cat([scale * (one - one.mean(0)) / one.var(0, unbiased=unbiased) + shift for one in parts]),
                "you divide by the variance: divide by its root.",
            ),
            (
                torch.cat([scale * (one - one.mean(0)) + shift for one in parts]),
                "the spread is left as it is: divide by the root of the variance.",
            ),
            (
                torch.cat([scale * one / one.std(0, unbiased=unbiased) + shift for one in parts]),
                "the mean is not taken away.",
            ),
            (
                torch.cat([scale * (one - one.mean()) / one.var(unbiased=unbiased).sqrt() + shift for one in parts]),
                "a part has one mean for all units in yours: each unit, a column, has its own.",
            ),
            (
                scale * (h - h.mean(1, keepdim=True)) / h.var(1, keepdim=True, unbiased=unbiased).sqrt() + shift,
                "you normalise each row (that is LayerNorm): take the mean over the rows of a part.",
            ),
        ]

    accepted = [ghosts(h, size, scale, shift, unbiased) for unbiased in (False, True)]
    if not any(torch.allclose(found, one, rtol=1e-3, atol=1e-3) for one in accepted):
        match(
            found,
            accepted[0],
            alike(False) + alike(True),
            "this is not scale (h - mean) / sqrt(variance + 1e-5) + shift, part by part.",
        )


def refuse_parts(answer: object, rows: int) -> None:
    """A hint where some of the rows were left out, or the parts were not put together."""
    if isinstance(answer, (Tensor, np.ndarray)) and answer.ndim == 2 and len(answer) < rows:
        raise Wrong(f"it returns {len(answer)} of {rows} rows: the last, shorter part is a part too.")
    if isinstance(answer, (list, tuple)) and len(answer) < rows and any(getattr(one, "ndim", 0) == 2 for one in answer):
        raise Wrong("it returns a list of parts: put them together, with torch.cat.")


class Layer:
    """What a network's layer gives for some rows, at a point: relu(inputs W)."""

    def __init__(self, seed: int, rows: int = 40, inputs: int = 3, units: int = 4) -> None:
        self._inputs, self._units = normals(rows, inputs, seed=seed).double(), units

    def __call__(self, point: Tensor) -> Tensor:
        """The layer's values, rows times units."""
        return (self._inputs @ torch.as_tensor(point).double().reshape(-1, self._units)).relu()


def statistics(h: Tensor, unbiased: bool = False) -> Tensor:
    """Means and variances of a layer's units."""
    return torch.cat([h.mean(0), h.var(0, unbiased=unbiased)])


def averaged(points: Sequence[Tensor], layer: Callable[[Tensor], Tensor]) -> tuple[Tensor, list[Tensor]]:
    """The mean point, and its layer's statistics with either of the two variances."""
    mean = torch.stack(list(points)).mean(0)
    return mean, [statistics(layer(mean), unbiased) for unbiased in (False, True)]


@check
def average(student: Student) -> None:
    """average(points, layer): (mean point, its layer's means, its layer's variances)."""
    layer = Layer(56)
    points = list(normals(5, 12, seed=57).double())
    given = [point.clone() for point in points]
    mean, variances_too = averaged(points, layer)
    point, found = triple(student(given, layer), len(mean))
    for one, before in zip(given, points):
        unchanged("points", one, before)
    last_twice = points[0]
    for one in points[1:]:
        last_twice = (last_twice + one) / 2
    match(
        point,
        mean,
        [
            (last_twice, "your mean gives the last point half of the weight: the k-th one gets 1/k."),
            (mean * len(points), "that is the sum: divide by the number of points."),
            (mean * len(points) / (len(points) + 1), "you divide by one too many."),
            (mean * len(points) / (len(points) - 1), "you divide by one too few."),
            ((sum(points) + points[-1]) / (len(points) + 1), "the last point is counted twice."),
            (torch.stack(points[1:]).mean(0), "the first point is left out."),
            (torch.stack(points[:-1]).mean(0), "the last point is left out."),
            (points[-1], "that is the last point: return the mean of all."),
            (torch.stack(points).median(0).values, "that is the median: take the mean."),
        ],
        "the point is not the mean of the points.",
    )
    if any(torch.allclose(found, one, rtol=1e-3, atol=1e-6) for one in variances_too):
        return
    every = [[statistics(layer(one), unbiased) for one in points] for unbiased in (False, True)]
    units = len(found) // 2
    match(
        found,
        variances_too[0],
        [
            *(
                (one[-1], "these are the statistics of the last network: the mean point has others. Call layer there.")
                for one in every
            ),
            *(
                (
                    torch.stack(one).mean(0),
                    "these are the means of the networks' statistics: the mean point has others. Call layer there.",
                )
                for one in every
            ),
            *(
                (torch.cat([one[:units], one[units:].sqrt()]), "these are standard deviations: return variances.")
                for one in variances_too
            ),
            *((one.roll(units), "means and variances are exchanged.") for one in variances_too),
        ],
        "these are not the means and variances of the layer's units at the mean point.",
    )


def triple(answer: object, size: int, units: int = 4) -> tuple[Tensor, Tensor]:
    """A point, and statistics in one vector, of an answer (point, means, variances); or a hint."""
    meaning = "a point, its layer's means and its layer's variances, three lists of numbers"
    if not isinstance(answer, (list, tuple)) or len(answer) != 3:
        numbers(answer, (size + 2 * units,), meaning)
        raise Wrong(f"return {meaning}.")
    point = numbers(answer[0], (size,), "the mean point first, a list of numbers")
    means, variances = (
        numbers(one, (units,), f"the {what}, one for each unit")
        for one, what in zip(answer[1:], ("means", "variances"))
    )
    return point, torch.cat([means, variances])


# Rates


def rate(
    step: int,
    total: int,
    base: float,
    m: int,
    base_m: int,
    rule: str,
    warmup: int,
    *,
    power: Mapping[str, float] | None = None,
    begin: Callable[[int, int], float] = lambda step, warmup: (step + 1) / warmup,
    end: Callable[[int, int, int], float] = lambda step, total, warmup: (step - warmup) / (total - warmup),
    first: float | None = None,
) -> float:
    """The rate of a step: grown with the batch size, warmed up along a line, then let down along a cosine."""
    top = base * (m / base_m) ** (power or {"linear": 1.0, "root": 0.5})[rule]
    if step < warmup:
        share = begin(step, warmup)
        return top * share if first is None else first * base + (top - first * base) * share
    return top * (1 + math.cos(math.pi * end(step, total, warmup))) / 2


@check
def schedule(student: Student) -> None:
    """schedule(step, total, base, m, base_m, rule, warmup): the rate of a step, from 0."""
    problems = [
        (step, total, 0.1, m, 32, rule, warmup)
        for total, m, rule, warmup in ((20, 512, "linear", 5), (12, 288, "root", 3), (10, 64, "linear", 0))
        for step in (0, 1, 3, 5, 8, total - 1)
    ]
    found = torch.stack([numbers(student(*problem), (), "the rate, one number") for problem in problems])

    def each(**change: Any) -> Tensor:
        return torch.tensor([rate(*problem, **change) for problem in problems], dtype=torch.float64)

    def through(total_too: bool = False) -> Callable[[int, int, int], float]:
        return lambda step, total, warmup: (step - warmup) / max(total - warmup - 1, 1) if total_too else step / total

    never = [
        (each(end=lambda *_: 0.0), "the rate stays up: after the warm-up it falls along half a cosine."),
        (
            each(end=lambda step, total, warmup: math.acos(1 - 2 * (step - warmup) / (total - warmup)) / math.pi),
            "the rate falls along a line: it falls along half a cosine.",
        ),
    ]
    match(
        found,
        each(),
        [
            (
                each(begin=lambda step, warmup: step / warmup),
                "the rate of step 0 is 0, so that step never moves: step k warms up to (k + 1) / warmup.",
            ),
            (
                each(begin=lambda step, warmup: (step + 1) / (warmup + 1)),
                "the warm-up is a step too long: its last step, number warmup - 1, has the whole rate.",
            ),
            (each(begin=lambda step, warmup: 1.0), "there is no warm-up."),
            (each(first=1.0), "your warm-up starts at base, as some do: here it is a line through 0."),
            (
                each(power={"linear": -1, "root": -0.5}),
                "the rate falls as the batch grows: it is m / base_m, not base_m / m.",
            ),
            (each(power={"linear": 1, "root": 1}), "linear for both rules: root takes the root of m / base_m."),
            (each(power={"linear": 0.5, "root": 0.5}), "the root for both rules: linear takes m / base_m itself."),
            (each(power={"linear": 0.5, "root": 1}), "the two rules are exchanged."),
            (each(power={"linear": 0, "root": 0}), "the batch size does not enter: base belongs to batches of base_m."),
            (each(end=through()), "the cosine counts from step 0: it begins where the warm-up ends, at its top."),
            (each(end=through(True)), "off by one: the cosine ends at step total, and its last step still moves."),
            (
                each(end=lambda step, total, warmup: (step + 1 - warmup) / (total - warmup)),
                "off by one: step number warmup has the whole rate.",
            ),
            *never,
        ],
        "this is not the warm-up (step + 1) / warmup and then half a cosine, times the rate of the rule.",
    )


def ratio(w: Tensor, g: Tensor, decay: float, eta: float) -> float:
    """eta |w| / (|g| + decay |w|), and 1 where either length is 0."""
    if not (w.norm() > 0 and g.norm() > 0):
        return 1.0
    return float(eta * w.norm() / (g.norm() + decay * w.norm()))


@check
def trust_ratio(student: Student) -> None:
    """trust_ratio(w, g, decay, eta): `eta |w| / (|g| + decay |w|)`, and 1 where w or g is 0."""
    w, g = normals(2, 4, 3, seed=58).double()
    problems = [(w, g, 0.3, 0.02), (3 * w, 0.5 * g, 0.05, 0.1), (w[0], -g[0], 0.0, 1.0)]
    found = []
    for weight, gradient, decay, eta in problems:
        given = weight.clone(), gradient.clone()
        found.append(numbers(student(*given, decay, eta), (), "the ratio, one number"))
        unchanged("w", given[0], weight)
        unchanged("g", given[1], gradient)

    def each(law: Callable[[Tensor, Tensor, float, float], Tensor | float]) -> Tensor:
        return torch.tensor([float(law(*problem)) for problem in problems], dtype=torch.float64)

    right = each(ratio)
    match(
        torch.stack(found),
        right,
        [
            (
                each(lambda w, g, decay, eta: eta * (g.norm() + decay * w.norm()) / w.norm()),
                "the fraction is upside down: a layer with long weights takes long steps.",
            ),
            (
                each(lambda w, g, decay, eta: eta * w.norm() / g.norm()),
                "decay does not enter: below stands |g| + decay * |w|.",
            ),
            (
                each(lambda w, g, decay, eta: eta * w.norm() / (g + decay * w).norm()),
                "you add the vectors: You et al. add their lengths.",
            ),
            (
                each(lambda w, g, decay, eta: eta * w.norm() / (g.norm() + decay)),
                "decay stands alone below: it is decay times |w|.",
            ),
            (
                each(lambda w, g, decay, eta: eta * w.square().sum() / (g.square().sum() + decay * w.square().sum())),
                "these are squared lengths: take the root of each sum.",
            ),
            (each(lambda w, g, decay, eta: w.norm() / (g.norm() + decay * w.norm())), "eta does not enter."),
            (
                each(lambda w, g, decay, eta: eta * w.abs().sum() / (g.abs().sum() + decay * w.abs().sum())),
                "these are sums of absolute values: take the lengths.",
            ),
        ],
        "this is not eta |w| / (|g| + decay |w|).",
    )
    for weight, gradient, what in ((0 * w, g, "w"), (w, 0 * g, "g"), (0 * w, 0 * g, "w and g")):
        answer = student(weight, gradient, 0.3, 0.02)
        if isinstance(answer, (float, int, Tensor, np.generic)) and not bool(torch.as_tensor(answer).isfinite().all()):
            raise Wrong(f"where {what} is 0 it gives no number: return 1, so that the layer takes its usual step.")
        if abs(float(numbers(answer, (), "the ratio, one number")) - 1) > 1e-6:
            raise Wrong(f"where {what} is 0 the ratio is 1, so that the layer takes its usual step.")


# What a cure adds

SEVERAL = 0.95  # of the intervals contain the mean


def gain(
    cure: Mapping[int, float],
    rival: Mapping[int, float],
    *,
    ddof: int = 1,
    power: float = 0.5,
    normal: bool = False,
    sign: int = 1,
    paired: bool = True,
) -> tuple[float, float, float]:
    """(mean, low, high) of the points that a cure adds to a rival, over the seeds of both."""
    both = [seed for seed in cure if seed in rival]
    a, b = ([one[seed] for seed in both] for one in (cure, rival))
    d, count = sign * np.subtract(a, b), len(both)
    if count < 2:
        return float(d.mean()), -math.inf, math.inf
    ends = (
        mean_interval(d, SEVERAL, ddof, power, freedom=math.inf if normal else 0)
        if paired
        else unpaired(a, b, SEVERAL, 2 * count - 2)
    )
    return float(d.mean()), *ends


def fair(cure: Mapping, rivals: Mapping[int, Mapping], steps: int, per_step: int, **change: Any) -> tuple:
    """`gain` over the rival that has paid as many gradients."""
    return gain(cure, rivals[steps * per_step], **change)


TRIPLE = "the mean, the lower and the upper end, three numbers"


def outcomes(seed: int, seeds: Sequence[int]) -> tuple[dict[int, float], dict[int, dict[int, float]]]:
    """Made-up accuracies of a cure, and of rivals with 30, 60 and 90 gradients, in another order of the seeds."""
    draws = normals(5, 40, seed=seed).double()
    cure = {one: float(56 + 2 * draws[0, one] + draws[1, one]) for one in seeds}
    rivals = {
        paid: {one: float(50 + paid / 20 + 2 * draws[0, one] + draws[k, one]) for one in reversed([*seeds, 39])}
        for k, paid in enumerate((30, 60, 90), 2)
    }
    return cure, rivals


@check
def compare(student: Student) -> None:
    """compare(cure, rivals, steps, per_step): (mean, low, high) of what a cure adds for equally many gradients."""
    problems = [(*outcomes(61, (0, 1, 2, 3)), 30, 2), (*outcomes(62, (7, 2, 5, 9, 4)), 30, 3)]
    problems.append((*outcomes(63, (3, 1, 0)), 30, 1))
    answers = [
        student(dict(cure), {paid: dict(one) for paid, one in rivals.items()}, *rest)
        for cure, rivals, *rest in problems
    ]
    if any(isinstance(one, float) for one in answers):
        numbers(answers[0], (), "one number")
        raise Wrong(f"it returns one number: return {TRIPLE}.")
    found = torch.cat([numbers(one, (3,), TRIPLE) for one in answers])

    def each(law: Callable[..., Sequence[float]]) -> Tensor:
        return torch.tensor([float(one) for problem in problems for one in law(*problem)], dtype=torch.float64)

    def changed(**change: Any) -> Tensor:
        return each(lambda *problem: fair(*problem, **change))

    def half_widths(*problem: Any) -> tuple:
        mean, _, high = fair(*problem)
        return mean, high - mean, high - mean

    def in_order(cure: Mapping, rivals: Mapping[int, Mapping], steps: int, per_step: int) -> tuple:
        rival = list(rivals[steps * per_step].values())[: len(cure)]
        return gain(dict(enumerate(cure.values())), dict(enumerate(rival)))

    def sorted_order(cure: Mapping, rivals: Mapping[int, Mapping], steps: int, per_step: int) -> tuple:
        rival = rivals[steps * per_step]
        return gain(dict(enumerate(cure.values())), dict(enumerate(rival[seed] for seed in sorted(rival))))

    pairs = "the pairs are of different seeds: take both accuracies of one seed, wherever it stands."
    match(
        found,
        changed(),
        [
            (
                each(lambda cure, rivals, steps, per_step: gain(cure, rivals[steps])),
                "a step of the cure costs several gradients: its rival has paid steps * per_step.",
            ),
            (
                each(lambda cure, rivals, steps, per_step: gain(cure, rivals[max(rivals)])),
                "you took the rival that has paid most: take the one that has paid steps * per_step.",
            ),
            (each(in_order), pairs),
            (each(sorted_order), pairs),
            (
                changed(paired=False),
                "the pairs are lost: subtract seed by seed, and take the spread of the differences.",
            ),
            (
                changed(normal=True),
                "1.96 is right for very many seeds: for a few, take Student's t with n - 1 degrees.",
            ),
            (changed(ddof=0), "divide the squares by n - 1 (ddof=1)."),
            (changed(power=0), "this is the spread of one difference: the mean of n is sqrt(n) times surer."),
            (changed(power=1), "you divided by n: a standard error is s / sqrt(n)."),
            (changed(sign=-1), "the sign is the other way round: it is the cure minus its rival."),
            (each(lambda *problem: fair(*problem)[1:] + fair(*problem)[:1]), "the order is another: first the mean."),
            (
                each(lambda *problem: fair(*problem)[::2] + fair(*problem)[1:2]),
                "the ends are exchanged: first the lower one.",
            ),
            (each(half_widths), "these are half widths: return the two ends, mean - width and mean + width."),
        ],
        "this is not the mean, over the seeds of both, of the cure minus its rival, and the interval of that mean.",
    )
    alone = student({4: 56.0}, {30: {4: 51.0}, 60: {4: 53.0}}, 30, 2)
    refuse_bad_end(alone, 3.0)


def refuse_bad_end(answer: object, mean: float) -> None:
    """A hint where one seed is given an interval: the ends are infinite, or nan."""
    if not isinstance(answer, (list, tuple, Tensor, np.ndarray)) or len(answer) != 3:
        raise Wrong(f"with one seed it does not return {TRIPLE}.")
    first, low, high = (float(one) for one in answer)
    if math.isfinite(low) or math.isfinite(high):
        raise Wrong("one seed has no interval: return -inf and inf as its ends.")
    if abs(first - mean) > 1e-6:
        raise Wrong("with one seed the mean is the difference of that seed.")


# The race

PUBLIC = 2017  # the seed of what the check shows
EQUAL = 1.0  # points within which a recipe counts as being as good as the strongest of the three


def score(recipe: Student, seed: int) -> float:
    """The mean test accuracy of a recipe over the draws of a seed."""
    return float(np.mean([lap(recipe, seed, number)[0] for number in range(DRAWS)]))


@functools.lru_cache(maxsize=1)
def once(recipe: Student, seed: int) -> float:
    """The `score`, which several hidden tests ask for, computed once for each student."""
    return score(recipe, seed)


@functools.lru_cache(maxsize=4)
def levels(seed: int) -> dict[str, float]:
    """The mean accuracy of each of the marker's recipes on the draws of a seed."""
    return {name: score(recipe, seed) for name, recipe in rivals().items()}


@check
def race(student: Student) -> str | None:
    """recipe(f, x, seed): the last point of training with 60 gradients on batches of 1,000 rows."""
    field = Race(*signals(PUBLIC)[0])
    start = start_of(field, 0)
    end = end_of(student, field, start, 0)
    mine, plain = accuracy(field, end), lap(marker(RATE), PUBLIC)[0]
    if mine < plain:
        raise Wrong(f"it reaches {mine:.1f} % on the public problem, and plain descent {plain:.1f} %: beat that first.")
    seen = {row for rows in field._asked for row in rows}
    if len(seen) < 0.9 * field.rows:
        return f"It has seen {len(seen):,} of the {field.rows:,} rows: draw from all."
    if len(field._asked) < field.gradients:
        return f"It has used {len(field._asked)} of {field.gradients} gradients."
    return None


# The part for a GPU


@check
def fair_gain(student: Student) -> None:
    """fair_gain(recorded): the line that the GPU cell printed; or, from a recorded run, (mean, low, high) of what SAM
    adds to the large batch that was trained for as many gradients."""
    recorded = made_up(64)
    answer = student(copy.deepcopy(recorded))
    if isinstance(answer, str):
        race_line(answer)
        return
    if isinstance(answer, float):
        raise Wrong(f"it returns one number: return {TRIPLE}, or the line that the cell printed.")

    def against(rival: str, cure: str = "test cure", **change: Any) -> Tensor:
        a, b = recorded[cure], recorded[rival]
        return torch.tensor(gain(dict(enumerate(a)), dict(enumerate(b)), **change)).double()

    best = dict(enumerate(max(row) for row in recorded["cure_test"]))
    longer = dict(enumerate(recorded["test LB long"]))
    right = against("test LB long")
    match(
        numbers(answer, (3,), f"{TRIPLE}, or the line that the cell printed, in quotation marks"),
        right,
        [
            (against("test LB"), "the rival has paid half as many gradients: a step of SAM costs two. Take LB long."),
            (against("test SB"), "the rival is the small batch: take the large one with as many gradients, LB long."),
            (
                torch.tensor(gain(best, longer)).double(),
                "this is SAM at the dose that is best on the test set: take the one chosen on validation, test cure.",
            ),
            (against("test LB long", sign=-1), "the sign is the other way round: it is SAM minus its rival."),
            (against("test LB long", paired=False), "the pairs are lost: subtract seed by seed."),
        ],
        "this is not your compare of test cure with test LB long.",
    )


def made_up(seed: int) -> dict[str, list]:
    """A table like the recorded one of SAM, with made-up numbers."""
    draws = normals(12, 5, seed=seed).double()
    columns = {
        f"test {name}": (50 + k + 2 * draws[0] + draws[k + 1]).tolist()
        for k, name in enumerate(("LB", "LB long", "cure", "SB"))
    }
    return {
        "dose": [[0.05, 0.2, 0.5, 1.0]] * 5,
        "cure_test": (52 + draws[5:9].T).tolist(),
        "cure_1e-3": draws[5:9].T.exp().tolist(),
        **columns,
        **{f"{name} 1e-3": draws[k].exp().tolist() for k, name in enumerate(("cure", "SB", "LB", "LB long"), 5)},
        "cure dose": [0.5] * 5,
    }


def race_line(text: str) -> dict:
    """The numbers in the line that the GPU cell printed; a hint where it is no such line."""

    def read(found: dict) -> dict:
        lists = {name: [float(one) for one in found[name]] for name in ("plain", "mine", "gain")}
        return {**lists, "seconds": float(found["seconds"]), "gradients": int(found["gradients"])}

    found = printed(text, read)
    if {len(found[name]) for name in ("plain", "mine", "gain")} != {3}:
        raise Wrong("the line should have three seeds: run the cell to its end.")
    right = gain(dict(enumerate(found["mine"])), dict(enumerate(found["plain"])))
    if not np.allclose(found["gain"], right, rtol=1e-3, atol=1e-3):
        raise Wrong("the interval in the line is not that of its accuracies: write compare, and run the cell again.")
    return found
