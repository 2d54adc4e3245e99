"""Every claim as data: words, source, and the rule that decides (`flatlab.study.rules`); one file for each file of
experiments.

A rule is committed before the runs that it judges, except that F1's results at the colab tier were there when the
ledger was begun; a rule that was written after a result says so.
"""

from flatlab.study.claims import (
    connections,
    controls,
    correlations,
    cures,
    curvature,
    essays,
    gradient_noise,
    rates,
    reproductions,
)
from flatlab.study.rules import Claim

CLAIMS: tuple[Claim, ...] = (
    *reproductions.CLAIMS,
    *rates.CLAIMS,
    *cures.CLAIMS,
    *curvature.CLAIMS,
    *gradient_noise.CLAIMS,
    *correlations.CLAIMS,
    *connections.CLAIMS,
    *controls.CLAIMS,
    *essays.CLAIMS,
)
