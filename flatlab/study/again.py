"""An experiment once more, on another code path of the processor.

Another machine sums in another order, and that changes a run as much as another seed does. PyTorch's plainest kernels,
which every processor has, and another number of threads stand for the other machine; both are chosen when a process
starts, so it runs in a child.
"""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch

from flatlab.study.claims import CLAIMS
from flatlab.study.experiments import EXPERIMENTS
from flatlab.study.recorded import SETTINGS, Result, Tier, largest, recorded

PROGRAM = (sys.executable, "-m", "flatlab")


def other_path() -> dict[str, str]:
    """What is set for the child: the plainest kernels, no GPU, and one thread where there are several, else two."""
    threads = 1 if torch.get_num_threads() > 1 else 2
    return {"ATEN_CPU_CAPABILITY": "default", "OMP_NUM_THREADS": str(threads), "CUDA_VISIBLE_DEVICES": ""}


def judged(tier: Tier, names: Sequence[str] = (), nets: Sequence[str] | None = None) -> list[Result]:
    """The recorded results at a tier that some claim is judged by, as far as they can be run again: a network that was
    recorded at other sizes, or with other arguments, would be compared with another experiment.

    Parameters
    ----------
    tier
        Of all of them.
    names
        The experiments; none: all that are recorded.
    nets
        Only these networks; None: all.

    Returns
    -------
    list of Result
        Each with the networks asked for.

    Raises
    ------
    FileNotFoundError
        For a named experiment that is not recorded.
    ValueError
        Where nothing is left.

    Warns
    -----
    UserWarning
        That names what is left out.
    """
    every = dict.fromkeys(claim.experiment for claim in CLAIMS)
    found = [recorded(name, tier) for name in names] or [one for name in every for one in largest(name, (tier,))]
    kept, other = [], []
    for result in found:
        wanted = [net for net in result.values if (nets is None or net in nets) and result.experiment in every]
        values = {net: result.values[net] for net in wanted if is_as_now(result, net)}
        other += [f"{result.experiment} ({net})" for net in wanted if net not in values]
        if values:
            kept.append(dataclasses.replace(result, values=values))
    if other:
        warnings.warn(
            f"left out, since they were recorded at other sizes or with other arguments than now: {', '.join(other)}.",
            stacklevel=2,
        )
    if not kept:
        raise ValueError(
            f"no claim is judged by what is recorded of that at the {tier} tier: leave out --nets, or record more with "
            "`flatlab reproduce`."
        )
    return kept


def is_as_now(result: Result, net: str) -> bool:
    """Whether a network was recorded at the sizes and with the arguments that the experiment has now."""
    experiment = EXPERIMENTS[result.experiment]
    now = {setting.name: dataclasses.asdict(setting) for setting in experiment.settings.get(result.tier, ())}
    then = {**result.options, SETTINGS: result.options.get(SETTINGS, {}).get(net)}
    return net in now and then == json.loads(json.dumps({**experiment.options, SETTINGS: now[net]}))


def reproduce_again(result: Result, store: str | Path, workers: int | None = None) -> Result:
    """Run the experiment of a result by the plainest kernels and with another number of threads, on its networks.

    Parameters
    ----------
    result
        Says what is run.
    store
        A directory of its own: the store tells runs apart by what they are made from, not by the kernels.
    workers
        As for `reproduce`.

    Returns
    -------
    Result
        What it finds.

    Raises
    ------
    ChildProcessError
        With the child's own sentence, where it ends without a result.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "again.json"
        command = [*PROGRAM, "reproduce", result.experiment, "--tier", result.tier, "--nets", *result.values]
        command += ["--store", str(store), "--out", str(out)]
        command += [] if workers is None else ["--workers", str(workers)]
        done = subprocess.run(command, env={**os.environ, **other_path()}, capture_output=True, text=True)
        if done.returncode or not out.exists():
            said = done.stderr.strip().splitlines() or ["it said nothing"]
            raise ChildProcessError(f"{result.experiment} could not be run again: {said[-1].removeprefix('flatlab: ')}")
        return Result.read(out)
