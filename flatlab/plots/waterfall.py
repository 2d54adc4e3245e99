"""From the large batch's test accuracy to the small one's, one cause at a time."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from flatlab.plots.picture import Picture
from flatlab.plots.style import (
    BETWEEN,
    CONTROL,
    LARGE,
    SMALL,
    SMALLER,
    TEXT,
    WIDE,
    canvas,
    dot,
    spread,
    stamp_of_all,
    styled,
)
from flatlab.plots.tables import called, named, readable
from flatlab.study import columns
from flatlab.study.recorded import Result

# What is changed on the way -> the run in which that and all before it is changed.
STEPS = {"rate": "rate", "ghost batches": "rate ghost", "more updates": "regime", "the rest": "SB"}
ALONE = {"ghost batches": "ghost", "more updates": "updates"}  # the run in which nothing else is changed


@styled
def waterfall(result: Result) -> Picture:
    """What each cause adds to the large batch's test accuracy until it is the small one's.

    Parameters
    ----------
    result : Result
        Of the experiment "waterfall", or of "rate-and-statistics", in which more updates belong to the rest.

    Returns
    -------
    Picture
        A panel for each network; one row per step: the accuracy after it, the change, and both intervals.

    Raises
    ------
    ValueError
        For a result that lacks a run of the way.

    Notes
    -----
    A bar's change is taken seed by seed, and its interval stands at the bar's end. The causes are added in this order,
    and in another order their shares are others: a hollow dot is the accuracy with that cause alone.
    """
    panels, rows, told = [], [], []
    for net, values in result.values.items():
        steps = {words: run for words, run in STEPS.items() if run != "regime" or columns.test(run) in values}
        if missing := [run for run in ("LB", *steps.values()) if columns.test(run) not in values]:
            raise ValueError(
                f"{result.experiment} has no run {missing[0]!r}: draw a result of waterfall or rate-and-statistics."
            )
        found = _row(net, "large batch", values[columns.test("LB")])
        way, before = [found], "LB"
        for words, run in steps.items():
            way.append(_row(net, words, values[columns.test(run)], values[columns.test(before)]))
            before = run
        way.append(_row(net, "small batch", values[columns.test("SB")]))
        panels.append(_panel(f"{called(net)}\non {named(result.data[net])}", way, values))
        rows += way
        told.append(f"{net}: {', '.join(map(_in_words, way))}")
    alt = f"Test accuracy in percent from the large to the small batch. {'; '.join(told)}."
    name = f"{result.experiment}-{result.tier}"
    return Picture(panels, rows, stamp_of_all(result), alt, name)


def _row(net: str, words: str, after: Sequence[float], before: Sequence[float] | None = None) -> dict[str, Any]:
    """A place on the way: its accuracy, and the change from the place before, each with its interval."""
    row: dict[str, Any] = {"network": net, "step": words}
    for name, values in (("accuracy", after), ("change", None if before is None else np.subtract(after, before))):
        ends = ("", "", "") if values is None else (float(end[0]) for end in spread(np.c_[values]))
        row |= dict(zip((f"{name}, low", name, f"{name}, high"), ends))
    return row


def _panel(title: str, way: Sequence[dict[str, Any]], values: dict[str, list]) -> Any:
    """One network's way: dots for the two batches, a bar for each step from the level before it to the level after."""
    axes = canvas(WIDE, 3.2)
    for place, colour, run in ((0, LARGE, "LB"), (len(way) - 1, SMALL, "SB")):
        dot(axes, place, values[columns.test(run)], colour)
    hollow = False
    digits = 1 if abs(way[-1]["accuracy"] - way[0]["accuracy"]) >= 1 else 2
    for place, row in enumerate(way[1:-1], start=1):
        colour = BETWEEN if row["step"] == "the rest" else CONTROL
        low, high = way[place - 1]["accuracy"], row["accuracy"]
        axes.bar(place, high - low, 0.55, low, color=colour)
        half = (row["change, high"] - row["change, low"]) / 2
        axes.errorbar(place, high, half, fmt="none", ecolor=TEXT, capsize=3)
        top = np.nanmax([low, high, high + half])
        change = round(row["change"], digits) + 0.0  # one that rounds to nothing has no sign
        axes.annotate(
            readable(f"{change:{'+' if change else ''}.{digits}f}"),
            (place, top),
            (0, 4),
            textcoords="offset points",
            ha="center",
            color=colour,
        )
        if (alone := columns.test(ALONE.get(row["step"], ""))) in values:
            dot(axes, place + 0.38, values[alone], colour, hollow=True)
            hollow = True
    for place, row in enumerate(way[:-1]):
        axes.plot([place, place + 1], [row["accuracy"]] * 2, ":", color=TEXT, linewidth=0.8)
    axes.set_xticks(range(len(way)), labels=[row["step"].replace(" ", "\n") for row in way], size=SMALLER)
    axes.set(ylabel="test accuracy, %", xlim=(-0.5, len(way) - 0.5))
    axes.margins(y=0.15)
    axes.set_title(title + ("\nhollow: this cause alone" if hollow else ""))
    return axes.figure


def _in_words(row: dict[str, Any]) -> str:
    """A place on the way: "rate +3.9 (2.1 to 5.7) to 56.1"."""
    if row["change"] == "":
        return f"{row['step']} {row['accuracy']:.3g}"
    low, high = row["change, low"], row["change, high"]
    width = "" if np.isnan(low) else f" ({low:+.2g} to {high:+.2g})"
    return f"{row['step']} {row['change']:+.2g}{width} to {row['accuracy']:.3g}"
