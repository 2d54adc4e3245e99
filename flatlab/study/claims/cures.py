"""What is said of every cure, judged at the dose that the validation split chooses."""

import numpy as np

from flatlab.study import columns
from flatlab.study.columns import phi, phi_series, series, test
from flatlab.study.correlations import FITTED
from flatlab.study.cures import WINDOWS
from flatlab.study.rules import (
    AFTERWARDS,
    GAP_OF_POINTS,
    KESKAR,
    Claim,
    Columns,
    Effect,
    by_rule,
    difference,
    drop,
    factor,
    growth,
    spread,
    where,
)

THREAD = "the paper's review thread"

helps = by_rule(
    measure="test accuracy of LB with the cure minus LB",
    effect=difference(test(columns.CURE), test("LB")),
    unit="points",
    above=0,
)
does_not_help = by_rule(
    measure="test accuracy of LB with the cure minus LB",
    effect=difference(test(columns.CURE), test("LB")),
    unit="points",
    below=1,
    nets=GAP_OF_POINTS,
)
beyond_its_gradients = by_rule(
    measure="test accuracy of LB with the cure minus LB for as many gradients",
    effect=difference(test(columns.CURE), test("LB long")),
    unit="points",
    above=0,
)
flattens = by_rule(
    measure="log10 of phi(1e-3) of LB over LB with the cure", effect=factor(phi("LB"), phi(columns.CURE)), above=0
)
closes_the_gap = by_rule(
    measure="test accuracy of LB with the cure minus SB",
    effect=difference(test(columns.CURE), test("SB")),
    unit="points",
    above=-1,
    nets=GAP_OF_POINTS,
)

FORET, KWON, GEIPING = "Foret et al. 2021", "Kwon et al. 2021", "Geiping et al. 2022"
IZMAILOV, NADO = "Izmailov et al. 2018", "Nado et al. 2021"
WIDEST = f"the widest window tried is the last {100 * max(WINDOWS):g} % of the epochs, so a wider one may do more"
UNFITTED = "with that noise the nets do not fit 99 % of their rows, so they stand at no minimum"


def at_32(column: str) -> Effect:
    """What a curve along the doses of sampled noise has at 32 rows, which are the small batch's; validation may choose
    the noise of another."""
    return where(column, columns.DOSE, 32)


def flatter_at(dose: float) -> Effect:
    """The decimal logarithm of phi(1e-3) at the smallest dose over that at another. The largest is not taken where its
    nets do not fit their rows: a net that is not trained is flat for another reason."""
    at_dose = where(phi_series(1e-3, columns.CURE), columns.DOSE, dose)
    return lambda c: np.log10(c[phi_series(1e-3, columns.CURE)][:, 0] / at_dose(c))


def flatter_where_fitted(c: Columns) -> np.ndarray:
    """The decimal logarithm of phi(1e-3) without the cure over that at the largest dose with which the nets fit their
    rows, by the mean over seeds."""
    fitted = np.flatnonzero(c[series(columns.CURE, "train")].mean(0) >= FITTED)
    sharp = c[phi_series(1e-3, columns.CURE)]
    return np.log10(c[phi("LB")] / sharp[:, fitted[-1] if len(fitted) else 0])


CLAIMS = (
    flattens("sharpness-aware steps flatten", "steps that look for flat places end in flatter ones", FORET, "sam"),
    helps("sharpness-aware steps generalise", "steps that look for flat places generalise better", FORET, "sam"),
    beyond_its_gradients(
        "SAM beyond its gradients",
        "steps that look for flat places generalise better, also for as many gradients",
        FORET,
        "sam",
    ),
    flattens(
        "adaptive sharpness-aware steps flatten",
        "steps that look for flat places on the scale of the weights end in flatter ones",
        KWON,
        "asam",
    ),
    helps(
        "adaptive sharpness-aware steps generalise",
        "steps that look for flat places on the scale of the weights generalise better",
        KWON,
        "asam",
    ),
    beyond_its_gradients(
        "ASAM beyond its gradients",
        "steps that look for flat places on the scale of the weights generalise better, also for as many gradients",
        KWON,
        "asam",
    ),
    helps(
        "augmented data help at some strength",
        "augmentation improves the large batch's accuracy",
        f"{KESKAR}, appendix E.1",
        "augmentation",
    ),
    helps(
        "conservative steps help at some lambda",
        "conservative training improves the large batch's accuracy",
        f"{KESKAR}, appendix E.2",
        "conservative",
    ),
    beyond_its_gradients(
        "conservative steps beyond their gradients",
        "conservative training improves the large batch's accuracy beyond its three gradients per batch",
        f"{KESKAR}, appendix E.2",
        "conservative",
    ),
    Claim(
        name="the pull of a conservative step helps",
        words="conservative training improves the large batch's accuracy by its pull towards where the step began",
        source=f"{KESKAR}, appendix E.2",
        experiment="conservative",
        measure="test accuracy at lambda 1 minus at the paper's, a thousandth, that leaves three plain steps per batch",
        effect=lambda c: (
            where(series(columns.CURE, "test"), columns.DOSE, 1)(c)
            - where(series(columns.CURE, "test"), columns.DOSE, 1e-3)(c)
        ),
        unit="points",
        above=0,
        remark=AFTERWARDS,
    ),
    does_not_help(
        "robust training does not help",
        "adversarial training “did not improve generalization”",
        f"{KESKAR}, appendix E.3",
        "adversarial",
    ),
    helps(
        "adversarial training helps",
        "adversarial training helps",
        "article on the paper",
        "adversarial",
        remark=AFTERWARDS,
    ),
    does_not_help(
        "stability training does not help",
        "stability training “did not improve generalization”",
        f"{KESKAR}, appendix E.3",
        "stability",
    ),
    beyond_its_gradients(
        "adversarial training beyond its gradients",
        "adversarial training improves the large batch's accuracy beyond its two gradients per batch",
        "the control of the paper",
        "adversarial",
        remark=AFTERWARDS,
    ),
    beyond_its_gradients(
        "stability training beyond its gradients",
        "stability training improves the large batch's accuracy beyond its two gradients per batch",
        "the control of the paper",
        "stability",
        remark=AFTERWARDS,
    ),
    does_not_help(
        "gradient noise does not help",
        "“we did not observe any consistent improvements in testing error”, with noise in the gradients",
        THREAD,
        "gradient-noise",
    ),
    does_not_help(
        "iterate noise does not help",
        "“we did not observe any consistent improvements in testing error”, with noise in the iterates",
        THREAD,
        "iterate-noise",
    ),
    does_not_help(
        "input noise does not help",
        "“we did not observe any consistent improvements in testing error”, with noisy inputs",
        THREAD,
        "input-noise",
    ),
    does_not_help(
        "label noise does not help",
        "“we did not observe any consistent improvements in testing error”, with noisy labels",
        THREAD,
        "label-noise",
    ),
    flattens(
        "noise flattens",
        "the noise of its gradient is why the small batch ends flat",
        "article on the paper",
        "gradient-noise",
    ),
    Claim(
        name="enough noise flattens",
        words="the noise of its gradient is why the small batch ends flat",
        source="article on the paper",
        experiment="gradient-noise",
        measure="log10 of phi(1e-3) of LB without noise over LB with the largest with which the nets fit 99 % of their "
        "rows",
        effect=flatter_where_fitted,
        above=0,
        remark=f"{AFTERWARDS}; “noise flattens” asks at the dose that validation prefers, which may hardly act; an "
        "earlier rule took the largest noise, and another ten times the gradient's length, with which some nets do not "
        "fit their rows; a third compared with the smallest noise, with which a network can be sharper than "
        "without",
    ),
    Claim(
        name="a small batch's own noise flattens",
        words="the noise of its gradient is why the small batch ends flat",
        source="article on the paper",
        experiment="sampled-noise",
        measure="log10 of phi(1e-3) of LB over LB with the noise of 32 rows",
        effect=lambda c: np.log10(c[phi("LB")] / at_32(phi_series(1e-3, columns.CURE))(c)),
        above=0,
        remark=UNFITTED,
    ),
    Claim(
        name="a small batch's own noise closes half of the gap",
        words="the noise of its gradient is why the small batch generalises",
        source="article on the paper",
        experiment="sampled-noise",
        measure="test accuracy of LB with the noise of 32 rows minus the mean of SB and LB",
        effect=lambda c: at_32(series(columns.CURE, "test"))(c) - (c[test("SB")] + c[test("LB")]) / 2,
        unit="points",
        above=0,
        remark=UNFITTED,
    ),
    helps(
        "a search for flat minima helps",
        "a net that is trained to bear noise on its weights generalises better",
        "Hochreiter and Schmidhuber 1997",
        "iterate-noise",
    ),
    flattens(
        "a gradient penalty flattens",
        "a penalty on the gradient's length does what small batches' noise does",
        GEIPING,
        "gradient-penalty",
    ),
    closes_the_gap(
        "a gradient penalty closes the gap",
        "without noise, large batches with a penalty on the gradient's length do as well as small ones",
        GEIPING,
        "gradient-penalty",
    ),
    beyond_its_gradients(
        "a gradient penalty beyond its gradients",
        "a gradient penalty is worth more than its two gradients per batch",
        "the control of the cures",
        "gradient-penalty",
        remark=AFTERWARDS,
    ),
    closes_the_gap(
        "LARS closes the gap", "with layer-wise rates large batches lose no accuracy", "You et al. 2017", "lars"
    ),
    closes_the_gap(
        "LAMB closes the gap", "with layer-wise rates large batches lose no accuracy", "You et al. 2020", "lamb"
    ),
    Claim(
        name="tuned momentum does as well as LARS",
        words="momentum whose rate is tuned matches LARS",
        source=NADO,
        experiment="lars",
        measure="test accuracy of LB by momentum at its best rate minus LB with LARS",
        effect=difference(test(columns.RIVAL), test(columns.CURE)),
        unit="points",
        above=-1,
        remark="they take Nesterov's momentum, this is the ordinary one",
    ),
    Claim(
        name="tuned Adam does as well as LAMB",
        words="Adam whose rate is tuned matches LAMB",
        source=NADO,
        experiment="lamb",
        measure="test accuracy of LB by Adam at its best rate minus LB with LAMB",
        effect=difference(test(columns.RIVAL), test(columns.CURE)),
        unit="points",
        above=-1,
    ),
    Claim(
        name="averaging helps the small batch",
        words="the mean of the last points generalises better than they do",
        source=IZMAILOV,
        experiment="swa",
        measure="test accuracy of SB's mean point, over the window that validation prefers, minus that of its last "
        "points, the mean over five epochs",
        effect=difference(test("SB averaged"), test("SB")),
        unit="points",
        above=0,
        remark=WIDEST,
    ),
    Claim(
        name="averaging helps the large batch",
        words="the mean of the last points generalises better than they do, also for large batches",
        source=IZMAILOV,
        experiment="swa",
        measure="test accuracy of LB's mean point at the root rule, over the window that validation prefers, minus "
        "that of its last points, the mean over five epochs",
        effect=difference(test("LB root averaged"), test("LB root")),
        unit="points",
        above=0,
    ),
    Claim(
        name="averaging flattens",
        words="the mean of the last points is flatter than the last point",
        source=IZMAILOV,
        experiment="swa",
        measure="log10 of phi(1e-3) of SB's last point over its mean point, over the window that validation prefers",
        effect=factor(phi("SB"), phi("SB averaged")),
        above=0,
        remark=WIDEST,
    ),
    Claim(
        name="momentum acts as a rate",
        words="the noise scale is η N / (B (1 - β)): at one rate over 1 - β momentum changes nothing",
        source="Smith and Le 2018",
        experiment="momentum",
        measure="test accuracy at the best momentum minus the worst",
        effect=spread(series(columns.CURE, "test")),
        unit="points",
        below=2,
    ),
    Claim(
        name="momentum flattens beside its rate",
        words="at one rate over 1 - β momentum ends in flatter minima",
        source="the control of the paper",
        experiment="momentum",
        measure="log10 of phi(1e-3) without momentum over phi(1e-3) at the largest momentum",
        effect=lambda c: -growth(phi_series(1e-3, columns.CURE))(c),
        above=0,
        remark=AFTERWARDS,
    ),
    does_not_help(
        "decay serves no accuracy to the large batch",
        "weight decay serves neither accuracy nor speed",
        "study notes on optimisation",
        "weight-decay",
    ),
    Claim(
        name="a stronger SAM is flatter",
        words="a large rho ends in a flatter minimum than a small one",
        source=FORET,
        experiment="sam",
        measure="log10 of phi(1e-3) at the smallest rho over rho 1",
        effect=flatter_at(1),
        above=0,
        remark=f"{AFTERWARDS}; an earlier rule took the largest rho, with which the nets do not fit their rows",
    ),
    Claim(
        name="too much noise harms",
        words="too much noise on the gradient harms",
        source="the control of the paper",
        experiment="gradient-noise",
        measure="test accuracy at the smallest dose minus the largest",
        effect=drop(series(columns.CURE, "test")),
        unit="points",
        above=0,
    ),
)
