"""What a lab asks of a student's function: `checks.box(my_function)` answers "right", or with one hint about the mistake.

Each check runs the function on a small problem whose answer is known: from a closed form, or from what the function itself asked for,
which is recorded. A wrong answer is compared with what the common mistakes give, and the hint is the one of the mistake that fits.
The mark does not come from here: hidden tests, on other problems, decide it.
"""

import contextlib
import functools
import traceback

import numpy as np
import torch


class Verdict:
    """True if the function is right. Shows as one line of text."""

    def __init__(self, passed, text):
        self.passed, self.text = passed, text

    def __bool__(self):
        return self.passed

    def __repr__(self):
        return ("✓ " if self.passed else "✗ ") + self.text


class Wrong(Exception):
    """The hint that answers a wrong result."""


def check(examine):
    """Turn examine(student), which raises Wrong, into a check that returns a `Verdict` and never raises."""
    @functools.wraps(examine)
    def verdict(student):
        try:
            examine(student)
        except Exception as error:
            return Verdict(False, f"{examine.__name__}: {_sentence(error)}")
        return Verdict(True, f"{examine.__name__}: right on the public problem.")
    return verdict


@contextlib.contextmanager
def attempt():
    """Run an experiment that calls a student's function; where that stops, say so in one line instead of a traceback."""
    try:
        yield
    except Exception as error:
        print("✗", _sentence(error))


def _sentence(error):
    if isinstance(error, Wrong):
        return str(error)
    if isinstance(error, NotImplementedError):
        return "not written yet. Replace the line that raises NotImplementedError."
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "ipykernel" in frame.filename]
    where = f" in `{frames[-1].line}`, line {frames[-1].lineno} of its cell" if frames else ""
    first = str(error).strip().splitlines()[:1]
    return f"your code stopped{where}: {type(error).__name__}: {first[0] if first else 'no message'}."


def _numbers(answer, shape, meaning):
    """The answer as float64 numbers of a shape: floats, lists, arrays and tensors are all welcome."""
    if answer is None:
        raise Wrong("it returns nothing (None): end it with `return` and the result.")
    if isinstance(answer, (list, tuple)):
        answer = [float(value) for value in answer]
    answer = torch.as_tensor(answer).detach().cpu().double()
    if answer.numel() == int(np.prod(shape)) and (answer.dim() <= 1 or not shape):
        answer = answer.reshape(shape)
    if answer.shape != shape:
        raise Wrong(f"it returns shape {tuple(answer.shape)}, and should return {meaning}, shape {tuple(shape)}.")
    if not answer.isfinite().all():
        raise Wrong("it returns nan or infinity.")
    return answer


def _match(answer, right, mistakes, otherwise):
    """Nothing if the answer is right; else the hint of the first mistake that gives this answer."""
    def same(value):
        value = torch.as_tensor(value).double()
        return torch.allclose(answer, value, rtol=1e-3, atol=1e-6 * float(1e-9 + torch.as_tensor(right).double().abs().max()))
    if not same(right):
        raise Wrong(next((hint for value, hint in mistakes if same(value)), otherwise))


def _unchanged(tensor, before):
    if not torch.equal(tensor, before):
        raise Wrong("it changes its argument x in place, so the next experiment starts elsewhere: work on a copy.")


def _random(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Hill:
    """f(y) = height + sign/2 sum a_i (y_i - centre_i)^2, which writes down where it is evaluated."""

    def __init__(self, curvature, centre, height, sign):
        self.curvature, self.centre, self.height, self.sign, self.points = curvature, centre, height, sign, []

    def at(self, y):
        return float(self.height + self.sign * 0.5 * (self.curvature * (y - self.centre).square()).sum())

    def value(self, y):
        self.points.append(y.detach().clone())
        return self.at(y)

    def gradient(self, y):
        return self.value(y), self.sign * self.curvature * (y.detach() - self.centre)


@check
def gap(student):
    """gap(data, small, large, seeds, epochs): test accuracy of the small batch minus the large one's, in percent, a seed each."""
    from flatlab.data import Data, Split
    from flatlab.train import train
    x, y = _random(160, 8, seed=1), torch.arange(160) % 3
    x = x + 0.6 * torch.nn.functional.one_hot(y, 8)
    data = Data("blobs", 3, Split(x[:64], y[:64]), Split(x[64:], y[64:]))
    arguments = {"small": 4, "large": 32, "seeds": [3, 4], "epochs": 4}
    answer = _numbers(student(data, **arguments), (2,), "a list with one gap a seed")

    @functools.cache
    def history(m, seed):
        return train("mlp", data, batch_size=m, epochs=4, seed=seed, progress=False).history

    def difference(column, pick=lambda values: values[-1], seeds=(3, 4)):
        return torch.tensor([pick(history(4, seed)[column]) - pick(history(32, seed)[column]) for seed in seeds])
    right = difference("test_accuracy")
    _match(answer, right, [
        (-right, "the sign is the other way round: the gap is small batch minus large batch."),
        (right / 100, "accuracies are in percent here, 0 to 100: do not divide by 100."),
        (difference("test_accuracy", max), "you took the best epoch, chosen by looking at the test set: take the last epoch."),
        (difference("train_accuracy"), "this is the gap in training accuracy: the test set decides."),
        (difference("test_loss"), "this is the difference in test loss: take the accuracy."),
        (difference("test_accuracy", seeds=(0, 0)), "every seed gives the same gap: pass the seed on to flatlab.train."),
    ], "the gaps are wrong: check that small, large, epochs and each seed all reach flatlab.train.")


@check
def noise(student):
    """gradient_noise(batch_gradient, count, m, samples, seed): the root mean square of |g_m - G| over batches of m drawn without replacement."""
    for n in (1, 5):
        table, batches = _random(60, n, seed=n) + 1, []

        def batch_gradient(rows):
            rows = torch.as_tensor(rows).flatten()
            batches.append(rows)
            return table[rows].mean(0)
        answer = _numbers(student(batch_gradient, 60, 12, 40, 7), (), "one number")
        drawn = [rows for rows in batches if len(rows) != 60]
        if len(drawn) != 40 or any(len(rows) != 12 for rows in drawn):
            raise Wrong(f"asked for 40 batches of 12 examples out of 60, it drew {len(drawn)}, of sizes "
                        f"{sorted({len(rows) for rows in batches})}.")
        if any(len(rows.unique()) < 12 for rows in drawn):
            raise Wrong("a batch holds an example twice: draw without replacement.")
        if len({tuple(rows.tolist()) for rows in drawn}) == 1:
            raise Wrong("all batches are the same: seed the generator once, before the loop.")
        sampled = torch.stack([table[rows].mean(0) for rows in drawn])
        away = (sampled - table.mean(0)).norm(dim=1)
        right = away.square().mean().sqrt()
        _match(answer, right, [
            (right.square(), "this is the mean square, which falls as 1/m: the root is missing."),
            (right / n**0.5, "this is the noise of one coordinate: add up the squares over all coordinates, do not average them."),
            (away.mean(), "this is the mean distance: square the distances, average, then take the root."),
            (sampled.norm(dim=1).square().mean().sqrt(), "this is the length of the batch gradients: measure their distance "
                                                         "from the gradient over all examples."),
            ((sampled - sampled.mean(0)).norm(dim=1).square().mean().sqrt(),
             "you measured from the mean of your own batches: measure from the gradient over all examples."),
        ], "the batches are right, the number made from them is not: root of the mean of the squared distances.")


@check
def slope(student):
    """slope(batches, noise): the least-squares slope of log(noise) against log(batches)."""
    m, rms = [2, 4, 8, 32, 128], [2.0, 1.5, 0.9, 0.55, 0.2]
    answer = _numbers(student(m, rms), (), "one number")
    a, b = np.log(m), np.log(rms)

    def fit(x, y):
        return np.polyfit(x, y, 1)[0]
    _match(answer, fit(a, b), [
        (fit(m, rms), "you fitted the numbers themselves: a power law is a straight line between the logarithms."),
        (fit(m, b), "you took the logarithm of the noise only: take that of m too."),
        (fit(a, rms), "you took the logarithm of m only: take that of the noise too."),
        (fit(b, a), "the axes are swapped: the noise is a function of m."),
        (2 * fit(a, b), "you fitted against sqrt(m): fit against m, and let the slope tell you the power."),
        ((b[-1] - b[0]) / (a[-1] - a[0]), "this uses the two ends only: fit all points by least squares."),
        (-fit(a, b), "the sign is the other way round: the noise falls as m grows."),
    ], "this is not the least-squares slope of log noise against log m.")


@check
def box(student):
    """box_radius(x, eps): eps (|x_i| + 1), shape (n,). Keskar et al. 2017, equation (3)."""
    x, eps = _random(12, seed=2), 0.01
    before = x.clone()
    answer = student(x, eps)
    _unchanged(x, before)
    answer = _numbers(answer, (12,), "one radius for each parameter")
    _match(answer, eps * (x.abs() + 1), [
        (eps * x.abs(), "the + 1 is missing: a parameter that is zero must be free to move too."),
        (eps * (x + 1), "you used x_i where the formula has |x_i|: a radius is never negative."),
        (eps * x.abs() + 1, "eps multiplies the whole bracket, the 1 included."),
        (x.abs() + 1, "eps is missing."),
        (torch.full_like(x, eps), "the radius is relative: it grows with |x_i|."),
    ], "these are not the radii of equation (3).")


@check
def phi(student):
    """phi(f, x, radius, steps): 100 (max f(x + y) - f(x)) / (1 + f(x)) over |y_i| <= radius_i. Keskar et al. 2017, equation (4)."""
    x = _random(6, seed=3).sign() * (1 + _random(6, seed=4).abs())
    radius, a = 0.1 * (x.abs() + 1), 0.02 * (1 + _random(6, seed=5).abs())
    bowl = Hill(a, 0 * x, 0.5, 1)                  # its maximum over the box is at a corner: 1/2 sum a_i (|x_i| + r_i)^2
    dome = Hill(200 * a, x + 0.33 * radius, 5.0, -1)         # its maximum is inside the box: an ascent steps over it
    for f, steps in ((bowl, 20), (dome, 20), (dome, 21)):
        before, f.points[:] = x.clone(), []
        answer = _numbers(student(f, x, radius, steps), (), "one number")
        _unchanged(x, before)
        base, seen = f.at(x), [f.at(y) for y in f.points]
        if not seen:
            raise Wrong("it never evaluates f: climb with f.gradient(y), which returns the value and the gradient.")
        if any(((y - x).abs() > radius * (1 + 1e-4) + 1e-6).any() for y in f.points):
            raise Wrong("it leaves the box: after every step, clamp y between x - radius and x + radius.")
        if f is bowl and max(seen) <= base * (1 + 1e-6):
            raise Wrong("it never finds a value above f(x): this goes down, or stays. Sharpness looks for the largest value.")
        best = max(seen + [base])
        _match(answer, 100 * (best - base) / (1 + base), [
            ((best - base) / (1 + base), "phi is in percent: the factor 100 is missing."),
            (100 * (best - base) / base, "you divided by f(x): Metric 2.1 divides by 1 + f(x)."),
            (100 * (best - base), "the division by 1 + f(x) is missing."),
            (100 * (best - base) / (1 + best), "you divided by one plus the peak: Metric 2.1 divides by 1 + f(x)."),
            (100 * best / (1 + base), "f(x) is not subtracted: sharpness is how far the loss rises."),
            (100 * (seen[-1] - base) / (1 + base), "you returned the last value: an ascent can step over the top, so keep "
                                                   "the best value seen."),
        ], "the climb is right, phi made from it is not: look at Metric 2.1, and keep the best value seen.")
    top = float(0.5 + 0.5 * (a * (x.abs() + radius).square()).sum())
    bowl.points.clear()
    if float(student(bowl, x, radius, 20)) < 99 * (top - bowl.at(x)) / (1 + bowl.at(x)):
        raise Wrong("it stays short of the largest value: each step moves every coordinate by a share of its own radius, "
                    "in the direction of the gradient's sign.")


@check
def line(student):
    """line_loss(f, a, b, alphas): f((1 - alpha) a + alpha b) for each alpha."""
    a, b = _random(5, seed=6), _random(5, seed=7)
    f, alphas = Hill(1 + _random(5, seed=8).abs(), _random(5, seed=9), 0.1, 1), [-1.0, -0.5, 0.0, 0.25, 0.5, 1.0, 2.0]
    before = a.clone()
    answer = student(f, a, b, alphas)
    _unchanged(a, before)

    def along(point):
        return torch.tensor([f.at(point(alpha)) for alpha in alphas])
    _match(_numbers(answer, (7,), "one loss for each alpha"), along(lambda t: (1 - t) * a + t * b), [
        (along(lambda t: t * a + (1 - t) * b), "the line runs from b to a: alpha = 0 is a, alpha = 1 is b."),
        (along(lambda t: a + t * b), "b is a point, not a direction: at alpha = 1 you are at a + b instead of at b."),
        (along(lambda t: a + t * (a - b)), "the line leaves a in the opposite direction of b."),
    ], "these are not the losses at (1 - alpha) a + alpha b.")


@check
def barrier(student):
    """barrier(alphas, loss): the largest rise above the chord between alpha = 0 and alpha = 1."""
    alphas, loss = [-1.0, -0.5, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0], [9.0, 4.0, 1.0, 2.4, 2.1, 2.9, 2.5, 5.0, 8.0]
    inside = list(zip(alphas, loss))[2:7]
    answer = _numbers(student(alphas, loss), (), "one number")
    rise = [value - (1 + 1.5 * alpha) for alpha, value in zip(alphas, loss)]
    _match(answer, max(rise[2:7]), [
        (max(rise), "the barrier lies between the points: leave out alpha below 0 and above 1."),
        (max(value for _, value in inside), "this is the largest loss: the barrier is how far it rises above the chord."),
        (max(loss), "this is the largest loss of all: take alpha from 0 to 1, and the height above the chord."),
        (max(value for _, value in inside) - 1.0, "you subtracted the loss at a: subtract the chord, a line from f(a) to f(b)."),
        (max(value for _, value in inside) - 2.5, "you subtracted the higher end: subtract the chord at the same alpha."),
        (max(v - (2.5 - 1.5 * t) for t, v in inside), "your chord runs from f(b) to f(a): at alpha = 0 it is f(a)."),
    ], "this is not the largest height above the chord.")


@check
def subspace(student):
    """subspace_radius(x, A, eps): eps (|(A^+ x)_i| + 1), shape (p,). Keskar et al. 2017, equation (3)."""
    x, a, eps = _random(8, seed=10), 2 * torch.linalg.qr(_random(8, 3, seed=11))[0], 0.01
    before = x.clone()
    answer = student(x, a, eps)
    _unchanged(x, before)
    z = a.T @ x / 4                                # the columns are orthogonal and of length 2, so A+ = A^T / 4
    _match(_numbers(answer, (3,), "one radius for each of the p directions"), eps * (z.abs() + 1), [
        (eps * ((a.T @ x).abs() + 1), "A^T x is not A+ x: the columns of A do not have length 1. Use a pseudo-inverse or least squares."),
        (eps * z.abs(), "the + 1 is missing."),
        (eps * (z + 1), "the coordinate enters by its size, |(A+ x)_i|: a radius is never negative."),
    ], "these are not the radii of equation (3) with A.")
