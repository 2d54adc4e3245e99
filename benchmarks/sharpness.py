"""Sharpness (Metric 2.1) against the bare cost of its evaluations, with scipy's L-BFGS-B, the paper's protocol, beside
it."""

import copy

import flatlab
from benchmarks.timing import interleave, ratio, spread
from benchmarks.workload import F1, loss_and_gradient, trained

TITLE = "Sharpness"


def measure(widths=F1, rows=2000, rounds=3, epochs=10, device="cpu"):
    net, data = trained(widths, rows, epochs=epochs, device=device)
    f = flatlab.Objective(net, data.train)
    bare = copy.deepcopy(net)  # it normalises by the batch in either mode
    timed = interleave(
        {
            "bare": lambda round: loss_and_gradient(bare, data.train),
            "flatlab lbfgs": lambda round: flatlab.sharpness(f, eps=1e-3),
            "flatlab apgd": lambda round: flatlab.sharpness(f, eps=1e-3, method="apgd"),
            "scipy, scaled": lambda round: flatlab.sharpness(f, eps=1e-3, method="scipy-scaled"),
            "scipy": lambda round: flatlab.sharpness(f, eps=1e-3, method="scipy"),
        },
        rounds,
    )
    once = timed.pop("bare").seconds
    over, found = {}, {}
    for name, way in timed.items():
        evaluations = way.results[0].maximum.evaluations
        over[name] = ratio(way.seconds, [evaluations * seconds for seconds in once])
        found[name] = {
            "phi, %": way.results[0].percent,
            "evaluations": evaluations,
            "seconds": spread(way.seconds)["median"],
            "share not the network's own": max(0.0, 1 - 1 / over[name]["median"]),
        }
    return {
        "title": TITLE,
        "setting": f"n = {f.size:,}, {rows:,} rows, loss {f.value(f.x):.2g}, eps = 1e-3",
        "seconds": {"bare loss and gradient": once, **{name: way.seconds for name, way in timed.items()}},
        "ratios": {f"{name}: total / (evaluations x bare)": value for name, value in over.items()},
        "found": found,
    }


def promises(case):
    measured = case["ratios"]["flatlab lbfgs: total / (evaluations x bare)"]["median"]
    return [("Sharpness takes at most 1.1 times its evaluations' bare cost", measured, 1.1)]
