"""The ledger: each claim of the paper and of what followed, the rule that decides it, and the verdict that the results give.

A rule is fixed before a result is recorded, but that F1's results at the colab tier were there when the ledger was begun. It computes
one number a seed, the effect, and asks where the 95 % interval of its mean lies: wholly on the claim's side (holds), wholly on the
other (fails), or neither (partly). One seed has no interval: partly.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from flatlab.estimate import interval
from flatlab.experiments import TIERS, recorded


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
    """Every claim with its verdicts, from the largest tier at which its experiment is recorded; none: not run."""
    found = []
    for claim in CLAIMS:
        for tier in reversed(TIERS):
            try:
                found.append((claim, list(judge(claim, recorded(claim.experiment, tier)))))
                break
            except FileNotFoundError:
                pass
        else:
            found.append((claim, []))
    return found


def difference(first, second):
    """effect: the first column less the second."""
    return lambda c: c[first] - c[second]


def factor(first, second):
    """effect: the decimal logarithm of the first column over the second."""
    return lambda c: np.log10(c[first] / c[second])


def last(column):
    """effect: the last entry of a column of lists."""
    return lambda c: c[column][:, -1]


PAPER = "Keskar et al. 2017"
CLAIMS = (
    Claim("gap", "“a degradation in the quality of the model, as measured by its ability to generalize”", f"{PAPER}, abstract", "table2",
          "test accuracy of SB less LB, above 0 points", difference("test SB", "test LB"), above=0),
    Claim("trained alike", "both reach nearly the same training accuracy", f"{PAPER}, section 2.2, Table 2", "table2",
          "training accuracy of SB less LB, within 1 point", difference("train SB", "train LB"), above=-1, below=1),
    Claim("not over-fitting", "“the generalization gap is not due to over-fitting”", f"{PAPER}, section 2.1, Figure 2", "fig2",
          "test accuracy of SB at its last epoch less that of LB at its best, above 0 points",
          lambda c: c["SB_test"][:, -1] - c["LB_test"].max(1), above=0),
    Claim("sharp at 1e-3", "“large-batch methods tend to converge to sharp minimizers”", f"{PAPER}, Table 3", "table3",
          "log10 of phi(LB) / phi(SB), full space, eps 1e-3, above 0", factor("LB 1e-3", "SB 1e-3"), above=0),
    Claim("sharp at 5e-4", "“large-batch methods tend to converge to sharp minimizers”", f"{PAPER}, Table 3", "table3",
          "log10 of phi(LB) / phi(SB), full space, eps 5e-4, above 0", factor("LB 5e-4", "SB 5e-4"), above=0),
    Claim("sharp in random subspaces, 1e-3", "also in random subspaces the large batch is the sharper one", f"{PAPER}, Table 4", "table4",
          "log10 of phi(LB) / phi(SB), 100 random dimensions, eps 1e-3, above 0", factor("LB 1e-3", "SB 1e-3"), above=0),
    Claim("sharp in random subspaces, 5e-4", "also in random subspaces the large batch is the sharper one", f"{PAPER}, Table 4", "table4",
          "log10 of phi(LB) / phi(SB), 100 random dimensions, eps 5e-4, above 0", factor("LB 5e-4", "SB 5e-4"), above=0),
    Claim("steeper on the line", "along the line the large batch's minimum is the sharper one", f"{PAPER}, Figure 3", "fig3",
          "mean training loss beyond LB (alpha 1 to 2) less beyond SB (alpha -1 to 0), above 0 nats",
          lambda c: c["loss_train"][:, 17:].mean(1) - c["loss_train"][:, :8].mean(1), above=0),
    Claim("steeper on the arc", "along the arc, too", f"{PAPER}, Figure 7", "fig7",
          "mean training loss just beyond LB (alpha 1 to 1.5) less just beyond SB (alpha -0.5 to 0), above 0 nats",
          lambda c: c["loss_train"][:, 17:21].mean(1) - c["loss_train"][:, 4:8].mean(1), above=0),
    Claim("distance", "“in the range of 3-10”: the small batch goes further from the start", f"{PAPER}, section 4", "distances",
          "SB's distance from the start over LB's, between 3 and 10", lambda c: c["ratio"], above=3, below=10),
    Claim("falls with the batch", "beyond a threshold accuracy falls as the batch grows", f"{PAPER}, section 4, Figure 4", "fig4",
          "test accuracy at the least batch less at the largest, above 0 points", lambda c: c["test_acc"][:, 0] - c["test_acc"][:, -1], above=0),
    Claim("sharpens with the batch", "“the upward drift in value of the sharpness” as the batch grows", f"{PAPER}, section 4, Figure 4", "fig4",
          "log10 of phi(1e-3) at the largest batch over the least, above 0",
          lambda c: np.log10(c["sharp_1e-3"][:, -1] / c["sharp_1e-3"][:, 0]), above=0),
    Claim("warm start is flat", "started from a late small-batch iterate the large batch ends flat", f"{PAPER}, section 4, Figure 5", "fig5",
          "log10 of phi(1e-3) warm-started from the start over from the end, above 0",
          lambda c: np.log10(c["sharp_1e-3"][:, 0] / c["sharp_1e-3"][:, -1]), above=0),
    Claim("warm start is accurate", "and is the more accurate, the later it is started", f"{PAPER}, section 4, Figure 5", "fig5",
          "test accuracy warm-started from the end less from the start, above 0 points",
          lambda c: c["PB_acc"][:, -1] - c["PB_acc"][:, 0], above=0),
    Claim("LB sharpens as it trains", "the large batch grows sharper as its loss falls", f"{PAPER}, section 4, Figure 6", "fig6",
          "log10 of phi(1e-3) of LB at the last kept epoch over the first, above 0",
          lambda c: np.log10(c["LB_1e-3"][:, -1] / c["LB_1e-3"][:, 0]), above=0),
    Claim("SB flattens as it trains", "the small batch grows flatter as its loss falls", f"{PAPER}, section 4, Figure 6", "fig6",
          "log10 of phi(1e-3) of SB at the last kept epoch over the first, below 0",
          lambda c: np.log10(c["SB_1e-3"][:, -1] / c["SB_1e-3"][:, 0]), below=0),
    Claim("few steep directions", "“rises steeply only along a small dimensional subspace (e.g. 5% of the whole space)”", f"{PAPER}, section 2", "spectrum",
          "share of LB's eigenvalues within a hundredth of the largest, above 0.95", lambda c: c["LB flat share"], above=0.95),
    Claim("augmentation closes the gap", "with augmented data the large batch is as accurate as the small one", f"{PAPER}, appendix E.1, Table 6", "table6",
          "augmented test accuracy of LB less SB, above -1 point", difference("test LB", "test SB"), above=-1),
    Claim("robust training does not help", "“did not improve generalization”", f"{PAPER}, appendix E.3", "robust",
          "test accuracy of adversarial LB less LB, below 1 point", difference("test adversarial", "test LB"), below=1),
    Claim("stability training does not help", "“did not improve generalization”", f"{PAPER}, appendix E.3", "robust",
          "test accuracy of stability-trained LB less LB, below 1 point", difference("test stability", "test LB"), below=1),
    Claim("gradient noise does not help", "“we did not observe any consistent improvements in testing error”", "the paper's review thread", "noise",
          "test accuracy of LB with noise in its gradients less LB, below 1 point", difference("test noisy_gradient", "test LB"), below=1),
    Claim("a growing batch does as well", "a batch that grows while training keeps the small one's accuracy", f"{PAPER}, section 5", "dynamic",
          "test accuracy of the growing batch less SB, above -1 point", difference("test growing", "test SB"), above=-1),
    Claim("more updates close the gap", "“Train longer, generalize better”: as many updates close the gap", "Hoffer et al. 2017", "equal-updates",
          "test accuracy of LB with SB's updates less SB, above -1 point", difference("test LB long", "test SB"), above=-1),
    Claim("more updates flatten", "and with as many updates the large batch is no longer sharp", "the control of Hoffer et al. 2017, for sharpness", "equal-updates",
          "log10 of phi(1e-3) of LB over LB with SB's updates, above 0", factor("LB 1e-3", "LB long 1e-3"), above=0),
    Claim("the root rule closes the gap", "a rate that grows with the root of the batch size closes the gap", "Hoffer et al. 2017", "learning-rate",
          "test accuracy of LB with the root rule less SB, above -1 point", difference("test LB sqrt", "test SB"), above=-1),
    Claim("the linear rule closes the gap", "a rate that grows with the batch size closes the gap", "Goyal et al. 2017", "learning-rate",
          "test accuracy of LB with the linear rule less SB, above -1 point", difference("test LB linear", "test SB"), above=-1),
    Claim("tuning closes the gap", "“no evidence that larger batch sizes degrade out-of-sample performance” once tuned", "Shallue et al. 2019", "learning-rate",
          "best test accuracy over three rates of LB less SB, above -1 point", difference("test LB tuned", "test SB tuned"), above=-1),
    Claim("ghost batches help", "statistics over small ghost batches raise the large batch's accuracy", "Hoffer et al. 2017", "ghost",
          "test accuracy of LB with ghost batches less LB, above 0 points", difference("test ghost", "test LB"), above=0),
    Claim("sharpness-aware steps flatten", "steps that look for flat places end in flatter ones", "Foret et al. 2021", "sam",
          "log10 of phi(1e-3) of LB over LB with SAM, above 0", factor("LB 1e-3", "sam 1e-3"), above=0),
    Claim("sharpness-aware steps generalise", "and generalise better", "Foret et al. 2021", "sam",
          "test accuracy of LB with SAM less LB, above 0 points", difference("test sam", "test LB"), above=0),
    Claim("error falls as the root", "m examples lower the gradient's error by the root of m", "question and answer on batch size", "gradient-error",
          "slope of log error against log batch size at the end, between -0.6 and -0.4", lambda c: c["slope end"], above=-0.6, below=-0.4),
    Claim("a part has nearly the whole gradient", "half of the data, or far less, gives almost the same gradient as all", "study notes on batch size", "part-of-the-data",
          "cosine between the gradient of half of the data and of all at the end, above 0.9", last("cosine end"), above=0.9),
    Claim("and at the start", "half of the data, or far less, gives almost the same gradient as all", "study notes on batch size", "part-of-the-data",
          "the same at the start, above 0.9", last("cosine start"), above=0.9),
    Claim("the data are a batch too", "the whole training set is not the true gradient either, but one large batch", "question and answer on batch size", "part-of-the-data",
          "cosine between the gradients of training set and fresh data at the end, below 0.9", lambda c: c["cosine fresh end"], below=0.9),
    Claim("the step is limited by curvature", "the step size is limited by curvature", "question and answer on batch size", "stable-step",
          "growth of the loss at 1.1 times 2 / lambda_max over that at 0.9, log10, above 0",
          lambda c: np.log10(c["growth"][:, 2] / c["growth"][:, 1]), above=0),
    Claim("a million rows a batch are slower", "batches of about 1,000 converge much faster than of 1,000,000", "question and answer on batch size", "regression",
          "log10 of the excess loss of full batches over that of batches of 1,000 after three passes, above 0",
          lambda c: np.log10(c["1000000 excess"][:, -1] / c["1000 excess"][:, -1]), above=0),
    Claim("Rprop fails on mini-batches", "Rprop fails on mini-batches, hence RMSProp", "study notes on optimisation", "optimizers",
          "training accuracy of Rprop on small batches less RMSprop, below 0 points", difference("train rprop 32", "train rmsprop 32"), below=0),
    Claim("full batch sticks", "the full batch sticks in a local optimum, noise finds another way", "study notes on optimisation", "many-starts",
          "final training loss of the full batch less that of mini-batches, above 0 nats", difference("full loss", "mini loss"), above=0),
    Claim("a larger batch takes longer to its best", "with a larger batch more epochs are needed", "study notes with a TensorFlow experiment", "batch-table",
          "epochs to the least test loss of LB less SB, above 0", difference("LB epochs", "SB epochs"), above=0),
    Claim("its best loss is higher", "with a larger batch the least validation loss is higher", "study notes with a TensorFlow experiment", "batch-table",
          "least test loss of LB less SB, above 0 nats", difference("LB loss", "SB loss"), above=0),
    Claim("also with a tuned rate", "with a larger batch the least validation loss is higher", "study notes with a TensorFlow experiment", "batch-table",
          "least test loss of LB at its best rate less SB, above 0 nats", difference("LB tuned loss", "SB loss"), above=0),
)
