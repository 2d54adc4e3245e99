"""The words in which an experiment is written: its sizes at a tier, the jobs it needs, the case it measures."""

import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import torch
from torch import nn

from flatlab.data import Data
from flatlab.nets import build
from flatlab.objective import Objective
from flatlab.study import paper, splits
from flatlab.study.jobs import Job
from flatlab.study.recorded import TIERS, Tier
from flatlab.training.train import Recipe, Run
from flatlab.training.trainer import load_point

#: Runs by the names that the experiment's columns have.
Jobs = dict[str, Job]
#: By the name of each column a number, or a list along a curve.
Measured = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """One net on one data set.

    Parameters
    ----------
    net, data
        Their names; "1000 rows of cifar10" is a random part of a data set.
    small, large
        Batch sizes: rows, or a float as a fraction of the training set.
    epochs
        Of each run, unless the experiment says otherwise.
    seeds
        One run of each job for each.
    label
        What the setting is called in results, where a tier has several of one net.
    measured
        Sharpness and curvature are taken over so many of the training rows; None: all. The paper takes all.
    """

    net: str
    data: str
    small: int | float
    large: int | float
    epochs: int
    seeds: tuple[int, ...]
    label: str = ""
    measured: int | None = None

    @property
    def name(self) -> str:
        """What the setting is called in results."""
        return self.label or self.net

    @property
    def rows(self) -> int:
        """The size of the training set."""
        return len(splits.loaded(self.data).train.y)

    @property
    def ratio(self) -> float:
        """The large batch's size over the small one's."""
        small, large = (Recipe(batch_size=batch).rows(self.rows) for batch in (self.small, self.large))
        return large / small

    def job(
        self,
        batch_size: float,
        seed: int,
        *,
        epochs: int | None = None,
        keep: tuple[int, ...] = (),
        start: tuple[Job, int] | None = None,
        subset: int | None = None,
        **changes: Any,
    ) -> Job:
        """A `Job` of this setting; changes are fields of the recipe."""
        recipe = Recipe(batch_size=batch_size, epochs=self.epochs if epochs is None else epochs, **changes)
        return Job(self.net, self.data, seed, recipe, keep, start, subset)

    def pair(self, seed: int, **changes: Any) -> Jobs:
        """`{"SB": job, "LB": job}`: the small and the large batch, from the same start."""
        return {label: self.job(batch, seed, **changes) for label, batch in (("SB", self.small), ("LB", self.large))}


#: What an experiment runs at, tier by tier.
Settings = dict[Tier, tuple[Setting, ...]]


class Runs(Mapping[str, Run]):
    """Finished runs by the names of their jobs. None stands for a run whose loss was not finite: along a grid of rates
    or doses it is one that failed, and whatever else reads it gets a FloatingPointError."""

    def __init__(self, runs: Mapping[str, Run | None]) -> None:
        self._runs = runs

    def __getitem__(self, label: str) -> Run:
        run = self._runs[label]
        if run is None:
            raise FloatingPointError(
                f"the run {label!r} cannot be measured, because its training loss was not finite: lower its rate."
            )
        return run

    def __iter__(self) -> Iterator[str]:
        return iter(self._runs)

    def __len__(self) -> int:
        return len(self._runs)

    def diverged(self, label: str) -> bool:
        """Whether the loss of that run was not finite."""
        return self._runs[label] is None


@dataclass(frozen=True)
class Case:
    """What an experiment measures at once: the finished runs of one setting and seed, by the names of their jobs."""

    setting: Setting
    seed: int
    runs: Runs

    @property
    def data(self) -> Data:
        """The setting's data set."""
        return splits.loaded(self.setting.data)

    @cached_property
    def f(self) -> Objective:
        """The loss over the training split, or over as many of its rows as the setting measures."""
        return self.over_measured_rows(self.objective())

    @cached_property
    def whole(self) -> Objective:
        """The loss over all of the training split."""
        return self.objective()

    @cached_property
    def validation(self) -> Objective:
        """The loss over the validation split, on which rates and doses are chosen."""
        return Objective(self.setting.net, splits.validation(self.setting.data))  # type: ignore[arg-type]

    @cached_property
    def test(self) -> Objective:
        """The loss over the test split."""
        return self.objective("test")

    def network(self, x: torch.Tensor | None = None, **options: Any) -> nn.Module:
        """The setting's network, at a point where one is given; options are `build`'s."""
        model = build(self.setting.net, self.data, **options)  # type: ignore[arg-type]
        if x is not None:
            load_point(model, x, {})
        return model

    def objective(self, part: Literal["train", "test"] = "train", **options: Any) -> Objective:
        """f over the training or the test split; options are the `Objective`'s."""
        return Objective(self.setting.net, getattr(self.data, part), **options)  # type: ignore[arg-type]

    def over_measured_rows(self, f: Objective) -> Objective:
        """f over as many of its rows as the setting measures."""
        rows = self.setting.measured
        return f if rows is None else f.subset(torch.arange(rows, device=f.x.device))


def settled(run: Run, epochs: int = 5) -> float:
    """Test accuracy in percent, the mean over the last epochs: from one epoch to the next that of a small batch jitters
    by a point."""
    return statistics.fmean(run.history["test_accuracy"][-epochs:])


def accuracy(f: Objective, x: torch.Tensor) -> float:
    """The accuracy of f at x in percent; every net of an experiment tells classes apart."""
    percent = f.accuracy(x)
    assert percent is not None
    return percent


@dataclass(frozen=True)
class Experiment:
    """What is run and what is measured on the runs.

    Parameters
    ----------
    about
        One line.
    settings
        Tier -> the settings it runs at.
    jobs
        The runs that one seed of a setting needs.
    measure
        What those runs are measured for.
    options
        Arguments of `measure`, which are recorded with the result.
    """

    about: str
    settings: Settings
    jobs: Callable[[Setting, int], Jobs]
    measure: Callable[..., Measured]
    options: dict[str, Any] = field(default_factory=dict)


TWO, FIVE, TEN = tuple(range(2)), tuple(range(5)), tuple(range(10))

# What experiments that ask for runs of their own run at. Smoke shows that things run and roughly where they go; five
# seeds decide, ten see a point. The large batch is the paper's tenth, or half of the data where the label says so.
SMOKE = Setting("mlp", "1000 rows of mnist1d", 32, 500, 20, TWO)
MLP = Setting("mlp", "mnist1d", 32, paper.LARGE_FRACTION, 100, TEN)
HALF_OF_ROWS = replace(MLP, large=0.5, label="mlp, half")
F1 = Setting("F1", "mnist", paper.SMALL_BATCH, paper.LARGE_FRACTION, 20, FIVE, measured=10_000)
C1 = Setting("C1", "cifar10", paper.SMALL_BATCH, paper.LARGE_FRACTION, 100, FIVE)
FULL_F1 = replace(F1, epochs=100, measured=None)

# The nets without BatchNorm: where a row's own gradient, or the curvature, is the point.
PLAIN_SMOKE = replace(SMOKE, net="plain-mlp")
PLAIN = replace(MLP, net="plain-mlp")

HELD_OUT = {"mnist": "50000 rows of mnist", "cifar10": "40000 rows of cifar10"}  # 10,000 rows for validation

SMALL_ONLY: Settings = {"smoke": (SMOKE,), "reduced": (MLP,)}
BOTH_LARGE: Settings = {"smoke": (SMOKE,), "reduced": (MLP, HALF_OF_ROWS)}
CURE_SETTINGS: Settings = {**BOTH_LARGE, "colab": (F1,)}
CONTROLS: Settings = {**CURE_SETTINGS, "paper": (FULL_F1, C1)}
PLAIN_ONLY: Settings = {"smoke": (PLAIN_SMOKE,), "reduced": (PLAIN,)}
EITHER: Settings = {"smoke": (SMOKE, PLAIN_SMOKE), "reduced": (MLP, PLAIN)}

# The paper's own protocol at four sizes. F2 runs on spoken digits: TIMIT is licensed.
BASE: Settings = {
    "smoke": (SMOKE,),
    # What a processor can do of the networks whose own size is out of its reach; F1's is within it. C2 and C4
    # themselves would take more than a week per seed, and with their dropout a part of the data is not learnt.
    "reduced": (
        MLP,
        HALF_OF_ROWS,
        *(
            Setting(net, f"10000 rows of {data}", paper.SMALL_BATCH, share, 40, FIVE, label)
            for net, data in (("C1", "cifar10"), ("C3", "cifar100"))
            for share, label in ((paper.LARGE_FRACTION, ""), (0.25, f"{net}, quarter"))
        ),
        *(
            Setting(net, f"10000 rows of {data}", paper.SMALL_BATCH, paper.LARGE_FRACTION, 40, FIVE)
            for net, data in (("small-C2", "cifar10"), ("small-C4", "cifar100"))
        ),
        Setting("F2", "10000 rows of spoken-digits", 64, paper.LARGE_FRACTION, 40, FIVE),
    ),
    # 20 epochs are what the paper's released script runs; the paper's own figures have 100
    "colab": (replace(F1, measured=None), replace(C1, epochs=20)),
    "paper": tuple(
        Setting(net, data, paper.SMALL_BATCH, paper.LARGE_FRACTION, 100, FIVE)
        for net, data in (
            ("C1", "cifar10"),
            ("F1", "mnist"),
            ("C3", "cifar100"),
            ("C2", "cifar10"),
            ("C4", "cifar100"),
            ("F2", "spoken-digits"),
        )
    ),
}


def held_out(settings: Settings) -> Settings:
    """Settings that train on a part of the data where there is no validation split, so that the rest is one. For
    experiments that choose a rate or a dose."""
    return {
        tier: tuple(replace(setting, data=HELD_OUT.get(setting.data, setting.data)) for setting in chosen)
        for tier, chosen in settings.items()
    }


def also(settings: Settings, **more: tuple[Setting, ...]) -> Settings:
    """Settings with more of them at some tiers: `also(CONTROLS, reduced=(HALF_OF_ROWS,))`."""
    return {tier: settings.get(tier, ()) + more.get(tier, ()) for tier in TIERS if tier in settings or tier in more}


def changed(settings: Settings, **changes: Any) -> Settings:
    """Settings with some fields changed at every tier."""
    return {tier: tuple(replace(setting, **changes) for setting in chosen) for tier, chosen in settings.items()}
