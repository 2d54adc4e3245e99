"""The words in which an experiment is written: its sizes at a tier, the jobs it needs, the case it measures."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from flatlab.objective import Objective
from flatlab.study import paper
from flatlab.study.jobs import Job, loaded
from flatlab.training.train import Recipe


@dataclass(frozen=True)
class Setting:
    """One net on one data set: small and large batch, epochs, seeds."""

    net: str
    data: str
    small: int | float
    large: int | float
    epochs: int
    seeds: tuple

    @property
    def rows(self):
        """The size of the training set."""
        return len(loaded(self.data).train.y)

    @property
    def ratio(self):
        """The large batch's size over the small one's."""
        small, large = (Recipe(batch_size=batch).rows(self.rows) for batch in (self.small, self.large))
        return large / small

    def job(self, batch_size, seed, *, epochs=None, keep=(), start=None, rows=None, **changes):
        """A `Job` of this setting; changes are fields of the recipe."""
        recipe = Recipe(batch_size=batch_size, epochs=self.epochs if epochs is None else epochs, **changes)
        return Job(self.net, self.data, seed, recipe, keep, start, rows)

    def pair(self, seed, **changes):
        """{"SB": job, "LB": job}: the small and the large batch, from the same start."""
        return {label: self.job(batch, seed, **changes) for label, batch in (("SB", self.small), ("LB", self.large))}


@dataclass(frozen=True)
class Case:
    """What an experiment measures at once: the finished runs of one setting and seed, by the names of their jobs."""

    setting: Setting
    seed: int
    runs: dict

    @property
    def data(self):
        return loaded(self.setting.data)

    @cached_property
    def f(self):
        """The loss over the training split."""
        return self.objective()

    @cached_property
    def test(self):
        """The loss over the test split."""
        return self.objective("test")

    def objective(self, part="train", **options):
        """f over the training or the test split; options are the `Objective`'s."""
        return Objective(self.setting.net, getattr(self.data, part), **options)


@dataclass(frozen=True)
class Experiment:
    """about     one line
    settings  tier -> the settings it runs at
    jobs      (setting, seed) -> {label: job}
    measure   case -> {column: a number, or a list along a curve}
    """

    about: str
    settings: dict
    jobs: Callable
    measure: Callable


# The paper's own protocol at four sizes. F2 runs on spoken digits: TIMIT is licensed.
BASE = {
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


def base(*, nets=None, **changes):
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
