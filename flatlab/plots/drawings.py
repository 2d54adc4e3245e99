"""What is drawn of each experiment: columns, panels and axes as data. `flatlab.plots.results` draws them."""

import math
from typing import NamedTuple

from flatlab.plots.style import BETWEEN, CONTROL, LARGE, SMALL, TEXT
from flatlab.study import columns, paper
from flatlab.study.columns import at, of, phi_series, series, written


class Curve(NamedTuple):
    """A column; one that holds a single number a seed is drawn as a level."""

    column: str
    words: str = ""
    colour: str = BETWEEN
    style: str = "-"
    x: str | None = None  # column to draw it against, where it is not the drawing's


class Panel(NamedTuple):
    """Curves on one pair of axes."""

    label: str  # of the y axis
    curves: tuple[Curve, ...]
    log: bool = False  # y in the logarithm, mean and interval too
    most: float = math.inf  # what y cannot exceed, and so no interval either
    x: str | None = None  # label of the x axis, where it is not the drawing's


class Drawing(NamedTuple):
    """How an experiment's columns are drawn: some panels for each network."""

    x: str | None  # column of x; None: counted from 1
    label: str
    panels: tuple[Panel, ...]
    log: bool = False  # x in the logarithm
    reverse: bool = False  # x falls to the right
    marks: tuple[tuple[float | str, str, str], ...] = ()  # (x or the column that holds it, colour, words)
    paper: tuple[str, ...] = ()  # networks of the paper's figure; the first where ours has none of them


def both(small: str, large: str) -> tuple[Curve, ...]:
    """The columns of the small and of the large batch."""
    return Curve(small, "small batch", SMALL, "-"), Curve(large, "large batch", LARGE, "--")


def parts(kind: str) -> tuple[Curve, ...]:
    """A column on both splits."""
    return Curve(series(kind, "train"), "training"), Curve(series(kind, "test"), "test", style="--")


def places(what: str) -> tuple[Curve, ...]:
    """A column at the start and at the end."""
    return Curve(at(what, "start"), "at the start", style=":"), Curve(at(what, "end"), "at the end")


def sharpness(colour: str) -> Panel:
    """phi at the paper's two eps."""
    curves = tuple(
        Curve(phi_series(eps), f"$\\varepsilon$ = {written(eps)}", colour, style)
        for eps, style in zip(paper.EPSILONS, "-:")
    )
    return Panel("$\\phi$, %", curves, log=True)


def on_the_way(eps: float) -> Panel:
    """phi of both batch sizes against their own cross entropy."""
    curves = both(phi_series(eps, "SB"), phi_series(eps, "LB"))
    against = [curve._replace(x=series(label, "cross_entropy")) for curve, label in zip(curves, ("SB", "LB"))]
    return Panel(f"$\\phi$({written(eps)}), %", tuple(against), log=True)


def descent(x: str, label: str) -> Panel:
    """The excess loss of both batch sizes against their own updates or seconds."""
    curves = (
        Curve(of("few", "excess"), "few rows a batch", SMALL, "-", of("few", x)),
        Curve(of("all", "excess"), "all rows", LARGE, "--", of("all", x)),
    )
    return Panel("excess loss", curves, log=True, x=label)


PATH = Drawing(
    "alpha",
    "$\\alpha$",
    (Panel("loss, nats", parts("loss")), Panel("accuracy, %", parts("acc"), most=100)),
    marks=((0, SMALL, "small batch"), (1, LARGE, "large batch")),
    paper=("F1", "F2", "C1", "C2", "C3", "C4"),
)
TEST = series("test", "acc")

DRAWINGS = {
    "fig2": Drawing(
        columns.EPOCH,
        "epoch",
        paper=("C1", "F2"),
        panels=tuple(
            Panel(f"{words} accuracy, %", both(series("SB", part), series("LB", part)), most=100)
            for part, words in (("test", "test"), ("train", "training"))
        ),
    ),
    "fig3": PATH,
    "fig4": Drawing(
        columns.BATCH_SIZE,
        "batch size",
        (Panel("test accuracy, %", (Curve(TEST),), most=100), sharpness(BETWEEN)),
        log=True,
        marks=((columns.THRESHOLD, BETWEEN, "threshold"),),
        paper=("C1", "F2"),
    ),
    "fig5": Drawing(
        "sb_epoch",
        "epoch of the small batch",
        paper=("C1", "F2"),
        panels=(
            Panel(
                "test accuracy, %",
                (
                    Curve(series("SB", "acc"), "small batch, so far", SMALL),
                    Curve(series("PB", "acc"), "large batch from there", LARGE, "--"),
                ),
                most=100,
            ),
            sharpness(LARGE),
        ),
    ),
    "fig6": Drawing(
        None,
        "cross entropy, nats",
        tuple(on_the_way(eps) for eps in paper.EPSILONS),
        log=True,
        reverse=True,
        paper=("C1", "F2"),
    ),
    "fig7": PATH,
    "spectrum": Drawing(
        None, "rank", (Panel("eigenvalue", both(of("SB", "eigenvalues"), of("LB", "eigenvalues")), log=True),)
    ),
    "lenet-sweep": Drawing(
        columns.BATCH_SIZE,
        "batch size",
        log=True,
        panels=(
            Panel("test accuracy, %", (Curve(TEST), Curve(columns.GOAL, "to be reached", TEXT, ":")), most=100),
            Panel("seconds per epoch", (Curve(columns.SECONDS_PER_EPOCH),), log=True),
            Panel("epochs to reach it", (Curve(columns.EPOCHS),), log=True),
            Panel("seconds to reach it", (Curve(columns.SECONDS),), log=True),
        ),
    ),
    "regression": Drawing(None, "", (descent("update", "updates"), descent(columns.SECONDS, "seconds")), log=True),
    "gradient-error": Drawing(
        columns.BATCH_SIZE,
        "batch size",
        log=True,
        panels=(
            Panel("relative error", places("error"), log=True),
            Panel("seconds", places(columns.SECONDS), log=True),
        ),
    ),
    "part-of-the-data": Drawing(
        columns.SHARE,
        "share of the training set",
        (
            Panel(
                "cosine with the whole",
                (
                    Curve(at("cosine", "start"), "part, at the start"),
                    Curve(at("cosine fresh", "start"), "fresh data, at the start", style=":"),
                    Curve(at("cosine", "end"), "part, at the end", CONTROL),
                    Curve(at("cosine fresh", "end"), "fresh data, at the end", CONTROL, ":"),
                ),
            ),
        ),
        log=True,
    ),
    "stable-step": Drawing(
        columns.SHARE,
        "step, as a share of $2 / \\lambda_{max}$",
        (Panel("growth of the loss", (Curve(columns.GROWTH),), log=True),),
        marks=((1, TEXT, "a quadratic's limit"),),
    ),
    "throughput": Drawing(
        columns.BATCH_SIZE,
        "batch size",
        (Panel("rows per second", (Curve(columns.ROWS_PER_SECOND),), log=True),),
        log=True,
    ),
}
