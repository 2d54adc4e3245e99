"""What Lab 6 asks of a student's functions."""

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from flatlab.checks.answer import Student, Wrong, check, kind, match, numbers, table

Pair = tuple[float, float]
Numbers = Sequence[float] | np.ndarray


# The time of an update


def time_line(sizes: Numbers, seconds: Numbers, weight: float = 1, least: float = 0) -> Pair:
    """(a, b) of a + b m by least squares of the errors over seconds^weight, neither below `least`."""
    from scipy.optimize import lsq_linear  # here: flatlab itself needs no scipy

    m, t = np.asarray(sizes, float), np.asarray(seconds, float)
    table = np.stack([np.ones_like(m), m], 1) / t[:, None] ** weight
    a, b = lsq_linear(table, t ** (1 - weight), (least, math.inf), tol=1e-14).x
    return float(a), float(b)


SIZES = (8, 32, 128, 512, 2048)


@check
def fit_time(student: Student) -> None:
    """fit_time(sizes, seconds): (a, b) of `a + b m`, by relative least squares, neither below 0."""
    problems = (
        (SIZES, (0.0031, 0.0029, 0.0058, 0.0125, 0.061)),
        ((16, 64, 256, 1024), (0.00012, 0.00075, 0.0029, 0.0135)),
        ((4, 8, 16, 32), (0.0042, 0.0039, 0.0041, 0.0036)),
    )
    meaning = "a and b, a pair of numbers"
    found = torch.cat([numbers(student(list(m), list(t)), (2,), meaning) for m, t in problems])

    def each(law: Callable[[Any, Any], Any]) -> torch.Tensor:
        scale = [1e3, 1e5]  # milliseconds and hundredths of a millisecond, so that both count
        return torch.tensor([float(x * s) for p in problems for x, s in zip(law(*p), scale)], dtype=torch.float64)

    right = each(time_line)
    match(
        found * torch.tensor([1e3, 1e5]).double().repeat(len(problems)),
        right,
        [
            (
                each(lambda m, t: time_line(m, t, 0)),
                "you fitted absolute errors: the large sizes decide, and a is whatever they leave. Divide by the time.",
            ),
            (
                each(lambda m, t: time_line(m, t, 0, -math.inf)),
                "you fitted absolute errors, and neither a nor b may be below 0.",
            ),
            (
                each(lambda m, t: time_line(m, t, 0.5)),
                "the errors are divided by the root of the time: divide by the time.",
            ),
            (
                each(lambda m, t: time_line(m, t, 1, -math.inf)),
                "a time is never below 0: where the line without this condition has such an a or b, fit again with 0.",
            ),
            (
                each(lambda m, t: np.maximum(time_line(m, t, 1, -math.inf), 0)),
                "you set what was below 0 to 0 and kept the other: with one of them 0, the other is fitted anew.",
            ),
            (
                each(lambda m, t: (0.0, 1 / np.mean(np.asarray(m) / np.asarray(t)))),
                "a is left out: an update costs something however few its rows are.",
            ),
            (
                each(lambda m, t: (0.0, (np.asarray(m) / t).sum() / ((np.asarray(m) / t) ** 2).sum())),
                "a is left out: an update costs something however few its rows are.",
            ),
            (each(lambda m, t: time_line(m, t)[::-1]), "the order of the pair is swapped: first a, then b."),
        ],
        "these do not make the sum of ((a + b m)/t - 1)^2 smallest with a and b at least 0.",
    )


# The time to a target


def first_epoch(history: Sequence[float], target: float) -> int | None:
    """The first epoch, from 1, whose value is at least the target."""
    return next((epoch for epoch, value in enumerate(history, 1) if value >= target), None)


@check
def epochs_to(student: Student) -> None:
    """epochs_to(history, target): the first epoch at which the accuracy is at least the target; None if never."""
    history = [20.0, 41.5, 55.0, 50.0, 61.0, 58.0, 66.0, 64.0]
    targets = (50.0, 55.0, 60.0, 20.0, 66.0)
    answers = [student(list(history), target) for target in targets]
    enough = "the target itself is enough: the accuracy is to be at least the target."
    if answers[-1] is None and answers[0] is not None:  # the last target is the best accuracy
        raise Wrong(enough)
    found = torch.stack([numbers(one, (), "the number of an epoch") for one in answers])

    def each(law: Callable[[float], float]) -> torch.Tensor:
        return torch.tensor([float(law(target)) for target in targets], dtype=torch.float64)

    right = each(lambda target: first_epoch(history, target) or 0)
    reached = [[k for k, value in enumerate(history, 1) if value >= target] for target in targets]
    match(
        found,
        right,
        [
            (right - 1, "epochs are counted from 1: after the first epoch one has been made."),
            (
                torch.tensor([float(epochs[-1]) for epochs in reached]),
                "that is the last epoch at which the target is met: asked for is the first.",
            ),
            (
                each(lambda target: next((k for k, value in enumerate(history, 1) if value > target), len(history))),
                enough,
            ),
            (
                each(lambda target: 1 + int(np.argmax(history))),
                "that is the best epoch: asked for is the first one at which the target is met.",
            ),
            (
                each(lambda target: 1 + sum(value < target for value in history)),
                "you counted the epochs below the target: the accuracy may fall below it again.",
            ),
            (torch.tensor([float(len(epochs)) for epochs in reached]), "you counted the epochs that meet the target."),
            (
                each(lambda target: 1 + int(np.argmin(np.abs(np.array(history) - target)))),
                "that is the epoch nearest to the target.",
            ),
            (right + 1, "one too many: after the first epoch one epoch has been made."),
        ],
        "this is not the number of the first epoch whose accuracy is at least the target.",
    )
    never = student(list(history), 70.0)
    if never is not None and not (isinstance(never, float) and math.isnan(never)):
        raise Wrong("a target that is never met has no epoch: return None, and no number that looks like one.")


def seconds_to_target(
    sizes: Sequence[int], epochs: Sequence[float | None], a: float, b: float, rows: int, *, count: Callable = math.ceil
) -> list[float]:
    """The seconds of each batch size to the target, infinite where it is never met."""
    return [
        math.inf if one is None else one * count(rows / m) * (a + b * m) for m, one in zip(sizes, epochs, strict=True)
    ]


@check
def best_batch(student: Student) -> None:
    """best_batch(sizes, epochs, a, b, rows): (the batch size that meets the target first, its seconds)."""
    problems: tuple[tuple, ...] = (
        ([8, 32, 128, 512], [3, 4, 9, None], 2e-3, 4e-5, 1000),
        ([16, 64, 256, 700], [10, 11, 12, 22], 5e-3, 1e-6, 1000),
        ([4, 40, 400], [None, 7, 6], 1e-4, 1e-4, 900),
    )
    meaning = "the batch size and its seconds, a pair of numbers"
    answers = [student(list(sizes), list(epochs), *rest) for sizes, epochs, *rest in problems]
    for answer in answers:
        if isinstance(answer, (int, float)):
            raise Wrong(f"it returns one number: return {meaning}.")
    found = torch.cat([numbers(answer, (2,), meaning) for answer in answers])

    def each(law: Callable[..., Sequence[float]]) -> torch.Tensor:
        return torch.tensor([float(one) for problem in problems for one in law(*problem)], dtype=torch.float64)

    def least(seconds: Sequence[float], sizes: Sequence[float]) -> Pair:
        k = int(np.argmin(seconds))
        return sizes[k], seconds[k]

    def ranked(by: Callable[..., Sequence[float]]) -> torch.Tensor:
        """The seconds of the size that is best by another rule."""

        def law(sizes: Any, epochs: Any, *rest: Any) -> Pair:
            scores = [math.inf if one is None else score for one, score in zip(epochs, by(sizes, epochs, *rest))]
            k = int(np.argmin(scores))
            return sizes[k], seconds_to_target(sizes, epochs, *rest)[k]

        return each(law)

    right = each(lambda sizes, *rest: least(seconds_to_target(sizes, *rest), sizes))
    match(
        found,
        right,
        [
            (
                each(
                    lambda sizes, epochs, a, b, rows: least(
                        seconds_to_target(sizes, epochs, a, b, rows, count=float), sizes
                    )
                ),
                "an epoch has a whole number of updates: the last batch is shorter, and is an update too.",
            ),
            (
                each(
                    lambda sizes, epochs, a, b, rows: least(
                        seconds_to_target(sizes, epochs, a, b, rows, count=math.floor), sizes
                    )
                ),
                "the last, shorter batch of an epoch is an update too: round up.",
            ),
            (ranked(lambda sizes, epochs, *rest: epochs), "that is the size with the fewest epochs: count seconds."),
            (
                ranked(lambda sizes, epochs, a, b, rows: [math.ceil(rows / m) * (a + b * m) for m in sizes]),
                "that is the size with the shortest epoch: it may need more of them.",
            ),
            (
                each(lambda sizes, *rest: least(seconds_to_target(sizes, *rest), range(len(sizes)))),
                "you returned the place in the list: return the batch size.",
            ),
            (
                each(lambda sizes, *rest: least(seconds_to_target(sizes, *rest), sizes)[::-1]),
                "the order of the pair is swapped: first the size, then the seconds.",
            ),
            (
                each(
                    lambda sizes, epochs, a, b, rows: least(
                        [e * (a + b * m) for m, e in known(sizes, epochs)], [m for m, _ in known(sizes, epochs)]
                    )
                ),
                "the updates of an epoch do not enter: there are rows / m of them, rounded up.",
            ),
        ],
        "this is not the least of epochs * (updates per epoch) * (a + b m), and its batch size.",
    )


def known(sizes: Sequence[int], epochs: Sequence[float | None]) -> list[tuple[int, float]]:
    """The sizes that meet the target, with their epochs."""
    return [(m, one) for m, one in zip(sizes, epochs) if one is not None]


# Many workers


QUIET, LOUD = 0.02, 0.04  # what a wire with noise adds to a number, at least and at most


class Wire:
    """`send(source, target, value)`: carries a number from a worker to another, and writes it down."""

    def __init__(self, seed: int | None = None) -> None:
        self.noise = None if seed is None else np.random.default_rng(seed)
        self.sent: list[tuple[int, int, float, float]] = []  # from, to, as it was sent and as it arrived

    def __call__(self, source: int, target: int, value: float) -> float:
        """The number as the target gets it: another one on a wire with noise, to see whether it is used."""
        value = float(value)
        arrived = value if self.noise is None else value + self.noise.uniform(QUIET, LOUD)
        self.sent.append((int(source), int(target), value, arrived))
        return arrived


def refuse_other_numbers(chunks: list[list[float]], wire: Wire, held: torch.Tensor) -> None:
    """A hint where a worker sends or holds a number that is no chunk of its own, none that reached it, and not the sum
    of such two; or where the noise of the wire is not in the sums that the workers hold."""
    known = [np.array(row, float) for row in chunks]
    arrived: list[list[float]] = [[] for _ in chunks]

    def has(worker: int, value: float) -> bool:
        own, came = known[worker], np.array(arrived[worker])
        within = np.concatenate([own, came, np.add.outer(own, came).ravel()])
        return bool(np.isclose(within, value, rtol=0, atol=1e-3).any())  # of numbers to 2,500, in float32 as well

    for source, target, value, after in wire.sent:
        if not has(source, value):
            raise Wrong("a worker sends a number that it cannot know: one of its own, or the one that send returned.")
        arrived[target % len(chunks)].append(after)
    right = torch.tensor(chunks).double().sum(0).expand_as(held)
    hops = len(chunks) - 1
    noise = (held - right).flatten().tolist()
    genuine = all(has(worker, value) for worker, row in enumerate(held.tolist()) for value in row)
    if not genuine or not all(hops * QUIET - 1e-3 < one < 2 * hops * LOUD + 1e-3 for one in noise):
        raise Wrong("some sums do not come from what was sent: use the number that send returns.")


def ring(
    chunks: Sequence[Sequence[float]],
    adding: Callable[[int, int], int] = lambda worker, turn: worker - turn,
    keep: bool = False,
) -> list[list[float]]:
    """What P workers hold after P - 1 rounds of adding, in which a worker sends the chunk of this number, and P - 1 of
    handing on; with `keep`, handing on adds as well."""
    count = len(chunks)
    held = [list(map(float, row)) for row in chunks]
    for turn in range(count - 1):
        moved = [(adding(worker, turn) % count, held[worker][adding(worker, turn) % count]) for worker in range(count)]
        for worker, (place, value) in enumerate(moved):
            held[(worker + 1) % count][place] += value
    for turn in range(count - 1):
        moved = [((worker + 1 - turn) % count, held[worker][(worker + 1 - turn) % count]) for worker in range(count)]
        for worker, (place, value) in enumerate(moved):
            before = held[(worker + 1) % count][place] if keep else 0.0
            held[(worker + 1) % count][place] = before + value
    return held


def refuse_bad_traffic(wire: Wire, count: int) -> None:
    """A hint where the workers send more or fewer numbers than in a ring, or to others than their neighbours."""
    per_worker = [sum(source == worker for source, *_ in wire.sent) for worker in range(count)]
    wanted = 2 * (count - 1)
    if per_worker != [wanted] * count:
        if per_worker == [count * (count - 1)] * count:
            raise Wrong("right sum, wrong traffic: whole lists go around. A worker sends one chunk per round.")
        if max(per_worker) >= count * (count - 1):
            raise Wrong(
                f"right sum, wrong traffic: one worker sends {max(per_worker)} numbers, and with more workers it sends "
                f"more. In a ring each sends {wanted}."
            )
        raise Wrong(f"the workers send {per_worker} numbers: P - 1 rounds and P - 1 more are {wanted} for each.")
    steps = {(target - source) % count for source, target, *_ in wire.sent}
    if len(steps) > 1 or not steps <= {1, count - 1}:
        raise Wrong("in a ring a worker sends to its neighbour, always the same one: the last sends to the first.")


def refuse_bad_ring(student: Student, chunks: list[list[float]]) -> None:
    """A hint where a function is no ring all-reduce of these chunks, a table with a row for each worker."""
    count = len(chunks)
    wire, meaning = Wire(), f"{count} lists of {count} numbers, the chunks of each worker"
    held = table(student([list(row) for row in chunks], wire), (count, count), meaning)
    right = torch.tensor(chunks).double().sum(0).expand(count, count)
    if not wire.sent:
        raise Wrong("it sends nothing: a worker gets the numbers of another by send(source, target, number) only.")
    same = torch.isclose(held, right, rtol=1e-4)
    if not bool(same.all()):
        for value, hint in (
            (right / count, "that is the mean: an all-reduce adds, and whoever wants a mean divides later."),
            (
                torch.tensor(ring(chunks, lambda worker, turn: worker)).double(),
                "a worker sends the same chunk in every round, so it is added again: send the one that just arrived.",
            ),
            (
                torch.tensor(ring(chunks, lambda worker, turn: worker + turn)).double(),
                "what arrives is added to a chunk that its worker has already sent: send on the one that just arrived.",
            ),
            (
                torch.tensor(ring(chunks, keep=True)).double(),
                "in the second half a finished sum is added to what is there: it must replace it.",
            ),
        ):
            if torch.allclose(held, value, rtol=1e-4):
                raise Wrong(hint)
        if int(same.sum()) == count:
            raise Wrong("each worker has the whole sum of one chunk: hand the sums on, in another P - 1 rounds.")
        if int(same.sum()) == count * (count - 1):
            raise Wrong("one chunk is missing at each worker: handing on takes P - 1 rounds.")
        raise Wrong(f"{int(same.sum())} of the {count * count} chunks are the sum over all workers.")
    refuse_bad_traffic(wire, count)
    noisy = Wire(sum(map(int, chunks[0])))
    held = table(student([list(row) for row in chunks], noisy), (count, count), meaning)
    refuse_bad_traffic(noisy, count)
    refuse_other_numbers(chunks, noisy, held)


@check
def ring_all_reduce(student: Student) -> None:
    """ring_all_reduce(chunks, send): what each of P workers holds after an all-reduce in a ring."""
    generator = np.random.default_rng(61)
    for count in (4, 3):
        refuse_bad_ring(student, generator.integers(1, 90, (count, count)).astype(float).tolist())


def update_seconds(
    m: float, P: int, a: float, b: float, latency: float, bandwidth: float, n: float, **change: Any
) -> float:
    """a + b m / P + 2 (P - 1) (latency + n / (P bandwidth)); `change` replaces a part."""
    part = {"fixed": a, "rows": m / P, "rounds": 2 * (P - 1), "delay": latency, "chunk": n / P, **change}
    return part["fixed"] + b * part["rows"] + part["rounds"] * (part["delay"] + part["chunk"] / bandwidth)


SETTINGS = (
    (4096, 8, 3e-3, 2e-5, 5e-4, 1e9, 2e7),
    (1024, 2, 1e-3, 1e-5, 2e-5, 5e7, 3e5),
    (512, 16, 2e-3, 4e-5, 1e-4, 4e8, 1e6),
)


@check
def parallel_time(student: Student) -> None:
    """parallel_time(m, P, a, b, latency, bandwidth, n): the seconds of an update that P workers share."""
    found = torch.stack([numbers(student(*problem), (), "one number") for problem in SETTINGS])

    def each(law: Callable[..., float]) -> torch.Tensor:
        return torch.tensor([law(*problem) for problem in SETTINGS], dtype=torch.float64)

    def changed(**change: Callable[..., float]) -> torch.Tensor:
        def law(*problem: Any) -> float:
            parts: dict[str, Any] = {name: new(*problem) for name, new in change.items()}
            return update_seconds(*problem, **parts)

        return each(law)

    match(
        found,
        changed(),
        [
            (changed(rows=lambda m, *rest: m), "each worker has m / P of the rows."),
            (changed(fixed=lambda m, P, a, *rest: a / P), "a is not shared: each worker pays it, at the same time."),
            (changed(chunk=lambda *p: p[-1]), "a message is a chunk of n / P numbers."),
            (changed(rounds=lambda m, P, *rest: 2 * P), "there are P - 1 rounds and P - 1 more, and not 2 P."),
            (changed(rounds=lambda m, P, *rest: P - 1), "there are two halves: P - 1 rounds to add, P - 1 to hand on."),
            (
                each(lambda m, P, a, b, latency, w, n: a + b * m / P + latency + 2 * (P - 1) * n / (P * w)),
                "each of the 2 (P - 1) messages has the latency, and not only one.",
            ),
            (changed(delay=lambda *p: 0), "the latency does not enter."),
            (changed(rounds=lambda *p: 0), "the messages do not enter."),
            (
                each(lambda m, P, a, b, latency, w, n: update_seconds(m, P, a, b, latency, 1 / w, n)),
                "bandwidth is numbers per second: divide by it.",
            ),
        ],
        "this is not a + b m / P + 2 (P - 1) (latency + n / (P bandwidth)).",
    )
    if float(numbers(student(64, 1, 1e-3, 1e-5, 1.0, 1.0, 100), (), "one number")) > 0.01:
        raise Wrong("one worker sends nothing: for P = 1 the time is a + b m.")


def fastest(m: float, rest: Sequence[float], most: int) -> int:
    """The number of workers, at most `most`, with which an update is shortest."""
    return min(range(1, most + 1), key=lambda P: update_seconds(m, P, *rest))  # type: ignore[arg-type]


@check
def best_workers(student: Student) -> None:
    """best_workers(m, a, b, latency, bandwidth, n, most): how many workers make the update shortest."""
    problems = (
        (4096, 3e-3, 2e-5, 5e-4, 1e9, 2e6, 64),
        (1024, 1e-3, 1e-5, 2e-5, 5e8, 3e5, 64),
        (512, 2e-3, 4e-5, 2e-3, 4e8, 3e7, 64),
        (8192, 1e-3, 5e-5, 1e-5, 1e9, 1e5, 16),
    )
    found = torch.stack([numbers(student(*problem), (), "a number of workers") for problem in problems])

    def each(law: Callable[..., float]) -> torch.Tensor:
        return torch.tensor([float(law(m, rest, most)) for m, *rest, most in problems], dtype=torch.float64)

    right = each(fastest)
    match(
        found,
        right,
        [
            (
                each(lambda m, rest, most: update_seconds(m, fastest(m, rest, most), *rest)),
                "that is the time: return the number of workers.",
            ),
            (right - 1, "that is the place in a list that starts at P = 1: return P."),
            (right + 1, "that is the first P at which the update is longer again: return the one before."),
            (
                each(lambda m, rest, most: min(range(2, most + 1), key=lambda P: update_seconds(m, P, *rest))),
                "one worker alone may be the fastest: try P = 1 too.",
            ),
            (each(lambda m, rest, most: fastest(m, rest, 4096)), "there are at most `most` workers."),
            (each(lambda m, rest, most: most), "more workers are not always faster: each one adds messages."),
            (
                each(lambda m, rest, most: fastest(m, [0, *rest[1:]], most - 1)),
                "try all P up to `most`, this one included.",
            ),
        ],
        "this is not the P from 1 to most with the least parallel_time.",
    )


# How far steps can be traded for rows


def least_log(steps: Sequence[float], rows: Sequence[float]) -> tuple[float, float, float]:
    """(S_min, E_min, E_min / S_min) of (S/S_min - 1)(E/E_min - 1) = 1, by least squares of the logarithms of S."""
    from scipy.optimize import minimize_scalar

    S, m = np.asarray(steps, float), np.asarray(rows, float) / np.asarray(steps, float)

    def rest(log_critical: float) -> float:
        return float(np.var(np.log(S) - np.log1p(np.exp(log_critical) / m)))

    lowest, highest = np.log(m.min()) - 5, np.log(m.max()) + 5
    grid = np.linspace(lowest, highest, 400)
    best = float(grid[int(np.argmin([rest(one) for one in grid]))])
    step = float(grid[1] - grid[0])
    critical = math.exp(minimize_scalar(rest, bounds=(best - step, best + step), method="bounded").x)
    smallest = math.exp(float(np.mean(np.log(S) - np.log1p(critical / m))))
    return smallest, critical * smallest, critical


def least_raw(steps: Sequence[float], rows: Sequence[float]) -> tuple[float, float, float]:
    """The same by least squares of S itself, which is linear: S = S_min + E_min / m."""
    S, m = np.asarray(steps, float), np.asarray(rows, float) / np.asarray(steps, float)
    smallest, most = np.linalg.lstsq(np.stack([np.ones_like(m), 1 / m], 1), S, rcond=None)[0]
    return float(smallest), float(most), float(most / smallest)


def tradeoff(smallest: float, critical: float, noise: float, seed: int) -> tuple[list[float], list[float]]:
    """(steps, rows) of seven batch sizes with some noise."""
    m = 2.0 ** np.arange(3, 10)
    S = smallest * (1 + critical / m) * np.exp(noise * np.random.default_rng(seed).normal(size=len(m)))
    return S.tolist(), (m * S).tolist()


@check
def hyperbola(student: Student) -> None:
    """hyperbola(steps, rows): (S_min, E_min, B_crit) of `(S/S_min - 1) (E/E_min - 1) = 1`, fitted in logarithms."""
    problems = (tradeoff(120, 90, 0.15, 62), tradeoff(400, 30, 0.2, 64))
    meaning = "S_min, E_min and B_crit, three numbers"
    found = torch.cat([numbers(student(list(S), list(E)), (3,), meaning) for S, E in problems]).log()

    def each(law: Callable[..., Sequence[float]]) -> torch.Tensor:
        return torch.tensor([math.log(one) for problem in problems for one in law(*problem)], dtype=torch.float64)

    if not bool(found.isfinite().all()):
        raise Wrong("S_min, E_min and B_crit are above 0: fit their logarithms.")

    def near(value: torch.Tensor) -> bool:
        return bool(((found - value).abs() < 0.02).all())

    if near(each(least_log)):
        return
    for value, hint in (
        (each(least_raw), "you fitted the raw values: the many steps of the smallest batches decide. Take logarithms."),
        (
            each(lambda S, E: [least_log(S, E)[k] for k in (1, 0, 2)]),
            "the roles are exchanged: S_min counts steps, E_min rows.",
        ),
        (each(lambda S, E: (*least_log(S, E)[:2], 1 / least_log(S, E)[2])), "B_crit is E_min / S_min: rows per step."),
        (each(lambda S, E: (min(S), min(E), min(E) / min(S))), "the smallest measured values are above S_min, E_min."),
    ):
        if near(value):
            raise Wrong(hint)
    raise Wrong("these do not make the squared errors of log S smallest, with S = S_min (1 + B_crit / m), m = E / S.")


# Does it pay?


def truth(answer: object) -> bool:
    """True or False, however it is written; a hint where the answer is neither."""
    if answer is None:
        raise Wrong("it returns nothing (None): end it with `return` and the comparison.")
    if isinstance(answer, (bool, np.bool_)):
        return bool(answer)
    if isinstance(answer, (torch.Tensor, np.ndarray)) and math.prod(answer.shape) == 1:
        return bool(answer)
    nested = isinstance(answer, (list, tuple)) and any(isinstance(one, (list, tuple)) for one in answer)
    raise Wrong(f"it returns {'a list of lists' if nested else kind(answer)}, and should return True or False.")


@check
def pays(student: Student) -> None:
    """pays(I_l, I_s, B_l, B_s, f): whether the large batch takes less time, by appendix C of the paper."""
    problems = (
        (49, 100, 1000, 100, 0.2),
        (51, 100, 1000, 100, 0.2),
        (30, 400, 6000, 256, 0.5),
        (40, 400, 6000, 256, 0.5),
        (90, 1000, 512, 64, 0.9),
        (200, 1000, 512, 64, 0.9),
        (90, 1000, 512, 64, 0.5),
        (200, 1000, 512, 64, 0.5),
        (900, 1000, 2000, 1000, 0.5),
        (3000, 1000, 100, 64, 0.2),
    )
    found = [truth(student(*problem)) for problem in problems]

    def each(law: Callable[..., bool]) -> list[bool]:
        return [bool(law(*problem)) for problem in problems]

    right = each(lambda l, s, L, S, f: l / s < S / (f * L))
    if found == right:
        return
    for value, hint in (
        ([not one for one in right], "this is the other way round: it pays where the large batch needs fewer updates."),
        (each(lambda l, s, L, S, f: l / s < S / L), "f does not enter: the workers of the small batch wait."),
        (
            each(lambda l, s, L, S, f: l / s < f * S / L),
            "f stands below: the smaller it is, the sooner the large batch pays.",
        ),
        (each(lambda l, s, L, S, f: l / s < L / (f * S)), "the batch sizes are exchanged: the small one stands above."),
        (each(lambda l, s, L, S, f: s / l < S / (f * L)), "the updates are exchanged: I_l stands above."),
        (each(lambda l, s, L, S, f: l < s), "it compares the updates alone: one with more rows takes longer."),
    ):
        if found == value:
            raise Wrong(hint)
    raise Wrong("this is not I_l / I_s < B_s / (f B_l).")


# On a GPU, or recorded


@check
def knee(student: Student) -> None:
    """knee(recorded): the line that the GPU cell printed; or, from a recorded run, the batch size `a / b` at which half
    of an update's time is work on its rows."""
    sizes = [[8, 32, 128, 512]] * 3
    rates = [
        [2900.0, 10500.0, 23000.0, 41000.0],
        [2700.0, 9600.0, 25000.0, 44000.0],
        [2800.0, 9900.0, 21000.0, 52000.0],
    ]
    answer = student({"batch_size": [list(row) for row in sizes], "rows per second": [list(row) for row in rates]})
    if isinstance(answer, str):
        throughput_line(answer)
        return
    m, speed = np.array(sizes[0], float), np.array(rates)

    def at(seconds: np.ndarray, **options: Any) -> float:
        a, b = time_line(m, seconds, **options)
        return a / b

    mean = (m / speed).mean(0)
    match(
        numbers(answer, (), "the batch size, one number, or the line that the cell printed, in quotation marks"),
        at(mean),
        [
            (1 / at(mean), "that is b / a: the size at which a = b m is a / b."),
            (at(mean, weight=0), "the line is fitted to absolute errors: take your fit_time."),
            (at(m / speed[0]), "this is the first seed alone: take the mean time over the seeds."),
            (time_line(m, mean)[0], "that is a, the time of an update without rows: divide it by b."),
            (at(speed.mean(0)), "these are rows per second: the seconds of an update are m / (rows per second)."),
        ],
        "this is not a / b of the line through the mean seconds m / (rows per second).",
    )


def throughput_line(text: str) -> dict:
    """The numbers in the line that the GPU cell printed; a hint where it is no such line."""
    try:
        found = json.loads(text)
        seconds = {net: [float(one) for one in found["seconds"][net]] for net in ("F1", "C1")}
        sizes = [int(one) for one in found["sizes"]]
        knees = {net: float(found["knee"][net]) for net in ("F1", "C1")}
        device = str(found["device"])
    except (ValueError, KeyError, TypeError):
        raise Wrong("this is not the whole line that the cell printed, from { to }: copy it again.") from None
    if any(len(row) != len(sizes) for row in seconds.values()) or len(sizes) < 5:
        raise Wrong("the line should have a time for each batch size: run the cell to its end.")
    if device.lower() in ("", "cpu", "the cpu"):
        raise Wrong("the line was not written on a GPU: take the recorded run instead.")
    for net, row in seconds.items():
        a, b = time_line(sizes, row)
        wanted = a / max(b, 1e-12)  # where rows cost nothing that can be timed, b is 0
        if abs(knees[net] - wanted) > 0.01 * wanted:
            raise Wrong("the knees are not those of the times in the line: mend your fit_time, and run the cell again.")
    return {"sizes": sizes, "seconds": seconds, "knee": knees, "device": device}
