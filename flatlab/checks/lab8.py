"""What Lab 8 asks of a student's claim, and of the functions that plan, run and judge it."""

import copy
import hashlib
import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from flatlab.checks.answer import Student, Wrong, check, kind, match, normals, numbers
from flatlab.checks.lab7 import LEAST_SEEDS, WORDS, exact_seeds, judged, least_seeds, mean_interval
from flatlab.checks.register import (
    ARMS,
    BOUNDS,
    MEASURED,
    Claim,
    Effect,
    Table,
    fingerprint,
    made_up,
    named,
    registered,
)

# The claim and its rule


@check
def claim(student: Student) -> str:
    """claim(): the words, the two arms and the bounds, as they are registered."""
    found = registered(student())
    ends = " and ".join(f"{name} {found[name]:g} {found['unit']}".rstrip() for name in BOUNDS if name in found)
    return f"It holds where the whole interval lies {ends}."


# The effect


def in_pairs(effect: Effect, columns: Table) -> torch.Tensor:
    """What an effect makes of columns, a number for each seed; a hint where a number is not its own seed's alone."""
    count = len(next(iter(columns.values())))

    def of(changed: Table) -> torch.Tensor:
        answer = effect(copy.deepcopy(changed))
        if answer is not None and not isinstance(answer, (str, bytes, dict, set, list, tuple)) and np.ndim(answer) == 0:
            numbers(answer, (), "one number for each seed")
            raise Wrong("it returns one number: return one for each seed, since the rule takes their mean later.")
        return numbers(answer, (count,), "one number for each seed")

    def moved(arm: str, place: int) -> set[int]:
        """Which seeds' effects move with one seed's run of an arm."""
        other = {
            name: [value * (1 + 1e-3 * (k == place and name.endswith(arm))) for k, value in enumerate(values)]
            for name, values in columns.items()
        }
        return set(torch.nonzero((of(other) - right).abs() > 1e-12 * right.abs().max()).flatten().tolist())

    right = of(columns)
    if not torch.equal(of(columns), right):
        raise Wrong("two calls with the same columns give two answers: nothing in it is to be drawn by chance.")
    moves = {arm: [moved(arm, place) for place in range(count)] for arm in ARMS}
    for arm in ARMS:
        if not any(moves[arm]):
            raise Wrong(f"the arm {arm!r} does not enter: the effect compares the two.")
    if bool((right == right[0]).all()):
        raise Wrong("it gives every seed the same number: leave the mean, or the best, of the seeds to the rule.")
    order = torch.randperm(count, generator=torch.Generator().manual_seed(count)).tolist()
    turned = of({name: [values[k] for k in order] for name, values in columns.items()})
    if not torch.allclose(turned, right[order], rtol=1e-9, atol=1e-12):
        raise Wrong("the pairs are lost: the two runs of a seed stand at one place, so do not sort or shift a column.")
    strange = [arm for arm in ARMS if any(seeds - {k} for k, seeds in enumerate(moves[arm]))]
    if len(strange) == 1:
        raise Wrong(f"every seed is compared with several runs of the arm {strange[0]!r}: compare seed by seed.")
    if strange:
        raise Wrong("something of all seeds is taken off or divided by: an effect is of its own seed alone.")
    return right


@check
def effect(student: Student) -> None:
    """effect(columns): one number for each seed, of the two runs of this seed."""
    in_pairs(student, made_up(6, seed=80))


# The number of seeds


@check
def seeds_for(student: Student) -> None:
    """seeds_for(pilot, margin, most): how many seeds see an effect that lies margin from a bound."""
    problems = [
        ((centre + spread * normals(count, seed=82 + k).double()).tolist(), margin, most)
        for k, (count, centre, spread, margin, most) in enumerate(
            (
                (4, 0.6, 1.0, 0.8, 99),
                (4, -1.5, 2.0, 1.1, 99),
                (6, 0.2, 0.4, 0.5, 99),
                (5, 1.0, 3.0, 0.9, 20),
                (4, 0.3, 0.1, 2.0, 99),
            )
        )
    ]
    found = torch.stack([numbers(student(list(pilot), *rest), (), "a number of seeds") for pilot, *rest in problems])

    def each(law: Callable[[list[float], float, int], float]) -> torch.Tensor:
        return torch.tensor([float(law(*problem)) for problem in problems], dtype=torch.float64)

    def by(scatter: Callable[[list[float]], float], **options: Any) -> torch.Tensor:
        return each(lambda pilot, margin, most: min(most, least_seeds(scatter(pilot), margin, **options)))

    right = by(deviation)
    if bool(((found == right) | (found == each(enough_exactly))).all()):
        return
    if bool((found != found.round()).any()):
        raise Wrong("it returns a part of a seed: round up to the next whole number.")
    match(
        found,
        right,
        [
            (by(lambda pilot: float(np.std(pilot))), "the pilot's deviation divides by n (ddof=0): divide by n - 1."),
            (by(lambda pilot: float(np.var(pilot, ddof=1))), "that is the variance: take its root."),
            (
                by(lambda pilot: deviation(pilot) / math.sqrt(len(pilot))),
                "that is the error of the pilot's mean: the scatter of one effect is not divided by sqrt(n).",
            ),
            (
                each(lambda pilot, margin, most: min(most, least_seeds(deviation(pilot), abs(float(np.mean(pilot)))))),
                "it plans for the pilot's own mean, which chance has made: margin says what is worth finding.",
            ),
            (
                each(lambda pilot, margin, most: least_seeds(deviation(pilot), margin)),
                "most does not enter: where it takes more seeds, return most.",
            ),
            (
                each(lambda pilot, margin, most: min(most, least_seeds(deviation(pilot), margin)) - len(pilot)),
                "the pilot's seeds are taken off: they have been seen, so none of them counts.",
            ),
            (by(deviation, power=0.5), "the power is left out: half of the experiments would miss the effect."),
            (by(deviation, least=2), f"fewer than {LEAST_SEEDS} seeds decide nothing: begin at {LEAST_SEEDS}."),
            (
                each(lambda pilot, margin, most: min(most, normal_seeds(deviation(pilot), margin))),
                "with normal quantiles it is too few: take Student's t.",
            ),
            (each(lambda pilot, margin, most: most), "that is most, whatever the pilot says."),
        ],
        "this is not the least n from 5 on with (t_0.975 + t_0.8) s / sqrt(n) <= margin, and at most `most`.",
    )


def deviation(values: Sequence[float]) -> float:
    """The standard deviation of a sample."""
    return float(np.std(values, ddof=1))


def normal_seeds(sd: float, effect: float) -> int:
    """The number of seeds if t were normal."""
    from scipy import stats  # here: flatlab itself needs no scipy

    return max(LEAST_SEEDS, math.ceil((float(sum(stats.norm.ppf([0.975, 0.8]))) * sd / effect) ** 2))


def enough_exactly(pilot: Sequence[float], margin: float, most: int) -> int:
    """The number of seeds by the exact power of the t test."""
    return min(most, exact_seeds(deviation(pilot), margin))


# The runs


class Trained:
    """Stands for the training of an arm: numbers that a recipe and a seed decide, and a list of what was asked for."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []

    def __call__(self, recipe: dict[str, Any], seed: int) -> dict[str, float]:
        self.calls.append((json.dumps(recipe, sort_keys=True), int(seed)))
        return {what: self.value(recipe, seed, what) for what in MEASURED}

    @staticmethod
    def value(recipe: dict[str, Any], seed: int, what: str) -> float:
        """A number between 0 and 100."""
        text = json.dumps([recipe, int(seed), what], sort_keys=True)
        return int(hashlib.sha256(text.encode()).hexdigest()[:6], 16) * 100 / 16**6


def columns_of(arms: dict[str, dict], seeds: Sequence[int]) -> Iterator[tuple[str, list[float]]]:
    """The columns that `Trained` gives for arms and seeds."""
    for arm, recipe in arms.items():
        for what in MEASURED:
            yield f"{what} {arm}", [Trained.value(recipe, seed, what) for seed in seeds]


def run_by(student: Student, arms: dict[str, dict], seeds: Sequence[int]) -> None:
    """Refuse an experiment whose columns are not those of both arms from the same seeds."""
    trained, count = Trained(), len(seeds)
    meaning = "the columns of both arms"
    answer = student(trained, copy.deepcopy(arms), list(seeds))
    if isinstance(answer, dict) and any(f"{arm} {MEASURED[0]}" in answer for arm in ARMS):
        raise Wrong("the names of the columns are the other way round: 'test baseline', first what, then of which arm.")
    answer = named(answer, [f"{what} {arm}" for what in MEASURED for arm in ARMS], meaning)
    used = [{seed for recipe, seed in trained.calls if recipe == json.dumps(arms[arm], sort_keys=True)} for arm in ARMS]
    if unknown := {seed for _, seed in trained.calls} - set(seeds):
        if len({seed for _, seed in trained.calls}) == 1 < count:
            raise Wrong("all runs have one seed: give each pair of runs its own.")
        if unknown <= set(range(count)):
            raise Wrong("it numbers the seeds 0, 1, 2 and so on: take the seeds that are given.")
        raise Wrong(
            f"it trains from the seed {min(unknown)}, which was not given: both arms get the seeds that are given."
        )
    if not all(used):
        raise Wrong("one of the arms is never trained: each seed trains both.")
    if used[0] != used[1]:
        raise Wrong("the two arms are trained from different seeds: the pairs are lost.")
    if len(trained.calls) != 2 * count:
        raise Wrong(
            f"for {count} seeds it trains {len(trained.calls)} runs, and should train {2 * count}: one for each arm "
            "and seed, each of which counts, whatever comes out."
        )
    right = dict(columns_of(arms, seeds))
    found = {}
    for name in right:
        if not isinstance(answer[name], (list, tuple)) and np.ndim(answer[name]) == 0:
            numbers(answer[name], (), f"{name!r}")
            raise Wrong(f"the column {name!r} is one number: keep one for each seed, and take no mean yet.")
        found[name] = numbers(answer[name], (count,), f"in {name!r} one number for each seed").tolist()
    if _alike(found, right):
        return
    exchanged = {name: right[f"{name.split()[0]} {ARMS[1 - ARMS.index(name.split()[1])]}"] for name in right}
    if _alike(found, exchanged):
        raise Wrong("the arms are exchanged: 'baseline' is the arm of this name.")
    if np.allclose(sorted(zip(*found.values())), sorted(zip(*right.values())), rtol=1e-5):
        raise Wrong("the columns are in another order than the seeds: the first number of each is of the first seed.")
    if _alike(*({name: sorted(values) for name, values in columns.items()} for columns in (found, right))):
        raise Wrong("the two runs of a seed stand at other places: an effect would be the difference of two seeds.")
    raise Wrong("these are not the numbers that trained(recipe, seed) gives, at the places of their seeds.")


def _alike(found: Table, right: Table) -> bool:
    """Whether two tables hold the same numbers, up to those of float32."""
    return all(np.allclose(found[name], right[name], rtol=1e-5) for name in right)


@check
def experiment(student: Student) -> None:
    """experiment(trained, arms, seeds): the columns of both arms, trained from the same seeds."""
    arms = {"baseline": {"batch_size": 32, "epochs": 3}, "changed": {"batch_size": 500, "epochs": 3}}
    run_by(student, arms, [11, 4, 7, 30])


# The verdict


def entered(claim: Claim, effects: Sequence[float], leave_out: bool = True, **options: Any) -> dict[str, Any]:
    """A line of the ledger: how many seeds have an effect, its mean and interval, and the verdict of the rule."""
    values = [one if math.isfinite(one) else 0.0 for one in effects if math.isfinite(one) or not leave_out]
    low, high = mean_interval(values, **options)
    above, below = (claim.get(name, end) for name, end in BOUNDS.items())
    word = judged(values, above, below, lambda same: mean_interval(same, **options))
    return {"seeds": len(values), "effect": float(np.mean(values)), "low": low, "high": high, "word": word}


AMOUNTS = ("seeds", "effect", "low", "high")
NAN = math.nan
ENTRIES: tuple[tuple[dict[str, float], list[float]], ...] = (
    ({"above": 0.0}, [1.2, 2.1, NAN, 1.7, 2.6, 1.9]),
    ({"below": 1.0}, [-0.4, 0.3, -0.9, 0.1, 0.2]),
    ({"below": 1.0}, [1.9, 2.6, 1.4, 2.2, 3.0, 2.4]),
    ({"above": 0.5}, [0.9, 0.2, 1.9, 0.1, 1.3, -0.3]),
    ({"above": 0.0}, [1.2, 2.1, 1.7, NAN, 2.6]),
    ({"above": -1.0, "below": 1.0}, [0.2, -0.1, 0.1, 0.3, 0.0, 0.1]),
    ({"above": -1.0, "below": 1.0}, [0.9, -0.1, 1.4, 0.2, NAN, 0.8, 1.3]),
    ({"above": 3.0}, [1.2, 2.1, 1.7, 2.6, 1.9]),
)


@check
def entry(student: Student) -> None:
    """entry(claim, effects): the ledger's line, with seeds, effect, low, high and word."""
    found = [
        named(student(dict(rule), list(effects)), [*AMOUNTS, "word"], "a line of the ledger")
        for rule, effects in ENTRIES
    ]
    with_gaps = "a seed without an effect is nan: leave it out, and count the seeds that are left."
    if any(
        not torch.isfinite(torch.as_tensor(one[name])).all()
        for one in found
        for name in AMOUNTS
        if is_number(one[name])
    ):
        raise Wrong(with_gaps)

    def amounts(lines: Sequence[dict[str, Any]]) -> torch.Tensor:
        return torch.cat(
            [numbers(line[name], (), f"in {name!r} one number").reshape(1) for line in lines for name in AMOUNTS]
        )

    def each(**options: Any) -> list[dict[str, Any]]:
        return [entered(rule, effects, **options) for rule, effects in ENTRIES]

    right = each()
    counted = [{**line, "seeds": len(effects)} for line, (_, effects) in zip(right, ENTRIES)]
    match(
        amounts(found),
        amounts(right),
        [
            (amounts(each(leave_out=False)), "a seed without an effect, nan, is no effect of 0: leave it out."),
            (amounts(counted), "seeds counts those without an effect too: count those that are left."),
            (amounts(each(ddof=0)), "the standard deviation divides by n (ddof=0): divide by n - 1."),
            (amounts(each(freedom=math.inf)), "a normal quantile is too short for a few seeds: take Student's t."),
            (amounts(each(level=0.9)), "that is an interval of 90 %: leave 2.5 % on each side."),
            (amounts(each(power=0)), "that is the spread of one effect: divide by sqrt(n)."),
            (
                amounts([{**line, "low": line["high"], "high": line["low"]} for line in right]),
                "low and high are exchanged.",
            ),
        ],
        "these are not the number of seeds, the mean and the ends of its 95 % interval by Student's t.",
    )
    words = [line["word"] for line in found]
    for word in words:
        if word not in WORDS:
            raise Wrong(f"'word' is {word!r:.40}: the words are {', '.join(WORDS)}.")
    _compare_words(words, right)


def is_number(value: object) -> bool:
    """Whether it is one number, of any library."""
    return isinstance(value, (int, float, np.generic, np.ndarray, torch.Tensor))


def _compare_words(words: list[str], right: list[dict[str, Any]]) -> None:
    """Refuse words that are not the rule's, with the hint of the mistake that gives them."""

    def each(rule: Callable[[list[float], float, float], str], **missing: float) -> list[str]:
        ends = {**BOUNDS, **missing}
        kept = [[one for one in effects if math.isfinite(one)] for _, effects in ENTRIES]
        return [rule(values, *(bounds.get(n, ends[n]) for n in BOUNDS)) for values, (bounds, _) in zip(kept, ENTRIES)]

    def by_mean(values: list[float], above: float, below: float) -> str:
        return judged(values, above, below, lambda same: (float(np.mean(same)),) * 2)

    wanted = [line["word"] for line in right]
    exchanged = {"holds": "fails", "fails": "holds", "undecided": "undecided"}
    gaps = []  # where a seed without an effect counts among those that it takes
    for bounds, effects in ENTRIES:
        above, below = (bounds.get(name, end) for name, end in BOUNDS.items())
        kept = [one for one in effects if math.isfinite(one)]
        gaps.append(judged(kept, above, below, least=LEAST_SEEDS - (len(effects) - len(kept))))
    mistakes = [
        (each(by_mean), "the word looks at the mean alone: the whole interval has to lie on one side of a bound."),
        (each(judged, above=0.0, below=0.0), "a bound that the claim does not have is not 0: it is infinite."),
        (each(judged, above=0.0), "a claim without `above` has no lower bound: it is minus infinity, and not 0."),
        (each(judged, below=0.0), "a claim without `below` has no upper bound: it is infinity, and not 0."),
        (gaps, f"a seed without an effect does not count among the {LEAST_SEEDS} that it takes."),
        (
            ["fails" if word == "undecided" else word for word in wanted],
            "what does not hold need not fail: an interval across a bound, or too few seeds, are undecided.",
        ),
        ([exchanged[word] for word in wanted], "holds and fails are exchanged."),
    ]
    for given, hint in mistakes:
        if words == given and given != wanted:
            raise Wrong(hint)
    for word, line, (bounds, effects) in zip(words, right, ENTRIES):
        if word != line["word"]:
            raise Wrong(f"entry({bounds}, {effects}) says {word!r}, and the rule says {line['word']!r}.")


# The picture


def told(answer: object, claim: Claim, effects: Sequence[float]) -> None:
    """Refuse a picture without its data, or whose alternative text does not say what it shows."""
    found = named(answer, ("data", "alt"), "the picture's data and its alternative text")
    line = entered(claim, effects)
    data = named(found["data"], ("effects", "low", "high"), "under 'data' the numbers that are drawn")
    drawn = numbers(data["effects"], (len(effects),), "under 'effects' one number for each seed")
    if not torch.allclose(drawn, torch.tensor(effects, dtype=torch.float64), rtol=1e-4):
        raise Wrong("the effects under 'data' are not those that are to be drawn, one for each seed, in their order.")
    width = line["high"] - line["low"]
    ends = torch.stack([numbers(data[end], (), "one number") for end in ("low", "high")])
    if float((ends - torch.tensor([line["low"], line["high"]])).abs().max()) > 1e-3 * width:
        raise Wrong("low and high under 'data' are not the ends of the interval of the mean: take your entry's.")
    alt = found["alt"]
    if not isinstance(alt, str) or len(alt.split()) < 8:
        raise Wrong("the alternative text is too short for a reader who does not see the picture: 8 words or more.")
    if re.match(r"\W*(an? )?(image|picture|figure|plot|graph|chart)\b", alt.lower()):
        raise Wrong("the alternative text begins by saying that this is a picture: begin with what it shows.")
    said = [abs(float(number)) for number in re.findall(r"\d+(?:\.\d+)?", alt.replace(",", ""))]
    if not any(one == len(effects) for one in said):
        raise Wrong(f"the alternative text does not say how many seeds there are, {len(effects)}, as a number.")
    for name, value in (("mean", line["effect"]), ("lower end", line["low"]), ("upper end", line["high"])):
        if not any(abs(one - abs(value)) <= 0.1 * width for one in said):
            raise Wrong(f"the alternative text does not say the {name}, {value:.3g}, as a number.")


PICTURED = {"name": "a made-up claim", "measure": "changed minus baseline", "unit": "points", "above": 0.0}


@check
def picture(student: Student) -> str | None:
    """picture(claim, effects): a figure, with its data and its alternative text."""
    import matplotlib.pyplot as plt  # here: a check of another exercise needs no picture

    before, effects = set(plt.get_fignums()), [0.2, 1.1, 1.6, 2.9, 0.7, 1.9, 1.3]
    try:
        told(student(dict(PICTURED), list(effects)), PICTURED, effects)
        drawn = [
            artist
            for n in set(plt.get_fignums()) - before
            for axes in plt.figure(n).axes
            for artist in axes.get_children()
        ]
    finally:
        for number in set(plt.get_fignums()) - before:
            plt.close(number)
    return None if drawn else "But no new figure was drawn with plt.subplots: a reader marks what is seen."


# What is handed in of the runs

FACTS = ("rule", "registered", "first run", "tier", "pilot", "planned", "seeds", "columns")


def kept_record(answer: object, claim: Effect | None = None, effect: Effect | None = None) -> tuple[dict, str]:
    """(what the line of a claim's runs says, the word that is reported); a hint where the two are not what the rule of
    `claim` and `effect`, registered before any run, makes of paired seeds."""
    meaning = "return the pair of two texts, line, word"
    if answer is None:
        raise Wrong(f"it returns nothing (None): {meaning}.")
    pair = list(answer) if isinstance(answer, (list, tuple)) else []
    if len(pair) != 2 or not all(isinstance(one, str) for one in pair):
        nested = any(isinstance(one, (list, tuple)) for one in pair)
        raise Wrong(f"it returns {'a list of lists' if nested else kind(answer)}: {meaning}.")
    text, word = pair[0], pair[1].strip().lower()
    try:
        found = json.loads(text)
        seeds, pilot, columns, planned = found["seeds"], found["pilot"], found["columns"], int(found["planned"])
        times = [str(found[name]) for name in ("registered", "first run")]
        lengths = {len(columns[f"{what} {arm}"]) for what in MEASURED for arm in ARMS}
        rule, tier = str(found["rule"]), str(found["tier"])
    except (ValueError, KeyError, TypeError):
        raise Wrong("this is not the whole line that the cell printed, from { to }: copy it again.") from None
    if tier == "mark":
        raise Wrong(
            "the line is from the short runs that are made while a lab is marked: copy the one of your own runs."
        )
    if times[1] < times[0]:
        raise Wrong(
            f"the first run ({times[1]}) is older than the rule ({times[0]}): a rule is written before any run."
        )
    if len(set(seeds)) < len(seeds):
        raise Wrong("a seed comes twice: it is one seed, and counts once.")
    if set(seeds) & set(pilot):
        raise Wrong("a seed of the pilot is among those that are judged: its result had been seen.")
    if len(seeds) != planned:
        raise Wrong(
            f"{planned} seeds were planned and {len(seeds)} were run: who stops when it pleases chooses the result."
        )
    if lengths != {len(seeds)}:
        raise Wrong("a column does not have one number for each seed: no run of a pair may be left out.")
    if claim is None or effect is None:
        return found, word
    if fingerprint(claim(), effect) != rule:  # type: ignore[call-arg]
        raise Wrong("claim or effect has changed since these runs: the line is not of your rule. Run the cells again.")
    values = [float(one) for one in effect(copy.deepcopy(columns))]
    line = entered(registered(claim()), values)  # type: ignore[call-arg]
    if word != line["word"]:
        raise Wrong(f"you report {word!r:.20}, and by your rule these numbers say {line['word']!r}: the rule decides.")
    return found, word


@check
def record(student: Student) -> None:
    """record(): the line of the claim's runs and the word that is reported."""
    # The claim and the effect are the student's own functions: they stand where this one does.
    beside = getattr(student, "__globals__", {})
    kept_record(student(), beside.get("claim"), beside.get("effect"))
