"""The figures of the chapter What a batch costs."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.ticker import LogLocator

from flatlab.plots.picture import Picture, course, rows_of
from flatlab.plots.slides import Slides
from flatlab.plots.style import (
    BETWEEN,
    HALF,
    LARGE,
    PAPER,
    SMALLER,
    TEXT,
    THIRD,
    WIDE,
    batch_axis,
    canvas,
    colours,
    dot,
    label,
    plain_ticks,
    stamp,
    styled,
)
from flatlab.study.columns import EFFICIENCY, ROWS, UPDATES_RATIO, at
from flatlab.study.performance import NOTES, allowed_updates_ratio
from flatlab.study.recorded import Result

STYLES = ("-", ":")
THEIRS = 1 / 4  # the notes' f_s(4) at most: four GPUs take "slightly more" than one


@styled
def clock(
    seconds: Callable[[int, int], float],
    messages: Callable[[int], float],
    updates: Callable[[int], float],
    sizes: Sequence[int],
    workers: Sequence[int],
    data: str,
    start: int = 0,
) -> Slides:
    """Time against the batch size for some number of workers: of 1,000 rows, and to the goal.

    Parameters
    ----------
    seconds : function of (batch size, workers)
        Of an update.
    messages : function of workers
        The part of an update's seconds in which the workers add up their gradients.
    updates : function of batch size
        To the goal, in any unit.
    sizes : sequence of int
        Batch sizes.
    workers : sequence of int
        A position of the slider for each; the first is what the others are compared with.
    data : str
        What the seconds were measured on, in words.
    start : int
        The first position.

    Returns
    -------
    Slides
        One row per number of workers.
    """
    passes, goals, colour = canvas(HALF, 3), canvas(HALF, 3), colours(sizes)
    alone = [updates(m) * seconds(m, workers[0]) for m in sizes]
    least = min(alone)
    passes.plot(sizes, [1000 / m * seconds(m, workers[0]) for m in sizes], ":", color=TEXT)
    goals.plot(sizes, np.array(alone) / least, ":", color=TEXT)
    layers, says, rows = [], [], []
    for count in workers:
        part = [m for m in sizes if m >= count]  # a worker without a row has nothing to do
        time = [updates(m) * seconds(m, count) / least for m in part]
        best = part[int(np.argmin(time))]
        update, talk = seconds(best, count), messages(count)
        layers.append(
            passes.plot(part, [1000 / m * seconds(m, count) for m in part], color=BETWEEN)
            + goals.plot(part, time, color=BETWEEN)
            + passes.plot(best, 1000 / best * update, "o", color=colour[best])
            + goals.plot(best, min(time), "o", color=colour[best])
        )
        faster = 1 / min(time)
        first = f"{count} worker{'s' * (count > 1)}: a batch of {best:,} is first at the goal"
        beside = f", {faster:.3g} times as fast as one worker with its best batch" if count != workers[0] else ""
        talking = f", {100 * talk / update:.0f} % of it messages" if talk else ""
        says.append(f"{first}{beside}. An update takes {1e3 * update:.3g} ms{talking}.")
        rows.append(
            {
                "workers": count,
                "best batch": best,
                "times as fast": faster,
                "ms per update": 1e3 * update,
                "ms of messages": 1e3 * talk,
            }
        )
    for axes, words in ((passes, "seconds per 1,000 rows"), (goals, "time to the goal, relative")):
        axes.set(xscale="log", yscale="log", xlabel="batch size", ylabel=words)
        plain_ticks(axes.xaxis, LogLocator())
        plain_ticks(axes.yaxis, LogLocator())
    passes.set_title("dotted: one worker")
    goals.set_title("dot: the best batch")
    told = [course(name, workers, [row[name] for row in rows]) for name in ("best batch", "times as fast")]
    alt = (
        "First the seconds of a thousand rows against the batch size, then the time to the goal, with a dot at the "
        f"fastest; both logarithmic. Against the number of workers: {'; '.join(told)}."
    )
    picture = Picture([passes.figure, goals.figure], rows, stamp(data, 0), alt, "clock")
    return Slides(picture, layers, "Workers", says, start)


@styled
def update_time(sizes: Sequence[int], seconds: Sequence[float], a: float, b: float, data: str) -> Picture:
    """The seconds of a batch and the rows per second against its size, with the line `t = a + b m` through the seconds.

    Parameters
    ----------
    sizes, seconds : sequence
        Rows in a batch, and what its gradient took.
    a, b : float
        The line's.
    data : str
        The data set's name.

    Returns
    -------
    Picture
        One row per batch size.
    """
    time, speed, m = canvas(HALF), canvas(HALF), np.geomspace(sizes[0], sizes[-1], 60)
    rows, colour = [], colours(sizes)
    time.plot(m, 1e3 * (a + b * m), color=TEXT, linewidth=1)
    speed.plot(m, m / (a + b * m), color=TEXT, linewidth=1)
    for size, took in zip(sizes, seconds):
        time.plot(size, 1e3 * took, "o", color=colour[size])
        speed.plot(size, size / took, "o", color=colour[size])
        rows.append(
            {
                "batch size": size,
                "ms": 1e3 * float(took),
                "ms, fitted": 1e3 * (a + b * size),
                "rows per second": float(size / took),
            }
        )
    for axes, words in ((time, "ms"), (speed, "rows per second")):
        axes.set(xscale="log", yscale="log", xlabel="batch size", ylabel=words)
        plain_ticks(axes.xaxis, LogLocator())
        plain_ticks(axes.yaxis)
    time.set_title("dots: measured, line: fitted")
    told = [course(words, sizes, [row[words] for row in rows]) for words in ("ms", "rows per second")]
    alt = f"Against the batch size, all logarithmic: {'; '.join(told)}."
    return Picture([time.figure, speed.figure], rows, stamp(data, 0), alt, "update-time")


@styled
def three_factors(found: Mapping[str, Mapping[int, tuple[float, int]]], data: str) -> Picture:
    """Seconds per epoch, epochs to the least test loss, and their product, against the batch size.

    Parameters
    ----------
    found : mapping
        {way: {batch size: (seconds per epoch, epochs)}}; at most two ways.
    data : str
        The data set's name.

    Returns
    -------
    Picture
        One row per way and batch size.
    """
    sizes = sorted({m for way in found.values() for m in way})
    colour, panels, rows, told = colours(sizes), [canvas(THIRD) for _ in range(3)], [], []
    names = ("seconds per epoch", "epochs to the least loss", "seconds in all")
    for (way, seen), style in zip(found.items(), STYLES):
        columns = [[each[k] for each in seen.values()] for k in (0, 1)]
        columns.append([seconds * epochs for seconds, epochs in seen.values()])
        for axes, values in zip(panels, columns):
            axes.plot(list(seen), values, style, color=TEXT, linewidth=1)
            for m, value in zip(seen, values):
                axes.plot(m, value, "o", color=colour[m], markerfacecolor=colour[m] if style == "-" else "none")
        rows += rows_of({"way": [way] * len(seen), "batch size": list(seen), **dict(zip(names, columns))})
        told += [f"{way}, {course(name, list(seen), values)}" for name, values in zip(names, columns)]
    for axes, name in zip(panels, names):
        batch_axis(axes, sizes)
        axes.set(title=name, yscale="log")
        plain_ticks(axes.yaxis)
    alt = f"Three panels against the batch size, all logarithmic: {'; '.join(told)}."
    return Picture([axes.figure for axes in panels], rows, stamp(data, 1), alt, "three-factors")


@styled
def appendix_c(result: Result, net: str) -> Picture:
    """Appendix C as a plane: how many rows the large batch takes over the small one's, against the small batch's
    efficiency on several workers.

    Parameters
    ----------
    result : Result
        Of the experiment "performance".
    net : str
        Which of its networks.

    Returns
    -------
    Picture
        One row per point: each seed's, and in grey the paper's example and the study notes' table.

    Notes
    -----
    `I_l B_l / (I_s B_s) = 1 / f_s(P)` on the line; below it the large batch takes less time, if its own efficiency
    is 1.
    """
    values, axes = result.values[net], canvas(WIDE, 3.2)
    small, large, updates, efficiency = (
        np.array(values[name], float) for name in (at(ROWS, "SB"), at(ROWS, "LB"), UPDATES_RATIO, at(EFFICIENCY, "SB"))
    )
    points = [(f"seed {seed}", f, y) for seed, f, y in zip(result.seeds[net], efficiency, updates * large / small)]
    (rows_small, notes_small), (rows_large, notes_large) = sorted(NOTES.items())
    taken = notes_large.epochs / notes_small.epochs  # each epoch is as many rows
    example = allowed_updates_ratio(0.1, 1, 0.2) / 0.1
    theirs = [("the paper's example", 0.2, example), (f"notes, {rows_small} and {rows_large}", THEIRS, taken)]
    line = np.linspace(min(0.15, *efficiency), 1, 80)
    axes.plot(line, 1 / line, color=TEXT, linewidth=1)
    for (name, f, y), away in zip(theirs, ((26, -1), (10, 9))):  # off the line, and the first beside the second's point
        axes.plot(f, y, "o", color=PAPER, markerfacecolor="none")
        label(axes, f, y, name, PAPER, fontsize=SMALLER, xytext=away)
    taken_rows = [y for _, _, y in points]
    axes.plot(efficiency, taken_rows, "o", color=LARGE, markersize=3, mew=0)
    mean = dot(axes, float(efficiency.mean()), taken_rows, LARGE, log=True)
    label(axes, float(efficiency.mean()), mean, "ours", LARGE, xytext=(9, 14))
    low, high = min(0.7, 0.7 * min(taken_rows)), max(9, 1.3 * max(taken_rows))
    axes.set(
        yscale="log",
        ylim=(low, high),
        xlim=(min(line) - 0.04, 1.02),
        xlabel="efficiency of the small batch, $f_s(P)$",
        ylabel="rows, large over small",
    )
    plain_ticks(axes.yaxis)
    axes.text(0.97, 0.95, "large batch is later", transform=axes.transAxes, ha="right", va="top", fontsize=SMALLER)
    axes.text(0.4, 0.05, "large batch is earlier", transform=axes.transAxes, fontsize=SMALLER)
    table = [
        {"point": name, "efficiency": float(f), "rows, large over small": float(y)} for name, f, y in points + theirs
    ]
    told = "; ".join(
        f"{row['point']} at {row['efficiency']:.2f} and {row['rows, large over small']:.2f}" for row in table
    )
    alt = (
        "The rows that the large batch takes over those of the small one, against the small batch's parallel "
        f"efficiency, with a falling curve below which the large batch is earlier: {told}."
    )
    return Picture(
        [axes.figure], table, stamp(result.data[net], len(result.seeds[net]), result.tier), alt, "appendix-c"
    )
