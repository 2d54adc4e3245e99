"""The claims of the book's other sources, one experiment each."""

import statistics
import time

import numpy as np
import torch

from flatlab.measure.paths import line
from flatlab.measure.sharpness import adaptive_sharpness
from flatlab.measure.spectrum import eigenvalues
from flatlab.study import columns
from flatlab.study.columns import at, of
from flatlab.study.controls import large_rates
from flatlab.study.design import Case, Experiment, Jobs, Measured, Setting, base
from flatlab.study.reproductions import FEW, phi

PART = "1000 rows of mnist1d"
LESS = {**FEW["smoke"], "data": PART, "large": 500}


def times(case: Case) -> Measured:
    """Seconds per epoch, epochs to the least test loss, seconds to it, and that loss: the study notes' table, with three rules.
    Tuned is the rate of the grid whose least loss is least."""
    found = {}

    def row(label, history):
        best = min(range(len(history["epoch"])), key=lambda k: history["test_loss"][k])
        found.update(
            {
                of(label, columns.SECONDS_PER_EPOCH): statistics.median(np.diff([0, *history["seconds"]])),
                of(label, columns.EPOCHS): history["epoch"][best],
                of(label, columns.SECONDS): history["seconds"][best],
                of(label, "loss"): history["test_loss"][best],
            }
        )

    for label, run in case.runs.items():
        if label not in ("LB x4", "LB x16"):
            row(label, run.history)
    tuned = min(("LB", "LB x4", "LB x16"), key=lambda label: min(case.runs[label].history["test_loss"]))
    row("LB tuned", case.runs[tuned].history)
    return found


def sweep_sizes(setting: Setting, seed: int) -> Jobs:
    """Batch sizes from the small one to the whole training set, by factors of four."""
    sizes = [setting.small * 4**k for k in range(12) if setting.small * 4**k < setting.rows] + [setting.rows]
    return {str(size): setting.job(size, seed) for size in sizes}


def sweep(case: Case) -> Measured:
    """For each batch size: seconds per epoch, epochs and seconds to a fixed test accuracy (None: never), final test accuracy.

    The accuracy to reach is 97 % of the best final one.
    """
    finals = [run.history["test_accuracy"][-1] for run in case.runs.values()]
    goal = 0.97 * max(finals)
    found = {
        columns.BATCH_SIZE: [int(size) for size in case.runs],
        columns.series("test", "acc"): finals,
        columns.GOAL: goal,
        columns.SECONDS_PER_EPOCH: [],
        columns.EPOCHS: [],
        columns.SECONDS: [],
        columns.SECONDS_IN_ALL: [],
    }
    for run in case.runs.values():
        history = run.history
        reached = next((k for k, accuracy in enumerate(history["test_accuracy"]) if accuracy >= goal), None)
        found[columns.SECONDS_PER_EPOCH].append(history["seconds"][-1] / history["epoch"][-1])
        found[columns.EPOCHS].append(None if reached is None else history["epoch"][reached])
        found[columns.SECONDS].append(None if reached is None else history["seconds"][reached])
        found[columns.SECONDS_IN_ALL].append(history["seconds"][-1])
    return found


def no_jobs(setting: Setting, seed: int) -> Jobs:
    """A measurement that needs no run."""
    return {}


# net -> (features, condition number of their covariance). Even features are the full batch's best case: one step is Newton's.
REGRESSIONS = {"even": (4, 1), "uneven": (4, 100), "many": (64, 100)}
RATES = (0.01, 0.03, 0.1, 0.3, 0.5, 0.9)  # at 1 descent on all rows is no longer stable


def regression(case: Case, passes=3) -> Measured:
    """Linear regression by gradient descent on small batches against all rows: the excess loss (w - w*)^T E[x x^T] (w - w*) after
    each update, with the best rate of a grid for each batch size; at the end, at equal updates and at equal seconds.

    The curves have forty points or fewer. y = X w + noise of variance 1; the features' variances fall evenly, in the logarithm, from 1.
    """
    features, condition = REGRESSIONS[case.setting.net]
    rows = case.setting.large
    generator = torch.Generator().manual_seed(case.seed)
    scales = torch.logspace(0, -0.5 * np.log10(condition), features)
    x = torch.randn(rows, features, generator=generator) * scales
    y = x @ torch.randn(features, generator=generator) + torch.randn(rows, generator=generator)
    exact = x.double()  # a million rows times float32's rounding are a tenth: lstsq would drop weak features as noise
    moment = exact.T @ exact / rows
    best = torch.linalg.solve(moment, exact.T @ y.double() / rows)

    def descend(batch, rate):
        w, seconds = torch.zeros(features), [0.0]
        path = [w]
        for start in range(0, passes * rows, batch):
            began = time.perf_counter()
            a, b = x[start % rows : start % rows + batch], y[start % rows : start % rows + batch]
            w = w - rate * 2 / batch * (a.T @ (a @ w - b))
            seconds.append(seconds[-1] + time.perf_counter() - began)
            path.append(w)
        away = torch.stack(path) - best
        return np.array(seconds), (away @ moment * away).sum(1).numpy()

    runs = {
        label: {rate: descend(batch, rate) for rate in RATES}
        for label, batch in (("few", case.setting.small), ("all", rows))
    }
    until = min(seconds[-1] for grid in runs.values() for seconds, _ in grid.values())
    found = {columns.SECONDS: until}
    for label, grid in runs.items():
        rate = min(grid, key=lambda rate: grid[rate][1][-1])
        seconds, excess = grid[rate]
        places = sorted({round(k) - 1 for k in np.geomspace(1, len(excess), 40)})
        found |= {
            of(label, "rate"): rate,
            of(label, "update"): places,
            of(label, columns.SECONDS): seconds[places].tolist(),
            of(label, "excess"): excess[places].tolist(),
            of(label, "equal updates"): min(excess[passes] for _, excess in grid.values()),
            of(label, "equal seconds"): min(excess[seconds <= until][-1] for seconds, excess in grid.values()),
        }
    return found


def gradient_error(case: Case, sizes=(8, 32, 128, 512, 2048), samples=20) -> Measured:
    """||g_m - G|| / ||G|| against the batch size m at the start and at the end, its slope in the logarithms, and the seconds of one
    batch's gradient: m examples cost O(m) and gain O(sqrt m). With BatchNorm a batch errs in its statistics as well."""
    f, run = case.f, case.runs["SB"]
    sizes, found = [m for m in sizes if m <= f.rows // 2], {}
    generator = torch.Generator().manual_seed(case.seed)
    for place, x in (("start", run.x0), ("end", run.x)):
        whole = f.gradient(x)[1]
        errors, seconds = [], []
        for m in sizes:
            began, squares = time.perf_counter(), []
            for _ in range(samples):
                rows = torch.randperm(f.rows, generator=generator)[:m].to(x.device)
                squares.append((f.subset(rows).gradient(x)[1] - whole).square().sum().item())
            seconds.append((time.perf_counter() - began) / samples)
            errors.append((statistics.mean(squares) ** 0.5) / whole.norm().item())
        left = [(1 - m / f.rows) ** 0.5 for m in sizes]  # drawn without replacement: less is left to err about
        slope = np.polyfit(np.log(sizes), np.log(np.array(errors) / np.array(left)), 1)[0]
        found |= {
            columns.BATCH_SIZE: sizes,
            at("error", place): errors,
            at("slope", place): slope,
            at(columns.SECONDS, place): seconds,
        }
    return found


def parts_of_the_data(case: Case, shares=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5)) -> Measured:
    """The cosine between the whole training set's gradient and that of a share of it, at the start and at the end; and that with the
    gradient on fresh data, the test split: the training set is itself one large batch."""
    f, run = case.f, case.runs["SB"]
    generator, found = torch.Generator().manual_seed(case.seed), {columns.SHARE: list(shares)}
    for place, x in (("start", run.x0), ("end", run.x)):
        whole = f.gradient(x)[1]
        found[at("cosine", place)] = []
        for share in shares:
            rows = torch.randperm(f.rows, generator=generator)[: max(2, round(share * f.rows))].to(x.device)
            part = f.subset(rows).gradient(x)[1]
            found[at("cosine", place)].append(torch.cosine_similarity(part, whole, 0).item())
        found[at("cosine fresh", place)] = torch.cosine_similarity(case.test.gradient(x)[1], whole, 0).item()
    return found


def stable_step(case: Case, shares=(0.5, 0.9, 1.1, 2.0), steps=30) -> Measured:
    """Full-batch gradient descent from the small batch's minimum with steps of a share of 2 / lambda_max: by how much the loss has
    grown. On a quadratic it grows where the share is above 1."""
    f, run = case.f, case.runs["SB"]
    top = eigenvalues(f.hessian(run.x), tol=1e-3)
    kick = 1e-4 * run.x.norm() * top.vectors[:, 0]
    found = {columns.SHARE: list(shares), "lambda_max": float(top), columns.GROWTH: []}
    before = f.value(run.x + kick)
    for share in shares:
        x = run.x + kick
        for _ in range(steps):
            x = x - share * 2 / float(top) * f.gradient(x)[1]
        found[columns.GROWTH].append(f.value(x) / before)
    return found


def optimizers(setting: Setting, seed: int) -> Jobs:
    """Rprop, RMSprop, gradient descent and Adam on small, middle and full batches."""
    jobs = {}
    for label, batch in (("32", setting.small), ("256", min(setting.rows, 8 * setting.small)), ("full", setting.rows)):
        for name, lr in (("rprop", 1e-3), ("rmsprop", 1e-3), ("sgd", 0.1), ("adam", 1e-3)):
            jobs[f"{name} {label}"] = setting.job(batch, seed, optimizer=name, lr=lr, epochs=setting.epochs // 2)
    return jobs


def accuracies(case: Case) -> Measured:
    """Accuracy on both splits, and the last training loss."""
    found = {}
    for label, run in case.runs.items():
        found |= {
            columns.train(label): case.f.accuracy(run.x),
            columns.test(label): case.test.accuracy(run.x),
            columns.loss(label): case.f.value(run.x),
        }
    return found


def online(setting: Setting, seed: int) -> Jobs:
    """Batch 1 with a constant and a decaying rate, and batch 32, by plain gradient descent; no BatchNorm, which needs two rows."""
    epochs = max(1, setting.epochs // 15)
    return {
        "1 constant": setting.job(1, seed, optimizer="sgd", lr=0.01, epochs=epochs),
        "1 decaying": setting.job(1, seed, optimizer="sgd", lr=0.01, decay=1.0, epochs=epochs),
        "32 constant": setting.job(32, seed, optimizer="sgd", lr=0.01, epochs=epochs),
    }


def starts(setting: Setting, seed: int) -> Jobs:
    """Mini-batches and the full batch from two starts each."""
    return {
        f"{label} {start}": setting.job(batch, 10 * seed + start)
        for label, batch in (("mini", setting.small), ("full", setting.rows))
        for start in (0, 1)
    }


def many_starts(case: Case) -> Measured:
    """Final loss and test accuracy, and the barrier on the line between the two solutions of each kind."""
    found = {}
    for label in ("mini", "full"):
        both = [case.runs[f"{label} {start}"].x for start in (0, 1)]
        found |= {
            of(label, "loss"): statistics.mean(map(case.f.value, both)),
            of(label, "test"): statistics.mean(map(case.test.accuracy, both)),
            of(label, "barrier"): line(case.f, *both, alphas=(0, 0.25, 0.5, 0.75, 1)).barrier(),
        }
    return found


def by_data(setting: Setting, seed: int) -> Jobs:
    """Three batch sizes at three sizes of the training set, for as many epochs each."""
    jobs = {}
    for share in (16, 4, 1):
        for batch in (setting.small // 2, 2 * setting.small, 8 * setting.small):
            if batch < setting.rows // share:
                jobs[f"1/{share} {batch}"] = setting.job(batch, seed, subset=setting.rows // share)
    return jobs


def best_by_data(case: Case) -> Measured:
    """Test accuracy, and which batch size is best at each size of the training set."""
    found = {label: case.test.accuracy(run.x) for label, run in case.runs.items()}
    for share in {label.split()[0] for label in case.runs}:
        best = max((label for label in case.runs if label.split()[0] == share), key=found.get)
        found[at("best", share)] = int(best.split()[1])
    return found


PENALTIES = {"none": {}, "L2": {"weight_decay": 1e-3}, "L1": {"l1": 1e-5}}


def regularised(setting: Setting, seed: int) -> Jobs:
    """Weight decay, L1 and momentum, each alone, with gradient descent; and no BatchNorm is the setting's other net."""
    jobs = {
        name: setting.job(setting.small, seed, optimizer="sgd", lr=0.05, **change) for name, change in PENALTIES.items()
    }
    return jobs | {"momentum": setting.job(setting.small, seed, optimizer="sgd", lr=0.05, momentum=0.9)}


def flatness(case: Case) -> Measured:
    """Test accuracy, phi(1e-3), adaptive sharpness and ||x||: in a net with BatchNorm decay changes the length of x and with it
    what a step of a given size means, so each is given."""
    found = {}
    for label, run in case.runs.items():
        found |= {
            columns.test(label): case.test.accuracy(run.x),
            columns.phi(label): phi(case, run.x),
            of(label, "adaptive"): float(adaptive_sharpness(case.f, run.x, 1e-3)),
            of(label, "norm"): run.x.norm().item(),
        }
    return found


def throughput(case: Case, sizes=(8, 32, 128, 512, 2048)) -> Measured:
    """Rows per second of a loss and gradient against the batch size."""
    f, run = case.f, case.runs["SB"]
    sizes, rates = [m for m in sizes if m <= f.rows], []
    for m in sizes:
        part = f.subset(torch.arange(m, device=run.x.device))
        seconds = []
        for _ in range(5):
            began = time.perf_counter()
            part.gradient(run.x)
            seconds.append(time.perf_counter() - began)
        rates.append(m / statistics.median(seconds))
    return {columns.BATCH_SIZE: sizes, columns.ROWS_PER_SECOND: rates}


def small(setting: Setting, seed: int) -> Jobs:
    """The small batch alone."""
    return {"SB": setting.job(setting.small, seed)}


FEATURES = {
    tier: tuple(
        Setting(name, f"{features} normal features", 1000, 1_000_000, 3, seeds)
        for name, (features, _) in REGRESSIONS.items()
    )
    for tier, seeds in (("smoke", (0, 1, 2)), ("colab", (0, 1, 2)), ("paper", (0, 1, 2, 3, 4)))
}
LENET = {
    "smoke": (Setting("mlp", PART, 2, 500, 15, (0, 1, 2)),),
    "colab": (Setting("lenet", "mnist", 1, 60_000, 10, (0,)),),
    "paper": (Setting("lenet", "mnist", 1, 60_000, 200, (0, 1, 2)),),
}
PLAIN = {
    "smoke": (Setting("plain-mlp", PART, 32, 500, 30, (0, 1, 2)),),
    "colab": (Setting("plain-mlp", "mnist", 32, 6000, 20, (0,)),),
    "paper": (Setting("plain-mlp", "mnist", 32, 6000, 100, (0, 1, 2)),),
}


def fully_connected(smoke=LESS, colab=FEW["colab"]):
    """The fully connected nets with BatchNorm, at other sizes."""
    return base(nets=("mlp", "F1"), smoke=smoke, colab=colab)


TWO = {"seeds": (0, 1)}
FULLY = fully_connected(colab=TWO)
BOTH = {tier: fully_connected()[tier] + PLAIN[tier] for tier in PLAIN}
EITHER = {tier: FULLY[tier] + PLAIN[tier] for tier in PLAIN}  # with BatchNorm and without

ESSAYS = {
    "batch-table": Experiment(
        "time, epochs and loss by batch size and learning rate (study notes)",
        fully_connected(FEW["smoke"], TWO),
        large_rates,
        times,
    ),
    "lenet-sweep": Experiment("batch size from one row to all", LENET, sweep_sizes, sweep),
    "regression": Experiment("a million rows of few features: batch 1,000 against all", FEATURES, no_jobs, regression),
    "gradient-error": Experiment("error of a batch's gradient against its cost", EITHER, small, gradient_error),
    "part-of-the-data": Experiment("the gradient of a part, and on fresh data", FULLY, small, parts_of_the_data),
    "stable-step": Experiment("the largest stable step against the curvature", FULLY, small, stable_step),
    "optimizers": Experiment(
        "Rprop and RMSprop on mini-batches and the full batch",
        fully_connected({**LESS, "epochs": 50}),
        optimizers,
        accuracies,
    ),
    "online": Experiment("batch 1 with a constant and a decaying rate", PLAIN, online, accuracies),
    "many-starts": Experiment("full batch and mini-batches from two starts", fully_connected(), starts, many_starts),
    "data-growth": Experiment("does the best batch grow with the data", fully_connected(), by_data, best_by_data),
    "regularisers": Experiment("decay, L1, momentum and normalisation against flatness", BOTH, regularised, flatness),
    "throughput": Experiment("rows per second against the batch size", FULLY, small, throughput),
}
