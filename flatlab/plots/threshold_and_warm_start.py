"""The figures of the chapter The threshold, and starting warm: from recorded results to pictures."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba

from flatlab.plots.picture import Picture, course, rows_of
from flatlab.plots.results import frame
from flatlab.plots.slides import Slides
from flatlab.plots.style import (
    CONTROL,
    HALF,
    LARGE,
    PAPER,
    SMALL,
    TEXT,
    WIDE,
    canvas,
    colours,
    dot,
    positive,
    spread,
    stamp_of,
    styled,
)
from flatlab.study import columns, paper
from flatlab.study.columns import phi, phi_series
from flatlab.study.recorded import TIERS, Result, recorded

TEST, PHI = columns.accuracy("test"), phi_series(1e-3)
SMALL_ACCURACY, WARM_ACCURACY = columns.accuracy("SB"), columns.accuracy("PB")
START = columns.EPOCH_OF_THE_SMALL_BATCH
PHI_LABEL = "$\\phi(10^{-3})$, %"
BEHIND = "C1"  # the network whose curves of the paper stand behind ours


def at_one_tier(*experiments: str) -> tuple[str, list[Result]] | None:
    """The results of experiments on one network at the largest tier at which all of them are recorded.

    Parameters
    ----------
    *experiments : str
        Their names.

    Returns
    -------
    (str, list of Result) or None
        The network, C1 where it is among several; None if no tier has all the experiments on one network.
    """
    for tier in reversed(TIERS):
        try:
            results = [recorded(experiment, tier) for experiment in experiments]
        except FileNotFoundError:
            continue
        shared = [net for net in results[0].values if all(net in result.values for result in results)]
        if shared:
            return (BEHIND if BEHIND in shared else shared[0]), results
    return None


@styled
def by_size(result: Result, net: str, start: int = 0) -> Slides:
    """Test accuracy and sharpness against the batch size, one size at a time.

    Parameters
    ----------
    result : Result
        Of `fig4` or `threshold-root`.
    net : str
        One of the result's.
    start : int
        The first position.

    Returns
    -------
    Slides
        A position and a row for each batch size.
    """
    sizes, accuracy, sharp = _curves(result, net)
    colour, panels, levels = colours(sizes), [], {}
    layers: list[list] = [[] for _ in sizes]
    for words, table, log in (("test accuracy, %", accuracy, False), (PHI_LABEL, sharp, True)):
        axes = canvas(HALF, 3)
        _, mean, _ = spread(table, log)
        axes.plot(sizes, mean, color=TEXT, linewidth=1)
        for size, column, level, layer in zip(sizes, table.T, mean, layers):
            dot(axes, size, column, colour[size], log)
            layer += [axes.axvline(size, color=TEXT, linewidth=0.8)]
            layer += axes.plot(size, level, "o", color=colour[size], markersize=11)
        axes.set(xscale="log", xlabel="batch size", yscale="log" if log else "linear", ylabel=words)
        frame(axes, table.ravel(), log)
        levels["sharpness" if log else "test accuracy"] = mean.tolist()
        panels.append(axes)
    (_, right), (_, steep) = levels.items()
    rows = rows_of({"batch size": sizes, "test accuracy": right, "phi(1e-3)": steep})
    alt = f"Against batch size: {'; '.join(course(words, sizes, mean) for words, mean in levels.items())}."
    words = stamp_of(result, net)
    picture = Picture([axes.figure for axes in panels], rows, words, alt, f"{result.experiment}-by-size-{result.tier}")
    return Slides(picture, layers, "Batch size", [_read(row, rows[0]) for row in rows], start)


def _read(row: Mapping[str, float], least: Mapping[str, float]) -> str:
    """A batch size in words, compared with the smallest one."""
    read = f"Batch {row['batch size']}: {row['test accuracy']:.1f} % of the test rows are right, and the sharpness is "
    read += f"{row['phi(1e-3)']:.3g} %"
    if row is least:
        return f"{read}."
    away = row["test accuracy"] - least["test accuracy"]
    times = row["phi(1e-3)"] / least["phi(1e-3)"]
    return f"{read}. Beside batch {least['batch size']} that is {away:+.1f} points and {times:.2g} times the sharpness."


@styled
def beside_the_paper(ways: Mapping[str, Result], net: str, name: str = "threshold") -> Picture:
    """Test accuracy, minus that of the smallest batch, and sharpness against the batch size, the paper's curve behind.

    Parameters
    ----------
    ways : mapping of str to Result
        {"one rate" or another name: a result of `fig4` or `threshold-root`}, at most two; the second is dashed and
        hollow.
    net : str
        A network of them all.
    name : str
        The figure's, of which a page has one.

    Returns
    -------
    Picture
        One row per batch size of each way.
    """
    panels = [canvas(HALF, 3.2), canvas(HALF, 3.2)]
    theirs = [paper.curve("fig4", BEHIND, column) for column in (TEST, PHI)]
    theirs[0]["value"] = theirs[0]["value"] - theirs[0]["value"][0]
    drawn = [[one["value"]] for one in theirs]
    rows: list[dict[str, Any]] = []
    told = []
    for axes, one in zip(panels, theirs):
        axes.plot(one[columns.BATCH_SIZE], one["value"], color=PAPER, linewidth=1.2, zorder=1)
    for hollow, (way, result) in enumerate(ways.items()):
        sizes, accuracy, sharp = _curves(result, net)
        colour, found = colours(sizes), {}
        for axes, seen, table, log in zip(panels, drawn, (accuracy - accuracy[:, :1], sharp), (False, True)):
            low, mean, high = spread(table, log)
            axes.plot(sizes, mean, "--" if hollow else "-", color=TEXT, linewidth=1)
            for size, column in zip(sizes, table.T):
                dot(axes, size, column, colour[size], log, hollow=bool(hollow))
            seen.append(table.ravel())
            found["phi" if log else "points"] = low, mean, high
        for measured, (low, mean, high) in found.items():
            count: dict[str, Any] = {
                "way": [way] * len(sizes),
                "measured": [measured] * len(sizes),
                "batch size": sizes,
            }
            rows += rows_of({**count, "low": low.tolist(), "mean": mean.tolist(), "high": high.tolist()})
            told.append(course(f"{measured} at {way}", sizes, mean))
    for axes, seen, log in zip(panels, drawn, (False, True)):
        words = PHI_LABEL if log else "points above the smallest batch"
        axes.set(xscale="log", xlabel="batch size", yscale="log" if log else "linear", ylabel=words)
        frame(axes, np.concatenate(seen), log)
    panels[0].axhline(0, color=TEXT, linewidth=0.8)
    names = [f"{kind}: {way}" for kind, way in zip(("filled", "hollow"), ways)]
    panels[0].set_title("\n".join(names))
    panels[1].set_title(f"grey: the paper's {BEHIND}" + "\n " * (len(names) - 1))
    alt = (
        f"Against batch size, mean over seeds, points of test accuracy above the smallest batch, and sharpness: "
        f"{'; '.join(told)}. In grey the paper's {BEHIND}: "
        f"{course('points', *theirs[0].values())}; {course('sharpness', *theirs[1].values())}."
    )
    return Picture([axes.figure for axes in panels], rows, stamp_of(next(iter(ways.values())), net), alt, name)


@styled
def warm_starts(result: Result, net: str) -> Picture:
    """The large batch started where the small one was: test accuracy above, sharpness below, the paper's behind.

    Parameters
    ----------
    result : Result
        Of `fig5`.
    net : str
        One of the result's.

    Returns
    -------
    Picture
        One row per start.

    Notes
    -----
    Accuracy is that above the large batch from the start. Epochs are shares of the small batch's, so that runs of
    different lengths lie over one another.
    """
    ours, theirs = result.values[net], paper.curve("fig5", BEHIND)
    above, below = canvas(WIDE, 5, 2, sharex=True)
    epochs = np.array(ours[START][0], float)
    small, large = (np.array(ours[name], float) for name in (SMALL_ACCURACY, WARM_ACCURACY))
    sharp = positive(ours[PHI])
    for style, name in (("-", SMALL_ACCURACY), ("--", WARM_ACCURACY)):
        points = theirs[name] - theirs[WARM_ACCURACY][0]
        above.plot(theirs[START] / theirs[START].max(), points, style, color=PAPER, linewidth=1.2, zorder=1)
    below.plot(theirs[START] / theirs[START].max(), positive(theirs[PHI]), "--", color=PAPER, linewidth=1.2)
    share, start = epochs / epochs.max(), large[:, :1]
    found: dict[str, np.ndarray] = {"epoch": epochs}
    curves = (
        (above, small - start, SMALL, "-", "small batch, points", False),
        (above, large - start, LARGE, "--", "large batch from there, points", False),
        (below, sharp, LARGE, "--", "phi of the large batch", True),
    )
    for axes, table, colour, style, name, log in curves:
        low, mean, high = spread(table, log)
        axes.fill_between(share, low, high, color=colour, alpha=0.25, linewidth=0)
        axes.plot(share, mean, style, color=colour, marker="o", markersize=4)
        found[name] = mean
    above.set_ylabel("test accuracy, points above\nthe large batch on its own")
    above.set_title("solid: small batch\ndashed: large batch from there")
    below.set(yscale="log", ylabel=PHI_LABEL, xlabel="start, share of the small batch's epochs")
    below.set_title(f"grey: the paper's {BEHIND}")
    frame(below, np.concatenate([sharp.ravel(), positive(theirs[PHI])]), True)
    trained = (small - start)[:, epochs > 0]  # an untrained net guesses, far below
    frame(above, np.concatenate([trained.ravel(), (large - start).ravel()]), False)
    above.axhline(0, color=TEXT, linewidth=0.8)
    told = [course(name, epochs, values) for name, values in found.items() if name != "epoch"]
    behind = [course(name, theirs[START], theirs[name]) for name in (SMALL_ACCURACY, WARM_ACCURACY, PHI)]
    alt = (
        f"Against the epoch of the small batch at which the large one is started: {'; '.join(told)}. In grey the "
        f"paper's {BEHIND}: {'; '.join(behind)}."
    )
    rows = rows_of({name: values.tolist() for name, values in found.items()})
    return Picture([above.figure], rows, stamp_of(result, net), alt, "warm-start")


@styled
def continuations(result: Result, net: str) -> Picture:
    """From the small batch's end, four ways to go on: what each adds to the test accuracy, and its sharpness.

    Parameters
    ----------
    result : Result
        Of `warm-decay`.
    net : str
        One of the result's.

    Returns
    -------
    Picture
        One row per way; the level line is the small batch's end.
    """
    values, recipes = result.values[net], result.recipes[net]
    ways = {"small, as it was": "SB on", "large batch": "LB on"}
    for run in ("SB root slower", "SB slower"):
        ways[f"small, rate / {recipes['SB']['lr'] / recipes[run]['lr']:.3g}"] = run
    before = np.array(values[columns.test("SB")], float)
    sharp_before = positive(values[phi("SB")])
    points = {way: np.array(values[columns.test(run)], float) - before for way, run in ways.items()}
    sharp = {way: positive(values[phi(run)]) for way, run in ways.items()}
    gain, steep = canvas(HALF, 2.6), canvas(HALF, 2.6)
    gain.axvline(0, color=TEXT, linewidth=0.8)
    steep.axvline(at := spread(np.c_[sharp_before], True)[1][0], color=TEXT, linewidth=0.8)
    means = {
        "points": _bars(gain, points, False, "points of accuracy added"),
        "phi": _bars(steep, sharp, True, "$\\phi(10^{-3})$ at the end, %"),
    }
    gain.set_title("line: nothing added")
    steep.set_title("line: before going on")
    _seen_wholly(gain, list(points.values()))
    _seen_wholly(steep, [*sharp.values(), sharp_before])
    rows = rows_of({"way": list(ways), **means})
    told = [f"{way} {a:+.2f} points, sharpness {b:.3g}" for way, a, b in zip(ways, means["points"], means["phi"])]
    alt = f"From the small batch's end, where the sharpness is {at:.3g}, four ways to go on: {'; '.join(told)}."
    return Picture([gain.figure, steep.figure], rows, stamp_of(result, net), alt, "continuations")


def _bars(axes: Axes, tables: Mapping[str, np.ndarray], log: bool, words: str) -> list[float]:
    """A bar for each entry with its interval, and a dot for each seed; the means."""
    means = []
    for place, (table, colour) in enumerate(zip(tables.values(), (SMALL, LARGE, CONTROL, CONTROL))):
        (low,), (mean,), (high,) = spread(np.c_[table], log)
        axes.barh(place, mean, height=0.6, color=to_rgba(colour, 0.3), edgecolor=colour, linewidth=1)
        axes.errorbar(mean, place, xerr=[[mean - low], [high - mean]], fmt="none", color=colour, capsize=3)
        axes.plot(table, [place] * len(table), "o", color=colour, markersize=3)
        means.append(float(mean))
    axes.set_yticks(range(len(tables)), labels=list(tables))
    axes.set(xlabel=words)
    axes.invert_yaxis()
    return means


def _seen_wholly(axes: Axes, tables: list[np.ndarray]) -> None:
    """From 0 to the seeds' own values and a tenth more: the interval of two seeds can be many times as wide."""
    ends = np.array([0, *np.concatenate(tables)])
    room = 0.1 * np.ptp(ends)
    axes.set_xlim(ends.min() - room * (ends.min() < 0), ends.max() + room)


def _curves(result: Result, net: str) -> tuple[list[int], np.ndarray, np.ndarray]:
    """Batch sizes, and accuracy and sharpness as seeds x sizes."""
    values = result.values[net]
    return list(map(int, values[columns.BATCH_SIZE][0])), np.array(values[TEST], float), positive(values[PHI])
