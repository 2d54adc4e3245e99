"""What lies between two minima: a curve instead of the line, units that are matched first, the flip by weight decay,
normalised planes."""

from typing import Literal, cast

import torch
from torch import Tensor, nn

from flatlab.measure.paths import connect, directions, line, plane
from flatlab.measure.spectrum import eigenvalues
from flatlab.objective import Objective
from flatlab.study import columns
from flatlab.study.columns import of
from flatlab.study.columns import phi as phi_column
from flatlab.study.curvature import small
from flatlab.study.design import BOTH_LARGE, PLAIN_ONLY, Case, Experiment, Jobs, Measured, Setting, accuracy
from flatlab.study.reproductions import pair, phi

WAYS: tuple[tuple[str, Literal["filter"] | None, float], ...] = (("plain", None, 3.0), ("filter", "filter", 0.3))
POSITIONS = tuple(k / 12 for k in range(13))


def curve(case: Case, steps: int) -> Measured:
    """The barrier of the training loss and the drop of the test accuracy between small and large batch, on the line and
    on a learned curve."""
    ends = case.runs["SB"].x, case.runs["LB"].x
    on_line, on_curve = line(case.f, *ends, alphas=POSITIONS), connect(case.f, *ends, steps=steps, seed=case.seed)
    tested = cast(tuple[float, ...], line(case.test, *ends, alphas=POSITIONS).accuracy)
    middle = on_curve.middle
    assert middle is not None
    bend = [(1 - t) ** 2 * ends[0] + 2 * t * (1 - t) * middle + t**2 * ends[1] for t in POSITIONS]
    bent = [accuracy(case.test, x) for x in bend]
    return {
        columns.LINE_BARRIER: on_line.barrier(),
        columns.CURVE_BARRIER: on_curve.barrier(),
        columns.LINE_DROP: min(tested[0], tested[-1]) - min(tested),
        columns.CURVE_DROP: min(bent[0], bent[-1]) - min(bent),
    }


# Li et al. 2018: the line's verdict on sharpness depends on the lengths of the weights


def decayed_pair(setting: Setting, seed: int) -> Jobs:
    """Small and large batch by gradient descent with momentum, without and with weight decay."""
    return {
        f"{label}{words}": setting.job(batch, seed, optimizer="sgd", lr=0.05, momentum=0.9, weight_decay=decay)
        for label, batch in (("SB", setting.small), ("LB", setting.large))
        for words, decay in (("", 0.0), (" decayed", 5e-4))
    }


def flip(case: Case, samples: int) -> Measured:
    """How much the loss rises beyond each end of the line, and around each end along random directions of one length
    and along filter-normalised ones; without and with weight decay."""
    found: Measured = {}
    for words in ("", " decayed"):
        points = {label: case.runs[f"{label}{words}"].x for label in ("SB", "LB")}
        along = line(case.f, points["SB"], points["LB"])
        found[of("line", f"{columns.BEYOND_THE_ENDS}{words}")] = _mean(along.loss[17:21]) - _mean(along.loss[4:8])
        for label, x in points.items():
            model = case.network(x)
            base = case.f.value(x)
            for name, normalise, radius in WAYS:
                drawn = torch.cat([directions(model, 1, normalise=normalise, seed=seed) for seed in range(samples)])
                lengths = drawn / drawn.norm(dim=1, keepdim=True) if normalise is None else drawn
                found[of(f"{label}{words}", of(name, columns.RISE))] = _mean(
                    [case.f.value(x + radius * d) - base for d in lengths]
                )
            found[of(f"{label}{words}", columns.NORM)] = x.norm().item()
    return found


def _mean(values) -> float:
    return float(sum(values) / len(values))


def planes(case: Case) -> Measured:
    """The largest rise on a filter-normalised plane around each end."""
    found: Measured = {}
    for label, run in case.runs.items():
        model = case.network(run.x)
        grid = tuple(k / 10 for k in range(-5, 6, 1))
        surface = plane(case.f, run.x, directions(model, 2, seed=case.seed), grid)
        found |= {
            columns.ALPHA: list(grid),
            of(label, columns.RISE): surface.rise(),
            of(label, columns.SLICE): list(surface.loss[5]),
        }
    return found


# Is the hill about the batch size? The control has one batch size at both ends


def orders(setting: Setting, seed: int) -> Jobs:
    """Small and large batch from one start; each again from that start with another order of the examples, and from
    another start."""
    found: Jobs = {}
    for label, batch in (("SB", setting.small), ("LB", setting.large)):
        first = setting.job(batch, seed, keep=(0,))
        found |= {
            label: first,
            f"{label} again": setting.job(batch, seed + 100, start=(first, 0)),
            f"{label} elsewhere": setting.job(batch, (seed + 1) % len(setting.seeds)),
        }
    return found


def hills(case: Case) -> Measured:
    """The barrier of the training loss between small and large batch from one start, and between two runs of one batch
    size, from one start and from two."""

    def barrier(one: str, other: str) -> float:
        return line(case.f, case.runs[one].x, case.runs[other].x, alphas=POSITIONS).barrier()

    return {columns.BARRIER: barrier("SB", "LB")} | {
        of(other, columns.BARRIER): barrier(other.split()[0], other)
        for other in ("SB again", "LB again", "SB elsewhere", "LB elsewhere")
    }


# Units have no names: match those of one net with the other's before the line is drawn


def two_starts(setting: Setting, seed: int) -> Jobs:
    """The small batch from two starts."""
    return {"one": setting.job(setting.small, 10 * seed), "other": setting.job(setting.small, 10 * seed + 1)}


def matched(case: Case) -> Measured:
    """The barrier of the training loss on the line between two starts, as they are and after matching hidden units by
    their activations."""
    one, other = case.runs["one"].x, case.runs["other"].x
    return {
        columns.BARRIER: line(case.f, one, other, alphas=POSITIONS).barrier(),
        columns.MATCHED_BARRIER: line(case.f, one, permuted(case, one, other), alphas=POSITIONS).barrier(),
    }


def permuted(case: Case, one: Tensor, other: Tensor) -> Tensor:
    """The other point with its hidden units in the order that correlates most with the one's, layer by layer; the
    function is the same.

    Notes
    -----
    Ainsworth et al. 2023, activation matching; the assignment is scipy's.
    """
    from scipy.optimize import linear_sum_assignment  # here: flatlab itself needs no scipy

    models = [case.network(x) for x in (one, other)]
    linear = [[m for m in model.modules() if isinstance(m, nn.Linear)] for model in models]
    for depth in range(len(linear[0]) - 1):
        activations = [_activations(model, depth, case.data.train.x) for model in models]
        first, second = (nn.functional.normalize(a - a.mean(0), dim=0) for a in activations)
        order = torch.tensor(linear_sum_assignment((first.T @ second).cpu().numpy(), maximize=True)[1])
        with torch.no_grad():
            before, after = linear[1][depth], linear[1][depth + 1]
            before.weight.copy_(before.weight[order])
            before.bias.copy_(before.bias[order])
            after.weight.copy_(after.weight[:, order])
    return torch.cat([p.detach().flatten() for p in models[1].parameters()])


@torch.no_grad()
def _activations(model: nn.Module, depth: int, inputs: Tensor) -> Tensor:
    """What the hidden layer of that depth puts out."""
    assert isinstance(model, nn.Sequential)
    for layer in model:
        inputs = layer(inputs)
        if isinstance(layer, nn.ReLU):
            depth -= 1
            if depth < 0:
                break
    return inputs


# Dinh et al. 2017: the same function, as sharp as one likes


def rescaled(case: Case, factor: float) -> Measured:
    """Sharpness and largest eigenvalue before and after the first layer's weights are divided by a factor and the
    second's multiplied: with ReLU and without BatchNorm no output changes."""
    x = case.runs["SB"].x
    model = case.network(x)
    first, second = [m for m in model.modules() if isinstance(m, nn.Linear)][:2]
    with torch.no_grad():
        first.weight.div_(factor)
        first.bias.div_(factor)
        second.weight.mul_(factor)
    f = Objective(model, case.data.train)
    return {
        phi_column("before"): phi(case, x),
        phi_column("after"): phi(case, f.x),
        of("before", columns.LARGEST): float(eigenvalues(case.f.hessian(x), tol=1e-2)),
        of("after", columns.LARGEST): float(eigenvalues(case.f.hessian(f.x), tol=1e-2)),
        columns.OUTPUTS_MOVED: abs(case.f.value(f.x) - case.f.value(x)),
    }


EXPERIMENTS = {
    "connect": Experiment("a curve between small and large batch", BOTH_LARGE, pair, curve, {"steps": 600}),
    "decay-flip": Experiment("the line's verdict with weight decay", BOTH_LARGE, decayed_pair, flip, {"samples": 10}),
    "orders": Experiment("one batch size at both ends of the line", BOTH_LARGE, orders, hills),
    "planes": Experiment("filter-normalised planes around both ends", BOTH_LARGE, pair, planes),
    "matched": Experiment("two starts, before and after matching units", PLAIN_ONLY, two_starts, matched),
    "rescale": Experiment("one function, two sharpnesses", PLAIN_ONLY, small, rescaled, {"factor": 10.0}),
}
