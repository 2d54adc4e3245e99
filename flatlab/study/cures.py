"""Every cure at several doses, so that one that fails was given a dose that acts.

Each grid reaches from a dose that changes little to one that changes phi by half or costs training accuracy, as a pilot
of one seed at the smoke tier found; for the noise on the gradient, which more updates average away, one at the reduced
tier. The dose is chosen on the validation split, seed by seed. Beside the cure stand the small batch, the large batch,
and the large batch for as many gradients as the cure takes: a step of SAM is two, a conservative step three.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import torch

from flatlab.study import columns
from flatlab.study.columns import of, series
from flatlab.study.design import (
    BOTH_LARGE,
    CURE_SETTINGS,
    Case,
    Experiment,
    Jobs,
    Measured,
    Setting,
    accuracy,
    held_out,
    settled,
)
from flatlab.study.rates import DEFAULT_RATE, along, chosen, outcome, runs_along, where_finite
from flatlab.study.reproductions import phi


class Cure(NamedTuple):
    """What is done to the large batch, and how strongly."""

    about: str
    doses: tuple[float, ...]
    change: Callable[[float], dict[str, Any]]  # dose -> fields of the recipe
    gradients: int = 1  # per step
    rivals: Mapping[str, dict[str, Any]] = MappingProxyType(
        {}
    )  # runs of the large batch of which the best is what the cure is said to beat


def update(name: str) -> Callable[[float], dict[str, Any]]:
    """The dose is the update's strength."""
    return lambda dose: {"update": name, "strength": dose}


CURES = {
    "sam": Cure("sharpness-aware steps; the dose is rho", (0.05, 0.2, 0.5, 1.0, 2.0), update("sam"), 2),
    "asam": Cure(
        "adaptive sharpness-aware steps; the dose is rho", (1.0, 2.0, 4.0, 8.0, 16.0, 32.0), update("asam"), 2
    ),
    "augmentation": Cure(
        "rows moved and stretched at random; the dose is how far, as a multiple of the paper's",
        (0.25, 0.5, 1.0, 2.0),
        lambda dose: {"augmentation": dose},
    ),
    "conservative": Cure("conservative steps; the dose is lambda", (1e-3, 1.0, 10.0, 100.0), update("conservative"), 3),
    "adversarial": Cure(
        "half of each batch moved against the net; the dose is the radius",
        (0.05, 0.1, 0.2, 0.5, 1.0),
        update("adversarial"),
        2,
    ),
    "stability": Cure(
        "outputs held under noise on the inputs; the dose is its size",
        (0.05, 0.2, 0.5, 1.0, 2.0),
        update("stability"),
        2,
    ),
    "gradient-noise": Cure(
        "isotropic noise on the gradient; the dose is its length over the gradient's",
        (1.0, 3.0, 10.0, 30.0, 100.0),
        update("noisy_gradient"),
    ),
    "sampled-noise": Cure(
        "the noise of a small batch on the gradient; the dose is that batch's rows",
        (8, 32, 128),
        update("sampled_noise"),
        2,
    ),
    "iterate-noise": Cure(
        "noise on the iterate; the dose is its length over the iterate's",
        (0.03, 0.1, 0.3, 1.0),
        update("noisy_iterate"),
    ),
    "input-noise": Cure("noise on the inputs; the dose is its size", (0.1, 0.3, 1.0), update("noisy_inputs")),
    "label-noise": Cure("labels exchanged; the dose is their share", (0.05, 0.2, 0.4), update("noisy_labels")),
    "gradient-penalty": Cure(
        "a penalty on the gradient's squared length; the dose is its weight",
        (0.01, 0.1, 0.3, 1.0, 3.0),
        update("gradient_penalty"),
        2,
    ),
    "momentum": Cure(
        "descent with momentum; the dose is momentum, at one rate over (1 - momentum)",
        (0.0, 0.5, 0.9),
        lambda dose: {"optimizer": "sgd", "lr": 0.5 * (1 - dose), "momentum": dose},
    ),
    "weight-decay": Cure(
        "a penalty on the weights; the dose is its weight", (1e-3, 1e-2, 1e-1), lambda dose: {"weight_decay": dose}
    ),
    "lars": Cure(
        "each layer steps in proportion to its length; the dose is the coefficient",
        (0.003, 0.01, 0.03, 0.1),
        lambda dose: {"update": "lars", "strength": dose, "optimizer": "sgd", "lr": 1.0, "momentum": 0.9},
        rivals={f"sgd {lr:g}": {"optimizer": "sgd", "lr": lr, "momentum": 0.9} for lr in (0.01, 0.03, 0.1, 0.3, 1.0)},
    ),
    "lamb": Cure(
        "the same with Adam's direction; the dose is the rate",
        (0.003, 0.01, 0.03, 0.1),
        lambda dose: {"update": "lamb", "lr": dose},
        rivals={f"adam x{factor:g}": {"lr": DEFAULT_RATE * factor} for factor in (1, 2, 4, 8, 16)},
    ),
}


def doses(cure: Cure) -> Callable[[Setting, int], Jobs]:
    """The pair, the large batch at each dose, and plainly for as many gradients."""

    def jobs(setting: Setting, seed: int) -> Jobs:
        long = {"LB long": setting.job(setting.large, seed, epochs=cure.gradients * setting.epochs)}
        return (
            setting.pair(seed)
            | (long if cure.gradients > 1 else {})
            | {label: setting.job(setting.large, seed, **change) for label, change in cure.rivals.items()}
            | {f"{dose:g}": setting.job(setting.large, seed, **cure.change(dose)) for dose in cure.doses}
        )

    return jobs


def strength(case: Case, doses: tuple[float, ...]) -> Measured:
    """Along the doses and at the chosen one: accuracy on both splits, sharpness. Of the rivals the test accuracy and
    the rate of the one that is best on the validation split."""
    labels = [f"{dose:g}" for dose in doses]
    rivals = [label for label in case.runs if label not in ("SB", "LB", "LB long", *labels)]
    rival: Measured = {}
    if rivals:
        best = case.runs[chosen(case, rivals)]
        rival = {columns.test(columns.RIVAL): settled(best), of(columns.RIVAL, columns.RATE): best.recipe.lr}
    return {
        **rival,
        **runs_along(case, columns.CURE, doses),
        series(columns.CURE, "train"): where_finite(case, labels, lambda run: accuracy(case.whole, run.x)),
        **outcome(case, [label for label in ("SB", "LB", "LB long") if label in case.runs]),
    }


WINDOWS = (0.05, 0.1, 0.25, 0.5)  # of the epochs: the last ones, whose points are averaged


def averaged(setting: Setting, seed: int) -> Jobs:
    """Small and large batch, the large one at the root rule as well, with the points of the widest window."""
    kept = tuple(range(setting.epochs + 1 - in_window(max(WINDOWS), setting.epochs), setting.epochs + 1))
    root = setting.job(setting.large, seed, lr=DEFAULT_RATE * setting.ratio**0.5, keep=kept)
    return setting.pair(seed, keep=kept) | {"LB root": root}


def in_window(share: float, epochs: int) -> int:
    """How many of the epochs a share of them is, two at least: one point is no mean."""
    return max(2, round(share * epochs))


def averages(case: Case, windows: tuple[float, ...]) -> Measured:
    """Test accuracy and sharpness of the last point, and of the mean of the last points over each window and over the
    one that the validation split chooses (Izmailov et al. 2018). BatchNorm takes the statistics of the evaluated batch,
    so there is nothing to recompute."""
    found = outcome(case)
    for label, run in case.runs.items():
        points = list(run.points.values())
        means = [torch.stack(points[-in_window(share, case.setting.epochs) :]).mean(0) for share in windows]
        best = max(range(len(means)), key=lambda place: accuracy(case.validation, means[place]))
        test, sharp = [accuracy(case.test, x) for x in means], [phi(case, x) for x in means]
        found |= along(f"{label} averaged", windows, test, sharp, best)
    return found


OF_THE_PAPER = ("adversarial", "stability", "gradient-noise")  # tried on F1 as well

EXPERIMENTS = {
    name: Experiment(
        cure.about,
        held_out(CURE_SETTINGS if name in OF_THE_PAPER else BOTH_LARGE),
        doses(cure),
        strength,
        {"doses": cure.doses},
    )
    for name, cure in CURES.items()
} | {
    "swa": Experiment(
        "the mean of the last points; the dose is their share of the epochs",
        BOTH_LARGE,
        averaged,
        averages,
        {"windows": WINDOWS},
    )
}
