"""How a batch's gradient errs: against its size, along training, in which directions, and which batch size that calls
for.

With BatchNorm a row's gradient depends on the rows beside it, and the error of a batch is then also that of its
statistics. So the statistics are frozen here at those of the whole training set, as a row's own gradient asks.
"""

import itertools
import math
import statistics
import time

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import jvp
from torch.nn.functional import cross_entropy

from flatlab.measure.noise import gradient_variance, noise_scale
from flatlab.measure.spectrum import eigenvalues
from flatlab.objective import Objective
from flatlab.study import columns
from flatlab.study.columns import at
from flatlab.study.curvature import small
from flatlab.study.design import (
    EITHER,
    PLAIN,
    PLAIN_ONLY,
    PLAIN_SMOKE,
    Case,
    Experiment,
    Jobs,
    Measured,
    Setting,
    Settings,
    replace,
)

PLACES = ("start", "end")


def frozen(case: Case, x: Tensor) -> nn.Module:
    """The network at x with running averages equal to the statistics pooled over the training set's chunks."""
    model = case.network(x, running_averages=True)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = None  # the average over all batches seen
    with torch.no_grad():
        for inputs in case.data.train.x.split(5000):
            model.train()(inputs)
    return model.eval()


def objectives(case: Case) -> dict[str, tuple[Objective, Objective, Tensor]]:
    """At the start and at the end of the small batch's run: the loss over the training split and over fresh rows, and
    the point."""
    found = {}
    for place, x in zip(PLACES, (case.runs["SB"].x0, case.runs["SB"].x)):
        model = frozen(case, x)
        f, fresh = (Objective(model, split, batch_norm="frozen") for split in (case.data.train, case.data.test))
        found[place] = (f, fresh, x)
    return found


def gradient_error(case: Case, sizes: tuple[int, ...], samples: int) -> Measured:
    """||g_m - G|| / ||G|| against the batch size m at the start and at the end, its slope in the logarithms, and the
    seconds of one batch's gradient: m examples cost O(m) and gain O(sqrt m)."""
    found: Measured = {}
    generator = torch.Generator().manual_seed(case.seed)
    for place, (f, _, x) in objectives(case).items():
        sizes = tuple(m for m in sizes if m <= f.rows // 2)
        whole = f.gradient(x)[1]
        errors, seconds = [], []
        for m in sizes:
            began, squares = time.perf_counter(), []
            for _ in range(samples):
                rows = torch.randperm(f.rows, generator=generator, device="cpu")[:m].to(x.device)
                squares.append((f.subset(rows).gradient(x)[1] - whole).square().sum().item())
            seconds.append((time.perf_counter() - began) / samples)
            errors.append((statistics.mean(squares) ** 0.5) / whole.norm().item())
        left = [(1 - m / f.rows) ** 0.5 for m in sizes]  # drawn without replacement: less is left to err about
        slope = np.polyfit(np.log(sizes), np.log(np.array(errors) / np.array(left)), 1)[0]
        found |= {
            columns.BATCH_SIZE: list(sizes),
            at(columns.ERROR, place): errors,
            at(columns.SLOPE, place): float(slope),
            at(columns.SECONDS, place): seconds,
        }
    return found


def parts_of_the_data(case: Case, shares: tuple[float, ...]) -> Measured:
    """The cosine between the whole training set's gradient and that of a share of it; between two halves, for which
    pure noise gives 0; and the training set taken as one batch of its distribution.

    Notes
    -----
    For pure noise the cosine with a share s is sqrt(s), which is recorded beside it. If the training set is a batch of
    N rows, the squared distance of its gradient from that on M fresh rows is tr(S) (1/N + 1/M) in the mean; the ratio
    of the two is recorded. Only at the start do the rows know nothing of x.
    """
    generator = torch.Generator().manual_seed(case.seed)
    found: Measured = {columns.SHARE: list(shares), columns.NULL: [share**0.5 for share in shares]}
    for place, (f, fresh, x) in objectives(case).items():
        whole, beyond = f.gradient(x)[1], fresh.gradient(x)[1]

        def part(rows, f=f, x=x):
            return f.subset(rows.to(x.device)).gradient(x)[1]

        def order(f=f):
            return torch.randperm(f.rows, generator=generator, device="cpu")

        halves = [part(rows) for rows in order().tensor_split(2)]
        variance = gradient_variance(f, x, samples=min(f.rows, 1000), seed=case.seed).value
        found |= {
            at(columns.COSINE, place): [
                _cosine(part(order()[: max(2, round(share * f.rows))]), whole) for share in shares
            ],
            at(columns.COSINE_OF_HALVES, place): _cosine(*halves),
            at(columns.COSINE_FRESH, place): _cosine(beyond, whole),
            at(columns.ERROR_FRESH, place): float((whole - beyond).square().sum())
            / (variance * (1 / f.rows + 1 / fresh.rows)),
        }
    return found


def _cosine(first: Tensor, second: Tensor) -> float:
    return torch.cosine_similarity(first, second, 0).item()


# Along training, without BatchNorm


def kept_along(setting: Setting, seed: int) -> Jobs:
    """The small batch, with its points at the start and at five epochs on the way."""
    epochs = sorted({0, *(max(1, round(setting.epochs * share)) for share in (0.01, 0.03, 0.1, 0.3, 1))})
    return {"SB": setting.job(setting.small, seed, keep=tuple(epochs))}


def noise_along(case: Case, small: int, big: int, samples: int) -> Measured:
    """The simple noise scale by two batch sizes, beside the exact one from every row's own gradient."""
    points = case.runs["SB"].points
    big = min(big, case.f.rows // 2)
    found: Measured = {columns.EPOCH: list(points), columns.TWO_BATCHES: [], columns.EXACT: []}
    for x in points.values():
        variance, gradient = gradient_variance(case.f, x).value, case.f.gradient(x)[1]
        found[columns.EXACT].append(variance / float(gradient.double().square().sum()))
        found[columns.TWO_BATCHES].append(
            noise_scale(case.f, x, small=small, big=big, samples=samples, seed=case.seed).value
        )
    return found


def noise_directions(case: Case, count: int) -> Measured:
    """The share of the gradient noise tr(S) that lies along the steepest directions of the Hessian, at the start and at
    the end.

    Notes
    -----
    sum_k Var(g_i . v_k) / tr(S) over rows i; g_i . v is a forward derivative of the row's loss. Isotropic noise has
    count / n there.
    """
    found: Measured = {columns.ISOTROPIC: count / case.f.size}
    for place, x in zip(PLACES, (case.runs["SB"].x0, case.runs["SB"].x)):
        top = eigenvalues(case.f.hessian(x), count, tol=1e-2, max_products=120).vectors
        along = sum(float(_along(case.f, x, v.to(x)).var(unbiased=False)) for v in top.T)
        found[at(columns.SHARE, place)] = along / gradient_variance(case.f, x).value
    return found


def _along(f: Objective, x: Tensor, v: Tensor) -> Tensor:
    """Every row's gradient along v."""

    def losses(x):
        return cross_entropy(f.outputs(x, f.inputs), f.targets, reduction="none")

    return jvp(losses, (x,), (v,))[1]


# Critical batch size: steps to a target

TARGET = 0.7  # nats of the running training loss
FEWER_FACTORS = (0.25, 0.5, 1, 2, 4, 8)
NOISE_SIZES = (8, 32, 128, 500, 2000)
SHARES = (4, 1)
EARLY = (0, 1, 2, 3, 4)  # epochs at which the noise scale is taken beside


def to_target(setting: Setting, seed: int) -> Jobs:
    """Batch sizes up to half of the rows, each at six rates, on a quarter of the rows and on all."""
    return {
        f"1/{share} {size} x{factor:g}": setting.job(
            size, seed, lr=1e-3 * factor, subset=setting.rows // share, keep=EARLY if size == 32 and factor == 1 else ()
        )
        for share in SHARES
        for size in NOISE_SIZES
        if size <= setting.rows // share // 2
        for factor in FEWER_FACTORS
    }


def critical_batch(case: Case) -> Measured:
    """The fewest updates to the target over the rates, for each batch size, and the hyperbola through them.

    Notes
    -----
    (S / S_min - 1)(E / E_min - 1) = 1 with E = S m is S = S_min + E_min / m, fitted by least squares of the relative
    errors; the critical batch size is E_min / S_min (McCandlish et al. 2018, equation 2.11). Beside it stands the
    simple noise scale, the geometric mean over the start and the first epochs.
    """
    found: Measured = {columns.BATCH_SIZE: list(NOISE_SIZES)}
    for share in SHARES:
        counts = [fewest_updates(case, f"1/{share} {size} ") for size in NOISE_SIZES]
        reached = [(size, count) for size, count in zip(NOISE_SIZES, counts) if count]
        slopes = [math.log(b[1] / a[1]) / math.log(b[0] / a[0]) for a, b in itertools.pairwise(reached)]
        found |= {
            at(columns.UPDATES, f"1/{share}"): counts,
            at(columns.CRITICAL, f"1/{share}"): hyperbola(reached),
            at(columns.FIRST_SLOPE, f"1/{share}"): slopes[0] if slopes else None,
            at(columns.LAST_SLOPE, f"1/{share}"): slopes[-1] if slopes else None,
        }
    points = case.runs["1/1 32 x1"].points.values()
    scales = [
        gradient_variance(case.f, x, samples=min(case.f.rows, 500)).value
        / float(case.f.gradient(x)[1].double().square().sum())
        for x in points
    ]
    return found | {columns.NOISE_SCALE: float(np.exp(np.mean(np.log(scales))))}


def fewest_updates(case: Case, labels: str) -> float | None:
    """The fewest updates to the target among the runs whose labels begin so; None where none reaches it."""
    counts = [
        updates_to_target(run.history, case.data.classes)
        for label, run in case.runs.items()
        if label.startswith(labels)
    ]
    return min((count for count in counts if count is not None), default=None)


def updates_to_target(history: dict[str, list], classes: int) -> float | None:
    """The updates after which the running training loss is at the target; None where it never is.

    An epoch's mean stands for the middle of its updates, and between two middles the loss is a line: whole epochs would
    be half of the answer where few of them lead to the target. It begins at that of a net that knows nothing.
    """
    ends = np.array([0, *history["updates"]], float)
    places = [0.0, *(ends[1:] + ends[:-1]) / 2]
    losses = [math.log(classes), *history["train_loss"]]
    for k in range(1, len(losses)):
        if losses[k] <= TARGET:
            return float(np.interp(TARGET, [losses[k], losses[k - 1]], [places[k], places[k - 1]]))
    return None


def hyperbola(points: list[tuple[int, float]]) -> float | None:
    """E_min / S_min of the best S = S_min + E_min / m through (m, S); None where fewer than three points or no such
    curve fits."""
    if len(points) < 3:
        return None
    sizes, counts = np.array(points, float).T
    shape = np.stack([np.ones_like(sizes), 1 / sizes], 1) / counts[:, None]
    least_steps, least_rows = np.linalg.lstsq(shape, np.ones_like(counts), rcond=None)[0]
    return float(least_rows / least_steps) if min(least_steps, least_rows) > 0 else None


# A quarter of the rows has to leave three batch sizes, through which a hyperbola goes; the target is early.
TO_TARGET: Settings = {
    "smoke": (replace(PLAIN_SMOKE, data="2000 rows of mnist1d"),),
    "reduced": (replace(PLAIN, epochs=25),),
}
NOISE_ALONG: Settings = {"smoke": (PLAIN_SMOKE,), "reduced": (replace(PLAIN, data="2000 rows of mnist1d"),)}
EXPERIMENTS = {
    "gradient-error": Experiment(
        "error of a batch's gradient against its cost",
        EITHER,
        small,
        gradient_error,
        {"sizes": (8, 32, 128, 512, 2048), "samples": 20},
    ),
    "part-of-the-data": Experiment(
        "the gradient of a part, and on fresh data",
        EITHER,
        small,
        parts_of_the_data,
        {"shares": (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)},
    ),
    "noise-along": Experiment(
        "the noise scale along training, by two batches and exactly",
        NOISE_ALONG,
        kept_along,
        noise_along,
        {"small": 32, "big": 512, "samples": 40},
    ),
    "noise-directions": Experiment(
        "where the gradient's noise lies", PLAIN_ONLY, small, noise_directions, {"count": 10}
    ),
    "critical-batch": Experiment("updates to a target against the batch size", TO_TARGET, to_target, critical_batch),
}
