"""The paper's tables and figures. Each column is named as in `flatlab.study.paper`, so that ours stands beside the
paper's own."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from flatlab.measure.paths import arc, line, triangle
from flatlab.measure.sharpness import sharpness
from flatlab.study import columns, paper
from flatlab.study.design import (
    BASE,
    BOTH_LARGE,
    CONTROLS,
    HALF_OF_ROWS,
    Case,
    Experiment,
    Jobs,
    Measured,
    Setting,
    Settings,
    also,
    settled,
)
from flatlab.study.jobs import Job


def phi(case: Case, x: Tensor, eps: float = 1e-3, **options: Any) -> float:
    """The sharpness of the training loss at a point, in percent."""
    return sharpness(case.f, x, eps, seed=case.seed, **options).percent


def pair(setting: Setting, seed: int) -> Jobs:
    """Small and large batch."""
    return setting.pair(seed)


def table2(case: Case) -> Measured:
    """Accuracy on both splits at the final point."""
    return {
        name(label): f.accuracy(run.x)
        for name, f in ((columns.train, case.f), (columns.test, case.test))
        for label, run in case.runs.items()
    }


def fig2(case: Case) -> Measured:
    """Accuracy by epoch."""
    found = {columns.EPOCH: case.runs["SB"].history["epoch"]}
    for label, run in case.runs.items():
        found |= {columns.series(label, part): run.history[f"{part}_accuracy"] for part in ("train", "test")}
    return found


def table3(case: Case, **options: Any) -> Measured:
    """Sharpness in the full space."""
    return {
        columns.phi(label, eps): phi(case, run.x, eps, **options)
        for eps in paper.EPSILONS
        for label, run in case.runs.items()
    }


def table4(case: Case) -> Measured:
    """Sharpness in 100 random dimensions."""
    return table3(case, subspace=min(paper.SUBSPACE, len(case.runs["SB"].x)))


def fig3(case: Case, path: Callable = line) -> Measured:
    """Loss and accuracy along the line from small to large batch."""
    found: Measured = {}
    for part, f in (("train", case.f), ("test", case.test)):
        along = path(f, case.runs["SB"].x, case.runs["LB"].x)
        found |= {
            columns.ALPHA: along.alphas,
            columns.series(columns.LOSS, part): along.loss,
            columns.series("acc", part): along.accuracy,
        }
    return found


def fig7(case: Case) -> Measured:
    """The same along an arc."""
    return fig3(case, arc)


def sizes(setting: Setting) -> list[int]:
    """Nine batch sizes from the small one to the large one and beyond, evenly in the logarithm."""
    low, high = setting.small, 1.25 * setting.small * setting.ratio
    return sorted({min(setting.rows, round(low * (high / low) ** (k / 8))) for k in range(9)})


def batches(setting: Setting, seed: int) -> Jobs:
    """A run for each of nine batch sizes, all at the same rate."""
    return {str(size): setting.job(size, seed) for size in sizes(setting)}


def fig4(case: Case) -> Measured:
    """Batch size against test accuracy and sharpness; the threshold by the rule of `threshold`, and how much the break
    explains."""
    found, accuracy = [int(label) for label in case.runs], list(map(settled, case.runs.values()))
    sharp = {columns.phi_series(eps): [phi(case, run.x, eps) for run in case.runs.values()] for eps in paper.EPSILONS}
    return {
        columns.BATCH_SIZE: found,
        columns.accuracy("test"): accuracy,
        **sharp,
        columns.THRESHOLD: threshold(found, accuracy),
        columns.EVIDENCE: evidence_of_a_threshold(found, accuracy),
    }


def threshold(sizes: Sequence[float], accuracy: Sequence[float]) -> float:
    """The batch size beyond which accuracy drops: the break of the best fit of a level and then a line in log(batch
    size).

    Least squares over all breaks between the second and the next to last size. The paper reads its thresholds, 500 and
    15,000, from its figure by eye; on its own digitised curves this rule finds 223 and 8,407, where accuracy begins to
    fall: at the paper's sizes 0.35 (C1) and 0.14 (F2) of the fall is over. No rule that we tried finds both.
    """
    logs = np.log(sizes)
    return sizes[min(range(1, len(logs) - 1), key=lambda place: _misfit(accuracy, np.maximum(0, logs - logs[place])))]


def evidence_of_a_threshold(sizes: Sequence[float], accuracy: Sequence[float]) -> float:
    """By how much a level and then a line fits better than one line: the difference of the log-likelihoods, with normal
    errors.

    The break is chosen among the sizes, so a curve without one has an expected gain of about one half.
    """
    logs, count = np.log(sizes), len(sizes)
    broken = min(_misfit(accuracy, np.maximum(0, logs - logs[place])) for place in range(1, count - 1))
    return float(count / 2 * np.log(_misfit(accuracy, logs) / max(broken, 1e-300)))


def _misfit(values: Sequence[float], shape: np.ndarray) -> float:
    """The squares that are left by the best level plus multiple of a shape."""
    matrix, target = np.stack([np.ones_like(shape), shape], 1), np.array(values)
    return float(np.square(target - matrix @ np.linalg.lstsq(matrix, target, rcond=None)[0]).sum())


def warm_epochs(setting: Setting) -> list[int]:
    """The epochs of the small batch from which the large one is started."""
    return sorted({round(setting.epochs * share) for share in (0, 0.02, 0.05, 0.1, 0.2, 0.4, 1)})


def warm_starts(setting: Setting, seed: int) -> Jobs:
    """The small batch, and the large batch started where it was."""
    small = small_run(setting, seed)
    return {"SB": small} | {
        str(epoch): setting.job(setting.large, seed, start=(small, epoch)) for epoch in warm_epochs(setting)
    }


def fig5(case: Case) -> Measured:
    """Test accuracy and sharpness of the large batch started from an epoch of the small one."""
    epochs, small = warm_epochs(case.setting), case.runs["SB"]
    warm = [case.runs[str(epoch)] for epoch in epochs]
    return {
        columns.EPOCH_OF_THE_SMALL_BATCH: epochs,
        columns.accuracy("SB"): [case.test.accuracy(small.points[epoch]) for epoch in epochs],
        columns.accuracy("PB"): list(map(settled, warm)),
        **{columns.phi_series(eps): [phi(case, run.x, eps) for run in warm] for eps in paper.EPSILONS},
    }


def kept_epochs(setting: Setting) -> list[int]:
    """Eight epochs, closer together at the beginning."""
    return sorted({max(1, round(setting.epochs * (k / 8) ** 2)) for k in range(1, 9)})


def kept_pair(setting: Setting, seed: int) -> Jobs:
    """Small and large batch with their points on the way."""
    kept = tuple(kept_epochs(setting))
    return {"SB": small_run(setting, seed), "LB": setting.job(setting.large, seed, keep=kept)}


def small_run(setting: Setting, seed: int) -> Job:
    """The small batch, with the points that `warm_starts` and `kept_pair` ask for."""
    return setting.job(setting.small, seed, keep=tuple(sorted({*warm_epochs(setting), *kept_epochs(setting)})))


def fig6(case: Case) -> Measured:
    """Sharpness against the cross entropy at epochs on the way."""
    epochs = kept_epochs(case.setting)
    found: Measured = {columns.EPOCH: epochs}
    for label, run in case.runs.items():
        points = [run.points[epoch] for epoch in epochs]
        found[columns.series(label, columns.CROSS_ENTROPY)] = [case.f.value(x) for x in points]
        found |= {columns.phi_series(eps, label): [phi(case, x, eps) for x in points] for eps in paper.EPSILONS}
    return found


def distances(case: Case) -> Measured:
    """||x - x0|| of both, and the ratio, which the paper puts between 3 and 10."""
    small, large = case.runs["SB"], case.runs["LB"]
    found = triangle(small.x0, small.x, large.x)
    return {"SB": found.a, "LB": found.b, columns.RATIO: found.ratio}


def augmented_pair(setting: Setting, seed: int) -> Jobs:
    """Small and large batch on data that are moved at random, and both on the data as they are."""
    plain = {f"{label} plain": job for label, job in setting.pair(seed).items()}
    return setting.pair(seed, augmentation=1) | plain


def table6(case: Case) -> Measured:
    """Test accuracy of all runs, and the sharpness of the large batches on the data as they are."""
    found = {columns.test(label): settled(run) for label, run in case.runs.items()}
    for label, run in case.runs.items():
        if label.startswith("LB"):
            found |= {columns.phi(label, eps): phi(case, run.x, eps) for eps in paper.EPSILONS}
    return found


def conservative(setting: Setting, seed: int) -> Jobs:
    """The small batch as it is; the large one by conservative steps, plainly, and plainly with three times the epochs:
    a conservative step is three steps of Adam, which the paper does not control for."""
    return setting.pair(seed) | {
        "LB": setting.job(setting.large, seed, update="conservative"),
        "LB plain": setting.job(setting.large, seed),
        "LB thrice": setting.job(setting.large, seed, epochs=3 * setting.epochs),
    }


# The paper shows Figures 4 to 6 for C1 and F2; F1 is what a processor can do of its size.
F2 = tuple(setting for setting in BASE["paper"] if setting.net == "F2")
TRAINED_ALONG = also(CONTROLS, paper=F2)
FROM_32_UP: Settings = {**TRAINED_ALONG, "reduced": (HALF_OF_ROWS,)}  # from 32 rows to more than half of them
# The paper's Table 6 has no F1: a reflected digit is no digit.
IMAGES: Settings = {
    **BOTH_LARGE,  # signals
    "colab": tuple(setting for setting in BASE["colab"] if setting.net.startswith("C")),
    "paper": tuple(setting for setting in BASE["paper"] if setting.net.startswith("C")),
}

EXPERIMENTS = {
    "table2": Experiment("accuracy of small and large batch", BASE, pair, table2),
    "fig2": Experiment("accuracy by epoch; early stopping does not help", BASE, pair, fig2),
    "table3": Experiment("sharpness in the full space", BASE, pair, table3),
    "table4": Experiment("sharpness in 100 random dimensions", BASE, pair, table4),
    "fig3": Experiment("the line between the two minima", BASE, pair, fig3),
    "fig7": Experiment("the arc between the two minima", BASE, pair, fig7),
    "distances": Experiment("how far from the start each ends", BASE, pair, distances),
    "fig4": Experiment("batch size against accuracy and sharpness", FROM_32_UP, batches, fig4),
    "fig5": Experiment("large batch warm-started from small", TRAINED_ALONG, warm_starts, fig5),
    "fig6": Experiment("sharpness against the loss on the way", TRAINED_ALONG, kept_pair, fig6),
    "table6": Experiment("augmented data", IMAGES, augmented_pair, table6),
    "table7": Experiment("conservative training of the large batch", CONTROLS, conservative, table6),
}
