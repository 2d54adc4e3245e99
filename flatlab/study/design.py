"""The words in which an experiment is written: its sizes at a tier, the jobs it needs, the case it measures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from flatlab.data import Data
from flatlab.objective import Objective
from flatlab.study import paper
from flatlab.study.jobs import Job, loaded
from flatlab.study.recorded import Tier
from flatlab.training.train import Recipe, Run

Jobs = dict[str, Job]  # by the names that the experiment's columns have
Measured = dict[str, Any]  # column -> a number, or a list along a curve


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
    """

    net: str
    data: str
    small: int | float
    large: int | float
    epochs: int
    seeds: tuple[int, ...]

    @property
    def rows(self) -> int:
        """The size of the training set."""
        return len(loaded(self.data).train.y)

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
        """{"SB": job, "LB": job}: the small and the large batch, from the same start."""
        return {label: self.job(batch, seed, **changes) for label, batch in (("SB", self.small), ("LB", self.large))}


@dataclass(frozen=True)
class Case:
    """What an experiment measures at once: the finished runs of one setting and seed, by the names of their jobs."""

    setting: Setting
    seed: int
    runs: dict[str, Run]

    @property
    def data(self) -> Data:
        return loaded(self.setting.data)

    @cached_property
    def f(self) -> Objective:
        """The loss over the training split."""
        return self.objective()

    @cached_property
    def test(self) -> Objective:
        """The loss over the test split."""
        return self.objective("test")

    def objective(self, part: Literal["train", "test"] = "train", **options: Any) -> Objective:
        """f over the training or the test split; options are the `Objective`'s."""
        return Objective(self.setting.net, getattr(self.data, part), **options)  # type: ignore[arg-type]


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
    """

    about: str
    settings: dict[Tier, tuple[Setting, ...]]
    jobs: Callable[[Setting, int], Jobs]
    measure: Callable[[Case], Measured]


# The paper's own protocol at four sizes. F2 runs on spoken digits: TIMIT is licensed.
BASE: dict[Tier, tuple[Setting, ...]] = {
    "smoke": (Setting("mlp", "mnist1d", 32, 2000, 100, (0, 1, 2, 3, 4)),),
    # What a processor can do of the networks whose own size is out of its reach; F1's is within it. C2 and C4 themselves would take more than
    # a week for a seed, and with their dropout a part of the data is not learnt.
    "reduced": (
        *(
            Setting(net, f"1000 rows of {data}", 16, paper.LARGE_FRACTION, 40, (0, 1, 2))
            for net, data in (("C1", "cifar10"), ("C3", "cifar100"), ("small-C2", "cifar10"), ("small-C4", "cifar100"))
        ),
        Setting("F2", "10000 rows of spoken-digits", 64, paper.LARGE_FRACTION, 40, (0, 1, 2)),
    ),
    # 20 epochs are what the paper's released script runs; the paper's own figures have 100
    "colab": (
        Setting("F1", "mnist", paper.SMALL_BATCH, paper.LARGE_FRACTION, 20, (0, 1, 2)),
        Setting("C1", "cifar10", paper.SMALL_BATCH, paper.LARGE_FRACTION, 20, (0, 1, 2)),
    ),
    "paper": tuple(
        Setting(net, data, paper.SMALL_BATCH, paper.LARGE_FRACTION, 100, (0, 1, 2, 3, 4))
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


def base(*, nets: Sequence[str] | None = None, **changes: dict[str, Any]) -> dict[Tier, tuple[Setting, ...]]:
    """BASE with other nets only, or with fields changed: base(nets=("C1", "mlp")), base(smoke={"seeds": (0, 1)})."""
    chosen = {
        tier: [setting for setting in settings if nets is None or setting.net in nets]
        for tier, settings in BASE.items()
    }
    return {
        tier: tuple(replace(setting, **changes.get(tier, {})) for setting in settings)
        for tier, settings in chosen.items()
        if settings
    }
