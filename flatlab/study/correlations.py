"""Does a measure of a trained net order nets by their test error? Many nets per seed, Kendall's tau, plain and axis by
axis.

Each seed is one replication: a grid of nets over batch size, learning rate, weight decay and width. A net that does not
fit 99 % of its training rows is left out, since an untrained net is flat and bad for another reason (Jiang et al.
2020).
"""

import itertools
import math
from typing import Any

import numpy as np
import torch

from flatlab.measure.sharpness import adaptive_sharpness, average_sharpness, sharpness
from flatlab.measure.spectrum import eigenvalues, trace
from flatlab.objective import Objective
from flatlab.study import columns
from flatlab.study.columns import of
from flatlab.study.design import SMOKE, TEN, Case, Experiment, Jobs, Measured, Setting, accuracy, replace
from flatlab.study.jobs import Job
from flatlab.study.rates import DEFAULT_RATE
from flatlab.training.train import Recipe, Run

AXES: dict[str, tuple[Any, ...]] = {
    "batch": (32, 125, 500),
    "rate": (0.5, 2, 8),
    "decay": (0.0, 1e-3),
    "width": ("mlp", "small-mlp"),
}
FITTED = 99.0  # percent of the training rows: below it a net has not been trained to the end
WIDTHS = (0.005, 0.01, 0.02, 0.05, 0.1)  # of the Gaussian weights that PAC-Bayes bounds
DELTA = 0.05  # the probability with which the best of their bounds may fail


def grid(setting: Setting, seed: int) -> Jobs:
    """A net for every combination."""
    return {
        f"{batch} {rate:g} {decay:g} {net}": Job(
            net,
            setting.data,
            seed,
            Recipe(
                batch_size=min(batch, setting.rows), epochs=setting.epochs, lr=DEFAULT_RATE * rate, weight_decay=decay
            ),
        )
        for batch, rate, decay, net in itertools.product(*AXES.values())
    }


def measures(f: Objective, run: Run, samples: int) -> dict[str, float]:
    """What is said to order nets by their test error: the larger, the worse."""
    hessian = f.hessian(run.x)
    length, distance = run.x.norm().item(), (run.x - run.x0).norm().item()
    average = average_sharpness(f, run.x, samples=samples).value
    return {
        columns.PHI: sharpness(f, run.x).percent,
        columns.ADAPTIVE_SHARPNESS: float(adaptive_sharpness(f, run.x, 0.1, norm=2)),
        columns.AVERAGE_SHARPNESS: average,
        columns.LARGEST_EIGENVALUE: float(eigenvalues(hessian, tol=1e-2, max_products=60)),
        columns.TRACE: trace(hessian, tol=0.1, max_products=60).value,
        "length": length,
        columns.DISTANCE: distance,
        "training loss": f.value(run.x),
        columns.UPDATES: float(run.history["updates"][-1]),
        columns.PAC_BAYES: pac_bayes(f, run.x, distance, samples),
    }


def pac_bayes(f: Objective, x: torch.Tensor, distance: float, samples: int) -> float:
    """McAllester's bound on the error of Gaussian weights around x, with the prior around x0, at the best of the
    widths.

    Notes
    -----
    error <= training error + sqrt((KL + ln(2 sqrt(N) / delta)) / 2N), KL = distance^2 / 2 sigma^2. The best of k bounds
    may be quoted where all of them hold together, so each has DELTA / k (the union bound).
    """
    generator, bounds = torch.Generator(x.device).manual_seed(0), []
    delta = DELTA / len(WIDTHS)
    for sigma in WIDTHS:
        noise = (torch.randn(len(x), generator=generator, device=x.device) for _ in range(max(2, samples // 5)))
        error = np.mean([1 - accuracy(f, x + sigma * xi) / 100 for xi in noise])
        divergence = distance**2 / (2 * sigma**2)
        bounds.append(error + math.sqrt((divergence + math.log(2 * math.sqrt(f.rows) / delta)) / (2 * f.rows)))
    return float(min(bounds))


def ordering(case: Case, samples: int) -> Measured:
    """Kendall's tau of each measure with the test error, and with the rate; granulated, the mean over axes of tau along
    that axis alone."""
    objectives = {net: Objective(net, case.data.train) for net in AXES["width"]}
    tested = {net: Objective(net, case.data.test) for net in AXES["width"]}
    nets: list[tuple[tuple, float, dict[str, float]]] = []
    for values, run in zip(itertools.product(*AXES.values()), case.runs.values()):
        f = objectives[values[-1]]
        if accuracy(f, run.x) >= FITTED:
            nets.append((values, 100 - accuracy(tested[values[-1]], run.x), measures(f, run, samples)))
    found: Measured = {columns.NETS: len(nets)}
    errors = [error for _, error, _ in nets]
    for name in nets[0][2] if nets else ():
        each = [values[name] for _, _, values in nets]
        found |= {
            of(name, columns.TAU): tau(each, errors),
            of(name, columns.TAU_WITH_THE_RATE): tau(each, [values[1] for values, _, _ in nets]),
            of(name, columns.GRANULATED_TAU): granulated(nets, name),
            **{of(name, columns.tau_along(axis)): along(nets, name, place) for place, axis in enumerate(AXES)},
        }
    return found


def tau(first: list[float], second: list[float]) -> float:
    """Kendall's tau-b; 0 where one of the two does not vary."""
    from scipy import stats  # here: flatlab itself needs no scipy

    value = stats.kendalltau(first, second).statistic if len(first) > 1 else math.nan
    return 0.0 if math.isnan(value) else float(value)


def along(nets: list, name: str, axis: int) -> float:
    """The mean of tau over groups of nets that differ in one axis alone."""
    groups: dict[tuple, list] = {}
    for values, error, found in nets:
        groups.setdefault((*values[:axis], *values[axis + 1 :]), []).append((found[name], error))
    return float(np.mean([tau(*map(list, zip(*group))) for group in groups.values() if len(group) > 1] or [0.0]))


def granulated(nets: list, name: str) -> float:
    """The mean over the axes of tau along the axis (Jiang et al. 2020, section 4.2)."""
    return float(np.mean([along(nets, name, axis) for axis in range(len(AXES))]))


EXPERIMENTS = {
    "measures": Experiment(
        "which measure orders nets by their test error",
        {"smoke": (SMOKE,), "reduced": (replace(SMOKE, data="2000 rows of mnist1d", epochs=30, seeds=TEN),)},
        grid,
        ordering,
        {"samples": 20},
    )
}
