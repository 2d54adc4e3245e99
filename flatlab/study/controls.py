"""The controls that the paper lacks, and the cures that it and others propose: they decide whether a claim survives."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from flatlab.measure.sharpness import sharpness
from flatlab.measure.spectrum import density, eigenvalues, trace
from flatlab.nets import build
from flatlab.objective import Objective
from flatlab.study import columns
from flatlab.study.columns import of
from flatlab.study.design import BASE, Case, Experiment, Jobs, Measured, Setting, base
from flatlab.study.reproductions import FEW, SHORT, pair, phi
from flatlab.training.train import Recipe
from flatlab.training.trainer import load_point

NOISES = ("noisy_gradient", "noisy_iterate", "noisy_inputs", "noisy_labels")
RATE = Recipe().lr
FACTORS = (1, 4, 16)  # of the learning rate, over which it is tuned


def outcome(case: Case, labels: Iterable[str] | None = None) -> Measured:
    """Test accuracy and sharpness of each run, the columns that most controls compare."""
    found = {}
    for label in labels or case.runs:
        x = case.runs[label].x
        found |= {columns.test(label): case.test.accuracy(x), columns.phi(label): phi(case, x)}
    return found


def equal_updates(setting: Setting, seed: int) -> Jobs:
    """The pair; the large batch for as many updates as the small one had, and the small one for as many as the large one had."""
    return setting.pair(seed) | {
        "LB long": setting.job(setting.large, seed, epochs=round(setting.epochs * setting.ratio)),
        "SB short": setting.job(setting.small, seed, epochs=max(1, round(setting.epochs / setting.ratio))),
    }


def large_rates(setting: Setting, seed: int) -> Jobs:
    """The pair; the large batch with the rate scaled by the root of the batch's growth, by the growth, and over a grid."""
    factors = {"sqrt": setting.ratio**0.5, "linear": setting.ratio} | {f"x{factor}": factor for factor in FACTORS[1:]}
    return setting.pair(seed) | {
        f"LB {name}": setting.job(setting.large, seed, lr=RATE * factor) for name, factor in factors.items()
    }


def learning_rates(setting: Setting, seed: int) -> Jobs:
    """`large_rates`, and the small batch over the same grid."""
    grid = {f"SB x{factor}": setting.job(setting.small, seed, lr=RATE * factor) for factor in FACTORS[1:]}
    return large_rates(setting, seed) | grid


def learning_rate(case: Case) -> Measured:
    """By rule, and tuned: the best test accuracy of each batch size over its rates. There is no third split, so tuned is the most
    that tuning could give, for both alike."""
    found = outcome(case, ("SB", "LB", "LB sqrt", "LB linear"))
    for label in ("SB", "LB"):
        rates = {
            factor: case.test.accuracy(case.runs[label if factor == 1 else f"{label} x{factor}"].x)
            for factor in FACTORS
        }
        best = max(rates, key=rates.get)
        found |= {columns.test(f"{label} tuned"): rates[best], of(label, "tuned factor"): best}
    return found


def with_update(*updates: str) -> Callable[[Setting, int], Jobs]:
    """The pair, and the large batch by each update."""

    def jobs(setting, seed):
        strength = {"ghost": setting.small}
        return setting.pair(seed) | {
            update: setting.job(setting.large, seed, update=update, strength=strength.get(update)) for update in updates
        }

    return jobs


def growing(setting: Setting, seed: int) -> Jobs:
    """The pair, and a batch that grows by a fixed factor per epoch: it is as large as the large one after half of the epochs, and grows on."""
    return setting.pair(seed) | {
        "growing": setting.job(setting.small, seed, growth=setting.ratio ** (2 / setting.epochs))
    }


def growing_outcome(case: Case) -> Measured:
    """`outcome`, and the updates that each took."""
    return outcome(case) | {
        columns.at("updates", label): run.history["updates"][-1] for label, run in case.runs.items()
    }


def batch_norm(case: Case) -> Measured:
    """phi(1e-3) of both points under each BatchNorm policy; "frozen" holds the statistics pooled over the training set at the point."""
    found = {}
    for label, run in case.runs.items():
        for policy in ("batch", "recompute"):
            f = case.objective(batch_norm=policy, chunk=len(case.data.train.y) if policy == "recompute" else 5000)
            found[of(label, policy)] = sharpness(f, run.x).percent
        f = Objective(frozen(case, run.x), case.data.train, batch_norm="frozen")
        found[of(label, "frozen")] = sharpness(f).percent
        found[of(label, "batches of 256")] = sharpness(case.objective(chunk=256), run.x).percent
    return found


def frozen(case: Case, x: Tensor) -> nn.Module:
    """The network at x with running averages equal to the statistics pooled over the training set's chunks."""
    model = build(case.setting.net, case.data, running_averages=True)
    load_point(model, x, {})
    for module in model.modules():
        if hasattr(module, "running_mean"):
            module.momentum = None  # the average over all batches seen
    with torch.no_grad():
        for inputs in case.data.train.x.split(5000):
            model.train()(inputs)
    return model.eval()


def maximiser(case: Case) -> Measured:
    """phi(1e-3) of both points as each maximiser finds it: all are lower bounds of the same number."""
    found = {}
    for label, run in case.runs.items():
        for name, options in {
            "lbfgs 10": {},
            "lbfgs 20": {"steps": 20},
            "apgd 20": {"method": "apgd", "steps": 20},
            "scipy 10": {"method": "scipy"},
        }.items():
            found[of(label, name)] = sharpness(case.f, run.x, **options).percent
    return found


def spectrum(case: Case) -> Measured:
    """Few large eigenvalues against many small ones: the ten largest, the smallest, the trace, and the share of eigenvalues that
    lie within a hundredth of the largest. On the first 5,000 rows: two hundred products with more take hours."""
    found, rows = {}, torch.arange(min(case.f.rows, 5000), device=case.runs["SB"].x.device)
    for label, run in case.runs.items():
        hessian = case.f.subset(rows).hessian(run.x)
        top = eigenvalues(hessian, 10, tol=1e-2, max_products=80)
        whole = density(hessian, steps=20, probes=2)
        flat = (whole.weights * (whole.nodes.abs() < top.values[0].abs() / 100)).sum(1).mean().item()
        found |= {
            of(label, "eigenvalues"): top.values.tolist(),
            of(label, "residual"): top.residuals.max().item(),
            of(label, "smallest"): float(eigenvalues(hessian, which="smallest", tol=1e-2, max_products=40)),
            of(label, "trace"): trace(hessian, max_products=60).value,
            of(label, "flat share"): flat,
        }
    return found


def performance(case: Case) -> Measured:
    """Appendix C with measured times: the large batch pays where I_l / I_s < (seconds per update of SB) / (seconds per
    update of LB).

    I is the number of updates to a training accuracy that both reach, 99 % of the lower one's best.
    """
    goal = 0.99 * min(max(run.history["train_accuracy"]) for run in case.runs.values())
    found = {columns.GOAL: goal}
    for label, run in case.runs.items():
        reached = next(k for k, accuracy in enumerate(run.history["train_accuracy"]) if accuracy >= goal)
        found |= {
            columns.at("updates", label): run.history["updates"][reached],
            columns.at("seconds", label): run.history["seconds"][reached],
            columns.at("seconds per update", label): run.history["seconds"][-1] / run.history["updates"][-1],
        }

    def ratio(what, first, second):
        return found[columns.at(what, first)] / found[columns.at(what, second)]

    return found | {
        columns.UPDATES_RATIO: ratio("updates", "LB", "SB"),
        columns.UPDATES_RATIO_ALLOWED: ratio("seconds per update", "SB", "LB"),
    }


# A tenth of the training set is what the paper calls large; there as many updates as the small batch's are within reach.
TENTH = base(smoke={**FEW["smoke"], "large": 0.10}, colab=SHORT["colab"])

CONTROLS = {
    "equal-updates": Experiment("as many updates instead of as many epochs", TENTH, equal_updates, outcome),
    "learning-rate": Experiment(
        "the learning rate scaled by rules, and tuned", base(**FEW), learning_rates, learning_rate
    ),
    "ghost": Experiment("BatchNorm's statistics over ghost batches", base(**FEW), with_update("ghost"), outcome),
    "batch-norm": Experiment("BatchNorm's policy while measuring", base(**FEW), pair, batch_norm),
    "maximiser": Experiment("the inner maximiser", base(**FEW), pair, maximiser),
    "robust": Experiment(
        "adversarial and stability training", base(**FEW), with_update("adversarial", "stability"), outcome
    ),
    "noise": Experiment("noise put into large-batch steps", base(**FEW), with_update(*NOISES), outcome),
    "sam": Experiment("sharpness-aware steps", base(**FEW), with_update("sam"), outcome),
    "dynamic": Experiment("a batch that grows", base(**FEW), growing, growing_outcome),
    "spectrum": Experiment("few large against many small eigenvalues", base(**FEW), pair, spectrum),
    "performance": Experiment("appendix C with measured times", BASE, pair, performance),
}
