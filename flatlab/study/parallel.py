"""Seconds of one update on P workers: `torchrun --nproc-per-node P -m flatlab.study.parallel NET DATA ROWS UPDATES`."""

import json
import os
import subprocess
import sys
import time

import torch
from torch import distributed

from flatlab.nets import build
from flatlab.study import splits
from flatlab.training.train import Recipe
from flatlab.training.trainer import Trainer


def seconds_per_update(net: str, data: str, rows: int, workers: int, updates: int = 20) -> float:
    """The median seconds of an update on a batch of `rows`, of which each worker takes its share, one thread each.

    Raises
    ------
    RuntimeError
        Where the workers could not be started, with what they said last.
    """
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={workers}"]
    command += ["-m", "flatlab.study.parallel", net, data, str(rows), str(updates)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        said = [line for line in done.stderr.splitlines() if "Error: " in line] or ["they said nothing"]
        raise RuntimeError(f"{workers} workers could not be timed: {said[0].strip()}")
    return json.loads(lines[-1])["seconds"]


def main(net: str, data: str, rows: int, updates: int) -> None:
    """One worker: time updates on the same rows, and let the first worker print the median."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    loaded = splits.loaded(data)
    trainer = Trainer(build(net, loaded), loaded, Recipe(batch_size=rows))  # type: ignore[arg-type]
    batch, seconds = torch.arange(rows, device=loaded.train.x.device), []
    for _ in range(updates + 3):
        distributed.barrier()
        began = time.perf_counter()
        trainer.step(batch)
        trainer.loss.item()  # waits for the device
        seconds.append(time.perf_counter() - began)
    if distributed.get_rank() == 0:
        print(json.dumps({"seconds": sorted(seconds[3:])[updates // 2]}), flush=True)
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
