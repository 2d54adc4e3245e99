"""The paper's tables and figures as functions of a tier.

A tier says on which net and data, with how many seeds and epochs. An experiment trains what it needs through the store, so that two
experiments share their runs and a killed one goes on where it was, and returns a `Result`: every value of every seed, with its
provenance. Results that are too dear to repeat are recorded in `results/`.
"""

import dataclasses
import datetime
import difflib
import json
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from flatlab import paper
from flatlab.data import load
from flatlab.objective import Objective
from flatlab.paths import arc, line
from flatlab.sharpness import sharpness
from flatlab.store import Store, write_whole
from flatlab.train import provenance, train

REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Tier:
    """The sizes at which the experiments run: (net, data) pairs, small and large batch, seeds, epochs."""

    nets: tuple
    small: int | float
    large: int | float
    seeds: tuple
    epochs: int


TIERS = {
    "smoke": Tier((("mlp", "mnist1d"),), 32, 2000, (0, 1, 2, 3, 4), 100),
    # 20 epochs are what the paper's released script runs; the paper's own figures have 100
    "colab": Tier((("F1", "mnist"),), paper.SMALL_BATCH, paper.LARGE_FRACTION, (0, 1, 2), 20),
    "paper": Tier((("F1", "mnist"),), paper.SMALL_BATCH, paper.LARGE_FRACTION, (0, 1, 2, 3, 4), 100),
}


@dataclass(frozen=True)
class Result:
    """What an experiment found.

    .values         net -> column -> one value a seed (a number, or a list along a curve); columns are named as in `flatlab.paper`
    .tier, .seeds   at which size
    .recipes        net -> "SB" and "LB" -> the recipe's fields
    .provenance     versions, commit, device, data, wall time, date
    """

    experiment: str
    tier: str
    data: dict                                                   # net -> data set
    seeds: tuple
    recipes: dict
    values: dict = field(repr=False)
    provenance: dict = field(repr=False)

    def save(self, path):
        """Write the result as JSON, whole or not at all."""
        write_whole(path, json.dumps(dataclasses.asdict(self), indent=1).encode())

    @staticmethod
    def read(path):
        """The result in a file. Raises OSError when there is none or it is not one of ours."""
        try:
            return Result(**json.loads(Path(path).read_text()))
        except (ValueError, TypeError) as error:
            raise OSError(f"{path} is not a flatlab result ({error}): record it again with `flatlab reproduce`.") from error


def recorded(experiment, tier):
    """The recorded result of an experiment at a tier, from `results/`.

    Raises FileNotFoundError when it was not recorded.
    """
    path = REPOSITORY / "results" / f"{experiment}-{tier}.json"
    if not path.exists():
        raise FileNotFoundError(f"{experiment} is not recorded at the {tier} tier: run `flatlab reproduce {experiment} --tier {tier}`.")
    return Result.read(path)


def reproduce(experiment, tier="smoke", *, store=None, progress=True):
    """Run one of the paper's experiments at a tier and return its `Result`.

    experiment  "table2" (accuracy), "table3" (sharpness, full space), "table4" (sharpness, 100 random dimensions),
                "fig2" (accuracy by epoch), "fig3" (line), "fig7" (arc)
    tier        "smoke", "colab" or "paper"
    store       a `Store` or a directory for the runs; default: the standard one

    Raises ValueError for an unknown experiment or tier.
    """
    for name, known in ((experiment, EXPERIMENTS), (tier, TIERS)):
        if name not in known:
            near = difflib.get_close_matches(str(name), known, 1, 0.0)[0]
            raise ValueError(f"there is no {name!r}: choose one of {', '.join(known)} (nearest: {near}).")
    settings, store = TIERS[tier], store if isinstance(store, Store) else Store(store)
    began, values, recipes = time.perf_counter(), {}, {}
    for net, name in settings.nets:
        data = load(name)
        columns, recipes[net] = {}, {}
        for seed in settings.seeds:
            runs = {}
            for label, batch in (("SB", settings.small), ("LB", settings.large)):
                runs[label] = train(net, data, batch_size=batch, epochs=settings.epochs, seed=seed, store=store, progress=progress)
                recipes[net][label] = dataclasses.asdict(runs[label].recipe)
            for column, value in EXPERIMENTS[experiment](net, data, runs["SB"], runs["LB"]).items():
                columns.setdefault(column, []).append(value)
        values[net] = columns
    facts = {**provenance(data.train.x.device), "commit": _commit(), "seconds": round(time.perf_counter() - began, 1),
             "date": datetime.date.today().isoformat()}
    return Result(experiment, tier, dict(settings.nets), settings.seeds, recipes, values, facts)


def _table2(net, data, small, large):
    """Accuracy on both splits, evaluated at the final point."""
    return {f"{part} {label}": Objective(net, getattr(data, part)).accuracy(run.x)
            for part in ("train", "test") for label, run in (("SB", small), ("LB", large))}


def _table3(net, data, small, large, subspace=None):
    f = Objective(net, data.train)
    return {f"{label} {eps}": sharpness(f, run.x, float(eps), subspace=subspace, seed=run.seed).percent
            for eps in ("1e-3", "5e-4") for label, run in (("SB", small), ("LB", large))}


def _table4(net, data, small, large):
    return _table3(net, data, small, large, subspace=min(paper.SUBSPACE, len(small.x)))


def _fig2(net, data, small, large):
    return {"epoch": small.history["epoch"],
            **{f"{label}_{part}": run.history[f"{part}_accuracy"]
               for part in ("train", "test") for label, run in (("SB", small), ("LB", large))}}


def _fig3(net, data, small, large, path=line):
    columns = {}
    for part in ("train", "test"):
        found = path(Objective(net, getattr(data, part)), small.x, large.x)
        columns |= {"alpha": found.alphas, f"loss_{part}": found.loss, f"acc_{part}": found.accuracy}
    return columns


def _fig7(net, data, small, large):
    return _fig3(net, data, small, large, path=arc)


EXPERIMENTS = {"table2": _table2, "table3": _table3, "table4": _table4, "fig2": _fig2, "fig3": _fig3, "fig7": _fig7}


def _commit():
    """The commit of the checkout the package lies in, with + when it was changed; None outside a checkout."""
    try:
        git = ["git", "-C", str(REPOSITORY)]
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "flatlab"], capture_output=True).returncode
        return commit + "+" * bool(changed)
    except (OSError, subprocess.CalledProcessError):
        return None
