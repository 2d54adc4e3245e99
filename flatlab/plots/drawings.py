"""What is drawn of each experiment: columns, panels and axes as data. `flatlab.plots.results` draws them."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from flatlab.plots.style import BETWEEN, CONTROL, LARGE, SMALL, TEXT
from flatlab.plots.tables import readable
from flatlab.study import columns, paper
from flatlab.study.columns import at, of, phi_series, series, written
from flatlab.study.cures import CURES


class Curve(NamedTuple):
    """A column; one that holds a single number per seed is drawn as a level."""

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
        Curve(phi_series(eps), f"ε = {readable(written(eps))}", colour, style)
        for eps, style in zip(paper.EPSILONS, "-:")
    )
    return Panel("$\\phi$, %", curves, log=True)


def on_the_way(eps: float) -> Panel:
    """phi of both batch sizes against their own cross entropy."""
    curves = both(phi_series(eps, "SB"), phi_series(eps, "LB"))
    against = [curve._replace(x=series(label, columns.CROSS_ENTROPY)) for curve, label in zip(curves, ("SB", "LB"))]
    return Panel(f"$\\phi$({readable(written(eps))}), %", tuple(against), log=True)


def descent(x: str, label: str) -> Panel:
    """The excess loss of both batch sizes against their own updates or seconds."""
    curves = (
        Curve(of("few", columns.EXCESS), "few rows per batch", SMALL, "-", of("few", x)),
        Curve(of("all", columns.EXCESS), "all rows", LARGE, "--", of("all", x)),
    )
    return Panel("excess loss", curves, log=True, x=label)


ALONG_A_PATH = Drawing(
    columns.ALPHA,
    "$\\alpha$",
    (Panel("loss, nats", parts(columns.LOSS)), Panel("accuracy, %", parts("acc"), most=100)),
    marks=((0, SMALL, "small batch"), (1, LARGE, "large batch")),
    paper=("F1", "F2", "C1", "C2", "C3", "C4"),
)
TEST = columns.accuracy("test")

BY_SIZE = (Panel("test accuracy, %", (Curve(TEST),), most=100), sharpness(BETWEEN))


# What the dose of a cure is called.
DOSES = {
    "augmentation": "times the paper's",
    "conservative": "λ",
    "adversarial": "radius",
    "stability": "noise",
    "gradient-noise": "noise over gradient",
    "sampled-noise": "rows",
    "iterate-noise": "noise over weights",
    "input-noise": "noise",
    "label-noise": "share",
    "gradient-penalty": "weight",
    "momentum": "momentum",
    "weight-decay": "weight",
    "sam": "ρ",
    "asam": "ρ",
    "lars": "coefficient",
    "lamb": "rate",
}


def at_doses(name: str, long: bool, log: bool = True) -> Drawing:
    """A cure along its doses, the small and the large batch as levels; `long`: also the large batch for as many
    gradients."""

    def curves(cure: str, level: Callable[[str], str]) -> tuple[Curve, ...]:
        more = (Curve(level("LB long"), "as many gradients", LARGE, ":"),) if long else ()
        return (Curve(cure, "large batch with the cure", CONTROL), *both(level("SB"), level("LB")), *more)

    accuracy = Panel("test accuracy, %", curves(series(columns.CURE, "test"), columns.test), most=100)
    phi = Panel("$\\phi$, %", curves(phi_series(1e-3, columns.CURE), columns.phi), log=True)
    return Drawing(columns.DOSE, f"dose ({DOSES[name]})", (accuracy, phi), log=log)


def means_and_last_points(kind: Callable[[str], str], level: Callable[[str], str]) -> tuple[Curve, ...]:
    """The mean of a run's last points along the windows, and its last point as a level."""
    runs = (("SB", "small batch", SMALL), ("LB", "large batch", LARGE), ("LB root", "root rule", CONTROL))
    means = tuple(Curve(kind(f"{label} averaged"), f"{words}, mean", colour) for label, words, colour in runs)
    return *means, *(Curve(level(label), f"{words}, last point", colour, ":") for label, words, colour in runs)


def growing_batch(growing: str, level: Callable[[str], str]) -> tuple[Curve, ...]:
    """A growing batch along the shares of the epochs over which it grows, and as levels what it stands beside."""
    falling = Curve(level("decaying"), "small batch, rate falls", SMALL, ":")
    return Curve(growing, "growing batch", CONTROL), *both(level("SB"), level("LB")), falling


def ratio_and_rate(kind: str) -> tuple[Curve, ...]:
    """A column of the batch sizes at one ratio of rate to batch size, and of those at one rate."""
    return (
        Curve(series(columns.RATIO, kind), "one ratio", BETWEEN, "-", of(columns.RATIO, columns.BATCH_SIZE)),
        Curve(series(columns.RATE, kind), "one rate", BETWEEN, "--", of(columns.RATE, columns.BATCH_SIZE)),
    )


def along_descent(label: str, descent: str, rates: tuple[str, ...], words: str = "") -> Panel:
    """lambda_max in units of the edge, for some rates."""
    return Panel(
        label, tuple(Curve(of(descent, rate), f"{words}rate {rate}", style=style) for rate, style in zip(rates, "-:"))
    )


def penalised(label: str, kind: str, **panel: Any) -> Panel:
    """A column along the doses of decay, L1 and momentum."""
    styles = {"L2": "-", "L1": "--", "momentum": ":"}
    curves = tuple(Curve(series(name, kind), name, CONTROL, style) for name, style in styles.items())
    return Panel(label, curves, **panel)


OF_THE_EDGE = "$\\lambda_{\\max}$ × rate / 2"

DRAWINGS = {
    **{name: at_doses(name, cure.gradients > 1, log=min(cure.doses) > 0) for name, cure in CURES.items()},
    "swa": Drawing(
        columns.DOSE,
        "share of epochs, the last",
        (
            Panel("test accuracy, %", means_and_last_points(lambda run: series(run, "test"), columns.test), most=100),
            Panel("$\\phi$, %", means_and_last_points(lambda run: phi_series(1e-3, run), columns.phi), log=True),
        ),
        log=True,
    ),
    "dynamic": Drawing(
        columns.DOSE,
        "share of epochs, growing",
        (
            Panel("test accuracy, %", growing_batch(series("growing", "test"), columns.test), most=100),
            Panel("$\\phi$, %", growing_batch(phi_series(1e-3, "growing"), columns.phi), log=True),
        ),
        log=True,
    ),
    "learning-rate": Drawing(
        columns.FACTOR,
        "rate, in units of the paper's",
        (
            Panel("test accuracy, %", both(series("SB", "test"), series("LB", "test")), most=100),
            Panel("$\\phi$, %", both(phi_series(1e-3, "SB"), phi_series(1e-3, "LB")), log=True),
        ),
        log=True,
    ),
    "ratio": Drawing(
        None,
        "batch size",
        (
            Panel("test accuracy, %", ratio_and_rate("test"), most=100),
            Panel("$\\lambda_{\\max}$", ratio_and_rate(columns.CURVATURE), log=True),
        ),
        log=True,
    ),
    "threshold-root": Drawing(columns.BATCH_SIZE, "batch size", BY_SIZE, log=True),
    "edge": Drawing(
        columns.STEP,
        "step",
        tuple(along_descent(OF_THE_EDGE, loss, ("0.05", "0.1"), f"{loss}, ") for loss in ("squared", "cross entropy")),
    ),
    "edge-by-batch": Drawing(
        columns.BATCH_SIZE,
        "batch size",
        (
            Panel(
                "curvature × rate / 2",
                (
                    Curve(columns.CURVATURE, "all rows", BETWEEN, "--"),
                    Curve(columns.BATCH_CURVATURE, "a batch, along its gradient"),
                ),
            ),
        ),
        log=True,
    ),
    "adam-edge": Drawing(
        columns.STEP, "step", (along_descent("Adam's $\\lambda_{\\max}$ × rate / 38", "adam", ("0.0001", "0.0003")),)
    ),
    "regularisers": Drawing(
        None,
        "dose, counted from the mildest",
        (
            penalised("training accuracy, %", "train", most=100),
            penalised("length of $x$", columns.NORM, log=True),
            penalised("share of weights near zero", columns.NEAR_ZERO, log=True),
        ),
    ),
    "noise-along": Drawing(
        columns.EPOCH,
        "epoch",
        (
            Panel(
                "noise scale, rows",
                (Curve(columns.EXACT, "exact"), Curve(columns.TWO_BATCHES, "by two batches", style=":")),
                log=True,
            ),
        ),
    ),
    "critical-batch": Drawing(
        columns.BATCH_SIZE,
        "batch size",
        (
            Panel(
                "updates to the target",
                (
                    Curve(at(columns.UPDATES, "1/1"), "all rows"),
                    Curve(at(columns.UPDATES, "1/4"), "a quarter", style=":"),
                ),
                log=True,
            ),
        ),
        log=True,
    ),
    "planes": Drawing(
        columns.ALPHA,
        "filter-normalised move",
        (Panel("loss, nats", both(of("SB", columns.SLICE), of("LB", columns.SLICE))),),
    ),
    "fig2": Drawing(
        columns.EPOCH,
        "epoch",
        paper=("C1", "F2"),
        panels=tuple(
            Panel(f"{words} accuracy, %", both(series("SB", part), series("LB", part)), most=100)
            for part, words in (("test", "test"), ("train", "training"))
        ),
    ),
    "fig3": ALONG_A_PATH,
    "fig4": Drawing(
        columns.BATCH_SIZE,
        "batch size",
        BY_SIZE,
        log=True,
        marks=((columns.THRESHOLD, BETWEEN, "threshold"),),
        paper=("C1", "F2"),
    ),
    "fig5": Drawing(
        columns.EPOCH_OF_THE_SMALL_BATCH,
        "epoch of the small batch",
        paper=("C1", "F2"),
        panels=(
            Panel(
                "test accuracy, %",
                (
                    Curve(columns.accuracy("SB"), "small batch, so far", SMALL),
                    Curve(columns.accuracy("PB"), "large batch from there", LARGE, "--"),
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
    "fig7": ALONG_A_PATH,
    "spectrum": Drawing(
        None,
        "rank",
        (
            Panel(
                "eigenvalue",
                (
                    *both(of("SB", columns.EIGENVALUES), of("LB", columns.EIGENVALUES)),
                    Curve(of("start", columns.EIGENVALUES), "at the start", style=":"),
                ),
                log=True,
            ),
        ),
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
    "regression": Drawing(
        None, "", (descent(columns.UPDATE, "updates"), descent(columns.SECONDS, "seconds")), log=True
    ),
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
        tuple(
            Panel(
                f"cosine, at the {place}",
                (
                    Curve(at(columns.COSINE, place), "a part with the whole"),
                    Curve(at(columns.COSINE_FRESH, place), "fresh data with the whole", style=":"),
                    Curve(columns.NULL, "a part of pure noise", TEXT, "--"),
                ),
            )
            for place in ("start", "end")
        ),
        log=True,
    ),
    "stable-step": Drawing(
        columns.SHARE,
        "step, as a share of $2 / \\lambda_{\\max}$",
        (
            Panel(
                "growth per step",
                (Curve(columns.GROWTH, "measured"), Curve(columns.LAW, "$|1 - 2s|$", TEXT, ":")),
                log=True,
            ),
        ),
        marks=((1, TEXT, "a quadratic's limit"),),
    ),
    "throughput": Drawing(
        columns.BATCH_SIZE,
        "batch size",
        (Panel("rows per second", (Curve(columns.ROWS_PER_SECOND),), log=True),),
        log=True,
    ),
}
