"""What a GPU does with flatlab: `make gpu` runs tests/gpu, then this, which prints a table and writes results/gpu.json.

Settled here and nowhere else: how much faster a captured step is than an eager one, what TF32 and bf16 change, how much
memory the larger networks take, whether the same seed gives the same bits, and whether a measurement agrees with the
processor's.
"""

import itertools
import json
import sys
import time

import torch

import flatlab
from flatlab.data import Data, Split
from flatlab.files import write_whole
from flatlab.study.recorded import REPOSITORY, origin
from flatlab.training import trainer

# net, shape of a row, classes, rows: as MNIST, CIFAR-10 and CIFAR-100 have them; the numbers are random, since only
# time and memory count
CASES = {"F1": ((1, 28, 28), 10, 60_000), "C1": ((3, 32, 32), 10, 50_000), "C2": ((3, 32, 32), 10, 50_000)}
GIB = 2**30


def images(shape, classes, rows, device="cuda"):
    """Random images and labels of a data set's size."""
    generator = torch.Generator().manual_seed(0)

    def split(count):
        x = torch.rand(count, *shape, generator=generator)
        return Split(x, torch.randint(classes, (count,), generator=generator)).to(device)

    return Data("random images", classes, split(rows), split(1000))


def peak(call):
    """The most memory that was held during a call, in GiB, or why it ended."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    try:
        call()
    except torch.cuda.OutOfMemoryError:
        return "out of memory"
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() / GIB


def seconds_per_epoch(net, data, epochs=3, captured=True, **changes):
    """The least time of an epoch after the first, which holds the capture and the first use of every kernel."""
    capturable = trainer.Trainer._capturable
    if not captured:
        trainer.Trainer._capturable = lambda self: False
    try:
        run = flatlab.train(net, data, epochs=epochs, progress=False, **changes)
    finally:
        trainer.Trainer._capturable = capturable
    ends = run.history["seconds"]
    return min(b - a for a, b in itertools.pairwise(ends))


def speed(net, data):
    """Seconds per epoch at the small batch: eager, captured, with TF32, with bf16."""
    few = data.subset(min(len(data.train), 12_800))
    ways = {"eager": {"captured": False}, "captured": {}, "tf32": {"precision": "tf32"}, "bf16": {"precision": "bf16"}}
    return {name: seconds_per_epoch(net, few, batch_size=256, **options) for name, options in ways.items()}


def memory(net, data):
    """GiB at a large-batch step, a gradient and a Hessian product over 5,000 rows."""
    f = flatlab.Objective(net, data.train.subset(5000))
    direction = torch.ones_like(f.x)
    large = {"batch_size": 0.10, "epochs": 1, "progress": False}
    return {
        "large-batch step": peak(lambda: flatlab.train(net, data, **large)),
        "gradient": peak(lambda: f.gradient(f.x)),
        "Hessian product": peak(lambda: f.hessian() @ direction),
    }


def repeats(net, data):
    """Whether the same seed gives the same bits twice, and how far apart the two ends are, as a share of the way from
    the start."""
    one, other = (flatlab.train(net, data.subset(5000), batch_size=250, epochs=2, progress=False) for _ in range(2))
    return {
        "same bits": torch.equal(one.x, other.x),
        "apart": ((one.x - other.x).norm() / (one.x - one.x0).norm()).item(),
    }


def agrees(net, data):
    """phi, the top eigenvalue and the loss of one point on the processor and on the GPU."""
    few = Data(data.name, data.classes, data.train.subset(1000), data.test.subset(100))
    run = flatlab.train(net, few, batch_size=100, epochs=3, progress=False)
    found = {}
    for device in ("cuda", "cpu"):
        f = flatlab.Objective(net, few.to(device).train)
        x = run.x.to(device)
        found[device] = {
            "loss": f.value(x),
            "phi": flatlab.sharpness(f, x).percent,
            "lambda_1": float(flatlab.eigenvalues(f.hessian(x), max_products=30)),
        }
    return found


def main():
    """Measure every case, print, and write results/gpu.json."""
    if not torch.cuda.is_available():
        sys.exit("there is no GPU here, or this torch was not built for one: run it where torch finds a GPU.")
    began, cases = time.perf_counter(), {}
    for net, (shape, classes, rows) in CASES.items():
        data = images(shape, classes, rows)
        cases[net] = {
            "seconds per epoch of 12,800 rows": speed(net, data),
            "GiB": memory(net, data),
            "repeats": repeats(net, data),
        }
        if net != "C2":  # on a processor it takes minutes
            cases[net]["agrees"] = agrees(net, data)
        print(net, json.dumps(cases[net]), flush=True)
    result = {"cases": cases, "memory of the device, GiB": torch.cuda.get_device_properties(0).total_memory / GIB}
    result["provenance"] = origin("cuda", began)
    write_whole(REPOSITORY / "results" / "gpu.json", json.dumps(result, indent=1).encode())


if __name__ == "__main__":
    main()
