"""The three ways to make a product with the Hessian: time over a bare gradient's, and memory."""

import copy

import flatlab
from benchmarks.growth import alone
from benchmarks.timing import interleave, ratio, spread
from benchmarks.workload import F1_SHORT, loss_and_gradient, trained
from flatlab.hessian import PRODUCT_METHODS

TITLE = "Products with the Hessian"


def measure(
    widths=F1_SHORT, rows=1000, rounds=5, epochs=10, device="cpu", memory=(2000, 8000), width=256, separate=True
):
    """Time on one net; memory on a smaller one, with all rows in one chunk, each in a process of its own."""
    net, data = trained(widths, rows, epochs=epochs, device=device)
    bare = copy.deepcopy(net)
    f = flatlab.Objective(net, data.train)
    operators = {method: f.hessian(method=method) for method in PRODUCT_METHODS}
    ways = {method: lambda round, operator=operator: operator @ f.x for method, operator in operators.items()}
    timed = interleave({"bare": lambda round: loss_and_gradient(bare, data.train), **ways}, rounds)
    found = {}
    for method in PRODUCT_METHODS:
        found[method] = {"seconds": spread(timed[method].seconds)["median"]}
        for count in memory:
            run = alone(f"Hessian product, {method}", count, width, count, device, 1, separate)
            found[method][f"memory, MB, {count:,} rows"] = run["memory"] / 1e6
    return {
        "title": TITLE,
        "setting": f"time: n = {f.size:,}, {rows:,} rows; memory: n = {run['parameters']:,}, all rows in one chunk",
        "seconds": {"bare loss and gradient" if name == "bare" else name: way.seconds for name, way in timed.items()},
        "ratios": {
            f"{method} / bare loss and gradient": ratio(timed[method].seconds, timed["bare"].seconds)
            for method in PRODUCT_METHODS
        },
        "found": found,
    }


def promises(case):
    return []
