"""The figures of the chapter What newcomers are told."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flatlab.plots.picture import Picture, course, rows_of
from flatlab.plots.slides import Slides
from flatlab.plots.style import (
    BETWEEN,
    LARGE,
    SMALL,
    TEXT,
    WIDE,
    around,
    canvas,
    label,
    plain_ticks,
    spread,
    stamp,
    stamp_of_all,
    styled,
)
from flatlab.plots.tables import called
from flatlab.study import columns
from flatlab.study.columns import of
from flatlab.study.recorded import Result


@styled
def two_ways(conditions: Sequence[float], left: Mapping[str, Sequence[float]], data: str, start: int = 0) -> Slides:
    """What small batches and all rows leave of the loss, against how unevenly the features are scaled.

    Parameters
    ----------
    conditions : sequence of float
        The condition number of the features' covariance; a position of the slider for each.
    left : mapping of str to sequence of float
        {"batches of 1,000" or another name: the excess loss at each condition}, the smaller batches first.
    data : str
        What was fitted, in words.
    start : int
        The first position.

    Returns
    -------
    Slides
        One row per condition number.
    """
    axes = canvas(WIDE, 3)
    layers: list[list[Any]] = [[axes.axvline(condition, color=TEXT, linewidth=0.8)] for condition in conditions]
    for (name, values), colour in zip(left.items(), (SMALL, LARGE)):
        axes.plot(conditions, values, color=colour)
        for layer, condition, value in zip(layers, conditions, values):
            layer += axes.plot(condition, value, "o", color=colour)
        label(axes, conditions[-1], values[-1], name, colour)
    axes.set(xscale="log", yscale="log", xlabel="condition number", ylabel="excess loss")
    plain_ticks(axes.xaxis, axes.xaxis.get_major_locator())
    says = []
    for condition, *values in zip(conditions, *left.values()):
        less, more = sorted(zip(values, left))
        says.append(
            f"Condition number {condition:.3g}: "
            + ", ".join(f"{name} leave {value:.2g}" for value, name in zip(values, left))
            + f". What {more[1]} leave is {_times(more[0] / less[0])} times as much."
        )
    rows = rows_of({"condition number": map(float, conditions), **{name: list(left[name]) for name in left}})
    told = "; ".join(course(name, conditions, values) for name, values in left.items())
    alt = f"Excess loss against the condition number, both logarithmic: {told}."
    picture = Picture([axes.figure], rows, stamp(data, 0), alt, "two-ways")
    return Slides(picture, layers, "Condition number of the features", says, start)


@styled
def by_problem(result: Result) -> Picture:
    """By how many decades all rows leave more of the loss than small batches do, for each problem and way to compare.

    Parameters
    ----------
    result : Result
        Of the experiment "regression".

    Returns
    -------
    Picture
        One row per problem and way to compare: mean over seeds and 95 % interval, which is cut off where it is far
        wider than the seeds are apart.
    """
    axes, rows, seen = canvas(WIDE, 0.9 + 0.6 * len(result.values)), [], [0.0]
    names = list(map(called, result.values))
    for place, (net, values) in enumerate(result.values.items()):
        last = {way: np.array([curve[-1] for curve in values[of(way, columns.EXCESS)]]) for way in ("all", "few")}
        kinds = {
            "after all passes": last,
            "after equally many updates": {way: np.array(values[of(way, columns.EQUAL_UPDATES)]) for way in last},
            "after equal seconds": {way: np.array(values[of(way, columns.EQUAL_SECONDS)]) for way in last},
        }
        for (kind, found), form, away in zip(kinds.items(), "os^", (-0.22, 0, 0.22)):
            decades = np.log10(found["all"] / found["few"])
            (low,), (mean,), (high,) = spread(np.c_[decades])
            axes.errorbar(mean, place + away, xerr=[[mean - low], [high - mean]], fmt=form, color=BETWEEN, markersize=5)
            seen += decades.tolist()
            rows.append({"problem": names[place], "compared": kind, "low": low, "decades": mean, "high": high})
    around(axes, "x", seen, log=False)
    axes.axvline(0, color=TEXT, linewidth=0.8)
    axes.set_yticks(range(len(names)), labels=[name.replace(", ", ",\n") for name in names])
    axes.invert_yaxis()
    axes.set_xlabel("decades by which all rows leave more")
    axes.set_title("circle: equal passes\nsquare: equal updates\ntriangle: equal seconds")
    told = "; ".join(f"{row['problem']}, {row['compared']}, {row['decades']:+.2f}" for row in rows)
    alt = f"Logarithm of what all rows leave over what batches of 1,000 leave: {told}."
    words = stamp_of_all(result, "regression")
    return Picture([axes.figure], rows, words, alt, f"by-problem-{result.tier}")


def _times(ratio: float) -> str:
    """A ratio as one says it: two digits of it."""
    return f"{float(f'{ratio:.2g}'):,.0f}" if ratio >= 10 else f"{ratio:.2g}"
