"""Which measure orders nets by their test error, over all nets and along each choice alone."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.patches import Rectangle

from flatlab.plots.picture import Picture
from flatlab.plots.style import BETWEEN, CONTROL, SMALLER, WIDE, canvas, spread, stamp_of_all, styled
from flatlab.plots.tables import named, readable
from flatlab.study import columns
from flatlab.study.columns import of
from flatlab.study.recorded import Result

# What is varied -> the kind of Kendall's tau in the result's columns.
KINDS = {
    "all\nnets": columns.TAU,
    "each\nalone": columns.GRANULATED_TAU,
    "batch\nsize": columns.tau_along("batch"),
    "rate": columns.tau_along("rate"),
    "decay": columns.tau_along("decay"),
    "width": columns.tau_along("width"),
}
DEPTH = 0.35  # opacity of a cell whose tau is 1 or -1, so that its number can be read


def ordered(values: Iterable[str]) -> list[str]:
    """The measures that order nets in a result: those of its columns that have a tau over all nets."""
    return [name.removesuffix(" tau") for name in values if name.endswith(" tau") and "granulated" not in name]


@styled
def orderings(result: Result) -> Picture:
    """Kendall's tau of each measure with the test error: a row for each measure, a column for
    each choice that is varied.

    Parameters
    ----------
    result : Result
        Of the experiment "measures"; kinds of tau that it lacks are left out.

    Returns
    -------
    Picture
        A panel for each network's grid; one row per cell, with its 95 % interval. A number is bold where the interval
        leaves out 0; a cell is purple where a large measure goes with a large error, and green where with a small
        one.

    Raises
    ------
    ValueError
        For a result without any tau.
    """
    panels, rows, told = [], [], []
    for net, values in result.values.items():
        measures = ordered(values)
        kinds = {words: kind for words, kind in KINDS.items() if measures and of(measures[0], kind) in values}
        if not measures:
            raise ValueError(f"{result.experiment} has no Kendall's tau: draw a result of measures.")
        cells = [
            _cell(measure, words, values[of(measure, kind)]) for measure in measures for words, kind in kinds.items()
        ]
        panels.append(_panel(named(result.data[net]), measures, list(kinds), cells))
        rows += [{"network": net, **cell} for cell in cells]
        told += [f"{m}, all nets, {c['tau']:+.2f}" for m, c in zip(measures, cells[:: len(kinds)])]
    alt = f"Kendall's tau with the test error. {'; '.join(told)}."
    name = f"{result.experiment}-orderings-{result.tier}"
    return Picture(panels, rows, stamp_of_all(result), alt, name)


def _cell(measure: str, words: str, values: list[float]) -> dict[str, Any]:
    """The mean of tau over the seeds and its interval."""
    (low,), (mean,), (high,) = spread(np.c_[values])
    return {
        "measure": measure,
        "varied": words.replace("\n", " "),
        "low": float(low),
        "tau": float(mean),
        "high": float(high),
    }


def _panel(title: str, measures: list[str], kinds: list[str], cells: list[dict[str, Any]]) -> Any:
    """The cells as a grid, the first measure on top."""
    axes = canvas(WIDE, 1.2 + 0.36 * len(measures))
    for place, cell in enumerate(cells):
        y, x = divmod(place, len(kinds))
        colour = BETWEEN if cell["tau"] > 0 else CONTROL
        box = {"color": colour, "alpha": DEPTH * min(1.0, abs(cell["tau"])), "linewidth": 0}
        axes.add_patch(Rectangle((x - 0.47, y - 0.45), 0.94, 0.9, **box))
        decided = cell["low"] > 0 or cell["high"] < 0
        weight = "bold" if decided else "normal"
        axes.text(x, y, readable(f"{cell['tau']:+.2f}"), ha="center", va="center", size=SMALLER, weight=weight)
    axes.set(xlim=(-0.5, len(kinds) - 0.5), ylim=(len(measures) - 0.5, -0.5))
    axes.set_xticks(range(len(kinds)), labels=kinds, size=SMALLER)
    axes.set_yticks(range(len(measures)), labels=[readable(name).replace(" ", "\n") for name in measures], size=SMALLER)
    axes.tick_params(length=0)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.set_title(f"{title}\nKendall's $\\tau$ with the test error")
    return axes.figure
