"""The ledger: each claim of the paper and of what followed, the rule that decides it, and the verdict that the results give.

A rule is fixed before a result is recorded, but that F1's results at the colab tier were there when the ledger was begun; a rule written
after another result says so. It computes one number a seed, the effect, and asks where the 95 % interval of its mean lies: wholly on the
claim's side (holds), wholly on the other (fails), or neither (partly). One seed has no interval: partly.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from flatlab.measure.estimate import interval
from flatlab.study.recorded import largest


@dataclass(frozen=True)
class Claim:
    """name, words, source    what is claimed and where; words in “ ” are the source's own, others ours
    experiment  whose result decides it
    rule        the effect in words
    effect      columns of a net -> one number a seed
    above       the claim holds where the effect is above this
    below       and below this
    """

    name: str
    words: str
    source: str
    experiment: str
    rule: str
    effect: Callable
    above: float = -math.inf
    below: float = math.inf


@dataclass(frozen=True)
class Verdict:
    """What a result says of a claim, net by net; word is holds, partly, fails or not run."""

    claim: str
    tier: str
    net: str
    data: str
    seeds: int
    effect: float
    low: float
    high: float
    word: str


class Columns(dict):
    """A result's columns, each an array with one row a seed."""

    def __getitem__(self, name):
        return np.array(super().__getitem__(name), float)


def judge(claim, result):
    """The claim's `Verdict` for each net of a result."""
    for net, columns in result.values.items():
        effects = [float(value) for value in claim.effect(Columns(columns))]
        mean, low, high = bounds(effects)
        if claim.above < low and high < claim.below:
            word = "holds"
        elif high < claim.above or low > claim.below:
            word = "fails"
        else:
            word = "partly"
        yield Verdict(claim.name, result.tier, net, result.data[net], len(effects), mean, low, high, word)


def bounds(values):
    """(mean, low, high): the mean over seeds and its 95 % interval; infinite for one seed."""
    mean, half = interval(values)
    half = math.inf if math.isnan(half) else half
    return mean, mean - half, mean + half


def ledger():
    """Every claim with its verdicts, for each net from the largest tier at which it is recorded; none: not run."""
    return [
        (claim, [verdict for result in largest(claim.experiment) for verdict in judge(claim, result)])
        for claim in CLAIMS
    ]


def difference(first, second):
    """effect: the first column less the second."""
    return lambda c: c[first] - c[second]


def factor(first, second):
    """effect: the decimal logarithm of the first column over the second."""
    return lambda c: np.log10(c[first] / c[second])


def drop(column):
    """effect: the first entry of a column of lists less the last."""
    return lambda c: c[column][:, 0] - c[column][:, -1]


def growth(column):
    """effect: the decimal logarithm of the last entry of a column of lists over the first."""
    return lambda c: np.log10(c[column][:, -1] / c[column][:, 0])


def inside(values):
    """The most of the entries between the two ends less the most of the ends."""
    return values[:, 1:-1].max(1) - np.maximum(values[:, 0], values[:, -1])


def seconds_to_goal(c):
    """Seconds of each batch size to the sweep's accuracy; where it was never reached, those of the whole run, which are fewer than it takes."""
    return np.where(np.isnan(c["seconds"]), c["seconds in all"], c["seconds"])


def epochs_of_the_ends(c):
    """Decimal logarithm of the epochs to the sweep's accuracy at the largest batch that reached it over those at the least."""
    reached = [row[~np.isnan(row)] for row in c["epochs"]]
    return np.log10([row[-1] / row[0] for row in reached])


def last(column):
    """effect: the last entry of a column of lists."""
    return lambda c: c[column][:, -1]


PAPER = "Keskar et al. 2017"
CLAIMS = (
    Claim(
        "gap",
        "“a degradation in the quality of the model, as measured by its ability to generalize”",
        f"{PAPER}, abstract",
        "table2",
        "test accuracy of SB less LB, above 0 points",
        difference("test SB", "test LB"),
        above=0,
    ),
    Claim(
        "trained alike",
        "both reach nearly the same training accuracy",
        f"{PAPER}, section 2.2, Table 2",
        "table2",
        "training accuracy of SB less LB, within 1 point",
        difference("train SB", "train LB"),
        above=-1,
        below=1,
    ),
    Claim(
        "not over-fitting",
        "“the generalization gap is not due to over-fitting”",
        f"{PAPER}, section 2.1, Figure 2",
        "fig2",
        "test accuracy of SB at its last epoch less that of LB at its best, above 0 points",
        lambda c: c["SB_test"][:, -1] - c["LB_test"].max(1),
        above=0,
    ),
    Claim(
        "sharp at 1e-3",
        "“large-batch methods tend to converge to sharp minimizers”",
        f"{PAPER}, Table 3",
        "table3",
        "log10 of phi(LB) / phi(SB), full space, eps 1e-3, above 0",
        factor("LB 1e-3", "SB 1e-3"),
        above=0,
    ),
    Claim(
        "sharp at 5e-4",
        "“large-batch methods tend to converge to sharp minimizers”",
        f"{PAPER}, Table 3",
        "table3",
        "log10 of phi(LB) / phi(SB), full space, eps 5e-4, above 0",
        factor("LB 5e-4", "SB 5e-4"),
        above=0,
    ),
    Claim(
        "sharp in random subspaces, 1e-3",
        "also in random subspaces the large batch is the sharper one",
        f"{PAPER}, Table 4",
        "table4",
        "log10 of phi(LB) / phi(SB), 100 random dimensions, eps 1e-3, above 0",
        factor("LB 1e-3", "SB 1e-3"),
        above=0,
    ),
    Claim(
        "sharp in random subspaces, 5e-4",
        "also in random subspaces the large batch is the sharper one",
        f"{PAPER}, Table 4",
        "table4",
        "log10 of phi(LB) / phi(SB), 100 random dimensions, eps 5e-4, above 0",
        factor("LB 5e-4", "SB 5e-4"),
        above=0,
    ),
    Claim(
        "steeper on the line",
        "along the line the large batch's minimum is the sharper one",
        f"{PAPER}, Figure 3",
        "fig3",
        "mean training loss beyond LB (alpha 1 to 2) less beyond SB (alpha -1 to 0), above 0 nats",
        lambda c: c["loss_train"][:, 17:].mean(1) - c["loss_train"][:, :8].mean(1),
        above=0,
    ),
    Claim(
        "steeper on the arc",
        "along the arc, too",
        f"{PAPER}, Figure 7",
        "fig7",
        "mean training loss just beyond LB (alpha 1 to 1.5) less just beyond SB (alpha -0.5 to 0), above 0 nats",
        lambda c: c["loss_train"][:, 17:21].mean(1) - c["loss_train"][:, 4:8].mean(1),
        above=0,
    ),
    Claim(
        "distance",
        "“in the range of 3-10”: the small batch goes further from the start",
        f"{PAPER}, section 4",
        "distances",
        "SB's distance from the start over LB's, between 3 and 10",
        lambda c: c["ratio"],
        above=3,
        below=10,
    ),
    Claim(
        "falls with the batch",
        "beyond a threshold accuracy falls as the batch grows",
        f"{PAPER}, section 4, Figure 4",
        "fig4",
        "test accuracy at the least batch less at the largest, above 0 points",
        drop("test_acc"),
        above=0,
    ),
    Claim(
        "sharpens with the batch",
        "“the upward drift in value of the sharpness” as the batch grows",
        f"{PAPER}, section 4, Figure 4",
        "fig4",
        "log10 of phi(1e-3) at the largest batch over the least, above 0",
        growth("sharp_1e-3"),
        above=0,
    ),
    Claim(
        "warm start is flat",
        "started from a late small-batch iterate the large batch ends flat",
        f"{PAPER}, section 4, Figure 5",
        "fig5",
        "log10 of phi(1e-3) warm-started from the start over from the end, above 0",
        lambda c: -growth("sharp_1e-3")(c),
        above=0,
    ),
    Claim(
        "warm start is accurate",
        "and is the more accurate, the later it is started",
        f"{PAPER}, section 4, Figure 5",
        "fig5",
        "test accuracy warm-started from the end less from the start, above 0 points",
        lambda c: -drop("PB_acc")(c),
        above=0,
    ),
    Claim(
        "LB sharpens as it trains",
        "the large batch grows sharper as its loss falls",
        f"{PAPER}, section 4, Figure 6",
        "fig6",
        "log10 of phi(1e-3) of LB at the last kept epoch over the first, above 0",
        growth("LB_1e-3"),
        above=0,
    ),
    Claim(
        "SB flattens as it trains",
        "the small batch grows flatter as its loss falls",
        f"{PAPER}, section 4, Figure 6",
        "fig6",
        "log10 of phi(1e-3) of SB at the last kept epoch over the first, below 0",
        growth("SB_1e-3"),
        below=0,
    ),
    Claim(
        "few steep directions",
        "“rises steeply only along a small dimensional subspace (e.g. 5% of the whole space)”",
        f"{PAPER}, section 2",
        "spectrum",
        "share of LB's eigenvalues within a hundredth of the largest, above 0.95",
        lambda c: c["LB flat share"],
        above=0.95,
    ),
    Claim(
        "augmentation closes the gap",
        "with augmented data the large batch is as accurate as the small one",
        f"{PAPER}, appendix E.1, Table 6",
        "table6",
        "augmented test accuracy of LB less SB, above -1 point",
        difference("test LB", "test SB"),
        above=-1,
    ),
    Claim(
        "robust training does not help",
        "“did not improve generalization”",
        f"{PAPER}, appendix E.3",
        "robust",
        "test accuracy of adversarial LB less LB, below 1 point",
        difference("test adversarial", "test LB"),
        below=1,
    ),
    Claim(
        "stability training does not help",
        "“did not improve generalization”",
        f"{PAPER}, appendix E.3",
        "robust",
        "test accuracy of stability-trained LB less LB, below 1 point",
        difference("test stability", "test LB"),
        below=1,
    ),
    Claim(
        "gradient noise does not help",
        "“we did not observe any consistent improvements in testing error”",
        "the paper's review thread",
        "noise",
        "test accuracy of LB with noise in its gradients less LB, below 1 point",
        difference("test noisy_gradient", "test LB"),
        below=1,
    ),
    Claim(
        "a growing batch does as well",
        "a batch that grows while training keeps the small one's accuracy",
        f"{PAPER}, section 5",
        "dynamic",
        "test accuracy of the growing batch less SB, above -1 point",
        difference("test growing", "test SB"),
        above=-1,
    ),
    Claim(
        "more updates close the gap",
        "“Train longer, generalize better”: as many updates close the gap",
        "Hoffer et al. 2017",
        "equal-updates",
        "test accuracy of LB with SB's updates less SB, above -1 point",
        difference("test LB long", "test SB"),
        above=-1,
    ),
    Claim(
        "more updates flatten",
        "and with as many updates the large batch is no longer sharp",
        "the control of Hoffer et al. 2017, for sharpness",
        "equal-updates",
        "log10 of phi(1e-3) of LB over LB with SB's updates, above 0",
        factor("LB 1e-3", "LB long 1e-3"),
        above=0,
    ),
    Claim(
        "the root rule closes the gap",
        "a rate that grows with the root of the batch size closes the gap",
        "Hoffer et al. 2017",
        "learning-rate",
        "test accuracy of LB with the root rule less SB, above -1 point",
        difference("test LB sqrt", "test SB"),
        above=-1,
    ),
    Claim(
        "the linear rule closes the gap",
        "a rate that grows with the batch size closes the gap",
        "Goyal et al. 2017",
        "learning-rate",
        "test accuracy of LB with the linear rule less SB, above -1 point",
        difference("test LB linear", "test SB"),
        above=-1,
    ),
    Claim(
        "tuning closes the gap",
        "“no evidence that larger batch sizes degrade out-of-sample performance” once tuned",
        "Shallue et al. 2019",
        "learning-rate",
        "best test accuracy over three rates of LB less SB, above -1 point",
        difference("test LB tuned", "test SB tuned"),
        above=-1,
    ),
    Claim(
        "ghost batches help",
        "statistics over small ghost batches raise the large batch's accuracy",
        "Hoffer et al. 2017",
        "ghost",
        "test accuracy of LB with ghost batches less LB, above 0 points",
        difference("test ghost", "test LB"),
        above=0,
    ),
    Claim(
        "sharpness-aware steps flatten",
        "steps that look for flat places end in flatter ones",
        "Foret et al. 2021",
        "sam",
        "log10 of phi(1e-3) of LB over LB with SAM, above 0",
        factor("LB 1e-3", "sam 1e-3"),
        above=0,
    ),
    Claim(
        "sharpness-aware steps generalise",
        "and generalise better",
        "Foret et al. 2021",
        "sam",
        "test accuracy of LB with SAM less LB, above 0 points",
        difference("test sam", "test LB"),
        above=0,
    ),
    Claim(
        "error falls as the root",
        "m examples lower the gradient's error by the root of m",
        "question and answer on batch size",
        "gradient-error",
        "slope of log error against log batch size at the end, between -0.6 and -0.4",
        lambda c: c["slope end"],
        above=-0.6,
        below=-0.4,
    ),
    Claim(
        "a part has nearly the whole gradient",
        "half of the data, or far less, gives almost the same gradient as all",
        "study notes on batch size",
        "part-of-the-data",
        "cosine between the gradient of half of the data and of all at the end, above 0.9",
        last("cosine end"),
        above=0.9,
    ),
    Claim(
        "and at the start",
        "half of the data, or far less, gives almost the same gradient as all",
        "study notes on batch size",
        "part-of-the-data",
        "the same at the start, above 0.9",
        last("cosine start"),
        above=0.9,
    ),
    Claim(
        "the data are a batch too",
        "the whole training set is not the true gradient either, but one large batch",
        "question and answer on batch size",
        "part-of-the-data",
        "cosine between the gradients of training set and fresh data at the end, below 0.9",
        lambda c: c["cosine fresh end"],
        below=0.9,
    ),
    Claim(
        "the step is limited by curvature",
        "the step size is limited by curvature",
        "question and answer on batch size",
        "stable-step",
        "growth of the loss at 1.1 times 2 / lambda_max over that at 0.9, log10, above 0",
        lambda c: np.log10(c["growth"][:, 2] / c["growth"][:, 1]),
        above=0,
    ),
    Claim(
        "sharper under every BatchNorm",
        "the large batch is the sharper one however BatchNorm's statistics are taken while measuring",
        "the control of the measurement",
        "batch-norm",
        "log10 of phi(LB) / phi(SB), the least over four policies, above 0",
        lambda c: np.min(
            [
                np.log10(c[f"LB {name}"] / c[f"SB {name}"])
                for name in ("batch", "recompute", "frozen", "batches of 256")
            ],
            0,
        ),
        above=0,
    ),
    Claim(
        "sharper by every maximiser",
        "and whichever search finds the maximum",
        "the control of the measurement",
        "maximiser",
        "log10 of phi(LB) / phi(SB), the least over four searches, above 0",
        lambda c: np.min(
            [np.log10(c[f"LB {name}"] / c[f"SB {name}"]) for name in ("lbfgs 10", "lbfgs 20", "apgd 20", "scipy 10")], 0
        ),
        above=0,
    ),
    Claim(
        "slower on one device",
        "on one device the large batch gains less time an update than it loses in updates",
        f"{PAPER}, appendix C, without its parallel machine",
        "performance",
        "log10 of the updates that LB takes over SB, less log10 of the ratio at which both take equally long, above 0",
        factor("updates ratio", "updates ratio allowed"),
        above=0,
    ),
    Claim(
        "a million rows a batch are slower",
        "batches of about 1,000 converge much faster than of 1,000,000",
        "question and answer on batch size",
        "regression",
        "log10 of the excess loss of full batches over that of batches of 1,000 after three passes, above 0",
        lambda c: np.log10(c["all excess"][:, -1] / c["few excess"][:, -1]),
        above=0,
    ),
    Claim(
        "more features, the same choice",
        "also with many features",
        "question and answer on batch size",
        "regression",
        "the same at equal seconds instead of three passes, above 0",
        factor("all equal seconds", "few equal seconds"),
        above=0,
    ),
    Claim(
        "a better direction at equal updates",
        "the larger batch represents the gradient better",
        "the asker of the question on batch size",
        "regression",
        "log10 of the excess loss of batches of 1,000 over that of full batches after three updates of each, above 0",
        factor("few equal updates", "all equal updates"),
        above=0,
    ),
    Claim(
        "Rprop suits the full batch",
        "with the full batch one global rate is hard, hence Rprop",
        "study notes on optimisation",
        "optimizers",
        "training loss of gradient descent on the full batch less Rprop's, above 0 nats",
        difference("loss sgd full", "loss rprop full"),
        above=0,
    ),
    Claim(
        "Rprop fails on mini-batches",
        "Rprop fails on mini-batches, hence RMSProp",
        "study notes on optimisation",
        "optimizers",
        "training accuracy of Rprop on small batches less RMSprop, below 0 points",
        difference("train rprop 32", "train rmsprop 32"),
        below=0,
    ),
    Claim(
        "full batch sticks",
        "the full batch sticks in a local optimum, noise finds another way",
        "study notes on optimisation",
        "many-starts",
        "final training loss of the full batch less that of mini-batches, above 0 nats",
        difference("full loss", "mini loss"),
        above=0,
    ),
    Claim(
        "too small does not converge",
        "LeNet: too small a batch does not converge",
        "study notes on optimisation",
        "lenet-sweep",
        "test accuracy at the least batch less the sweep's goal (97 % of the best), below 0 points",
        lambda c: c["test_acc"][:, 0] - c["goal"],
        below=0,
    ),
    Claim(
        "an epoch is shorter",
        "a larger batch is faster a unit of data",
        "study notes on optimisation",
        "lenet-sweep",
        "log10 of the seconds an epoch at the least batch over the largest, above 0",
        lambda c: -growth("seconds an epoch")(c),
        above=0,
    ),
    Claim(
        "more epochs to the same accuracy",
        "a larger batch needs more epochs to the same accuracy",
        "study notes on optimisation",
        "lenet-sweep",
        "log10 of the epochs to the goal at the largest batch that reaches it over the least that does, above 0",
        epochs_of_the_ends,
        above=0,
    ),
    Claim(
        "an optimum in time",
        "so there is a batch size that is best in time",
        "study notes on optimisation",
        "lenet-sweep",
        "log10 of the seconds to the goal at the better of the two ends over the best between them, above 0",
        lambda c: inside(-np.log10(seconds_to_goal(c))),
        above=0,
    ),
    Claim(
        "an optimum in accuracy",
        "and one that is best in final accuracy",
        "study notes on optimisation",
        "lenet-sweep",
        "final test accuracy of the best between the two ends less the better end's, above 0 points",
        lambda c: inside(c["test_acc"]),
        above=0,
    ),
    Claim(
        "online learning needs a falling rate",
        "batch 1 is hard to bring to converge",
        "study notes on optimisation",
        "online",
        "log10 of the final training loss at batch 1, constant rate over falling rate, above 0 (written after a result)",
        factor("loss 1 constant", "loss 1 decaying"),
        above=0,
    ),
    Claim(
        "the best batch grows with the data",
        "more data, larger batches",
        "study notes on optimisation",
        "data-growth",
        "log10 of the best of three batch sizes with all data over that with a sixteenth, above 0",
        factor("best 1/1", "best 1/16"),
        above=0,
    ),
    Claim(
        "decay does not serve accuracy",
        "weight decay serves neither accuracy nor speed",
        "study notes on optimisation",
        "regularisers",
        "test accuracy with L2 less without, below 1 point",
        difference("test L2", "test none"),
        below=1,
    ),
    Claim(
        "a larger batch uses the machine better",
        "a larger batch makes better use of matrix multiplication",
        "study notes on optimisation",
        "throughput",
        "log10 of rows a second at the largest batch over the least, above 0 (written after a result)",
        growth("rows a second"),
        above=0,
    ),
    Claim(
        "a larger batch takes longer to its best",
        "with a larger batch more epochs are needed",
        "study notes with a TensorFlow experiment",
        "batch-table",
        "epochs to the least test loss of LB less SB, above 0",
        difference("LB epochs", "SB epochs"),
        above=0,
    ),
    Claim(
        "its best loss is higher",
        "with a larger batch the least validation loss is higher",
        "study notes with a TensorFlow experiment",
        "batch-table",
        "least test loss of LB less SB, above 0 nats",
        difference("LB loss", "SB loss"),
        above=0,
    ),
    Claim(
        "also with a tuned rate",
        "with a larger batch the least validation loss is higher",
        "study notes with a TensorFlow experiment",
        "batch-table",
        "least test loss of LB at its best rate less SB, above 0 nats",
        difference("LB tuned loss", "SB loss"),
        above=0,
    ),
    Claim(
        "in all it takes longer",
        "the large batch loses in total time as well",
        "study notes with a TensorFlow experiment",
        "batch-table",
        "log10 of the seconds to the least test loss of LB over SB, above 0",
        factor("LB seconds", "SB seconds"),
        above=0,
    ),
    Claim(
        "an epoch of it is shorter",
        "with a larger batch an epoch is shorter",
        "study notes with a TensorFlow experiment",
        "batch-table",
        "log10 of the seconds an epoch of SB over LB, above 0",
        factor("SB seconds an epoch", "LB seconds an epoch"),
        above=0,
    ),
    Claim(
        "further from the start",
        "small batches find minima further from the start",
        "study notes with a TensorFlow experiment",
        "distances",
        "SB's distance from the start over LB's, above 1 (written after a result)",
        lambda c: c["ratio"],
        above=1,
    ),
    Claim(
        "noise flattens",
        "the noise of its gradient is why the small batch ends flat",
        "article on the paper",
        "noise",
        "log10 of phi(1e-3) of LB over LB with noise in its gradients, above 0 (written after a result)",
        factor("LB 1e-3", "noisy_gradient 1e-3"),
        above=0,
    ),
)
