"""Every experiment of the book as one command: `reproduce(name, tier)` returns a `Result`, every value of every seed.

An experiment says at each tier which jobs it needs and what it measures on their runs. Jobs go through the store, so
that experiments share their runs and a killed one goes on where it was; so do measurements, seed by seed. Results that
cost too much to repeat are recorded in `results/`.
"""

import contextlib
import dataclasses
import difflib
import inspect
import json
import secrets
import sys
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import torch

from flatlab.fingerprints import fingerprint
from flatlab.identity import Source
from flatlab.study import (
    connections,
    controls,
    correlations,
    cures,
    curvature,
    essays,
    gradient_noise,
    rates,
    regression,
    reproductions,
)
from flatlab.study.cost import cost
from flatlab.study.design import Case, Runs
from flatlab.study.engines import Engine, carry_out_all
from flatlab.study.jobs import Job, carry_out
from flatlab.study.memory import remembered
from flatlab.study.recorded import SETTINGS, TIERS, Result, Tier, origin
from flatlab.training.store import Store
from flatlab.training.train import KEEPING, Recipe, Run, progress_bar
from flatlab.training.updates import STRENGTHS

# By the file that they stand in; book pages show them in this order.
GROUPS = {
    "reproductions": reproductions.EXPERIMENTS,
    "rates": rates.EXPERIMENTS,
    "cures": cures.EXPERIMENTS,
    "curvature": curvature.EXPERIMENTS,
    "gradient noise": gradient_noise.EXPERIMENTS,
    "measures": correlations.EXPERIMENTS,
    "connections": connections.EXPERIMENTS,
    "controls": controls.EXPERIMENTS,
    "other sources": essays.EXPERIMENTS | regression.EXPERIMENTS,
}
EXPERIMENTS = {name: experiment for group in GROUPS.values() for name, experiment in group.items()}


def reproduce(
    experiment: str,
    tier: Tier = "smoke",
    *,
    nets: Sequence[str] | None = None,
    store: Store | str | Path | None = None,
    engine: Engine = "local",
    workers: int | None = None,
    address: str | None = None,
    progress: bool = True,
) -> Result:
    """Run an experiment at a tier.

    Parameters
    ----------
    experiment
        A name in EXPERIMENTS, e.g. "table2"; `flatlab reproduce --help` lists them.
    tier
        "smoke" (two cores, minutes), "reduced" (the paper's larger networks, the largest made smaller, on a part of
        their data, two cores, hours), "colab" (one small GPU), "paper" (its own sizes, five seeds).
    nets
        Only these of the tier's nets.
    store
        A `Store` or a directory for the runs; default: the standard one.
    engine, workers, address
        See `flatlab.study.engines.carry_out_all`.
    progress
        Show bars.

    Returns
    -------
    Result
        Every value of every seed.

    Raises
    ------
    ValueError
        For an unknown experiment, tier or net.
    FloatingPointError
        When the training loss of a run does not stay finite, unless the run is one of a grid of rates or doses.

    Warns
    -----
    UserWarning
        For each run whose training loss is no longer finite. Along a grid it has the value nan and is not chosen.

    Notes
    -----
    Whatever stops it, the same call resumes: finished runs and measurements are read from the store.
    """
    chosen, settings = _settings(experiment, tier, nets)
    store = store if isinstance(store, Store) else Store(store)
    began, values = time.perf_counter(), {}
    recipes: dict[str, dict] = {}
    jobs = jobs_of(experiment, tier, nets)
    carry_out_all(jobs, store, engine=engine, workers=workers, address=address, progress=progress)
    with progress_bar(
        sum(len(setting.seeds) for setting in settings), "seed", f"measuring {experiment}", progress
    ) as bar:
        for setting in settings:
            columns: dict[str, list] = {}
            for seed in setting.seeds:
                jobs = chosen.jobs(setting, seed)
                recipes[setting.name] = {label: _all_that_was_set(job.recipe) for label, job in jobs.items()}
                for column, value in _measured(experiment, chosen, setting, seed, jobs, store).items():
                    columns.setdefault(column, []).append(value)
                bar.update()
            values[setting.name] = columns
    facts = origin(_device(), began)
    return Result(
        experiment,
        tier,
        {setting.name: setting.data for setting in settings},
        {setting.name: setting.seeds for setting in settings},
        recipes,
        values,
        {setting.name: facts for setting in settings},
        {SETTINGS: {setting.name: dataclasses.asdict(setting) for setting in settings}, **chosen.options},
    )


def _all_that_was_set(recipe: Recipe) -> dict[str, Any]:
    """The recipe's fields, with the update's own strength where the recipe leaves it open."""
    fields = dataclasses.asdict(recipe)
    return fields | ({"strength": STRENGTHS.get(recipe.update)} if recipe.strength is None else {})


def jobs_of(experiment: str, tier: Tier, nets: Sequence[str] | None = None) -> list[Job]:
    """The jobs of an experiment at a tier."""
    chosen, settings = _settings(experiment, tier, nets)
    return [job for setting in settings for seed in setting.seeds for job in chosen.jobs(setting, seed).values()]


def costs(tier: Tier, names: Sequence[str] | None = None) -> dict[str, dict[str, float]]:
    """What the training that each experiment needs costs on the device at hand, and "all": their union, since they
    share runs."""
    check_known(tier, TIERS)
    jobs = {name: jobs_of(name, tier) for name in names or [n for n in EXPERIMENTS if tier in EXPERIMENTS[n].settings]}
    return {
        **{name: cost(own) for name, own in jobs.items()},
        "all": cost([job for own in jobs.values() for job in own]),
    }


def networks() -> list[str]:
    """The names that the networks of all experiments have in results, such as "F1" and "mlp, half"."""
    settings = (each for one in EXPERIMENTS.values() for chosen in one.settings.values() for each in chosen)
    return list(dict.fromkeys(setting.name for setting in settings))


def check_known(name: str, known: Collection[str]) -> None:
    """Refuse a name that is not among those known, in a sentence with the nearest.

    Parameters
    ----------
    name, known
        What was given, and what can be.

    Raises
    ------
    ValueError
        For such a name.
    """
    if name not in known:
        near = difflib.get_close_matches(str(name), known, 1, 0.0)[0]
        raise ValueError(f"there is no {name!r}: choose one of {', '.join(known)} (nearest: {near}).")


def _settings(experiment, tier, nets):
    check_known(experiment, EXPERIMENTS)
    check_known(tier, TIERS)
    chosen = EXPERIMENTS[experiment]
    if tier not in chosen.settings:
        raise ValueError(f"{experiment} has no {tier} tier: choose one of {', '.join(chosen.settings)}.")
    if isinstance(nets, str) or nets is not None and not nets:
        raise ValueError(f"nets is {nets!r}: pass a list of names, such as ['F1'], or None for all.")
    settings = [setting for setting in chosen.settings[tier] if nets is None or setting.name in nets]
    missing = [net for net in nets or () if net not in {setting.name for setting in settings}]
    if missing or not settings:
        raise ValueError(
            f"{experiment} at the {tier} tier has none of the nets {', '.join(missing)}: it has "
            f"{', '.join(setting.name for setting in chosen.settings[tier])}."
        )
    return chosen, settings


def _measured(name, experiment, setting, seed, jobs, store):
    """What the experiment measures for one seed, kept in the store beside the runs."""
    told, whole = fingerprint(experiment.measure)
    made_from = {
        "measure": told if whole else secrets.token_hex(),  # what cannot be told is measured anew
        "options": experiment.options,
        "setting": dataclasses.asdict(setting),
        "seed": seed,
        "jobs": {label: dataclasses.asdict(job) for label, job in jobs.items()},
        "data": {label: job.load().digest for label, job in jobs.items()},
    }

    def measure():
        runs: dict[str, Run | None] = dict.fromkeys(jobs)
        for label, job in jobs.items():
            with contextlib.suppress(FloatingPointError):  # `carry_out_all` has told of it
                runs[label] = carry_out(job, store)
        case = Case(setting, seed, Runs(runs))
        return {}, json.loads(json.dumps(experiment.measure(case, **experiment.options)))

    return remembered(store, name, made_from, _source(experiment.measure), measure, _device())[1]


def _source(measure):
    """The code that decides what a function measures: its module's. A module of the user's may use all that is imported
    here."""
    module = inspect.getmodule(inspect.unwrap(measure))
    ours = module is not None and module.__name__.startswith("flatlab.")
    return Source((module if ours else sys.modules[__name__],), without=KEEPING)


def _device():
    return "cuda" if torch.cuda.is_available() else "cpu"
