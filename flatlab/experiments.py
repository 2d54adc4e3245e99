"""Every experiment of the book as one command: `reproduce(name, tier)` returns a `Result`, every value of every seed.

An experiment says at each tier which jobs it needs and what it measures on their runs. Jobs go through the store, so that
experiments share their runs and a killed one goes on where it was; so do measurements, seed by seed. Results that are too dear to
repeat are recorded in `results/`.
"""

import dataclasses
import datetime
import difflib
import json
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

from flatlab import paper
from flatlab.controls import CONTROLS
from flatlab.essays import ESSAYS
from flatlab.plan import carry_out, carry_out_all, cost
from flatlab.reproductions import REPRODUCTIONS
from flatlab.setting import Case
from flatlab.store import MEASURING, Store, content_key, write_whole
from flatlab.train import progress_bar, provenance

EXPERIMENTS = REPRODUCTIONS | CONTROLS | ESSAYS
REPOSITORY = Path(__file__).resolve().parent.parent


TIERS = ("smoke", "reduced", "colab", "paper")


@dataclass(frozen=True)
class Result:
    """What an experiment found.

    .values         net -> column -> one value a seed (a number, or a list along a curve); columns are named as in `flatlab.paper`
    .tier, .seeds   at which size
    .recipes        net -> label, e.g. "SB" and "LB" -> the recipe's fields
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


def largest(experiment):
    """The recorded results of an experiment, the largest tier first, each with the nets only that no larger tier has, "small-C2" if no C2."""
    found, seen = [], set()
    for tier in reversed(TIERS):
        try:
            result = recorded(experiment, tier)
        except FileNotFoundError:
            continue
        if values := {net: columns for net, columns in result.values.items() if paper.original(net) not in seen}:
            found.append(dataclasses.replace(result, values=values))
        seen.update(map(paper.original, values))
    return found


def reproduce(experiment, tier="smoke", *, nets=None, store=None, engine="local", workers=None, address=None, progress=True):
    """Run an experiment at a tier and return its `Result`.

    experiment  a name in EXPERIMENTS, e.g. "table2"; `flatlab reproduce --help` lists them
    tier        "smoke" (two cores, minutes), "reduced" (the paper's larger networks, the largest made smaller, on a part of their
                data, two cores, hours), "colab" (one small GPU, at most 15 minutes), "paper" (its own sizes, five seeds)
    nets        only these of the tier's nets
    store       a `Store` or a directory for the runs; default: the standard one
    engine, workers, address    see `flatlab.plan.carry_out_all`

    Whatever stops it, the same call goes on: finished runs and measurements are read from the store.
    Raises ValueError for an unknown experiment or tier.
    """
    chosen, settings = _settings(experiment, tier, nets)
    store = store if isinstance(store, Store) else Store(store)
    began, values, recipes, data = time.perf_counter(), {}, {}, {}
    carry_out_all(plan(experiment, tier, nets), store, engine=engine, workers=workers, address=address, progress=progress)
    with progress_bar(sum(len(setting.seeds) for setting in settings), "seed", f"measuring {experiment}", progress) as bar:
        for setting in settings:
            data[setting.net], recipes[setting.net], columns = setting.data, {}, {}
            for seed in setting.seeds:
                jobs = chosen.jobs(setting, seed)
                recipes[setting.net] = {label: dataclasses.asdict(job.recipe) for label, job in jobs.items()}
                for column, value in _measured(experiment, chosen, setting, seed, jobs, store).items():
                    columns.setdefault(column, []).append(value)
                bar.update()
            values[setting.net] = columns
    facts = origin("cuda" if torch.cuda.is_available() else "cpu", began)
    return Result(experiment, tier, data, settings[0].seeds, recipes, values, facts)


def origin(device, began):
    """The provenance of a result file written now: `train.provenance`, the commit, seconds since `began`, the date."""
    return {**provenance(device), "commit": _commit(), "seconds": round(time.perf_counter() - began, 1),
            "date": datetime.date.today().isoformat()}


def plan(experiment, tier, nets=None):
    """The jobs of an experiment at a tier."""
    chosen, settings = _settings(experiment, tier, nets)
    return [job for setting in settings for seed in setting.seeds for job in chosen.jobs(setting, seed).values()]


def estimate(tier, names=None):
    """name -> {"runs", "flops", "seconds"} of the training that each experiment needs on the device at hand, and "all": their
    union, since they share runs."""
    plans = {name: plan(name, tier) for name in names or EXPERIMENTS if tier in EXPERIMENTS[name].settings}
    return {**{name: cost(jobs) for name, jobs in plans.items()}, "all": cost([job for jobs in plans.values() for job in jobs])}


def _settings(experiment, tier, nets):
    for name, known in ((experiment, EXPERIMENTS), (tier, TIERS)):
        if name not in known:
            near = difflib.get_close_matches(str(name), known, 1, 0.0)[0]
            raise ValueError(f"there is no {name!r}: choose one of {', '.join(known)} (nearest: {near}).")
    chosen = EXPERIMENTS[experiment]
    if tier not in chosen.settings:
        raise ValueError(f"{experiment} has no {tier} tier: choose one of {', '.join(chosen.settings)}.")
    settings = [setting for setting in chosen.settings[tier] if nets is None or setting.net in nets]
    if not settings:
        raise ValueError(f"{experiment} at the {tier} tier has none of the nets {', '.join(nets)}: it has "
                         f"{', '.join(setting.net for setting in chosen.settings[tier])}.")
    return chosen, settings


def _measured(name, experiment, setting, seed, jobs, store):
    """What the experiment measures for one seed, kept in the store beside the runs."""
    key = content_key({"experiment": name, "setting": dataclasses.asdict(setting), "seed": seed, "measuring": MEASURING,
                       "jobs": {label: dataclasses.asdict(job) for label, job in jobs.items()}})
    if found := store.get(key):
        return found[1]["values"]
    runs = {label: carry_out(job, store) for label, job in jobs.items()}
    values = json.loads(json.dumps(experiment.measure(Case(setting, seed, runs))))
    store.put(key, {}, {"values": values, "experiment": name})
    return values


def _commit():
    """The commit of the checkout the package lies in, with + when it was changed; None outside a checkout."""
    try:
        git = ["git", "-C", str(REPOSITORY)]
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "flatlab"], capture_output=True).returncode
        return commit + "+" * bool(changed)
    except (OSError, subprocess.CalledProcessError):
        return None
