"""The claims of the book's other sources, one experiment each."""

import statistics
import time
from typing import Any

import numpy as np
import torch

from flatlab.measure.sharpness import adaptive_sharpness
from flatlab.study import columns
from flatlab.study.columns import at, of, series
from flatlab.study.curvature import small
from flatlab.study.design import (
    CONTROLS,
    FIVE,
    MLP,
    PLAIN,
    PLAIN_SMOKE,
    SMALL_ONLY,
    SMOKE,
    TEN,
    Case,
    Experiment,
    Jobs,
    Measured,
    Setting,
    Settings,
    accuracy,
    changed,
    replace,
    settled,
)
from flatlab.study.rates import FACTORS, at_rate, chosen, rates
from flatlab.study.reproductions import phi
from flatlab.training.train import Run

# The study notes' table of batch sizes


def times(case: Case) -> Measured:
    """Seconds per epoch, epochs to the least test loss, seconds to it, and that loss: the study notes' table, with the
    rules and with the rate that is best on the validation split, for both batch sizes."""
    tuned = {
        f"{label} tuned": case.runs[chosen(case, [at_rate(label, factor) for factor in FACTORS])]
        for label in ("SB", "LB")
    }
    named = {label: case.runs[label] for label in ("SB", "LB", "LB root", "LB linear", "LB linear warm")}
    found: Measured = {}
    for label, run in (named | tuned).items():
        history = run.history
        best = min(range(len(history["epoch"])), key=lambda k: history["test_loss"][k])
        found |= {
            of(label, columns.SECONDS_PER_EPOCH): statistics.median(np.diff([0, *history["seconds"]])),
            of(label, columns.EPOCHS): history["epoch"][best],
            of(label, columns.SECONDS): history["seconds"][best],
            of(label, columns.LOSS): history["test_loss"][best],
        }
    return found


# The notes on LeNet: batch size from a few rows to all


def sweep_sizes(setting: Setting, seed: int) -> Jobs:
    """Batch sizes from the small one to the whole training set, by factors of four."""
    sizes = [setting.small * 4**k for k in range(12) if setting.small * 4**k < setting.rows] + [setting.rows]
    return {str(size): setting.job(size, seed) for size in sizes}


def sweep(case: Case, share: float) -> Measured:
    """For each batch size: seconds per epoch, epochs and seconds to a fixed test accuracy (None: never), final
    accuracies on all three splits.

    The accuracy to reach is a share of the best final one.
    """
    finals = list(map(settled, case.runs.values()))
    found: Measured = {
        columns.BATCH_SIZE: [int(size) for size in case.runs],
        columns.accuracy("test"): finals,
        columns.accuracy("validation"): [accuracy(case.validation, run.x) for run in case.runs.values()],
        columns.accuracy("train"): [case.whole.accuracy(run.x) for run in case.runs.values()],
        columns.GOAL: share * max(finals),
        columns.SECONDS_PER_EPOCH: [],
        columns.EPOCHS: [],
        columns.EPOCHS_IN_ALL: case.setting.epochs,
        columns.SECONDS: [],
        columns.SECONDS_IN_ALL: [],
    }
    for run in case.runs.values():
        history = run.history
        reached = next((k for k, value in enumerate(history["test_accuracy"]) if value >= found[columns.GOAL]), None)
        found[columns.SECONDS_PER_EPOCH].append(history["seconds"][-1] / history["epoch"][-1])
        found[columns.EPOCHS].append(None if reached is None else history["epoch"][reached])
        found[columns.SECONDS].append(None if reached is None else history["seconds"][reached])
        found[columns.SECONDS_IN_ALL].append(history["seconds"][-1])
    return found


# Rprop and RMSprop

TRIED = {
    "rprop": (1e-4, 1e-3, 1e-2, 1e-1, 1),
    "rmsprop": (1e-5, 1e-4, 1e-3, 1e-2, 1e-1),
    "sgd": (0.003, 0.0125, 0.05, 0.2, 0.8, 3.2, 12.8),
    "adam": (1e-4, 1e-3, 1e-2, 1e-1),
}


def optimizers(setting: Setting, seed: int) -> Jobs:
    """Four optimizers at some rates on small, middle and full batches; the full batch for ten times the epochs."""
    sizes = {"32": (setting.small, 1), "256": (min(setting.rows, 8 * setting.small), 1), "full": (setting.rows, 10)}
    return {
        f"{name} {label} {lr:g}": setting.job(batch, seed, optimizer=name, lr=lr, epochs=setting.epochs * times)
        for label, (batch, times) in sizes.items()
        for name, rates in TRIED.items()
        for lr in rates
    }


def best_rates(case: Case) -> Measured:
    """Of each optimizer and batch size, at the rate that is best on the validation split: accuracy on both splits,
    training loss, ||x||."""
    found: Measured = {}
    for label in dict.fromkeys(label.rpartition(" ")[0] for label in case.runs):
        best = chosen(case, [each for each in case.runs if each.rpartition(" ")[0] == label])
        run = case.runs[best]
        found |= {
            columns.train(label): case.whole.accuracy(run.x),
            columns.test(label): settled(run),
            columns.loss(label): case.whole.value(run.x),
            of(label, columns.RATE): run.recipe.lr,
            of(label, columns.NORM): run.x.norm().item(),
        }
    return found


# Batch 1


def online(setting: Setting, seed: int) -> Jobs:
    """Batch 1 at constant rates and at rates that fall to a sixth, and batch 32, by plain gradient descent; no
    BatchNorm, which needs two rows. Each batch size has a grid of its own: one that suits batch 1 hardly moves batch
    32, and at three times its largest falling rate batch 1 diverges in the first epoch."""
    ways = {
        "1 constant": (1, 0.0, (0.001, 0.003, 0.01, 0.03)),
        "1 decaying": (1, 5 / max(1, setting.epochs - 1), (0.003, 0.01, 0.03, 0.1)),
        "32 constant": (setting.small, 0.0, (0.03, 0.1, 0.3, 1.0)),
    }
    return {
        f"{label} {lr:g}": setting.job(batch, seed, optimizer="sgd", lr=lr, decay=decay)
        for label, (batch, decay, tried) in ways.items()
        for lr in tried
    }


# Does the full batch stick?


def starts(setting: Setting, seed: int) -> Jobs:
    """Mini-batches, and the full batch for as many updates and for as many epochs, from two starts each."""
    updates = -(-setting.rows // int(setting.small))  # per epoch
    ways = {
        "mini": (setting.small, setting.epochs),
        "full": (setting.rows, setting.epochs * updates),
        "full short": (setting.rows, setting.epochs),
    }
    return {
        f"{label} {start}": setting.job(batch, 10 * seed + start, epochs=epochs)
        for label, (batch, epochs) in ways.items()
        for start in (0, 1)
    }


def many_starts(case: Case) -> Measured:
    """Final training loss and test accuracy, the means over two starts."""
    found: Measured = {}
    for label in ("mini", "full", "full short"):
        runs = [case.runs[f"{label} {start}"] for start in (0, 1)]
        found |= {
            of(label, columns.LOSS): statistics.mean(case.whole.value(run.x) for run in runs),
            of(label, "test"): statistics.mean(map(settled, runs)),
            of(label, columns.UPDATES): runs[0].history["updates"][-1],
        }
    return found


# Does the best batch grow with the data?

TRAINED_SHARES, BATCHES = (16, 4, 1), (4, 8, 16, 32, 64)


def by_data(setting: Setting, seed: int) -> Jobs:
    """The same batch sizes at three sizes of the training set, for as many epochs each."""
    return {
        f"1/{share} {batch}": setting.job(batch, seed, subset=setting.rows // share)
        for share in TRAINED_SHARES
        for batch in BATCHES
        if batch <= setting.rows // share
    }


def best_by_data(case: Case) -> Measured:
    """Test accuracy, and which batch size is best on the validation split at each size of the training set."""
    found: Measured = {label: settled(run) for label, run in case.runs.items()}
    for share in TRAINED_SHARES:
        labels = [label for label in case.runs if label.startswith(f"1/{share} ")]
        found[at("best", f"1/{share}")] = int(chosen(case, labels).split()[1])
    return found


# Decay, L1, momentum, normalisation

PENALTIES: dict[str, tuple[dict[str, Any], ...]] = {
    "none": ({},),
    "L2": tuple({"weight_decay": dose} for dose in (1e-3, 1e-2, 3e-2)),
    "L1": tuple({"l1": dose} for dose in (1e-5, 1e-4, 1e-3)),
    "momentum": tuple({"momentum": dose} for dose in (0.5, 0.9)),
}


def regularised(setting: Setting, seed: int) -> Jobs:
    """Weight decay, L1 and momentum at some doses, each alone, with gradient descent; and no BatchNorm is the setting's
    other net."""
    return {
        f"{name} {k}": setting.job(setting.small, seed, optimizer="sgd", lr=0.05, **change)
        for name, changes in PENALTIES.items()
        for k, change in enumerate(changes)
    }


def flatness(case: Case) -> Measured:
    """At the dose that is best on the validation split: test accuracy, phi(1e-3), adaptive sharpness, ||x||, the share
    of weights that are nearly zero, and the epochs to 95 % of the training rows. In a net with BatchNorm decay changes
    the length of x and with it what a step of a given size means, so each is given. Along the doses: training accuracy,
    ||x|| and that share, since validation may choose a dose that hardly acts."""
    found: Measured = {}
    largest = case.runs["none 0"].x.abs().max()

    def near_zero(run: Run) -> float:
        return (run.x.abs() < largest / 1000).double().mean().item()

    for name, changes in PENALTIES.items():
        labels = [f"{name} {k}" for k in range(len(changes))]
        best, runs = chosen(case, labels), [case.runs[label] for label in labels]
        run = case.runs[best]
        fitted = [epoch for epoch, value in zip(run.history["epoch"], run.history["train_accuracy"]) if value >= 95]
        found |= {
            of(name, columns.DOSE): int(best.split()[1]),
            columns.test(name): settled(run),
            columns.phi(name): phi(case, run.x),
            of(name, columns.ADAPTIVE): float(adaptive_sharpness(case.f, run.x, 1e-3)),
            of(name, columns.NORM): run.x.norm().item(),
            of(name, columns.NEAR_ZERO): near_zero(run),
            of(name, columns.EPOCHS): fitted[0] if fitted else case.setting.epochs,
            series(name, "train"): [case.whole.accuracy(each.x) for each in runs],
            series(name, columns.NORM): [each.x.norm().item() for each in runs],
            series(name, columns.NEAR_ZERO): [near_zero(each) for each in runs],
        }
    return found


def throughput(case: Case, sizes: tuple[int, ...]) -> Measured:
    """Rows per second of a loss and gradient against the batch size."""
    f, run = case.whole, case.runs["SB"]
    sizes, speeds = tuple(m for m in sizes if m <= f.rows), []
    for m in sizes:
        part = f.subset(torch.arange(m, device=run.x.device))
        seconds = []
        for _ in range(5):
            began = time.perf_counter()
            part.gradient(run.x)
            seconds.append(time.perf_counter() - began)
        speeds.append(m / statistics.median(seconds))
    return {columns.BATCH_SIZE: list(sizes), columns.ROWS_PER_SECOND: speeds}


# How far a net travels


def walk(case: Case) -> Measured:
    """How well ||x - x_0|| follows the logarithm of the updates, and their root: the correlation of the two, for both
    batch sizes; and the distance at equal updates."""
    found: Measured = {}
    for label, run in case.runs.items():
        updates, distance = np.array(run.history["updates"], float), np.array(run.history["distance"])
        found |= {
            of(label, columns.LOG_OF_UPDATES): float(np.corrcoef(np.log(updates), distance)[0, 1]),
            of(label, columns.ROOT_OF_UPDATES): float(np.corrcoef(np.sqrt(updates), distance)[0, 1]),
        }
    small, large = case.runs["SB"].history, case.runs["LB"].history
    reached = int(np.argmin(np.abs(np.array(small["updates"]) - large["updates"][-1])))
    return found | {
        of("SB", columns.AT_EQUAL_UPDATES): small["distance"][reached],
        of("LB", columns.AT_EQUAL_UPDATES): large["distance"][-1],
    }


def pair(setting: Setting, seed: int) -> Jobs:
    """Small and large batch."""
    return setting.pair(seed)


LENET: Settings = {
    "smoke": (replace(PLAIN_SMOKE, small=2, epochs=15),),
    "reduced": (replace(PLAIN, small=2, epochs=30),),
    "colab": (Setting("lenet", "50000 rows of mnist", 1, 50_000, 10, (0,)),),
    "paper": (Setting("lenet", "50000 rows of mnist", 1, 50_000, 200, FIVE),),
}
THOUSAND: Settings = {"smoke": (SMOKE,), "reduced": (replace(SMOKE, epochs=30, seeds=TEN),)}
ONLINE = changed(THOUSAND, net="plain-mlp")

EXPERIMENTS = {
    "batch-table": Experiment(
        "time, epochs and loss by batch size and learning rate (study notes)", SMALL_ONLY, rates, times
    ),
    "lenet-sweep": Experiment("batch size from a few rows to all", LENET, sweep_sizes, sweep, {"share": 0.95}),
    "optimizers": Experiment("Rprop and RMSprop on mini-batches and the full batch", THOUSAND, optimizers, best_rates),
    "online": Experiment("batch 1 with a constant and a falling rate", ONLINE, online, best_rates),
    "many-starts": Experiment("full batch and mini-batches from two starts", THOUSAND, starts, many_starts),
    "data-growth": Experiment(
        "does the best batch grow with the data",
        {"smoke": THOUSAND["smoke"], "reduced": (replace(MLP, epochs=30),)},
        by_data,
        best_by_data,
    ),
    "regularisers": Experiment(
        "decay, L1, momentum and normalisation against flatness",
        {"smoke": (SMOKE, PLAIN_SMOKE), "reduced": (replace(MLP, epochs=60), replace(PLAIN, epochs=60))},
        regularised,
        flatness,
    ),
    "throughput": Experiment(
        "rows per second against the batch size",
        {**CONTROLS, "reduced": (MLP,)},
        small,
        throughput,
        {"sizes": (8, 32, 128, 512, 2048)},
    ),
    "walk": Experiment("how the distance from the start grows", SMALL_ONLY, pair, walk),
}
