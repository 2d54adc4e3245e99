"""What Lab 2 asks of a student's functions."""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence

import torch

from flatlab.checks.answer import Student, Wrong, check, kind, match, normals, numbers, printed, seeded, unchanged

PAIR = "the squared length of the gradient and the trace, a pair of numbers"


def error_share(m: int, count: int) -> float:
    """c(m) in E |g_m - G|^2 = tr(S) c(m), for m of `count` rows that are drawn without replacement."""
    return (count - m) / (count - 1) / m


@check
def predicted_noise(student: Student) -> None:
    """predicted_noise(table, m): `E |g_m - G|^2` over all batches of m rows of the table, drawn without replacement."""
    table, m, count = normals(12, 3, seed=21) + 1, 4, 12
    before = table.clone()
    answer = numbers(student(table, m), (), "one number")
    unchanged("table", table, before)
    exact = table.double()
    full = exact.mean(0)
    every = torch.tensor(list(itertools.combinations(range(count), m)))
    right = (exact[every].mean(1) - full).square().sum(1).mean()
    spread = (exact - full).square().sum(1).mean()
    left = (count - m) / (count - 1)
    without = "right with replacement. Without replacement the error is smaller, by the factor (N - m)/(N - 1)."
    match(
        answer,
        right,
        [
            (spread / m, without),
            (spread * count / (count - 1) / m, f"a variance with N - 1, and {without}"),
            (spread / m * (count - m) / count, "the factor has N - 1 below: one example drawn, N - 1 are left."),
            (right * count / (count - 1), "you corrected twice: with (N - m)/(N - 1), the variance is divided by N."),
            (right / table.shape[1], "that is the mean over the coordinates: the squared length is their sum."),
            (right.sqrt(), "you took the root: this exercise asks for the mean square."),
            (spread / (count - m) * m / (count - 1), "m and N - m are exchanged: all examples at once have no noise."),
            (spread * left, "the division by m is missing."),
            (right * count, "you summed over the examples: the spread is a mean over them."),
            (exact.square().sum(1).mean() / m * left, "G is not subtracted: the noise is the distance from the mean."),
        ],
        "this is not the mean over all batches of m different rows: of 12 rows there are 495 batches of 4.",
    )
    if numbers(student(table, count), (), "one number").abs() > 1e-6 * spread:
        raise Wrong("a batch of all N examples has no noise: for m = N the answer is 0.")


@check
def two_batch(student: Student) -> None:
    """two_batch(small, big, m, M, N): (`|G|^2`, tr S) from the mean squared lengths of batches of m and of M rows."""
    problems = [(*_lengths(3.0, 50.0, 4, 24, 100), 4, 24, 100), (*_lengths(-0.4, 90.0, 2, 10, 30), 2, 10, 30)]

    def each(solve: Callable[..., Sequence[float]]) -> torch.Tensor:
        return torch.tensor([float(value) for problem in problems for value in solve(*problem)], dtype=torch.float64)

    def solve(
        small: float, big: float, m: int, M: int, N: int, *, c: Callable[[int, int], float] = error_share
    ) -> tuple[float, float]:
        trace = (small - big) / (c(m, N) - c(M, N))
        return big - trace * c(M, N), trace

    found = [student(*problem) for problem in problems]
    ratio = each(lambda *problem: [solve(*problem)[1] / solve(*problem)[0]])
    if all(not isinstance(one, (list, tuple)) and getattr(one, "ndim", 0) == 0 for one in found):
        for one in found:
            numbers(one, (), PAIR)
        if torch.allclose(torch.tensor([float(one) for one in found]).double(), ratio, rtol=1e-3):
            raise Wrong("you returned the ratio: return the two numbers, and the ratio is made from their means.")
        raise Wrong(f"it returns {kind(found[0])}, and should return {PAIR}.")
    noisy = "the big batch is noisy too: its mean squared length is |G|^2 and its own share of the trace."
    match(
        torch.cat([numbers(one, (2,), PAIR) for one in found]),
        each(solve),
        [
            (each(lambda *p: (p[1], solve(*p)[1])), noisy),
            (each(lambda *p: (p[1], (p[0] - p[1]) / error_share(p[2], p[4]))), noisy),
            (each(lambda *p: (p[1], (p[0] - p[1]) * p[2])), noisy),
            (each(lambda *p: (solve(*p)[0], -solve(*p)[1])), "the trace is negative: the small batches are longer."),
            (
                each(lambda *p: (p[1] + solve(*p)[1] * error_share(p[3], p[4]), solve(*p)[1])),
                "you added the big batch's noise to its length: |G|^2 is what is left without it.",
            ),
            (
                each(lambda *p: (p[1] + solve(*p)[1] * error_share(p[3], p[4]), -solve(*p)[1])),
                "the trace has the wrong sign, and |G|^2 with it: the small batches are the longer ones.",
            ),
            (
                each(lambda *p: solve(*p, c=lambda m, N: 1 / m)),
                "you used c(m) = 1/m, which is right for infinitely many examples: here N is given.",
            ),
            (each(lambda *p: solve(*p, c=lambda m, N: 1 / m - 1 / N)), "the factor N/(N - 1) of c(m) is missing."),
            (each(lambda *p: solve(*p)[::-1]), "the order of the pair is swapped: first |G|^2, then the trace."),
            (
                each(lambda *p: (max(solve(*p)[0], 0.0), solve(*p)[1])),
                "an estimate of |G|^2 may be negative: return it as it is, since a mean of clipped ones is too large.",
            ),
            (
                each(lambda *p: (abs(solve(*p)[0]), solve(*p)[1])),
                "an estimate of |G|^2 may be negative: leave its sign.",
            ),
            (each(lambda *p: (solve(*p)[0], solve(*p)[1] / p[2])), "the trace is divided by m: it is of one example."),
        ],
        "these do not solve small = |G|^2 + c(m) tr S and big = |G|^2 + c(M) tr S.",
    )


def _lengths(signal: float, trace: float, m: int, M: int, N: int) -> tuple[float, float]:
    """The mean squared lengths of batches of m and of M of N rows, whose gradients have this signal and trace."""
    return signal + trace * error_share(m, N), signal + trace * error_share(M, N)


class Table:
    """Per-example gradients, one per row, which writes down the batches whose mean is asked for."""

    def __init__(self, table: torch.Tensor) -> None:
        self.table = table
        self._asked: dict[tuple[int, ...], torch.Tensor] = {}  # asked for twice, it is still one batch

    def __call__(self, rows: object) -> torch.Tensor:
        """The mean gradient over the rows of these numbers."""
        rows = torch.as_tensor(rows).flatten().cpu()
        self._asked.setdefault(tuple(rows.tolist()), rows)
        return self.table[rows].mean(0)

    def batches(self) -> list[torch.Tensor]:
        """The batches, in the order in which they were first asked for."""
        return list(self._asked.values())

    def mean(self, rows: torch.Tensor) -> torch.Tensor:
        """The same, not written down."""
        return self.table.double()[rows].mean(0)

    def one_by_one(self) -> bool:
        """Whether the gradient of each example was asked for once, and no other."""
        return len(self._asked) == len(self.table) and all(len(rows) == 1 for rows in self._asked)


@check
def noise_scale(student: Student) -> None:
    """noise_scale(batch_gradient, count, m, M, samples, seed): (`tr S / |G|^2`, its standard error) from batches."""
    count, m, M, samples = 120, 4, 40, 60
    for n in (1, 6):
        gradients = Table(normals(count, n, seed=30 + n) + 0.3)
        found = student(gradients, count, m, M, samples, 7)
        if not isinstance(found, (list, tuple)) and getattr(found, "ndim", 0) == 0 and found is not None:
            numbers(found, (), "one number")
            raise Wrong("it returns one number: return the estimate and its standard error, a pair.")
        answer = numbers(found, (2,), "the estimate and its standard error, a pair of numbers")
        candidates = draws(gradients, count, m, M, samples)
        estimates = [ratio_of_means(small, big, m, M, count) for small, big in candidates]
        small, big = candidates[0]
        trace, signal = solved(small, big, m, M, count)
        right, error = estimates[0]
        plain, plain_signal = solved(small, big, m, M, 10**9)
        if gradients.one_by_one():  # which batches were made from them is not known: only the law of the answer is
            if not abs(float(answer[0]) - scale(gradients.table)) < 5 * error or not 0.5 < answer[1] / error < 2:
                raise Wrong("it is far from tr S / |G|^2: look at how the means over the batches are made.")
            continue
        if not any(torch.allclose(answer[0], one, rtol=1e-3) for one, _ in estimates):
            match(
                answer[0],
                right,
                [
                    (
                        (trace / signal).mean(),
                        "you took the mean of ratios, in which one draw with a small |G|^2 decides: divide the means.",
                    ),
                    (1 / right, "this is |G|^2 / tr S: the noise scale is the noise over the signal."),
                    (trace.mean(), "this is tr S alone: divide it by |G|^2."),
                    (right.sqrt(), "you took the root: the noise scale is a ratio of squares."),
                    (
                        plain.mean() / plain_signal.mean(),
                        "count does not enter: the batches are drawn without replacement from `count` examples.",
                    ),
                    (trace.mean() / big.mean(), "you divided by the big batch's length: it is noisy too."),
                    (
                        ratio_of_means(small.sqrt(), big.sqrt(), m, M, count)[0],
                        "you used lengths where the formulas have squared lengths.",
                    ),
                ],
                "this is not the mean of tr S over the mean of |G|^2 of the batches that it drew.",
            )
        alone = trace.std() / samples**0.5
        for value, hint in (
            (error * samples**0.5, "this is the spread of one draw: a standard error is sqrt(samples) times smaller."),
            (error / samples**0.5, "the standard error is divided by sqrt(samples) twice."),
            (error.square(), "this is a variance: the standard error is its root."),
            (alone, "this is the standard error of tr S: the ratio errs because of |G|^2 as well."),
            (
                alone / signal.mean(),
                "this is the standard error of tr S over |G|^2: |G|^2 is estimated too, and errs as well.",
            ),
        ):
            if abs(float(answer[1] / value) - 1) < 0.03 and abs(float(value / error) - 1) > 0.05:
                raise Wrong(hint)
        if not any(0.65 < float(answer[1] / one) < 1.5 for _, one in estimates):
            raise Wrong("the estimate is right, its standard error is not: use tr S_i - B |G|^2_i of each draw i.")


def scale(table: torch.Tensor) -> float:
    """tr S / |G|^2 of per-example gradients."""
    exact = table.double()
    full = exact.mean(0)
    return float((exact - full).square().sum(1).mean() / full.square().sum())


def solved(small: torch.Tensor, big: torch.Tensor, m: int, M: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(tr S, |G|^2) of each draw, from the squared lengths of its batches."""
    trace = (small - big) / (error_share(m, count) - error_share(M, count))
    return trace, big - trace * error_share(M, count)


def ratio_of_means(
    small: torch.Tensor, big: torch.Tensor, m: int, M: int, count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """tr S / |G|^2 and its standard error by the delta method."""
    trace, signal = solved(small, big, m, M, count)
    ratio = trace.mean() / signal.mean()
    return ratio, (trace - ratio * signal).std() / len(trace) ** 0.5 / signal.mean().abs()


def draws(gradients: Table, count: int, m: int, M: int, samples: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The squared lengths (of the small batches, of the big ones), one for each draw, in each way in which the batches
    that were drawn can be read; or a hint where they are no draws of that kind. Where every example's gradient was
    asked for one by one, the draws are ours."""
    if gradients.one_by_one():
        generator = torch.Generator().manual_seed(0)
        gradients = Table(gradients.table)
        for _ in range(samples):
            for part in torch.randperm(count, generator=generator)[:M].split(m):
                gradients(part)
    small = [rows for rows in gradients.batches() if len(rows) == m]
    big = [rows for rows in gradients.batches() if len(rows) == M]
    other = sorted({len(rows) for rows in gradients.batches()} - {m, M})
    if other == [count] and small:
        raise Wrong("it asks for the gradient over all examples: two batch sizes, m and M, are enough.")
    if other or not small:
        sizes = sorted({len(rows) for rows in gradients.batches()})
        raise Wrong(f"it should draw batches of {m} and of {M} examples, and draws batches of {sizes}.")
    if any(len(rows.unique()) < len(rows) for rows in [*small, *big]):
        raise Wrong("a batch holds an example twice: draw without replacement.")
    if len({tuple(rows.sort().values.tolist()) for rows in small}) <= max(1, M // m):
        raise Wrong("all samples are the same: seed the generator once, before the loop, and draw inside it.")
    parts = len(small) // samples
    if len(small) != parts * samples or (len(big) != samples if big else parts * m != M):
        raise Wrong(f"asked for {samples} samples, it drew {len(small)} batches of {m} and {len(big)} of {M}.")
    seen = len(torch.cat([*small, *big]).unique())
    if seen < 0.9 * count:
        raise Wrong(f"only {seen} of the {count} examples are ever drawn: draw from all of them.")
    squares = torch.stack([gradients.mean(rows).square().sum() for rows in small]).reshape(samples, parts)
    if not big:
        big = [torch.cat(small[k * parts : (k + 1) * parts]) for k in range(samples)]
    of_big = torch.stack([gradients.mean(rows).square().sum() for rows in big])
    return [(squares.mean(1), of_big), (squares[:, 0], of_big)]


@check
def stationary(student: Student) -> None:
    """stationary(lam, lr, variance, m): the variance of x under `x <- x - lr (lam x + noise)`, nan where it has no
    limit."""
    settle = [(1.0, 0.1, 3.0, 4), (3.0, 0.5, 2.0, 8), (2.0, 0.9, 5.0, 2)]
    diverge = {
        (5.0, 0.6, 2.0, 4): "for lr lam beyond 2 every step overshoots further: the variance has no limit, return nan.",
        (4.0, 0.5, 2.0, 4): "at lr lam = 2 the variance grows for ever: return nan there too.",
        (-1.0, 0.1, 2.0, 4): "for a negative lam the descent runs away: the variance has no limit, return nan.",
    }

    def each(law: Callable[[float, float, float, int], float]) -> list[float]:
        return [law(*problem) for problem in settle]

    def right(lam: float, lr: float, variance: float, m: int) -> float:
        return lr * variance / (m * lam * (2 - lr * lam))

    found = []
    for problem in settle:
        answer = student(*problem)
        if isinstance(answer, float) and not math.isfinite(answer) and problem[0] * problem[1] > 1:
            raise Wrong("for lr lam between 1 and 2 the descent swings and still settles: nan is for where not.")
        found.append(numbers(answer, (), "one number"))
    match(
        torch.stack(found),
        each(right),
        [
            (
                each(lambda lam, lr, variance, m: lr * variance / (2 * m * lam)),
                "right for small lr lam. Keep the square in (1 - lr lam)^2: it matters when steps are long.",
            ),
            (each(lambda *p: right(*p) / p[3]), "m enters twice: the noise of a batch has variance / m."),
            (each(lambda *p: right(*p) * p[3]), "m does not enter: the noise of a batch has variance / m."),
            (each(lambda *p: right(*p) ** 0.5), "this is the standard deviation: return the variance."),
            (each(lambda *p: right(*p) * p[0] / 2), "this is the mean excess loss, lam/2 times the variance of x."),
            (each(lambda *p: right(*p) / p[1] ** 2), "x moves by lr times the noise: its variance needs lr squared."),
            (each(lambda *p: right(*p) / p[1]), "lr is there once: x moves by lr times the noise, so square it."),
        ],
        "this is not the v that a step leaves as it is: v = (1 - lr lam)^2 v + lr^2 variance / m.",
    )
    for problem, hint in diverge.items():
        try:
            value = student(*problem)
        except ZeroDivisionError:
            raise Wrong(hint) from None
        if value is None or isinstance(value, str) or math.isfinite(float(value)):
            raise Wrong(hint)


class Bowls:
    """f(x) = 1/N sum_i 1/2 sum_j a_j (x_j - c_ij)^2, of which rows can be taken; it writes down whose gradient is asked
    for, and where."""

    def __init__(
        self,
        curvature: torch.Tensor,
        centres: torch.Tensor,
        drawn: torch.Tensor | None = None,
        asked: list[tuple[torch.Tensor, torch.Tensor]] | None = None,
    ) -> None:
        self.curvature, self.centres = curvature, centres
        self.drawn = torch.arange(len(centres)) if drawn is None else drawn
        self.asked = [] if asked is None else asked

    @property
    def rows(self) -> int:
        """N, the number of rows."""
        return len(self.drawn)

    def subset(self, numbers: object) -> "Bowls":
        """The mean over some of the rows."""
        chosen = self.drawn[torch.as_tensor(numbers).flatten().cpu()]
        return Bowls(self.curvature, self.centres, chosen, self.asked)

    def at(self, x: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """The gradient at x of the mean over rows, not written down."""
        return self.curvature * (x - self.centres[rows].mean(0))

    def value(self, x: torch.Tensor) -> float:
        """f(x)."""
        away = x.detach().cpu() - self.centres[self.drawn]
        return float(0.5 * (self.curvature * away.square()).sum(1).mean())

    def gradient(self, x: torch.Tensor) -> tuple[float, torch.Tensor]:
        """f(x) and the gradient at x."""
        x = x.detach().cpu()
        self.asked.append((self.drawn, x.clone()))
        return self.value(x), self.at(x, self.drawn)


def steps_taken(asked: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """(rows, point) of each step: what is asked for at one point, one after another, is one batch."""
    steps: list[tuple[torch.Tensor, torch.Tensor]] = []
    for rows, x in asked:
        if steps and torch.equal(x, steps[-1][1]):
            before = steps[-1][0]
            if len(rows) > len(before) or not torch.equal(rows, before[-len(rows) :]):  # the same again is no new row
                steps[-1] = torch.cat([before, rows]), x
        else:
            steps.append((rows, x))
    return steps


def refuse_bad_epochs(order: list[int], count: int, m: int) -> None:
    """A hint if the rows, in the order in which they were used, are not those of shuffled epochs. A short last batch
    may be kept, dropped, or filled up from the next epoch."""
    whole = count // m * m
    first = order[:whole]
    if len(set(first)) < len(first):
        if any(len(set(order[start : start + m])) < m for start in range(0, len(order) - m + 1, m)):
            raise Wrong("a batch holds an example twice, drawn with replacement: shuffle the numbers of all rows.")
        raise Wrong(
            "each batch is drawn from all rows again, so that an example comes twice before another comes at all: go "
            "through one random order batch by batch, until it is used up."
        )
    if first == sorted(first) or first == sorted(first, reverse=True):
        raise Wrong("the examples are used in the order of their numbers: shuffle them.")
    second = [order[start : start + whole] for start in (count, whole)]
    second = [epoch for epoch in second if len(epoch) >= min(whole, 2 * m)]
    if any(epoch == first[: len(epoch)] for epoch in second):
        raise Wrong("the second epoch repeats the first: shuffle anew at the start of each epoch.")
    if second and all(len(set(epoch)) < len(epoch) for epoch in second):
        raise Wrong("in the second epoch an example comes twice: shuffle the numbers of all rows anew for each epoch.")


@check
def sgd(student: Student) -> None:
    """sgd(f, x, lr, m, steps, seed): the last point of gradient descent on batches of m rows, shuffled epochs."""
    curvature, centres = 0.5 + normals(4, seed=41).abs(), normals(22, 4, seed=42)
    count, lr, m, steps, start = 22, 0.3, 5, 9, normals(4, seed=43) + 4

    def run(seed: int) -> tuple[torch.Tensor, list[tuple[torch.Tensor, torch.Tensor]], list[int]]:
        f, x = Bowls(curvature, centres), start.clone()
        answer = numbers(student(f, x, lr, m, steps, seed), (4,), "the last point, a tensor of x's shape")
        unchanged("x", x, start)
        if not f.asked:
            raise Wrong("it never asks for a gradient: use f.subset(rows).gradient(x), which returns two things.")
        return answer, steps_taken(f.asked), [int(row) for rows, _ in f.asked for row in rows]

    answer, taken, order = run(3)
    if len(taken) == 1 and len(order) > m:
        raise Wrong("every gradient is taken at the starting point: take it at the newest one.")
    sizes = [len(rows) for rows, _ in taken]
    if any(size == count for size in sizes):
        raise Wrong("a step uses all examples: take f.subset(rows) of m rows.")
    if len(taken) != steps:
        raise Wrong(f"asked for {steps} steps, it takes {len(taken)}: a step is one batch.")
    if any(size not in (m, count % m) for size in sizes):
        raise Wrong(f"asked for batches of {m}, it takes batches of {sorted(set(sizes))}.")
    refuse_bad_epochs([int(row) for rows, _ in taken for row in rows], count, m)

    def replay(change: Callable[[torch.Tensor, int], torch.Tensor]) -> torch.Tensor:
        x = start.double()
        for rows, _ in taken:
            x = x - change(lr * curvature * (x - centres[rows].double().mean(0)), len(rows))
        return x

    match(
        answer,
        replay(lambda step, rows: step),
        [
            *(
                (replay(longer), "the step is m times too long: the gradient is the mean over the batch, not the sum.")
                for longer in (lambda step, rows: step * m, lambda step, rows: step * rows)
            ),
            *(
                (replay(shorter), "f.subset(rows).gradient(x) has the mean already: do not divide.")
                for shorter in (lambda step, rows: step / m, lambda step, rows: step / rows)
            ),
            (replay(lambda step, rows: -step), "it walks uphill: descent subtracts the gradient."),
            (taken[-1][1], "it returns the point before the last step."),
            (start, "it returns the starting point."),
            (torch.stack([x for _, x in taken]).mean(0), "it returns a mean of points: return the last one."),
        ],
        "the last point is not where these batches lead: x <- x - lr g, with g taken at the newest x.",
    )
    again, other, drawn = ([rows.tolist() for rows, _ in steps] for steps in (run(3)[1], run(4)[1], taken))
    seeded("other batches", again == drawn, other != drawn)


@check
def matched_rate(student: Student) -> None:
    """matched_rate(lr, m, new_m, optimizer): the rate for another batch size, linear for "sgd", root for "adam"."""
    problems = [(0.1, 8, 128, "sgd"), (0.4, 64, 16, "sgd"), (0.001, 256, 6000, "adam"), (0.02, 90, 10, "adam")]
    found = torch.stack([numbers(student(*problem), (), "one number") for problem in problems])

    def each(linear: float, root: float) -> torch.Tensor:
        """The rates, where a power of new_m / m multiplies them."""
        powers = {"sgd": linear, "adam": root}
        return torch.tensor([lr * (new / m) ** powers[kind] for lr, m, new, kind in problems], dtype=torch.float64)

    inverse = "this falls as the batch grows. A course says so too: run it below, and see what it does."
    match(
        found,
        each(1, 0.5),
        [
            (each(1, 1), "linear for both: Adam divides by the noise's own size, so for adam the root is left."),
            (each(0.5, 0.5), "the root for both: for sgd the ratio of rate to batch size is held."),
            (each(0.5, 1), "the two rules are exchanged: linear for sgd, root for adam."),
            *((each(a, b), inverse) for a in (-1, -0.5) for b in (-1, -0.5, 0.5, 1)),
            (each(0, 0), "the rate stays as it is: that is the comparison which this exercise mends."),
            (each(1, 0), "the rate of adam stays as it is: it grows with the root of the batch size."),
            (each(0, 0.5), "the rate of sgd stays as it is: it grows as the batch size."),
        ],
        "these are not lr new_m / m for sgd and lr sqrt(new_m / m) for adam.",
    )


@check
def share(student: Student) -> None:
    """share(small, large, changed): (mean of changed - mean of large) / (mean of small - mean of large)."""
    problems = [
        ([98.2, 98.5, 98.0], [97.6, 97.9, 97.8], [98.1, 98.0, 97.9]),
        ([71.0, 72.5], [60.0, 63.0], [74.0, 72.0]),
        ([64.0, 66.0, 61.0, 63.0], [60.5, 60.0, 58.0, 61.5], [60.0, 59.5, 56.0, 60.0]),
    ]
    found = torch.stack([numbers(student(*map(list, problem)), (), "one number") for problem in problems])

    def each(law: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor | float]) -> torch.Tensor:
        return torch.tensor(
            [float(law(*(torch.tensor(one).double() for one in problem))) for problem in problems], dtype=torch.float64
        )

    right = each(lambda small, large, changed: (changed.mean() - large.mean()) / (small.mean() - large.mean()))
    match(
        found,
        right,
        [
            (
                each(lambda small, large, changed: ((changed - large) / (small - large)).mean()),
                "you took the mean of the seeds' shares, in which a seed with a small gap decides: divide the means.",
            ),
            (1 - right, "that is the share of the gap that is left: return the share that is closed."),
            (100 * right, "a share, not percent: 1 is the whole gap."),
            (right.clamp(0, 1), "a share may be below 0 or above 1: return it as it is."),
            (1 / right, "the fraction is upside down: the whole gap stands below."),
            (
                each(lambda small, large, changed: (changed.mean() - large.mean()) / large.mean()),
                "you divided by the accuracy of the large batch: divide by the gap.",
            ),
            (
                each(lambda small, large, changed: changed.mean() - large.mean()),
                "this is the gain in percent: divide it by the gap.",
            ),
            (
                each(lambda small, large, changed: (changed[0] - large[0]) / (small[0] - large[0])),
                "this is the first seed alone: take the means over all seeds.",
            ),
        ],
        "this is not (mean of changed - mean of large) / (mean of small - mean of large).",
    )


ROWS, SMALL_BATCH, LARGE_BATCH = 60_000, 256, 6_000  # of MNIST, and the paper's two batch sizes for it


@check
def report(student: Student) -> None:
    """report(recorded): the line that the GPU cell printed; or, from a recorded run, the share of the gap that the
    small batch closes when it stops after as many updates as the large one."""
    epochs, end = 100, torch.tensor([0.4, -0.2, 0.1])[:, None]
    time = torch.arange(1, epochs + 1)[None]
    curves = {
        "epoch": time.expand(3, -1),
        "SB_train": 99.9 - 4 / time + 0 * end,
        "LB_train": 99.8 - 9 / time + 0 * end,
        "SB_test": 98.4 - 3 / time + end,
        "LB_test": 97.9 - 8 / time**0.5 + end.flip(0) + 0.02 * time,
    }
    recorded = {name: [[float(value) for value in row] for row in rows] for name, rows in curves.items()}
    answer = student(recorded)
    if isinstance(answer, str):
        gpu_line(answer)
        return

    def at(epoch: int, changed: str = "SB_test", kind: str = "test", seeds: slice = slice(None)) -> torch.Tensor:
        small, large = (curves[f"{label}_{kind}"][seeds].double() for label in ("SB", "LB"))
        low = large[:, -1].mean()
        return (curves[changed][seeds, epoch - 1].double().mean() - low) / (small[:, -1].mean() - low)

    equal = equal_updates(epochs)
    off = f"of the small batch's epochs, {equal} make as many updates as {epochs} of the large one's"
    match(
        numbers(answer, (), "the share, one number, or the line that the cell printed, in quotation marks"),
        at(equal),
        [
            (at(equal + 1), f"this is epoch {equal + 1}: {off}, and lists count from 0."),
            (at(equal - 1), f"this is epoch {equal - 1}: {off}."),
            (at(1), f"this is the first epoch: {off}."),
            (at(epochs), "this compares at equal epochs: stop the small batch where its updates are as many."),
            (at(round(ROWS / SMALL_BATCH) // 10), f"the ratio of the batch sizes is no epoch: {off}."),
            (1 - at(equal), "this is what is left of the gap: return the share that is closed."),
            (100 * at(equal), "a share, not percent: 1 is the whole gap."),
            (at(equal, seeds=slice(0, 1)), "this is the first seed alone: take the means over all seeds."),
            (at(equal, "SB_train", "train"), "these are training accuracies: take those on the test set."),
            (at(equal, "LB_test"), "the large batch is the one that stays: stop the small one earlier."),
        ],
        f"this is not the share at equal updates: {off}.",
    )


def equal_updates(epochs: int) -> int:
    """The last epoch at which the small batch has made no more updates than the large one after so many epochs."""
    return epochs * math.ceil(ROWS / LARGE_BATCH) // math.ceil(ROWS / SMALL_BATCH)


def gpu_line(text: str) -> dict:
    """The numbers in the line that the GPU cell printed; a hint where it is no such line."""

    def read(found: dict) -> dict:
        labels = ("small", "large", "root")
        lists = {
            kind: {label: [float(one) for one in found[kind][label]] for label in labels} for kind in ("test", "phi")
        }
        return {**lists, **{name: float(found[name]) for name in ("rate", "seconds", "share")}}

    found = printed(text, read)
    if {len(values) for kind in ("test", "phi") for values in found[kind].values()} != {3}:
        raise Wrong("the line should have three seeds: run the cell to its end.")
    small, large, root = (sum(values) / 3 for values in found["test"].values())
    if small == large or abs(found["share"] - (root - large) / (small - large)) > 1e-6:
        raise Wrong("the share is not that of the accuracies in the line: mend your share, and run the cell again.")
    return found
