"""Controls of the measurement itself, and of the time that a large batch is meant to save."""

from typing import Any

from flatlab.measure.sharpness import sharpness
from flatlab.objective import Objective
from flatlab.study import columns
from flatlab.study.columns import at, of
from flatlab.study.design import BOTH_LARGE, CONTROLS, SMALL_ONLY, Case, Experiment, Jobs, Measured, Setting, accuracy
from flatlab.study.gradient_noise import frozen
from flatlab.study.parallel import seconds_per_update
from flatlab.study.performance import allowed_updates_ratio, parallel_efficiency
from flatlab.study.reproductions import pair
from flatlab.training.train import Recipe

POLICIES = ("batch", "frozen", "batches of 256")
SEARCHED: dict[str, dict[str, Any]] = {
    "lbfgs 10": {},
    "lbfgs 20": {"steps": 20},
    "apgd 20": {"method": "apgd", "steps": 20},
    "scipy 10": {"method": "scipy"},  # the paper's protocol, which can stop where it starts
}
SCALE_FREE = tuple(name for name, options in SEARCHED.items() if options.get("method") != "scipy")


def batch_norm(case: Case) -> Measured:
    """phi(1e-3) of both points under three BatchNorm policies; "frozen" holds the statistics pooled over the training
    set at the point. With one chunk "recompute" is the same function as "batch"."""
    found: Measured = {}
    for label, run in case.runs.items():
        functions = (
            case.objective(),
            Objective(frozen(case, run.x), case.data.train, batch_norm="frozen"),
            case.objective(chunk=256),
        )
        found |= {
            of(label, policy): sharpness(case.over_measured_rows(f), run.x).percent
            for policy, f in zip(POLICIES, functions)
        }
    return found


def maximiser(case: Case) -> Measured:
    """phi(1e-3) of both points as each maximiser finds it: all are lower bounds of the same number."""
    return {
        of(label, name): sharpness(case.f, run.x, **options).percent
        for label, run in case.runs.items()
        for name, options in SEARCHED.items()
    }


def often_kept(setting: Setting, seed: int) -> Jobs:
    """The pair with its points at twenty epochs, closer together at the beginning."""
    kept = tuple(sorted({max(1, round(setting.epochs * (k / 20) ** 2)) for k in range(1, 21)}))
    return setting.pair(seed, keep=kept)


def performance(case: Case, workers: int) -> Measured:
    """Appendix C as it is printed: the large batch pays where I_l / I_s < B_s / (f_s(P) B_l).

    Notes
    -----
    I is the number of updates to a training accuracy that both reach, 99 % of the lower one's best, over the whole
    training set: the running accuracy of an epoch of small batches is BatchNorm's noise. f(P) = T(1) / (P T(P)) is the
    parallel efficiency of an update's seconds T, measured by torchrun on P workers; the paper takes f_l(P) = 1.
    """
    setting = case.setting
    reached = {label: [accuracy(case.whole, x) for x in run.points.values()] for label, run in case.runs.items()}
    goal = 0.99 * min(map(max, reached.values()))
    found: Measured = {columns.GOAL: goal}
    for label, batch in (("SB", setting.small), ("LB", setting.large)):
        run, rows = case.runs[label], Recipe(batch_size=batch).rows(setting.rows)
        epoch = next(e for e, value in zip(run.points, reached[label]) if value >= goal)
        alone, together = (seconds_per_update(setting.net, setting.data, rows, count) for count in (1, workers))
        found |= {
            at(columns.ROWS, label): rows,
            at(columns.UPDATES, label): run.history["updates"][epoch - 1],
            at(columns.SECONDS_PER_UPDATE, label): alone,
            at(columns.SECONDS_PER_UPDATE_TOGETHER, label): together,
            at(columns.EFFICIENCY, label): parallel_efficiency(alone, together, workers),
        }
    return found | {
        columns.UPDATES_RATIO: found[at(columns.UPDATES, "LB")] / found[at(columns.UPDATES, "SB")],
        columns.UPDATES_RATIO_ALLOWED: allowed_updates_ratio(
            found[at(columns.ROWS, "SB")], found[at(columns.ROWS, "LB")], found[at(columns.EFFICIENCY, "SB")]
        ),
        columns.SECONDS_RATIO: found[at(columns.SECONDS_PER_UPDATE, "SB")]
        / found[at(columns.SECONDS_PER_UPDATE, "LB")],
    }


EXPERIMENTS = {
    "batch-norm": Experiment("BatchNorm's policy while measuring", CONTROLS, pair, batch_norm),
    "maximiser": Experiment("the inner maximiser", BOTH_LARGE, pair, maximiser),
    "performance": Experiment(
        "appendix C with measured efficiency", SMALL_ONLY, often_kept, performance, {"workers": 2}
    ),
}
