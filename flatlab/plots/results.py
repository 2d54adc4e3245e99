"""A `Result` drawn: what an experiment found along a curve, the paper's own curve thin and grey behind it.

Where the paper has a figure, but not of one of the result's networks, its figure stands beside ours in panels of its
own. What is not in DRAWINGS is single numbers: a table (`flatlab.plots.tables`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from flatlab.files import write_whole
from flatlab.plots.drawings import DRAWINGS, Curve, Drawing, Panel
from flatlab.plots.picture import Picture, course, rows_of, spoken
from flatlab.plots.style import HALF, PAPER, SMALLER, WIDE, canvas, spread, stamp_of_all, styled
from flatlab.plots.tables import NOTE, called_on, named, published, table
from flatlab.study import paper
from flatlab.study.recorded import Result


@styled
def draw(*results: Result) -> Picture:
    """The figure of an experiment: its panels for each network.

    Parameters
    ----------
    *results : Result
        Of one experiment in `DRAWINGS`; several where its networks are recorded at several tiers.

    Returns
    -------
    Picture
        One row per point of a curve: network, curve, where on the x axis (by its label), mean and interval of y, and
        which mean it is.

    Raises
    ------
    KeyError
        For an experiment that is a table.
    """
    experiment = results[0].experiment
    drawing = DRAWINGS[experiment]
    ours = [(net, result) for result in results for net in result.values]
    known = {net: paper.original(net) for net, _ in ours if paper.original(net) in drawing.paper}
    drawn: list[tuple[Any, Any, Any]] = [(net, result, known.get(net)) for net, result in ours]
    if drawing.paper and not known:
        drawn.append((None, None, drawing.paper[0]))
    width = HALF if len(drawing.panels) * len(drawn) > 1 else WIDE
    lines, across = _lines(drawing), _across(drawing)
    panels, rows = [], []
    for net, result, theirs in drawn:
        for panel in drawing.panels:
            axes = canvas(width, 2.9 + 0.2 * lines)
            axes.set(
                ylabel=panel.label,
                xlabel=panel.x or drawing.label,
                xscale="log" if drawing.log else "linear",
                yscale="log" if panel.log else "linear",
            )
            values = _theirs(axes, experiment, drawing, panel, theirs, alone=not net) if theirs else []
            if net:
                found, points = _ours(axes, drawing, panel, result.values[net], across)
                values += found
                rows += [{"network": net, **point} for point in points]
            frame(axes, np.concatenate([np.ravel(one) for one in values]), panel.log)
            if drawing.x is None and not drawing.log:
                axes.xaxis.set_major_locator(MaxNLocator(integer=True))  # what is counted has no halves
            if drawing.reverse:
                axes.invert_xaxis()
            _legend(axes, _title(net, result.data.get(net) if net else None, theirs), lines)
            panels.append(axes.figure)
    alt = f"{', '.join(panel.label for panel in drawing.panels)} against {across}: {_told(rows, across)}"
    if any(theirs for _, _, theirs in drawn):
        alt += f" In grey the paper's {', '.join(dict.fromkeys(theirs for _, _, theirs in drawn if theirs))}."
    name = "-".join([experiment, *(result.tier for result in results)])
    words = "; ".join(map(stamp_of_all, results))
    if any(math.isnan(row["mean"]) for row in rows):
        words += " · a point is left out where a seed has none"
    return Picture(panels, rows, words, alt, name)


def write(result: Result, stem: str | Path) -> str:
    """Write a result's figure as STEM.svg, or its table as STEM.md, whole or not at all.

    Parameters
    ----------
    result : Result
        Of any experiment.
    stem : str or pathlib.Path
        The path without its ending.

    Returns
    -------
    str
        The path.
    """
    if result.experiment in DRAWINGS:
        draw(result).save(path := f"{stem}.svg")
    else:
        head = f"# {result.experiment}, {result.tier} tier"
        content = f"{head}\n\n{table(result.experiment, [result])}\n\n{NOTE}\n"
        write_whole(path := f"{stem}.md", content.encode())
    return path


def _title(net: str | None, data: str | None, theirs: str | None) -> str:
    """Two lines: whose curves are coloured, and whose are grey."""
    on = named(data or "")
    ours = called_on(net, data or "") if net else ""
    if not theirs:
        return ours
    published_on = paper.NETWORKS[theirs].data
    if net == theirs:
        return f"{ours}\ngrey: the paper's" + (f", on {published_on}" if published_on != on else "")
    return f"{ours}\ngrey: the paper's {theirs} on {published_on}".strip()


def _across(drawing: Drawing) -> str:
    """What the x axis shows, in words: "batch size", or "updates or seconds" where panels differ."""
    return spoken(" or ".join(dict.fromkeys(panel.x or drawing.label for panel in drawing.panels)))


def _ours(
    axes: Axes, drawing: Drawing, panel: Panel, columns: Mapping[str, Sequence], across: str
) -> tuple[list, list[dict]]:
    """Draw the columns of a panel; returns the values of every seed, and a row for each point of each curve."""
    drawn, rows = [], []
    for place, colour, words in drawing.marks:
        place = spread(np.c_[columns[place]], log=True)[1][0] if isinstance(place, str) else place
        axes.axvline(place, color=colour, linewidth=1, linestyle="-.", label=words)
    for curve in panel.curves:
        values = np.array(columns[curve.column], float)  # None, which is never, becomes not a number
        values[~np.isfinite(values) | (panel.log & (values <= 0))] = math.nan
        x, level = _x(drawing, curve, columns, values), values.ndim == 1
        values = np.repeat(values[:, None], len(x), 1) if level else values
        if drawing.log:  # 0 is out of sight there, and a line from it would run level along the axis
            x, values = x[x > 0], values[:, x > 0]
        marker = "" if level or len(x) > 12 else "o"
        line: Any = {"color": curve.colour, "label": curve.words or None, "marker": marker, "markersize": 4}
        low, mean, high = spread(values, panel.log)
        high = np.minimum(high, panel.most)
        if np.isnan(mean).any():  # not every seed got there: points, since a line would promise what lies between
            axes.update_datalim(np.c_[x, x], updatey=False)  # the axis goes on to where none is
            axes.errorbar(x, mean, [mean - low, high - mean], fmt="none", color=curve.colour, capsize=3)
            axes.plot(x, mean, linestyle="none", **line)
        else:
            axes.fill_between(x, low, high, color=curve.colour, alpha=0.08 if level else 0.25, linewidth=0)
            axes.plot(x, mean, curve.style, **line)
        which = ["geometric" if panel.log else "arithmetic"] * len(x)
        against = f"{panel.label} against {panel.x}" if panel.x else panel.label
        name = ": ".join(spoken(words) for words in (against, curve.words) if words)
        columns_of = {"curve": [name] * len(x), across: x, "low": low, "mean": mean, "high": high}
        rows += rows_of({**columns_of, "the mean is": which})
        drawn.append(values)
    return drawn, rows


def _x(drawing: Drawing, curve: Curve, columns: Mapping[str, Sequence], values: np.ndarray) -> np.ndarray:
    if name := curve.x or drawing.x:
        return np.mean(columns[name], 0)
    return np.arange(1, values.shape[1] + 1)


def _theirs(axes: Axes, experiment: str, drawing: Drawing, panel: Panel, net: str, *, alone: bool) -> list:
    """Draw the paper's curves of a panel; returns their values. Where they are `alone`, no curve of ours says in the
    legend what they are."""
    drawn = []
    for place, _, words in drawing.marks:
        if isinstance(place, str) and (at := published(experiment, net, place)):
            mark = words if alone else None
            axes.axvline(float(at), color=PAPER, linewidth=1, linestyle="-.", label=mark)
    for curve in panel.curves:
        if experiment in ("fig4", "fig6"):  # one series of points per curve
            x, y = paper.curve(experiment, net, curve.column).values()  # type: ignore[arg-type]
        else:
            assert drawing.x
            found = paper.curve(experiment, net)  # type: ignore[arg-type]
            x, y = found[drawing.x], found[curve.column]
        name = (curve.words or None) if alone else None
        axes.plot(x, y, curve.style, color=PAPER, linewidth=1.2, zorder=1, label=name)
        drawn.append(y)
    return drawn


def frame(axes: Axes, values: np.ndarray, log: bool) -> None:
    """Limit y to twice the range of the seeds' own values: the interval of two seeds can be many times as wide."""
    values = values[np.isfinite(values)]
    if len(values):
        ends = np.log([values.min(), values.max()]) if log else np.array([values.min(), values.max()])
        low, high = ends + np.array([-0.5, 0.5]) * (np.ptp(ends) or 1)
        low, high = np.exp([low, high]) if log else (low, high)
        bottom, top = axes.get_ylim()
        axes.set_ylim(max(bottom, low), min(top, high))


def _lines(drawing: Drawing) -> int:
    """Lines of the legend above each panel, two words a line where they are short."""
    words = [mark[2] for mark in drawing.marks]
    names = [words + [curve.words for curve in panel.curves if curve.words] for panel in drawing.panels]
    return max(math.ceil(len(one) / _beside(one)) for one in names)


def _beside(words: Sequence[str]) -> int:
    """Columns of a legend."""
    return 2 if max(map(len, words), default=0) <= 14 else 1


def _legend(axes: Axes, title: str, lines: int) -> None:
    """Title and legend above a panel, as many lines in each panel of a figure, so that their axes are of one height."""
    named_lines = [line for line in axes.lines if not str(line.get_label()).startswith("_")]
    columns = _beside([str(line.get_label()) for line in named_lines])
    named_lines += [Line2D([], [], alpha=0, label=" ") for _ in range(lines * columns - len(named_lines))]
    place: Any = {
        "loc": "outside upper left",
        "alignment": "left",
        "borderpad": 0,
        "borderaxespad": 0.2,
        "ncols": columns,
    }
    text: Any = {"title": title, "title_fontsize": 11, "fontsize": SMALLER, "labelcolor": "linecolor"}
    axes.figure.legend(handles=named_lines, **place, **text)


def _told(rows: list[dict], across: str) -> str:
    """All curves in words."""
    curves: dict[tuple, list] = {}
    for row in rows:
        curves.setdefault((row["network"], row["curve"]), []).append((row[across], row["mean"]))
    return "; ".join(course(f"{net}, {name},", *zip(*points)) for (net, name), points in curves.items()) + "."
