"""What Lab 1 asks of a student's functions."""

import functools

import numpy as np
import torch

from flatlab.checks.answer import Hill, Wrong, check, match, normals, numbers, unchanged


@check
def gap(student):
    """gap(data, small, large, seeds, epochs): test accuracy of the small batch minus the large one's, in percent, a seed each."""
    from flatlab.data import Data, Split
    from flatlab.training.train import train

    x, y = normals(160, 8, seed=1), torch.arange(160) % 3
    x = x + 0.6 * torch.nn.functional.one_hot(y, 8)
    data = Data("blobs", 3, Split(x[:64], y[:64]), Split(x[64:], y[64:]))
    arguments = {"small": 4, "large": 32, "seeds": [3, 4], "epochs": 4}
    answer = numbers(student(data, **arguments), (2,), "a list with one gap a seed")

    @functools.cache
    def history(m, seed):
        return train("mlp", data, batch_size=m, epochs=4, seed=seed, progress=False).history

    def difference(column, pick=lambda values: values[-1], seeds=(3, 4)):
        return torch.tensor([pick(history(4, seed)[column]) - pick(history(32, seed)[column]) for seed in seeds])

    right = difference("test_accuracy")
    match(
        answer,
        right,
        [
            (-right, "the sign is the other way round: the gap is small batch minus large batch."),
            (right / 100, "accuracies are in percent here, 0 to 100: do not divide by 100."),
            (
                difference("test_accuracy", max),
                "you took the best epoch, chosen by looking at the test set: take the last epoch.",
            ),
            (difference("train_accuracy"), "this is the gap in training accuracy: the test set decides."),
            (difference("test_loss"), "this is the difference in test loss: take the accuracy."),
            (
                difference("test_accuracy", seeds=(0, 0)),
                "every seed gives the same gap: pass the seed on to flatlab.train.",
            ),
        ],
        "the gaps are wrong: check that small, large, epochs and each seed all reach flatlab.train.",
    )


@check
def noise(student):
    """gradient_noise(batch_gradient, count, m, samples, seed): the root mean square of |g_m - G| over batches of m drawn without replacement."""
    for n in (1, 5):
        table, batches = normals(60, n, seed=n) + 1, []

        def batch_gradient(rows):
            rows = torch.as_tensor(rows).flatten()
            batches.append(rows)
            return table[rows].mean(0)

        answer = numbers(student(batch_gradient, 60, 12, 40, 7), (), "one number")
        drawn = [rows for rows in batches if len(rows) != 60]
        if len(drawn) != 40 or any(len(rows) != 12 for rows in drawn):
            raise Wrong(
                f"asked for 40 batches of 12 examples out of 60, it drew {len(drawn)}, of sizes "
                f"{sorted({len(rows) for rows in batches})}."
            )
        if any(len(rows.unique()) < 12 for rows in drawn):
            raise Wrong("a batch holds an example twice: draw without replacement.")
        if len({tuple(rows.tolist()) for rows in drawn}) == 1:
            raise Wrong("all batches are the same: seed the generator once, before the loop.")
        sampled = torch.stack([table[rows].mean(0) for rows in drawn])
        away = (sampled - table.mean(0)).norm(dim=1)
        right = away.square().mean().sqrt()
        match(
            answer,
            right,
            [
                (right.square(), "this is the mean square, which falls as 1/m: the root is missing."),
                (
                    right / n**0.5,
                    "this is the noise of one coordinate: add up the squares over all coordinates, do not average them.",
                ),
                (away.mean(), "this is the mean distance: square the distances, average, then take the root."),
                (
                    sampled.norm(dim=1).square().mean().sqrt(),
                    (
                        "this is the length of the batch gradients: measure their distance "
                        "from the gradient over all examples."
                    ),
                ),
                (
                    (sampled - sampled.mean(0)).norm(dim=1).square().mean().sqrt(),
                    "you measured from the mean of your own batches: measure from the gradient over all examples.",
                ),
            ],
            "the batches are right, the number made from them is not: root of the mean of the squared distances.",
        )


@check
def slope(student):
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
        ],
        "this is not the least-squares slope of log noise against log m.",
    )


@check
def box(student):
    """box_radius(x, eps): eps (|x_i| + 1), shape (n,). Keskar et al. 2017, equation (3)."""
    x, eps = normals(12, seed=2), 0.01
    before = x.clone()
    answer = student(x, eps)
    unchanged(x, before)
    answer = numbers(answer, (12,), "one radius for each parameter")
    match(
        answer,
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
def phi(student):
    """phi(f, x, radius, steps): 100 (max f(x + y) - f(x)) / (1 + f(x)) over |y_i| <= radius_i. Keskar et al. 2017, equation (4)."""
    x = normals(6, seed=3).sign() * (1 + normals(6, seed=4).abs())
    radius, a = 0.1 * (x.abs() + 1), 0.02 * (1 + normals(6, seed=5).abs())
    bowl = Hill(a, 0 * x, 0.5, 1)  # its maximum over the box is at a corner: 1/2 sum a_i (|x_i| + r_i)^2
    dome = Hill(200 * a, x + 0.33 * radius, 5.0, -1)  # its maximum is inside the box: an ascent steps over it
    for f, steps in ((bowl, 20), (dome, 20), (dome, 21)):
        before, f.points[:] = x.clone(), []
        answer = numbers(student(f, x, radius, steps), (), "one number")
        unchanged(x, before)
        base, seen = f.at(x), [f.at(y) for y in f.points]
        if not seen:
            raise Wrong("it never evaluates f: climb with f.gradient(y), which returns the value and the gradient.")
        if any(((y - x).abs() > radius * (1 + 1e-4) + 1e-6).any() for y in f.points):
            raise Wrong("it leaves the box: after every step, clamp y between x - radius and x + radius.")
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
    top = float(0.5 + 0.5 * (a * (x.abs() + radius).square()).sum())
    bowl.points.clear()
    if float(student(bowl, x, radius, 20)) < 99 * (top - bowl.at(x)) / (1 + bowl.at(x)):
        raise Wrong(
            "it stays short of the largest value: each step moves every coordinate by a share of its own radius, "
            "in the direction of the gradient's sign."
        )


@check
def line(student):
    """line_loss(f, a, b, alphas): f((1 - alpha) a + alpha b) for each alpha."""
    a, b = normals(5, seed=6), normals(5, seed=7)
    f, alphas = Hill(1 + normals(5, seed=8).abs(), normals(5, seed=9), 0.1, 1), [-1.0, -0.5, 0.0, 0.25, 0.5, 1.0, 2.0]
    before = a.clone()
    answer = student(f, a, b, alphas)
    unchanged(a, before)

    def along(point):
        return torch.tensor([f.at(point(alpha)) for alpha in alphas])

    match(
        numbers(answer, (7,), "one loss for each alpha"),
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


@check
def barrier(student):
    """barrier(alphas, loss): the largest rise above the chord between alpha = 0 and alpha = 1."""
    alphas, loss = [-1.0, -0.5, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0], [9.0, 4.0, 1.0, 2.4, 2.1, 2.9, 2.5, 5.0, 8.0]
    inside = list(zip(alphas, loss))[2:7]
    answer = numbers(student(alphas, loss), (), "one number")
    rise = [value - (1 + 1.5 * alpha) for alpha, value in zip(alphas, loss)]
    match(
        answer,
        max(rise[2:7]),
        [
            (max(rise), "the barrier lies between the points: leave out alpha below 0 and above 1."),
            (
                max(value for _, value in inside),
                "this is the largest loss: the barrier is how far it rises above the chord.",
            ),
            (max(loss), "this is the largest loss of all: take alpha from 0 to 1, and the height above the chord."),
            (
                max(value for _, value in inside) - 1.0,
                "you subtracted the loss at a: subtract the chord, a line from f(a) to f(b).",
            ),
            (
                max(value for _, value in inside) - 2.5,
                "you subtracted the higher end: subtract the chord at the same alpha.",
            ),
            (
                max(v - (2.5 - 1.5 * t) for t, v in inside),
                "your chord runs from f(b) to f(a): at alpha = 0 it is f(a).",
            ),
        ],
        "this is not the largest height above the chord.",
    )


@check
def subspace(student):
    """subspace_radius(x, A, eps): eps (|(A^+ x)_i| + 1), shape (p,). Keskar et al. 2017, equation (3)."""
    x, a, eps = normals(8, seed=10), 2 * torch.linalg.qr(normals(8, 3, seed=11))[0], 0.01
    before = x.clone()
    answer = student(x, a, eps)
    unchanged(x, before)
    z = a.T @ x / 4  # the columns are orthogonal and of length 2, so A+ = A^T / 4
    match(
        numbers(answer, (3,), "one radius for each of the p directions"),
        eps * (z.abs() + 1),
        [
            (
                eps * ((a.T @ x).abs() + 1),
                "A^T x is not A+ x: the columns of A do not have length 1. Use a pseudo-inverse or least squares.",
            ),
            (eps * z.abs(), "the + 1 is missing."),
            (eps * (z + 1), "the coordinate enters by its size, |(A+ x)_i|: a radius is never negative."),
        ],
        "these are not the radii of equation (3) with A.",
    )
