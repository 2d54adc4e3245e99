"""What is drawn of each experiment: columns, panels and axes as data. `flatlab.plots.results` draws them."""

from typing import NamedTuple

from flatlab.plots.style import BETWEEN, LARGE, SMALL, TEXT


class Curve(NamedTuple):
    """A column; one that holds a single number a seed is drawn as a level."""

    column: str
    words: str = ""
    colour: str = TEXT
    style: str = "-"
    x: str | None = None  # column to draw it against, where it is not the drawing's


class Panel(NamedTuple):
    """Curves on one pair of axes."""

    label: str  # of the y axis
    curves: tuple
    log: bool = False  # y in the logarithm, mean and interval too
    x: str | None = None  # label of the x axis, where it is not the drawing's


class Drawing(NamedTuple):
    """How an experiment's columns are drawn: one row of panels for each network."""

    x: str | None  # column of x; None: counted from 1
    label: str
    panels: tuple
    log: bool = False  # x in the logarithm
    reverse: bool = False  # x falls to the right
    marks: tuple = ()  # (x or the column that holds it, colour, words)
    paper: tuple = ()  # networks of the paper's figure; the first where ours has none of them


EPSILONS = (("1e-3", "-"), ("5e-4", ":"))


def both(small, large):
    """The columns of the small and of the large batch."""
    return Curve(small, "small batch", SMALL, "-"), Curve(large, "large batch", LARGE, "--")


def parts(kind):
    """A column on both splits."""
    return Curve(f"{kind}_train", "training", BETWEEN), Curve(f"{kind}_test", "test", BETWEEN, "--")


def sharpness(colour):
    """phi at the paper's two eps."""
    curves = tuple(Curve(f"sharp_{eps}", f"$\\varepsilon$ = {eps}", colour, style) for eps, style in EPSILONS)
    return Panel("$\\phi$, %", curves, log=True)


def on_the_way(eps):
    """phi of both batch sizes against their own cross entropy."""
    curves = (
        Curve(f"SB_{eps}", "small batch", SMALL, "-", "SB_cross_entropy"),
        Curve(f"LB_{eps}", "large batch", LARGE, "--", "LB_cross_entropy"),
    )
    return Panel(f"$\\phi$({eps}), %", curves, log=True)


def descent(x):
    """The excess loss of both batch sizes against their own updates or seconds."""
    curves = (
        Curve("few excess", "few rows a batch", SMALL, "-", f"few {x}"),
        Curve("all excess", "all rows", LARGE, "--", f"all {x}"),
    )
    return Panel("excess loss", curves, log=True, x={"update": "updates"}.get(x, x))


PATH = Drawing(
    "alpha",
    "$\\alpha$",
    (Panel("loss, nats", parts("loss")), Panel("accuracy, %", parts("acc"))),
    marks=((0, SMALL, "small batch"), (1, LARGE, "large batch")),
    paper=("F1", "F2", "C1", "C2", "C3", "C4"),
)

DRAWINGS = {
    "fig2": Drawing(
        "epoch",
        "epoch",
        paper=("C1", "F2"),
        panels=(
            Panel("test accuracy, %", both("SB_test", "LB_test")),
            Panel("training accuracy, %", both("SB_train", "LB_train")),
        ),
    ),
    "fig3": PATH,
    "fig4": Drawing(
        "batch_size",
        "batch size",
        (Panel("test accuracy, %", (Curve("test_acc", colour=BETWEEN),)), sharpness(BETWEEN)),
        log=True,
        marks=(("threshold", BETWEEN, "threshold"),),
        paper=("C1", "F2"),
    ),
    "fig5": Drawing(
        "sb_epoch",
        "epoch of the small batch",
        paper=("C1", "F2"),
        panels=(
            Panel(
                "test accuracy, %",
                (Curve("SB_acc", "small batch, so far", SMALL), Curve("PB_acc", "large batch from there", LARGE, "--")),
            ),
            sharpness(LARGE),
        ),
    ),
    "fig6": Drawing(
        None,
        "cross entropy, nats",
        tuple(on_the_way(eps) for eps, _ in EPSILONS),
        log=True,
        reverse=True,
        paper=("C1", "F2"),
    ),
    "fig7": PATH,
    "spectrum": Drawing(None, "rank", (Panel("eigenvalue", both("SB eigenvalues", "LB eigenvalues"), log=True),)),
    "lenet-sweep": Drawing(
        "batch_size",
        "batch size",
        log=True,
        panels=(
            Panel("test accuracy, %", (Curve("test_acc"), Curve("goal", "to be reached", style=":"))),
            Panel("seconds per epoch", (Curve("seconds per epoch"),), log=True),
            Panel("epochs to reach it", (Curve("epochs"),), log=True),
            Panel("seconds to reach it", (Curve("seconds"),), log=True),
        ),
    ),
    "regression": Drawing(None, "", (descent("update"), descent("seconds")), log=True),
    "gradient-error": Drawing(
        "batch_size",
        "batch size",
        log=True,
        panels=(
            Panel(
                "relative error",
                (Curve("error start", "at the start", style=":"), Curve("error end", "at the end")),
                log=True,
            ),
            Panel(
                "seconds",
                (Curve("seconds start", "at the start", style=":"), Curve("seconds end", "at the end")),
                log=True,
            ),
        ),
    ),
    "part-of-the-data": Drawing(
        "share",
        "share of the training set",
        (
            Panel(
                "cosine with the whole",
                (
                    Curve("cosine start", "part, at the start", SMALL),
                    Curve("cosine fresh start", "fresh data, at the start", SMALL, ":"),
                    Curve("cosine end", "part, at the end", LARGE),
                    Curve("cosine fresh end", "fresh data, at the end", LARGE, ":"),
                ),
            ),
        ),
        log=True,
    ),
    "stable-step": Drawing(
        "share",
        "step, as a share of $2 / \\lambda_{max}$",
        (Panel("growth of the loss", (Curve("growth"),), log=True),),
        marks=((1, TEXT, "a quadratic's limit"),),
    ),
    "throughput": Drawing(
        "batch_size", "batch size", (Panel("rows per second", (Curve("rows per second"),), log=True),), log=True
    ),
}
