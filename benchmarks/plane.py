"""The loss on a plane of 51 x 51 points against loss-landscapes: one small net, the same number of evaluations."""

import numpy as np
import torch

import flatlab
from benchmarks.timing import interleave, ratio, spread
from benchmarks.workload import trained

TITLE = "Plane"


def measure(widths=(128, 128), rows=2000, inputs=64, points=51, rounds=3, epochs=10, device="cpu"):
    net, data = trained(widths, rows, inputs, epochs=epochs, device=device, batch_norm=False)
    f = flatlab.Objective(net, data.train)
    side = torch.linspace(-1, 1, points).tolist()

    def ours(seed):
        directions = flatlab.directions(net, 2, seed=seed)
        return flatlab.plane(f, f.x, directions, side, side).loss

    def theirs(seed):
        import loss_landscapes
        from loss_landscapes.metrics import Loss

        torch.manual_seed(seed)
        metric = Loss(torch.nn.CrossEntropyLoss(), data.train.x, data.train.y)
        return loss_landscapes.random_plane(
            net, metric, distance=1, steps=points, normalization="filter", deepcopy_model=True
        )

    timed = interleave({"flatlab": ours, "loss-landscapes": theirs}, rounds)
    base, middle = f.value(f.x), points // 2
    found = {
        name: {
            "seconds": spread(way.seconds)["median"],
            "loss in the middle / loss of the net": float(np.asarray(way.results[-1])[middle, middle]) / base,
        }
        for name, way in timed.items()
    }
    return {
        "title": TITLE,
        "setting": f"{points} x {points} points, n = {f.size:,}, {rows:,} rows, loss {base:.3g}",
        "seconds": {name: way.seconds for name, way in timed.items()},
        "ratios": {"flatlab / loss-landscapes": ratio(timed["flatlab"].seconds, timed["loss-landscapes"].seconds)},
        "found": found,
    }


def promises(case):
    return []
