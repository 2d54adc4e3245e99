"""Batch size, learning rate, updates and BatchNorm's statistics, each varied with the others held: the centre of the
book.

A larger batch changes three things at once: it makes fewer updates, its gradients are less noisy, and BatchNorm
normalises over more rows. The paper varies all three together, at one learning rate. Rates are chosen on the validation
split, seed by seed.
"""

import math
from collections.abc import Callable, Sequence

from flatlab.measure.spectrum import eigenvalues
from flatlab.study import columns
from flatlab.study.columns import of, series
from flatlab.study.design import (
    BOTH_LARGE,
    CONTROLS,
    CURE_SETTINGS,
    F1,
    HALF_OF_ROWS,
    PLAIN,
    PLAIN_SMOKE,
    TEN,
    Case,
    Experiment,
    Jobs,
    Measured,
    Setting,
    Settings,
    accuracy,
    held_out,
    replace,
    settled,
)
from flatlab.study.jobs import Job
from flatlab.study.reproductions import FROM_32_UP, fig4, phi, sizes
from flatlab.training.train import Recipe, Run

DEFAULT_RATE = Recipe().lr
FACTORS = (0.25, 0.5, 1, 2, 4, 8, 16, 32)  # of the rate, over which both batch sizes are tuned
WARM_UP = 0.05  # of the epochs, as Goyal et al.'s 5 of 90


def outcome(case: Case, labels: list[str] | None = None) -> Measured:
    """Test accuracy and sharpness of each run, the columns that most controls compare."""
    found: Measured = {}
    for label in labels or case.runs:
        run = case.runs[label]
        found |= {columns.test(label): settled(run), columns.phi(label): phi(case, run.x)}
    return found


def chosen(case: Case, labels: list[str]) -> str:
    """The label of the run that is most accurate on the validation split. One that diverged is not chosen."""
    finite = [label for label in labels if not case.runs.diverged(label)] or labels
    return max(finite, key=lambda label: accuracy(case.validation, case.runs[label].x))


def where_finite(case: Case, labels: list[str], measure: Callable[[Run], float]) -> list[float]:
    """What is measured on each run along a grid; nan for one that diverged."""
    return [math.nan if case.runs.diverged(label) else measure(case.runs[label]) for label in labels]


def along(name: str, doses: Sequence[float], test: list[float], sharp: list[float], best: int) -> Measured:
    """Test accuracy and sharpness along doses, and at the one of them that was chosen."""
    return {
        columns.DOSE: list(doses),
        series(name, "test"): test,
        columns.phi_series(1e-3, name): sharp,
        columns.test(name): test[best],
        columns.phi(name): sharp[best],
        of(name, columns.DOSE): doses[best],
    }


def runs_along(case: Case, name: str, doses: Sequence[float]) -> Measured:
    """`along` of the runs whose labels are the doses; the validation split chooses."""
    labels = [f"{dose:g}" for dose in doses]
    test, sharp = (where_finite(case, labels, measure) for measure in (settled, lambda run: phi(case, run.x)))
    return along(name, doses, test, sharp, labels.index(chosen(case, labels)))


# Tuning


def at_rate(label: str, factor: float) -> str:
    """The label of a run at a multiple of the rate: SB, SB x0.25."""
    return label if factor == 1 else f"{label} x{factor:g}"


def rates(setting: Setting, seed: int) -> Jobs:
    """Both batch sizes over the grid of rates; the large one by the root and the linear rule, with and without
    warm-up."""
    grid = {
        at_rate(label, factor): setting.job(batch, seed, lr=DEFAULT_RATE * factor)
        for label, batch in (("SB", setting.small), ("LB", setting.large))
        for factor in FACTORS
    }
    warm_up = max(1, round(WARM_UP * setting.epochs))
    rules = {
        f"LB {name}{words}": setting.job(setting.large, seed, lr=DEFAULT_RATE * setting.ratio**power, warm_up=epochs)
        for name, power in (("root", 0.5), ("linear", 1.0))
        for words, epochs in (("", 0), (" warm", warm_up))
    }
    return grid | rules


def learning_rate(case: Case) -> Measured:
    """By rule and tuned, and test accuracy and sharpness along the grid."""
    found: Measured = {columns.FACTOR: list(FACTORS)}
    for label in ("SB", "LB"):
        labels = [at_rate(label, factor) for factor in FACTORS]
        best = chosen(case, labels)
        found |= {
            series(label, "test"): where_finite(case, labels, settled),
            series(label, "validation"): where_finite(case, labels, lambda run: accuracy(case.validation, run.x)),
            columns.phi_series(1e-3, label): where_finite(case, labels, lambda run: phi(case, run.x)),
            columns.test(f"{label} tuned"): settled(case.runs[best]),
            columns.phi(f"{label} tuned"): phi(case, case.runs[best].x),
            of(label, columns.TUNED_FACTOR): FACTORS[labels.index(best)],
        }
    return found | outcome(case, ["SB", "LB", "LB root", "LB root warm", "LB linear", "LB linear warm"])


# The waterfall


def waterfall(setting: Setting, seed: int) -> Jobs:
    """From the large batch to the small one, one cause at a time: the rate (root rule), BatchNorm's statistics (ghost
    batches of the small size), the number of updates; all three are the regime of Hoffer et al. Also the small batch
    with the large one's updates."""
    root, ghost = {"lr": DEFAULT_RATE * setting.ratio**0.5}, {"update": "ghost", "strength": setting.small}
    long = {"epochs": round(setting.epochs * setting.ratio)}
    steps = {
        "LB": {},
        "rate": root,
        "ghost": ghost,
        "updates": long,
        "rate ghost": {**root, **ghost},
        "regime": {**root, **ghost, **long},
    }
    return {
        "SB": setting.job(setting.small, seed),
        "SB short": setting.job(setting.small, seed, epochs=max(1, round(setting.epochs / setting.ratio))),
        **{label: setting.job(setting.large, seed, **change) for label, change in steps.items()},
    }


def without_more_updates(setting: Setting, seed: int) -> Jobs:
    """The part of the waterfall that takes no more epochs."""
    return {label: job for label, job in waterfall(setting, seed).items() if job.recipe.epochs <= setting.epochs}


# The ratio of rate to batch size, in a net without BatchNorm, by gradient descent

RATIO_SIZES = (8, 16, 32, 64, 128, 256)
SAME_RATE_SIZES = (8, 32, 128, 500)


def ratios(setting: Setting, seed: int) -> Jobs:
    """Batch sizes at one ratio of rate to batch size, at one rate, and at a rate that falls as the batch grows."""

    def descent(size: int, rate: float) -> Job:
        return setting.job(size, seed, optimizer="sgd", lr=rate)

    largest = RATIO_SIZES[-1]
    return (
        {f"ratio {size}": descent(size, 0.1 * size / 32) for size in RATIO_SIZES}
        | {f"rate {size}": descent(size, 0.1) for size in SAME_RATE_SIZES}
        | {"inverse": descent(largest, 0.1 * 32 / largest)}
    )


def ratio(case: Case) -> Measured:
    """Accuracy on all three splits and the largest eigenvalue of the Hessian."""
    found: Measured = {
        of(columns.RATIO, columns.BATCH_SIZE): list(RATIO_SIZES),
        of(columns.RATE, columns.BATCH_SIZE): list(SAME_RATE_SIZES),
        columns.test("inverse"): settled(case.runs["inverse"]),
    }
    for kind in ("ratio", "rate"):
        runs = [run for label, run in case.runs.items() if label.startswith(f"{kind} ")]
        found |= {
            series(kind, "test"): list(map(settled, runs)),
            series(kind, "train"): [case.whole.accuracy(run.x) for run in runs],
            series(kind, "validation"): [accuracy(case.validation, run.x) for run in runs],
            series(kind, columns.CURVATURE): [
                float(eigenvalues(case.f.hessian(run.x), max_products=60)) for run in runs
            ],
        }
    return found


# The threshold at the root rule; warm starts against a falling rate; escape


def batches_at_root_rule(setting: Setting, seed: int) -> Jobs:
    """Figure 4's batch sizes, each at a rate that grows with the root of the size."""
    return {
        str(size): setting.job(size, seed, lr=DEFAULT_RATE * (size / setting.small) ** 0.5)
        for size in sizes(setting)
        if size <= setting.rows // 2
    }


def further(setting: Setting, seed: int, before: Job, runs: dict[str, tuple[int | float, float]]) -> Jobs:
    """Runs of as many epochs again from where another job ended: {label: (batch size, rate)}."""
    start = (before, before.recipe.epochs)
    return {label: setting.job(batch, seed, start=start, lr=rate) for label, (batch, rate) in runs.items()}


def kept_to_the_end(job: Job) -> Job:
    """The job with its last point kept, so that another can start there."""
    return replace(job, keep=(job.recipe.epochs,))


def after_the_small_batch(setting: Setting, seed: int) -> Jobs:
    """From the small batch's end: on with it, the large batch, and the small batch at rates divided by the ratio and
    its root."""
    small, ratio = kept_to_the_end(setting.job(setting.small, seed)), setting.ratio
    runs = {
        "SB on": (setting.small, DEFAULT_RATE),
        "LB on": (setting.large, DEFAULT_RATE),
        "SB root slower": (setting.small, DEFAULT_RATE / ratio**0.5),
        "SB slower": (setting.small, DEFAULT_RATE / ratio),
    }
    return {"SB": small} | further(setting, seed, small, runs)


def after_the_large_batch(setting: Setting, seed: int) -> Jobs:
    """From the large batch's end: on with it, at a higher rate, and with the small batch; and the small batch for as
    long in all."""
    large = kept_to_the_end(setting.job(setting.large, seed))
    runs = {
        "LB on": (setting.large, DEFAULT_RATE),
        "LB faster": (setting.large, DEFAULT_RATE * setting.ratio**0.5),
        "SB on": (setting.small, DEFAULT_RATE),
    }
    twice = setting.job(setting.small, seed, epochs=2 * setting.epochs)
    return {"LB": large, "SB twice": twice} | further(setting, seed, large, runs)


# Dynamic sampling


GROWN_OVER = (0.25, 0.5, 1.0)  # of the epochs, over which the batch grows; the large size stays for the rest


def growing(setting: Setting, seed: int) -> Jobs:
    """The pair; a batch that grows from the small to the large size over each share of the epochs; and the small batch
    at a rate that falls over all epochs by the root of the ratio."""
    return (
        setting.pair(seed)
        | {
            f"{share:g}": setting.job(
                setting.small, seed, growth=setting.ratio ** (1 / (share * setting.epochs)), grow_to=setting.large
            )
            for share in GROWN_OVER
        }
        | {"decaying": setting.job(setting.small, seed, decay=(setting.ratio**0.5 - 1) / max(1, setting.epochs - 1))}
    )


def growing_outcome(case: Case, shares: tuple[float, ...]) -> Measured:
    """Along the shares and at the one that the validation split chooses: test accuracy, sharpness, updates. And
    `outcome` of the others, with the updates that each took."""
    labels = [f"{share:g}" for share in shares]
    others = [label for label in case.runs if label not in labels]
    updates = {label: run.history["updates"][-1] for label, run in case.runs.items()}
    found = runs_along(case, "growing", shares)
    return found | {
        series("growing", columns.UPDATES): [updates[label] for label in labels],
        columns.at(columns.UPDATES, "growing"): updates[f"{found[of('growing', columns.DOSE)]:g}"],
        **{columns.at(columns.UPDATES, label): updates[label] for label in others},
        **outcome(case, others),
    }


RATIOS: Settings = {"smoke": (PLAIN_SMOKE,), "reduced": (replace(PLAIN, epochs=100, seeds=TEN),)}
EXPERIMENTS = {
    "learning-rate": Experiment(
        "the learning rate by rules, and tuned for both batch sizes", held_out(CONTROLS), rates, learning_rate
    ),
    "waterfall": Experiment(
        "rate, BatchNorm's statistics, updates: what closes the gap", BOTH_LARGE, waterfall, outcome
    ),
    "rate-and-statistics": Experiment(
        "the same without more updates",
        # ten, because half of F1's gap is less than a tenth of a point, which five seeds seldom see
        {**CURE_SETTINGS, "reduced": (HALF_OF_ROWS,), "colab": (replace(F1, seeds=TEN),)},
        without_more_updates,
        outcome,
    ),
    "ratio": Experiment("the ratio of learning rate to batch size", RATIOS, ratios, ratio),
    "threshold-root": Experiment("batch sizes at the root rule", FROM_32_UP, batches_at_root_rule, fig4),
    "warm-decay": Experiment("a warm start against a falling rate", CONTROLS, after_the_small_batch, outcome),
    "escape": Experiment("on from the large batch's end", CONTROLS, after_the_large_batch, outcome),
    "dynamic": Experiment(
        "a batch that grows until it is the large one; the dose is the share of the epochs over which it grows",
        held_out(CONTROLS),
        growing,
        growing_outcome,
        {"shares": GROWN_OVER},
    ),
}
