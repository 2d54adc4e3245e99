"""What Lab 1 asks of a student's functions."""

import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator

import numpy as np
import torch

from flatlab.checks.answer import Hill, Student, Wrong, check, match, normals, numbers, reused, unchanged


@check
def gap(student: Student) -> None:
    """gap(data, small, large, seeds, epochs): test accuracy of the small batch minus the large one's, in percent, for
    each seed."""
    from flatlab.data import Data, Split
    from flatlab.training.train import train

    x, y = normals(160, 8, seed=1), torch.arange(160) % 3
    x = x + 0.6 * torch.nn.functional.one_hot(y, 8)
    data = Data("blobs", 3, Split(x[:64], y[:64]), Split(x[64:], y[64:]))
    seeds = (33, 4)  # the gap of one is above 0, that of the other below
    with watched_training(4) as asked:
        answer = numbers(
            student(data, small=4, large=32, seeds=list(seeds), epochs=4), (2,), "a list with one gap for each seed"
        )
    for name, wanted in (("batch_size", {4, 32}), ("seed", set(seeds))):
        if asked and (lacking := wanted - {getattr(run, name) for run in asked}):
            values = " and ".join(str(value) for value in sorted(lacking))
            raise Wrong(f"flatlab.train was never asked for {name}={values}: pass {name} on to it.")

    @functools.cache
    def history(m: int, seed: int) -> dict:
        return train("mlp", data, batch_size=m, epochs=4, seed=seed, progress=False).history

    def ends(m: int, column: str, pick: Callable = lambda values: values[-1], seeds: tuple = seeds) -> torch.Tensor:
        return torch.tensor([float(pick(history(m, seed)[column])) for seed in seeds])

    def difference(column: str, *options, **more) -> torch.Tensor:
        return ends(4, column, *options, **more) - ends(32, column, *options, **more)

    right = difference("test_accuracy")
    inside = [ends(m, "train_accuracy") - ends(m, "test_accuracy") for m in (4, 32)]
    match(
        answer,
        right,
        [
            (-right, "the sign is the other way round: the gap is small batch minus large batch."),
            (right.abs(), "a gap can be negative, where the large batch wins: leave its sign."),
            (right / 100, "accuracies are in percent here, 0 to 100: do not divide by 100."),
            (right.round(), "you rounded the gaps: return them as they are."),
            (
                difference("test_accuracy", max),
                "you took the best epoch, chosen by looking at the test set: take the last epoch.",
            ),
            (
                difference("test_accuracy", lambda values: values[0]),
                "this is the gap after the first epoch: take the last.",
            ),
            (difference("train_accuracy"), "this is the gap in training accuracy: the test set decides."),
            (difference("test_loss"), "this is the difference in test loss: take the accuracy."),
            (
                difference("test_accuracy", seeds=(0, 0)),
                "every seed gives the same gap: pass seed on to flatlab.train.",
            ),
            *((gaps, "that is train minus test for one batch size; here it is small minus large.") for gaps in inside),
            *((-gaps, "that is test minus train for one batch size; here it is small minus large.") for gaps in inside),
            (right.flip(0), "the gaps are those of the other seed: keep the order of the seeds."),
            (right.mean(), "you returned the mean over the seeds: return one gap for each seed."),
        ],
        "the gaps are wrong: check that small, large, epochs and each seed all reach flatlab.train.",
    )


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a student's function asked of flatlab.train."""

    batch_size: float
    seed: int


@contextlib.contextmanager
def watched_training(epochs: int) -> Iterator[list[Asked]]:
    """Note what is asked of flatlab.train, and stop at once where the epochs did not arrive: 100 would take a silent
    minute."""
    import flatlab
    from flatlab.training.train import Recipe

    asked: list[Asked] = []
    train = flatlab.train

    @functools.wraps(train)
    def watched(net, data, recipe=None, *arguments, seed=0, **options):
        fields = {field.name for field in dataclasses.fields(Recipe)}
        wanted = dataclasses.replace(recipe or Recipe(), **{name: options[name] for name in fields & set(options)})
        if wanted.epochs != epochs:
            raise Wrong(f"it trains for {wanted.epochs} epochs instead of {epochs}: pass epochs on to flatlab.train.")
        asked.append(Asked(wanted.batch_size, seed))
        return train(net, data, recipe, *arguments, seed=seed, **options)

    flatlab.train = watched
    try:
        yield asked
    finally:
        flatlab.train = train


@check
def noise(student: Student) -> None:
    """gradient_noise(batch_gradient, count, m, samples, seed): the root mean square of `|g_m - G|`, batches drawn
    without replacement."""
    for n in (1, 5):
        table = normals(60, n, seed=n) + 1
        calls: list[torch.Tensor] = []
        given: list[object] = []

        def batch_gradient(rows, table=table, calls=calls, given=given):
            given.append(rows)
            rows = torch.as_tensor(rows).flatten().cpu()
            calls.append(rows)
            return table[rows].mean(0)

        answer = numbers(student(batch_gradient, 60, 12, 40, 7), (), "one number")
        drawn = without_the_full_gradient(calls, 60)
        spread = (table - table.mean(0)).square().sum(1).mean()
        if (
            not drawn and calls
        ):  # each example's gradient once, and the batches made from them: only the law of it is known
            law = (spread / 12 * 48 / 59).sqrt()
            if not 0.6 < answer / law < 1.6:
                raise Wrong(
                    "it is far from the noise that 40 batches of 12 have: look at how the mean over a batch is made."
                )
            continue
        refuse_bad_batches(drawn, 60, 12, 40, again=reused(given[-40:]))
        sampled = torch.stack([table[rows].mean(0) for rows in drawn])
        away = (sampled - table.mean(0)).norm(dim=1)
        right = away.square().mean().sqrt()
        from_own_mean = (sampled - sampled.mean(0)).norm(dim=1)
        match(
            answer,
            right,
            [
                (right.square(), "this is the mean square, which falls as 1/m: the root is missing."),
                (
                    right / n**0.5,
                    (
                        "this is the noise of one coordinate: add up the squares over all coordinates, do not average "
                        "them."
                    ),
                ),
                (away.mean(), "this is the mean distance: square the distances, average, then take the root."),
                (
                    away.square().sum().sqrt(),
                    "this is the root of the sum: divide by the number of batches before the root.",
                ),
                (
                    sampled.norm(dim=1).square().mean().sqrt(),
                    (
                        "this is the length of the batch gradients: measure their distance from the gradient over all "
                        "examples."
                    ),
                ),
                (
                    from_own_mean.square().mean().sqrt(),
                    "you measured from the mean of your own batches: measure from the gradient over all examples.",
                ),
            ],
            "the batches are right, the number made from them is not: root of the mean of the squared distances.",
        )


def without_the_full_gradient(calls: list[torch.Tensor], count: int) -> list[torch.Tensor]:
    """The batches among the calls: without those that, one after another, go through all examples in their order."""
    drawn, position = [], 0
    while position < len(calls):
        rows, end = calls[position], position + 1
        while len(rows) < count and end < len(calls) and torch.equal(rows, torch.arange(len(rows))):
            rows, end = torch.cat([rows, calls[end]]), end + 1
        if torch.equal(rows.sort().values, torch.arange(count)):
            position = end
        else:
            drawn.append(calls[position])
            position += 1
    return drawn


def refuse_bad_batches(drawn: list[torch.Tensor], count: int, m: int, samples: int, again: bool) -> None:
    """A hint if these are not so many batches of m different examples, each drawn from all of them; `again` where one
    batch was made and used again."""
    if len(drawn) != samples or any(len(rows) != m for rows in drawn):
        sizes = sorted({len(rows) for rows in drawn})
        raise Wrong(
            f"asked for {samples} batches of {m} examples out of {count}, it drew {len(drawn)}, of sizes {sizes}."
        )
    if any(len(rows.unique()) < m for rows in drawn):
        raise Wrong("a batch holds an example twice: draw without replacement.")
    if len({tuple(rows.tolist()) for rows in drawn}) == 1:
        if torch.equal(drawn[0].sort().values, torch.arange(m)):
            raise Wrong(f"every batch holds the examples 0 to {m - 1}: draw them at random.")
        if again:
            raise Wrong("one batch is used again and again: draw another one in each turn of the loop.")
        raise Wrong("all batches are the same: seed the generator once, before the loop.")
    seen = len(torch.cat(drawn).unique())
    if seen < 0.9 * count:
        raise Wrong(f"only {seen} of the {count} examples are ever drawn: draw from all of them.")
    pairs = {pair for rows in drawn for pair in itertools.combinations(sorted(rows.tolist()), 2)}
    if len(pairs) < 1000:  # of 1770; batches drawn at random make 1370, neighbours 660 at most
        apart = torch.cat([rows.sort().values.diff() for rows in drawn])
        usual = int(apart.mode().values)
        if (apart == usual).double().mean() < 0.8:
            raise Wrong("the same examples come together again and again: mix the numbers of all examples each time.")
        if usual == 1:
            raise Wrong("the examples of a batch are neighbours: draw each of them at random.")
        raise Wrong(f"the examples of a batch stand {usual} apart: draw each of them at random.")


@check
def slope(student: Student) -> None:
    """slope(batches, noise): the least-squares slope of log(noise) against log(batches)."""
    m, rms = [2, 4, 8, 32, 128], [2.0, 1.5, 0.9, 0.55, 0.2]
    answer = numbers(student(m, rms), (), "one number")
    a, b = np.log(m), np.log(rms)

    def fit(x, y):
        return np.polyfit(x, y, 1)[0]

    match(
        answer,
        fit(a, b),
        [
            (fit(m, rms), "you fitted the numbers themselves: a power law is a straight line between the logarithms."),
            (fit(m, b), "you took the logarithm of the noise only: take that of m too."),
            (fit(a, rms), "you took the logarithm of m only: take that of the noise too."),
            (fit(b, a), "the axes are swapped: the noise is a function of m."),
            (2 * fit(a, b), "you fitted against sqrt(m): fit against m, and let the slope tell you the power."),
            ((b[-1] - b[0]) / (a[-1] - a[0]), "this uses the two ends only: fit all points by least squares."),
            (-fit(a, b), "the sign is the other way round: the noise falls as m grows."),
            (np.polyfit(a, b, 1)[1], "this is the intercept: the slope is polyfit's first number."),
        ],
        "this is not the least-squares slope of log noise against log m.",
    )


@check
def box(student: Student) -> None:
    """box_radius(x, eps): `eps (|x_i| + 1)`, shape (n,). Keskar et al. 2017, equation (3)."""
    x, eps = normals(12, seed=2), 0.01
    before = x.clone()
    answer = student(x, eps)
    unchanged("x", x, before)
    match(
        numbers(answer, (12,), "one radius for each parameter"),
        eps * (x.abs() + 1),
        [
            (eps * x.abs(), "the + 1 is missing: a parameter that is zero must be free to move too."),
            (eps * (x + 1), "you used x_i where the formula has |x_i|: a radius is never negative."),
            (eps * x.abs() + 1, "eps multiplies the whole bracket, the 1 included."),
            (x.abs() + 1, "eps is missing."),
            (torch.full_like(x, eps), "the radius is relative: it grows with |x_i|."),
        ],
        "these are not the radii of equation (3).",
    )


@check
def phi(student: Student) -> None:
    """phi(f, x, radius, steps): `100 (max f(x + y) - f(x)) / (1 + f(x))` over `|y_i| <= radius_i`. Keskar et al. 2017,
    equation (4)."""
    x = normals(6, seed=3).sign() * (1 + normals(6, seed=4).abs())
    radius, a = 0.1 * (x.abs() + 1), 0.02 * (1 + normals(6, seed=5).abs())
    bowl = Hill(a, 0 * x, 0.5, 1)  # its maximum over the box is at a corner: 1/2 sum a_i (|x_i| + r_i)^2
    dome = Hill(200 * a, x + 0.33 * radius, 5.0, -1)  # its maximum is inside the box: an ascent steps over it
    for f, steps in ((bowl, 20), (dome, 20), (dome, 21)):
        answer = climbed(student, f, x, radius, steps)
        base, seen = f.at(x), [f.at(y) for y in f.points]
        if f is dome and len(seen) < steps:
            raise Wrong(f"asked for {steps} steps, it evaluates f {len(seen)} times: once for each step, or more.")
        if f is bowl and max(seen) <= base * (1 + 1e-6):
            raise Wrong(
                "it never finds a value above f(x): this goes down, or stays. Sharpness looks for the largest value."
            )
        best = max(seen + [base])
        match(
            answer,
            100 * (best - base) / (1 + base),
            [
                ((best - base) / (1 + base), "phi is in percent: the factor 100 is missing."),
                (100 * (best - base) / base, "you divided by f(x): Metric 2.1 divides by 1 + f(x)."),
                (100 * (best - base), "the division by 1 + f(x) is missing."),
                (100 * (best - base) / (1 + best), "you divided by one plus the peak: Metric 2.1 divides by 1 + f(x)."),
                (100 * best / (1 + base), "f(x) is not subtracted: sharpness is how far the loss rises."),
                (
                    100 * (seen[-1] - base) / (1 + base),
                    "you returned the last value: an ascent can step over the top, so keep the best value seen.",
                ),
            ],
            "the climb is right, phi made from it is not: look at Metric 2.1, and keep the best value seen.",
        )
    # In a bowl a thousand times as steep in one direction as in another, only steps by the sign go as fast in both.
    uneven = Hill(0.02 * torch.logspace(-2, 1, 6), 0 * x, 0.5, 1)
    climbed(student, uneven, x, radius, 3)
    moved = [y for y in first_visits(uneven.points) if not torch.equal(y, x)]
    move = moved[0] - x if moved else 0 * x
    shares = (move / radius).abs()
    if shares.max() - shares.min() > 1e-3 * shares.max():
        slope = uneven.curvature * x
        if any(torch.cosine_similarity(one, slope, dim=0) > 0.999 for one in (move, move / radius)):
            raise Wrong(
                "a coordinate with a larger gradient moves farther: take the gradient's sign, so that each moves by "
                "the same share of its own radius."
            )
        if move.abs().max() - move.abs().min() < 1e-3 * move.abs().max():
            raise Wrong("all coordinates move equally far: move each by a share of its own radius.")
        raise Wrong(
            "each step moves every coordinate by the same share of its own radius, in the direction of the "
            "gradient's sign."
        )
    at_corner = any(torch.allclose((y - x).abs(), radius, rtol=1e-3) for y in moved)
    if len(moved) > 3 or (len(moved) < 3 and not at_corner):
        raise Wrong(
            f"asked for 3 steps, it evaluates f at {len(moved)} new points: one for each step, the last one included."
        )
    top = float(uneven.height + 0.5 * (uneven.curvature * (x.abs() + radius).square()).sum())
    if float(climbed(student, uneven, x, radius, 20)) < 99 * (top - uneven.at(x)) / (1 + uneven.at(x)):
        raise Wrong(
            "it stays short of the largest value: each step moves every coordinate by a share of its own radius, "
            "in the direction of the gradient's sign, and the steps are as many as asked for."
        )


def climbed(student: Student, f: Hill, x: torch.Tensor, radius: torch.Tensor, steps: int) -> torch.Tensor:
    """What the student's function finds on a hill, once it is seen to have stayed in the box and left its arguments
    alone."""
    kept = {"x": (x, x.clone()), "radius": (radius, radius.clone())}
    f.points.clear()
    f.gradients = 0
    answer = numbers(student(f, x, radius, steps), (), "one number")
    for name, (now, before) in kept.items():
        unchanged(name, now, before)
    if not f.points:
        raise Wrong("it never evaluates f: climb with f.gradient(y), which returns the value and the gradient.")
    probes = " A point that you only probe leaves the box too: use f.gradient." if not f.gradients else ""
    if any(((y - x).abs() > radius * (1 + 1e-4) + 1e-6).any() for y in f.points):
        raise Wrong(f"it leaves the box: after every step, clamp y between x - radius and x + radius.{probes}")
    return answer


def first_visits(points: list[torch.Tensor]) -> list[torch.Tensor]:
    """The points without those that were evaluated before."""
    new: list[torch.Tensor] = []
    for y in points:
        if not any(torch.equal(y, other) for other in new):
            new.append(y)
    return new


@check
def line(student: Student) -> None:
    """line_loss(f, a, b, alphas): `f((1 - alpha) a + alpha b)` for each alpha."""
    a, b = normals(5, seed=6), normals(5, seed=7)
    f, alphas = Hill(1 + normals(5, seed=8).abs(), normals(5, seed=9), 0.1, 1), [-1.0, -0.5, 0.0, 0.25, 0.5, 1.0, 2.0]
    kept = {"a": (a, a.clone()), "b": (b, b.clone())}
    answer = numbers(student(f, a, b, list(alphas)), (7,), "one loss for each alpha")
    for name, (now, before) in kept.items():
        unchanged(name, now, before)

    def along(point: Callable[[float], torch.Tensor]) -> torch.Tensor:
        return torch.tensor([f.at(point(alpha)) for alpha in alphas])

    match(
        answer,
        along(lambda t: (1 - t) * a + t * b),
        [
            (along(lambda t: t * a + (1 - t) * b), "the line runs from b to a: alpha = 0 is a, alpha = 1 is b."),
            (
                along(lambda t: a + t * b),
                "b is a point, not a direction: at alpha = 1 you are at a + b instead of at b.",
            ),
            (along(lambda t: a + t * (a - b)), "the line leaves a in the opposite direction of b."),
        ],
        "these are not the losses at (1 - alpha) a + alpha b.",
    )


# (alphas, loss): the hill is next to b; it is next to a, which is the higher end; there is no hill, only a valley.
HILLS = (
    ([-1.0, -0.5, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0], [9.0, 4.0, 1.0, 2.1, 2.2, 3.5, 2.5, 5.0, 8.0]),
    ([-1.0, -0.5, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0], [9.0, 6.0, 2.6, 3.9, 2.7, 2.2, 1.2, 5.0, 7.0]),
    ([-0.5, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5], [3.0, 2.0, 1.1, 0.6, 0.8, 1.0, 1.7]),
)


@check
def barrier(student: Student) -> None:
    """barrier(alphas, loss): the largest rise above the chord between alpha = 0 and alpha = 1."""
    found = [numbers(student(list(alphas), list(loss)), (), "one number") for alphas, loss in HILLS]

    def each(height: Callable[[dict[float, float]], float]) -> list[float]:
        return [height(dict(zip(alphas, loss))) for alphas, loss in HILLS]

    def rises(at: dict[float, float], start: float = 0.0, end: float = 1.0) -> dict[float, float]:
        return {t: value - ((1 - t) * at[start] + t * at[end]) for t, value in at.items()}

    def inside(values: dict[float, float]) -> dict[float, float]:
        return {t: value for t, value in values.items() if 0 <= t <= 1}

    def strictly(values: dict[float, float]) -> dict[float, float]:
        return {t: value for t, value in values.items() if 0 < t < 1}

    def highest(at: dict[float, float]) -> float:
        return max(inside(at).values())

    match(
        torch.stack(found),
        each(lambda at: max(inside(rises(at)).values())),
        [
            (
                each(lambda at: max(rises(at).values())),
                "the barrier lies between the points: leave out alpha below 0 and above 1.",
            ),
            (each(highest), "this is the largest loss: the barrier is how far it rises above the chord."),
            (
                each(lambda at: max(at.values())),
                "this is the largest loss of all: take alpha from 0 to 1, and the height above the chord.",
            ),
            (
                each(lambda at: max(strictly(rises(at)).values())),
                "the two ends belong to the line: between two points in one valley the barrier is 0, not less.",
            ),
            (
                each(lambda at: max(map(abs, inside(rises(at)).values()))),
                "you took the largest distance from the chord: a valley below it is no barrier.",
            ),
            (
                each(lambda at: max(list(inside(rises(at)).values())[:-2])),
                "the last points before alpha = 1 are left out: look at every alpha from 0 to 1.",
            ),
            (
                each(lambda at: highest(at) - at[0.0]),
                "you subtracted the loss at a: subtract the chord, a line from f(a) to f(b).",
            ),
            (
                each(lambda at: highest(at) - at[1.0]),
                "you subtracted the loss at b: subtract the chord, a line from f(a) to f(b).",
            ),
            (
                each(lambda at: highest(at) - max(at[0.0], at[1.0])),
                "you subtracted the higher end: subtract the chord at the same alpha.",
            ),
            (
                each(lambda at: highest(at) - min(at[0.0], at[1.0])),
                "you subtracted the lower end: subtract the chord at the same alpha.",
            ),
            (
                each(lambda at: highest(at) - (at[0.0] + at[1.0]) / 2),
                "you subtracted the mean of the two ends: subtract the chord at the same alpha.",
            ),
            (
                each(lambda at: max(inside(rises(at, min(at), max(at))).values())),
                "your chord runs between the ends of the lists: its ends are alpha = 0 and alpha = 1.",
            ),
            (
                each(lambda at: max(v - (t * at[0.0] + (1 - t) * at[1.0]) for t, v in inside(at).items())),
                "your chord runs from f(b) to f(a): at alpha = 0 it is f(a).",
            ),
        ],
        "this is not the largest height above the chord.",
    )


@check
def subspace(student: Student) -> None:
    """subspace_radius(x, A, eps): `eps (|(A^+ x)_i| + 1)`, shape (p,). Keskar et al. 2017, equation (3)."""
    x, a, eps = normals(8, seed=10), normals(8, 3, seed=11) + 0.5, 0.01
    kept = {"x": (x, x.clone()), "A": (a, a.clone())}
    answer = numbers(student(x, a, eps), (3,), "one radius for each of the p directions")
    for name, (now, before) in kept.items():
        unchanged(name, now, before)
    z = torch.linalg.lstsq(a.double(), x.double()[:, None]).solution[:, 0]
    along = a.T @ x
    match(
        answer,
        eps * (z.abs() + 1),
        [
            (
                eps * (along.abs() + 1),
                "A^T x is not A+ x: the columns of A do not have length 1. Use a pseudo-inverse or least squares.",
            ),
            (
                eps * ((along / a.square().sum(0)).abs() + 1),
                (
                    "you took each column by itself, as if the columns of A were orthogonal: solve for all coordinates "
                    "together."
                ),
            ),
            (
                eps * ((along / a.norm(dim=0)).abs() + 1),
                "these are the lengths of x along each column: A+ x are the coordinates, found by least squares.",
            ),
            (
                eps * ((torch.linalg.qr(a)[0].T @ x).abs() + 1),
                "these are coordinates in an orthonormal basis of A's range: those in A's own columns are asked for.",
            ),
            (eps * z.abs(), "the + 1 is missing."),
            (eps * z.abs() + 1, "eps multiplies the whole bracket, the 1 included."),
            (eps * (z + 1), "the coordinate enters by its size, |(A+ x)_i|: a radius is never negative."),
        ],
        "these are not the radii of equation (3) with A.",
    )
