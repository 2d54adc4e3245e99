"""What is said of the ways between two minima."""

import numpy as np

from flatlab.study import columns
from flatlab.study.columns import of, phi
from flatlab.study.rules import KESKAR, Claim, Columns, factor

GARIPOV, LI, DINH = "Garipov et al. 2018", "Li et al. 2018", "Dinh et al. 2017"
LEAST_BARRIER = 1e-6  # nats; the logarithm of a way without a hill


def above_the_controls(c: Columns) -> np.ndarray:
    """The decimal logarithm of the barrier between small and large batch over the higher of the two between runs of
    one batch size, all from one start."""
    hill, *controls = (
        np.maximum(c[name], LEAST_BARRIER)
        for name in (columns.BARRIER, of("SB again", columns.BARRIER), of("LB again", columns.BARRIER))
    )
    return np.log10(hill / np.maximum(*controls))


CLAIMS = (
    Claim(
        name="the line has a barrier",
        words="between small and large batch the loss rises",
        source=f"{KESKAR}, Figure 3",
        experiment="connect",
        measure="barrier of the training loss on the line",
        effect=lambda c: c[columns.LINE_BARRIER],
        unit="nats",
        above=0.1,
    ),
    Claim(
        name="the hill is about batch size",
        words="the hill on the line between two batch sizes is higher than between two runs of one of them",
        source=f"{KESKAR}, Figure 3, as it is often read",
        experiment="orders",
        measure="log10 of the barrier between small and large batch over the higher of the two between runs of one "
        "batch size with different orders of the examples, all from one start",
        effect=above_the_controls,
        above=0,
        remark="asked with three seeds, and undecided, before this rule",
    ),
    Claim(
        name="a curve has no barrier",
        words="minima are joined by a curve of nearly constant loss",
        source=GARIPOV,
        experiment="connect",
        measure="barrier of the training loss on the learned curve",
        effect=lambda c: c[columns.CURVE_BARRIER],
        unit="nats",
        below=0.05,
    ),
    Claim(
        name="a curve loses no test accuracy",
        words="minima are joined by a curve along which the test accuracy hardly falls, also across batch sizes",
        source="Gotmare et al. 2018",
        experiment="connect",
        measure="drop of the test accuracy on the curve below its lower end",
        effect=lambda c: c[columns.CURVE_DROP],
        unit="points",
        below=2,
    ),
    Claim(
        name="the line finds the large batch sharper",
        words="without weight decay the line shows the large batch as the sharper one",
        source=LI,
        experiment="decay-flip",
        measure="training loss just beyond LB minus just beyond SB, without weight decay",
        effect=lambda c: c[of("line", columns.BEYOND_THE_ENDS)],
        unit="nats",
        above=0,
    ),
    Claim(
        name="weight decay turns the line's verdict round",
        words="with weight decay the line shows the small batch as the sharper one",
        source=LI,
        experiment="decay-flip",
        measure="training loss just beyond LB minus just beyond SB, with weight decay",
        effect=lambda c: c[of("line", f"{columns.BEYOND_THE_ENDS} decayed")],
        unit="nats",
        below=0,
    ),
    Claim(
        name="filter normalisation does not turn",
        words="along filter-normalised directions the large batch is the sharper one, also with weight decay",
        source=LI,
        experiment="decay-flip",
        measure="log10 of the rise around LB over SB with weight decay, filter-normalised",
        effect=factor(of("LB decayed", of("filter", columns.RISE)), of("SB decayed", of("filter", columns.RISE))),
        above=0,
    ),
    Claim(
        name="filter-normalised planes",
        words="on filter-normalised planes the large batch's minimum is the steeper one",
        source=LI,
        experiment="planes",
        measure="log10 of the largest rise on the plane around LB over SB",
        effect=factor(of("LB", columns.RISE), of("SB", columns.RISE)),
        above=0,
    ),
    Claim(
        name="matched units lower the barrier",
        words="most of the barrier between two starts is the units' order",
        source="Ainsworth et al. 2023",
        experiment="matched",
        measure="log2 of the barrier as it is over the barrier after matching units",
        effect=lambda c: np.log2(c[columns.BARRIER] / np.maximum(c[columns.MATCHED_BARRIER], 1e-9)),
        above=1,
    ),
    Claim(
        name="the same function, ten times as sharp",
        words="sharp minima can generalise: the same function can be made as sharp as one likes",
        source=DINH,
        experiment="rescale",
        measure="log10 of lambda_max after the rescaling over before",
        effect=factor(of("after", columns.LARGEST), of("before", columns.LARGEST)),
        above=1,
    ),
    Claim(
        name="phi sees the rescaling too",
        words="the same function can be made as sharp as one likes also by the paper's own measure in the full space",
        source=DINH,
        experiment="rescale",
        measure="log10 of phi(1e-3) after the rescaling over before",
        effect=factor(phi("after"), phi("before")),
        above=0.3,
    ),
)
