"""Results: every value of every seed with its provenance. Those that cost too much to repeat are recorded in
`results/`."""

import contextlib
import dataclasses
import datetime
import difflib
import json
import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, get_args

from flatlab.files import write_whole
from flatlab.measure import door
from flatlab.study import paper
from flatlab.training.train import provenance

REPOSITORY = Path(__file__).resolve().parent.parent.parent
IS_CLONE = (REPOSITORY / "results" / "record.py").is_file()  # else it is a folder of installed packages
#: The sizes at which an experiment runs, from minutes on a laptop to the size in the paper.
Tier = Literal["smoke", "reduced", "colab", "paper"]
TIERS: tuple[Tier, ...] = get_args(Tier)
BY_NET = ("data", "seeds", "recipes", "values", "provenance")  # the fields of a result that have one entry per net
SETTINGS = "settings"  # and the one of its options that has


@dataclass(frozen=True)
class Result:
    """What an experiment found.

    Attributes
    ----------
    experiment, tier
        Which, and at which size.
    data, seeds
        Net -> data set, and the seeds of its runs.
    recipes
        Net -> label, e.g. "SB" and "LB" -> the recipe's fields.
    values
        Net -> column -> one value per seed, a number or a list along a curve. Columns are named by
        `flatlab.study.columns`.
    provenance
        Net -> versions, commit, device, date, and the seconds of the call that recorded it, with all nets of that call.
    options
        All else that was set: the settings (batch sizes, epochs, seeds, rows measured) and the arguments of the
        measurement.
    """

    experiment: str
    tier: Tier
    data: dict[str, str]
    seeds: dict[str, tuple[int, ...]]
    recipes: dict[str, dict[str, dict]]
    values: dict[str, dict[str, list]] = field(repr=False)
    provenance: dict[str, dict[str, Any]] = field(repr=False)
    options: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def seconds_per_seed(self) -> float:
        """What one seed of all nets took, in seconds; each call that recorded some of them counts once."""
        calls = {
            json.dumps(facts, sort_keys=True): facts["seconds"] / len(self.seeds[net])
            for net, facts in self.provenance.items()
        }
        return sum(calls.values())

    def save(self, path: str | Path) -> None:
        """Write the result as JSON, whole or not at all. Other nets that the file holds of this experiment and tier
        stay, where they were measured with the same arguments.

        Parameters
        ----------
        path
            Of the file.

        Raises
        ------
        OSError
            Where the path holds a file that is no result, or cannot be written.
        """
        whole = self.with_other_nets(Result.read(path)) if Path(path).exists() else self
        write_whole(path, json.dumps(dataclasses.asdict(whole), indent=1).encode())

    def with_other_nets(self, earlier: "Result") -> "Result":
        """This result and, of the nets that it lacks, those of an earlier one that was measured with the same
        arguments; each net keeps its own setting, seeds and provenance."""

        def what(result: Result) -> Any:
            arguments = {name: value for name, value in result.options.items() if name != SETTINGS}
            return json.loads(json.dumps([result.experiment, result.tier, arguments]))

        if what(self) != what(earlier):
            return self

        def both(own: dict, before: dict) -> dict:
            """The nets that are new first, since the others have their place in the file; a setting of one, "mlp,
            half", behind it."""
            held = {net: own[net] for net in own if net not in before} | before | own
            places = list(dict.fromkeys(map(paper.original, held)))
            order = sorted(held, key=lambda net: (places.index(paper.original(net)), net != paper.original(net)))
            return {net: held[net] for net in order}

        settings = both(*(result.options.get(SETTINGS, {}) for result in (self, earlier)))
        by_net: dict[str, Any] = {name: both(getattr(self, name), getattr(earlier, name)) for name in BY_NET}
        return dataclasses.replace(self, **by_net, options={**self.options, SETTINGS: settings})

    @staticmethod
    def read(path: str | Path) -> "Result":
        """The result in a file.

        Raises
        ------
        OSError
            Where there is none or it is not one of ours.
        """
        try:
            found = Result(**json.loads(Path(path).read_text()))
            if not isinstance(found.seeds, dict):
                raise TypeError("its seeds are not told net by net")
        except (ValueError, TypeError) as error:
            raise OSError(
                f"{path} is not a flatlab result ({error}): record it again with `flatlab reproduce`, elsewhere."
            ) from error
        return found


def results_directory() -> Path:
    """Where the recorded results lie: `results/` of a clone, or where pip has put them."""
    if not IS_CLONE:
        with contextlib.suppress(metadata.PackageNotFoundError):
            for file in metadata.files("flatlab") or ():
                if file.parent.parts[-2:] == ("flatlab", "results"):
                    return Path(str(file.locate())).resolve().parent
    return REPOSITORY / "results"


def recorded(experiment: str, tier: Tier) -> Result:
    """The recorded result of an experiment at a tier, from `results/`.

    Parameters
    ----------
    experiment
        A name such as "table2"; `flatlab reproduce --help` lists them.
    tier
        "smoke", "reduced", "colab" or "paper".

    Returns
    -------
    Result
        Every value of every seed.

    Raises
    ------
    ValueError
        Where there is no such tier.
    FileNotFoundError
        Where it was not recorded.
    """
    door.choice("tier", tier, TIERS)
    path = results_directory() / f"{experiment}-{tier}.json"
    if path.exists():
        return Result.read(path)
    tiers: dict[str, list[str]] = {}
    for name, _, at in (file.stem.rpartition("-") for file in sorted(results_directory().glob("*-*.json"))):
        tiers.setdefault(name, []).append(at)
    if experiment in tiers:
        advice = (
            f"take {' or '.join(tiers[experiment])}, or, if the experiment has this tier, run "
            f"`flatlab reproduce {experiment} --tier {tier}`"
        )
    else:
        near = difflib.get_close_matches(str(experiment), tiers, 1, 0.0)
        advice = f"nothing of that name is recorded{f' (nearest: {near[0]})' if near else ''}"
    raise FileNotFoundError(f"{experiment} is not recorded at the {tier} tier: {advice}.")


def largest(experiment: str, tiers: Sequence[Tier] = TIERS) -> list[Result]:
    """The recorded results of an experiment at some tiers, the largest first, each with the nets only that no larger
    tier has, "small-C2" if no C2."""
    found = []
    seen: set[str] = set()
    for tier in reversed(tiers):
        try:
            result = recorded(experiment, tier)
        except FileNotFoundError:
            continue
        if values := {net: columns for net, columns in result.values.items() if paper.original(net) not in seen}:
            found.append(dataclasses.replace(result, values=values))
        seen.update(map(paper.original, values))
    return found


def largest_with(experiment: str, net: str) -> Result:
    """The largest recorded result of an experiment that has a network.

    Parameters
    ----------
    experiment, net
        Names such as "table2" and "F1".

    Raises
    ------
    FileNotFoundError
        Where no tier has it.
    """
    for result in largest(experiment):
        if net in result.values:
            return result
    raise FileNotFoundError(f"{experiment} is recorded at no tier for {net}.")


def origin(device: str, began: float) -> dict[str, Any]:
    """The provenance of a result file written now: `train.provenance`, the commit, seconds since `began`, the date."""
    return {
        **provenance(device),
        "commit": _commit(),
        "seconds": round(time.perf_counter() - began, 1),
        "date": datetime.date.today().isoformat(),
    }


def _commit():
    """The commit of the checkout the package lies in, with + when it was changed; None outside a checkout.

    A copy without history, as it is sent to a machine with a GPU, is told by $FLATLAB_COMMIT what it was copied from.
    """
    if told := os.environ.get("FLATLAB_COMMIT"):
        return told
    if not IS_CLONE:  # a commit found here would be that of the project that flatlab is installed in
        return None
    try:
        git = ["git", "-C", str(REPOSITORY)]
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "flatlab"], capture_output=True).returncode
        return commit + "+" * bool(changed)
    except (OSError, subprocess.CalledProcessError):
        return None
