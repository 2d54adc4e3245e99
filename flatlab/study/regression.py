"""Four features and a million rows: is a batch of a thousand better than all of them? Linear regression and a network.

The question's source asks about few features, so the number of features is separated from how unevenly they are scaled:
four or 64 features, of equal variance or of variances that fall by a hundred.
"""

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from flatlab.study import columns
from flatlab.study.columns import of
from flatlab.study.curvature import no_jobs
from flatlab.study.design import TEN, Case, Experiment, Measured, Setting
from flatlab.study.recorded import Tier

STEPS_TRIED = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.5, 0.9)  # at 1 descent on even features is unstable
NETWORK_RATES = (0.001, 0.003, 0.01, 0.03, 0.1)


class Sample(NamedTuple):
    """Inputs and targets, and validation rows on which a rate is chosen."""

    x: Tensor
    y: Tensor
    validation_x: Tensor
    validation_y: Tensor


class Kind(NamedTuple):
    """How many features, the condition number of their covariance, and whether a network is fitted."""

    features: int
    condition: float
    network: bool = False


# Even features are the full batch's best case: one step is Newton's.
PROBLEMS = {
    "even": Kind(4, 1),
    "uneven": Kind(4, 100),
    "many even": Kind(64, 1),
    "many uneven": Kind(64, 100),
    "network": Kind(4, 1, network=True),
}


def made(kind: Kind, rows: int, seed: int) -> tuple[Sample, Callable[[Tensor], Tensor]]:
    """Rows with noise of variance 1, and the true function. The variances fall evenly, in the logarithm, from 1; of the
    rows a tenth, 100,000 at most, are for validation beside those asked for."""
    generator, held = torch.Generator().manual_seed(seed), min(rows // 10, 100_000)
    scales = torch.logspace(0, -0.5 * np.log10(kind.condition), kind.features)
    x = torch.randn(rows + held, kind.features, generator=generator) * scales
    if kind.network:
        first = torch.randn(kind.features, 16, generator=generator)
        second = torch.randn(16, generator=generator)

        def truth(x):
            return torch.tanh(x @ first) @ second

    else:
        weights = torch.randn(kind.features, generator=generator)

        def truth(x):
            return x @ weights

    y = truth(x) + torch.randn(rows + held, generator=generator)
    return Sample(x[:rows], y[:rows], x[rows:], y[rows:]), truth


class Way(NamedTuple):
    """A descent: seconds and excess loss after each update that was looked at, and the loss on the validation rows at
    the end."""

    updates: np.ndarray
    seconds: np.ndarray
    excess: np.ndarray
    validation: float


def descend(rows: Sample, truth: Callable, kind: Kind, batch: int, rate: float, passes: int, seed: int) -> Way:
    """Some passes of descent: plain for the linear model, Adam for the network. The excess loss is the mean squared
    distance from the true function on the validation rows."""
    torch.manual_seed(seed)
    model: nn.Module = (
        nn.Sequential(nn.Linear(kind.features, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))
        if kind.network
        else nn.Linear(kind.features, 1, bias=False)
    )
    if isinstance(model, nn.Linear):
        nn.init.zeros_(model.weight)
    optimizer = (torch.optim.Adam if kind.network else torch.optim.SGD)(model.parameters(), lr=rate)
    count, target = len(rows.y), truth(rows.validation_x)
    updates = passes * -(-count // batch)
    looked = {*np.unique(np.geomspace(1, updates, 40).round().astype(int)), passes}

    def excess():
        with torch.no_grad():
            return float((model(rows.validation_x)[:, 0] - target).square().mean())

    points, seconds = [(0, 0.0, excess())], 0.0
    for update in range(1, updates + 1):
        start = (update - 1) * batch % count
        began = time.perf_counter()
        x, y = rows.x[start : start + batch], rows.y[start : start + batch]
        optimizer.zero_grad()
        (model(x)[:, 0] - y).square().mean().backward()
        optimizer.step()
        seconds += time.perf_counter() - began
        if update in looked:
            points.append((update, seconds, excess()))
    with torch.no_grad():
        validation = float((model(rows.validation_x)[:, 0] - rows.validation_y).square().mean())
    at, after, left = map(np.array, zip(*points))
    return Way(at, after, left, validation if np.isfinite(validation) else np.inf)


def regression(case: Case, passes: int) -> Measured:
    """Batches of a thousand against all rows: the excess loss on the way, at equal updates and at equal seconds; the
    rate of each is the best of a grid on the validation rows."""
    setting = case.setting
    kind = PROBLEMS[setting.net]
    with torch.random.fork_rng(devices=[]):
        rows, truth = made(kind, int(setting.large), case.seed)
        curves = {
            label: {
                rate: descend(rows, truth, kind, batch, rate, passes, case.seed)
                for rate in (NETWORK_RATES if kind.network else STEPS_TRIED)
            }
            for label, batch in (("few", int(setting.small)), ("all", int(setting.large)))
        }
    until = min(_best(grid.values()).seconds[-1] for grid in curves.values())
    found: Measured = {columns.SECONDS: float(until)}
    for label, grid in curves.items():
        rate = min(grid, key=lambda rate: grid[rate].validation)
        curve = grid[rate]
        at_update = [each.excess[each.updates == passes][0] for each in grid.values()]
        found |= {
            of(label, columns.RATE): rate,
            of(label, columns.UPDATE): curve.updates.tolist(),
            of(label, columns.SECONDS): curve.seconds.tolist(),
            of(label, columns.EXCESS): curve.excess.tolist(),
            of(label, columns.EQUAL_UPDATES): float(np.nanmin(at_update)),
            of(label, columns.EQUAL_SECONDS): float(curve.excess[curve.seconds <= until][-1]),
        }
    return found


def _best(curves: Iterable[Way]) -> Way:
    return min(curves, key=lambda curve: curve.validation)


ROWS_AT: tuple[tuple[Tier, int, tuple[int, ...]], ...] = (("smoke", 100_000, (0, 1)), ("reduced", 1_000_000, TEN))
FEATURES = {
    tier: tuple(
        Setting(name, f"{kind.features} normal features", 1000, rows, 3, seeds) for name, kind in PROBLEMS.items()
    )
    for tier, rows, seeds in ROWS_AT
}
EXPERIMENTS = {
    "regression": Experiment(
        "a million rows of few features: batches of 1,000 against all", FEATURES, no_jobs, regression, {"passes": 3}
    )
}
