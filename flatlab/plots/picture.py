"""What a figure function returns: a picture with the numbers in it, shown together by one cell.

On a page the panels are inline SVG, so that they take the page's own text colour in light and in dark mode, wrap under
one another on a phone, and keep their letters at the size of small print or larger. As a file they are one SVG, which
can stand on any ground.
"""

from __future__ import annotations

import base64
import csv
import html
import io
import math
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import ArrayLike

from flatlab.files import write_whole
from flatlab.plots.style import STYLE, TEXT, WIDE, spell
from flatlab.plots.tables import SUBSCRIPT, called, named, readable, with_commas

# percent of a colour that is left when it is mixed with the page's text colour: 4.5 to 1 on white and on black
INK_PERCENT = 75
ACROSS = 700  # points: as wide as panels stand side by side in a file
GAP = 8  # points between two panels
LAYER = "layer-"  # what the gid of an artist begins with that is drawn for one position of a slider only
WIDEST = 8  # letters of a number of that table, unless it needs more
SHOWN = 40  # rows of the table on a page; the file has all


@dataclass(frozen=True)
class Picture:
    """A drawn figure and what it shows.

    Attributes
    ----------
    panels : sequence of matplotlib.figure.Figure
        Side by side where there is room, else under one another.
    table : list of dict
        The numbers that are drawn, one dict a row, all with the same keys.
    stamp : str
        Tier, data and number of seeds, by `flatlab.plots.style.stamp`.
    alt : str
        The picture in words, for a reader who does not see it; made from the numbers, by `spoken`.
    name : str
        What the file with the table is called, without its ending; a hyphen for each blank.
    """

    panels: Sequence[Figure] = field(repr=False)
    table: list[dict[str, Any]] = field(repr=False)
    stamp: str
    alt: str = field(repr=False)
    name: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "alt", spoken(self.alt))
        object.__setattr__(self, "name", self.name.replace(" ", "-"))
        for panel in self.panels:  # laid out once: each further time moves it by a hair
            for words in panel.findobj(Text):
                words.set_text(with_commas(words.get_text()))
            with matplotlib.rc_context(STYLE):
                for axes in panel.axes:
                    spell(axes)
                panel.draw_without_rendering()
            panel.set_layout_engine("none")

    def _repr_html_(self) -> str:
        return f'<div class="picture">{side_by_side(self)}{beneath(self)}</div>'

    def svg(self) -> str:
        """All panels and the stamp as one SVG that stands on any ground, as a text."""
        lines: list[list[Figure]] = [[]]
        for panel in self.panels:
            if sum(_size(one)[0] + GAP for one in [*lines[-1], panel]) > ACROSS + GAP and lines[-1]:
                lines.append([])
            lines[-1].append(panel)
        width = max(sum(_size(one)[0] + GAP for one in line) - GAP for line in lines)
        lines.append([_words(self.stamp, width)])
        drawn, y = "", 0.0
        for line in lines:
            x = 0.0
            for panel in line:
                panel_svg = _svg(panel, self.name).replace("<svg ", f'<svg x="{x:g}" y="{y:g}" ', 1)
                # the unit of the whole is a point: 300pt inside it would be 400 of them
                drawn += re.sub(r' (width|height)="([\d.]+)pt"', r' \1="\2"', panel_svg, count=2)
                x += _size(panel)[0] + GAP
            y += max(_size(panel)[1] for panel in line) + GAP
        size = f'width="{width:g}pt" height="{y:g}pt" viewBox="0 0 {width:g} {y:g}"'
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {size} role="img" '
            f'aria-label="{html.escape(self.alt)}">{drawn}</svg>\n'
        )

    def save(self, path: str | Path) -> None:
        """Write the picture as an SVG file, whole or not at all.

        Parameters
        ----------
        path : str or pathlib.Path
            Of the file.
        """
        write_whole(path, self.svg().encode())


def rows_of(columns: Mapping[str, Iterable[Any]]) -> list[dict[str, Any]]:
    """Columns of one length as rows.

    Parameters
    ----------
    columns : mapping of str to iterable
        {name: values}.

    Returns
    -------
    list of dict
        {name: value} for each place.

    Raises
    ------
    ValueError
        If the columns differ in length.
    """
    return [dict(zip(columns, values)) for values in zip(*columns.values(), strict=True)]


def spoken(words: str) -> str:
    """A text as it is read aloud: letters for a formula, words for a column's key, numbers as a reader writes them."""
    words = re.sub(r"[$\\{}]", "", words)
    words = re.sub(r"\blambda_(\d)", lambda found: f"λ{found[1].translate(SUBSCRIPT)}", words)
    words = re.sub(r"\b(\w+)_acc\b", r"\1 accuracy", re.sub(r"\bsharp_(?=\d)", "sharpness at ", words))
    return readable(re.sub(r"(?<!lambda)(?<=\w\w)_(?=\w)", " ", words))


def side_by_side(picture: Picture) -> str:
    """The panels of a picture as one image of a page: they stand under one another where there is too little room."""
    drawn = "".join(_on_a_page(panel, f"{picture.name} {number}") for number, panel in enumerate(picture.panels))
    style = f"display: flex; flex-wrap: wrap; gap: {GAP}px"
    return f'<div role="img" aria-label="{html.escape(picture.alt)}" style="{style}">{drawn}</div>'


def _on_a_page(figure: Figure, key: str) -> str:
    """A figure as an inline SVG: words in the page's text colour, colours mixed with it, letters as text, as wide as
    there is room.

    It is never wider than four thirds of the figure's size, one CSS pixel a point. On a phone the widest panel fills
    what it stands in, and a narrower one as much less as it is narrower, so that the letters of all are of one size.
    `key` is what the ids inside are made from: another one for each figure of a page.
    """
    width, _ = _size(figure)
    share = min(100, 100 * width / (72 * WIDE))
    style = f"flex: 1 1 {width:.0f}px; min-width: 0; max-width: min({share:.1f}%, {4 * width / 3:.0f}px); height: auto"
    svg = _svg(figure, key, letters="none").replace("<svg ", f'<svg style="{style}" ', 1)
    svg = re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2).replace(TEXT.lower(), "currentColor")
    # a browser from before 2023 takes the first
    mixed = rf"\1: \2; \1: color-mix(in srgb, \2 {INK_PERCENT}%, currentColor)"
    return re.sub(r"(fill|stroke): (#[0-9a-f]{6})", mixed, svg)


# Columns that hold names of the code, and the function that gives a reader's name.
SPELT = {"net": called, "network": called, "data": named}


def _read(column: str, value: Any) -> Any:
    return SPELT[column](value) if column in SPELT else value


def beneath(picture: Picture) -> str:
    """What stands under a picture: its stamp, and its table folded away."""
    return f'<p class="picture-stamp">{html.escape(picture.stamp)}</p>{folded(picture.table, picture.name)}'


def folded(rows: Sequence[Mapping[str, Any]], name: str) -> str:
    """Rows folded away, as a table to read and as the file NAME.csv, which has the numbers and names of the code."""
    columns = list(rows[0])
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *(row.values() for row in rows)])
    link = f"data:text/csv;base64,{base64.b64encode(text.getvalue().encode()).decode()}"
    file = f"{html.escape(name)}.csv"
    head = "".join(f'<th scope="col">{_cell(column)}</th>' for column in columns)
    shown = zip(*(_column([_read(column, row[column]) for row in rows[:SHOWN]]) for column in columns))
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in shown)
    more = f"<p>and {len(rows) - SHOWN} rows more in the file</p>" if len(rows) > SHOWN else ""
    return (
        f'<details class="figure-data"><summary>The data of this figure</summary>'
        f'<p><a download="{file}" href="{link}">{file}</a></p>'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}</details>"
    )


def course(name: str, x: ArrayLike, y: ArrayLike) -> str:
    """A curve in words: both its ends, and what lies below or above both of them.

    Parameters
    ----------
    name : str
        Of the curve.
    x, y : arrays of one length
        Its points; those whose y is not finite are left out.

    Returns
    -------
    str
        For instance "loss from 2 at 0 to 3 at 1, lowest 0.5 at 0.25".
    """
    points = [(float(a), float(b)) for a, b in zip(np.asarray(x), np.asarray(y)) if math.isfinite(b)]
    if not points:
        return f"{name} nowhere"
    (x0, y0), (x1, y1) = points[0], points[-1]
    if len(points) == 1:
        return f"{name} {y0:.3g} at {x0:.3g}"
    (xl, low), (xh, high) = (choose(points, key=lambda point: point[1]) for choose in (min, max))
    words = f"{name} from {y0:.3g} at {x0:.3g} to {y1:.3g} at {x1:.3g}"
    words += f", lowest {low:.3g} at {xl:.3g}" if low < min(y0, y1) else ""
    return words + (f", highest {high:.3g} at {xh:.3g}" if high > max(y0, y1) else "")


def _column(values: Sequence[Any]) -> list[str]:
    """Cells of a column. Its numbers have as many decimals as the longest of them, so that they stand point under
    point, where this takes no more than `WIDEST` letters: not where they range over decades."""
    numbers = [value for value in values if isinstance(value, float) and math.isfinite(value)]
    words = [f"{value:.5g}" for value in numbers]
    even = f".{max((len(word.partition('.')[2]) for word in words), default=0)}f"
    fits = not any("e" in word for word in words) and all(len(f"{value:{even}}") <= WIDEST for value in numbers)
    return [_cell(value, even if fits else ".5g") for value in values]


def _cell(value: Any, spelled: str = ".5g") -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else readable(f"{value:,{spelled}}")
    if isinstance(value, Integral) and not isinstance(value, bool):
        return readable(f"{value:,}")
    return html.escape(readable(str(value).replace("_", " ")))


def _size(figure: Figure) -> tuple[float, float]:
    """Width and height in points."""
    return 72 * figure.get_figwidth(), 72 * figure.get_figheight()


def _words(text: str, width: float) -> Figure:
    """Words as a figure, in as many lines as they take."""
    size = 9
    lines = textwrap.wrap(text, int(width / (0.62 * size)))
    figure = Figure(figsize=(width / 72, 0.2 * len(lines)))
    figure.text(0, 1, "\n".join(lines), fontsize=size, color=TEXT, va="top")
    return figure


def _svg(figure: Figure, key: str, letters: str = "path") -> str:
    """A figure as an svg element without what nobody reads: prologue, metadata, ids that nothing refers to."""
    file = io.StringIO()
    with matplotlib.rc_context({**STYLE, "svg.fonttype": letters, "svg.hashsalt": key}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    svg = file.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(rf' id="{LAYER}(\d+)"', r' data-layer="\1"', svg)
    used = set(re.findall(r'(?:url\(|href=")#([^")]+)', svg))
    return re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", svg).strip()
