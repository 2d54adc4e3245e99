"""Trace and spectral density against curvlinops, with as many products each.

The error is measured on a small net whose Hessian is known whole, in float64; the time on a large one, in float32.
"""

import copy
import math

import torch

import flatlab
from benchmarks.timing import interleave, ratio, spread
from benchmarks.workload import F1_SHORT, trained

TITLE = "Trace and density"
SMALL = {"widths": (24, 24), "inputs": 40}  # n = 1,930, small enough for its whole Hessian


def measure(
    widths=F1_SHORT,
    small=SMALL,
    rows=1000,
    small_rows=500,
    rounds=3,
    probes=1,
    steps=32,
    products=30,
    seeds=10,
    epochs=10,
    device="cpu",
):
    values, found = _errors(small, small_rows, seeds, products, steps, probes, epochs)
    net, data = trained(widths, rows, epochs=epochs, device=device, running_averages=True)
    pair = (data.train.x, data.train.y)
    low, high = _ends(ours(net, pair))
    timed = interleave(
        {
            "flatlab trace": lambda seed: our_trace(ours(net, pair), products, seed),
            "curvlinops trace": lambda seed: their_trace(theirs(net, pair), products, seed),
            "flatlab density": lambda seed: our_density(ours(net, pair), steps, probes, seed),
            "curvlinops density": lambda seed: their_density(theirs(net, pair), steps, probes, seed, (low, high)),
        },
        rounds,
    )
    for name, way in timed.items():
        found[name] |= {"seconds": spread(way.seconds)["median"]}
    return {
        "title": TITLE,
        "setting": f"time: n = {sum(p.numel() for p in net.parameters()):,}, {rows:,} rows; "
        f"error: n = {len(values):,}, "
        f"root mean square over {seeds} seeds",
        "seconds": {name: way.seconds for name, way in timed.items()},
        "ratios": {
            f"flatlab / curvlinops, {what}": ratio(
                timed[f"flatlab {what}"].seconds, timed[f"curvlinops {what}"].seconds
            )
            for what in ("trace", "density")
        },
        "found": found,
    }


def promises(case):
    return []


def _errors(small, rows, seeds, products, steps, probes, epochs):
    """(eigenvalues, {way: its products and error}) on the small net.

    The trace's error is relative. The density's is the total variation distance, between 0 and 1, to the true one under
    the same smoothing.
    """
    net, data = trained(rows=rows, running_averages=True, epochs=epochs, **small)
    net, pair = copy.deepcopy(net).double(), (data.train.x.double(), data.train.y)
    operator = ours(net, pair)
    hessian = torch.stack([operator @ row for row in torch.eye(operator.size, dtype=torch.float64)])
    values = torch.linalg.eigvalsh((hessian + hessian.T) / 2)
    ends = values[0].item(), values[-1].item()

    def size(errors):
        return math.sqrt(sum(error**2 for error in errors) / len(errors))

    total = values.sum().item()
    traces = {
        "flatlab trace": lambda seed: our_trace(operator, products, seed),
        "curvlinops trace": lambda seed: their_trace(theirs(net, pair), products, seed),
    }
    densities = {
        "flatlab density": lambda seed: our_density(operator, steps, probes, seed, _width(*ends, steps)),
        "curvlinops density": lambda seed: their_density(theirs(net, pair), steps, probes, seed, ends),
    }
    found = {}
    for name, way in traces.items():
        found[name] = {"products": products, "error": size([(way(seed) - total) / total for seed in range(seeds)])}
    for name, way in densities.items():
        errors = []
        for seed in range(seeds):
            grid, density = way(seed)
            true = (
                torch.distributions.Normal(values, _width(*ends, steps)).log_prob(grid.double()[:, None]).exp().mean(1)
            )
            errors.append(torch.trapezoid((density - true).abs(), grid.double()).item() / 2)
        found[name] = {"products": steps * probes, "error": size(errors)}
    return values, found


def _width(low, high, steps):
    """The width that curvlinops smooths by, for a range of eigenvalues and a number of steps."""
    return 1.1 * (high - low) / (steps - 1) / math.sqrt(8 * math.log(3))


def _ends(operator):
    """The smallest and the largest eigenvalue, which curvlinops wants first. Given, so that its density costs no more
    for it."""
    return tuple(float(flatlab.eigenvalues(operator, which=which, tol=0.05)) for which in ("smallest", "largest"))


def ours(net, pair):
    return flatlab.Objective(net, pair, batch_norm="frozen", chunk=len(pair[1])).hessian()


def theirs(net, pair):
    """Without the check that the function repeats, which costs about ten evaluations."""
    from curvlinops import HessianLinearOperator

    model = copy.deepcopy(net).eval()
    return HessianLinearOperator(
        model,
        torch.nn.CrossEntropyLoss(),
        list(model.parameters()),
        [pair],
        check_deterministic=False,
        num_data=len(pair[1]),
    )


def our_trace(operator, products, seed):
    return float(flatlab.trace(operator, tol=0, max_products=products, sketch=products // 3, seed=seed))


def their_trace(operator, products, seed):
    from curvlinops import hutchpp_trace

    torch.manual_seed(seed)
    return hutchpp_trace(operator, products).item()


def our_density(operator, steps, probes, seed, sigma=None):
    found = flatlab.density(operator, steps=steps, probes=probes, seed=1000 * seed, sigma=sigma)
    return found.grid, found.density


def their_density(operator, steps, probes, seed, ends):
    from curvlinops import lanczos_approximate_spectrum

    torch.manual_seed(seed)
    return lanczos_approximate_spectrum(operator, steps, num_repeats=probes, boundaries=ends)
