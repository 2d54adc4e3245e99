"""Which measure orders nets by their test error."""

from flatlab.study import columns
from flatlab.study.columns import of
from flatlab.study.rules import Claim

JIANG, DZIUGAITE, ANDRIUSHCHENKO = "Jiang et al. 2020", "Dziugaite et al. 2020", "Andriushchenko et al. 2023"

# Measures of which a net has one, so that a sentence needs an article.
ONE_OF_A_NET = {
    columns.LARGEST_EIGENVALUE: "the largest eigenvalue",
    columns.TRACE: "the trace",
    columns.PAC_BAYES: "the PAC-Bayes bound",
}


def orders(name: str, words: str, source: str, measure: str, kind: str = columns.TAU, *, above: float = 0) -> Claim:
    """Kendall's tau with the test error lies above a bound."""
    return Claim(
        name=name,
        words=words,
        source=source,
        experiment="measures",
        measure=f"Kendall's {kind} of {ONE_OF_A_NET.get(measure, measure)} with the test error",
        effect=lambda c: c[of(measure, kind)],
        above=above,
    )


CLAIMS = (
    orders("phi orders nets", "sharpness measures order nets by their test error", JIANG, columns.PHI),
    orders(
        "phi orders nets, axis by axis",
        "sharpness measures order nets also when each choice is varied alone",
        JIANG,
        columns.PHI,
        columns.GRANULATED_TAU,
    ),
    orders(
        "average sharpness orders nets",
        "the Gaussian version of sharpness orders nets by their test error",
        JIANG,
        columns.AVERAGE_SHARPNESS,
    ),
    orders(
        "adaptive sharpness orders nets",
        "sharpness relative to the weights orders nets by their test error",
        JIANG,
        columns.ADAPTIVE_SHARPNESS,
    ),
    orders(
        "lambda_max orders nets",
        "the largest eigenvalue orders nets by their test error",
        JIANG,
        columns.LARGEST_EIGENVALUE,
    ),
    orders("the trace orders nets", "the trace of the Hessian orders nets by their test error", JIANG, columns.TRACE),
    orders(
        "PAC-Bayes orders nets",
        "a bound from flatness and distance orders nets by their test error",
        "Dziugaite and Roy 2017",
        columns.PAC_BAYES,
    ),
    Claim(
        name="phi orders the wrong way along the batch",
        words="every measure fails in some environment: along the batch size alone",
        source=DZIUGAITE,
        experiment="measures",
        measure="Kendall's tau along the batch of phi with the test error",
        effect=lambda c: c[of(columns.PHI, columns.tau_along("batch"))],
        below=0,
        remark="its side was corrected after a pilot",
    ),
    Claim(
        name="sharpness follows the rate",
        words="“sharpness does not correlate well with generalization but rather with some training parameters like "
        "the learning rate”",
        source=ANDRIUSHCHENKO,
        experiment="measures",
        measure="size of phi's tau with the rate minus its tau with the test error",
        effect=lambda c: abs(c[of(columns.PHI, columns.TAU_WITH_THE_RATE)]) - c[of(columns.PHI, columns.TAU)],
        above=0,
    ),
    Claim(
        name="further is better",
        words="good solutions lie far from the start",
        source="Shen 2018",
        experiment="measures",
        measure="Kendall's tau of the distance from the start with the test error",
        effect=lambda c: c[of(columns.DISTANCE, columns.TAU)],
        below=0,
    ),
    Claim(
        name="distance orders better than sharpness",
        words="how far a net has travelled tells more than how flat it is",
        source="the control of the measures",
        experiment="measures",
        measure="tau of phi plus tau of the distance, which is negative where the distance tells more",
        effect=lambda c: c[of(columns.PHI, columns.TAU)] + c[of(columns.DISTANCE, columns.TAU)],
        below=0,
    ),
)
