"""Cures of the gap, drawn: what a cure does as it grows stronger, and many cures beside one another.

A cure is something that is done to the large batch. Its two outcomes are the points of test accuracy that it adds and
the factor by which it changes the sharpness, each taken seed by seed beside the large batch as it is.
"""

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flatlab.plots.drawings import DOSES
from flatlab.plots.picture import Picture, course, rows_of
from flatlab.plots.slides import Slides
from flatlab.plots.style import (
    CONTROL,
    HALF,
    LARGE,
    PAPER,
    SMALL,
    SMALLER,
    TEXT,
    WIDE,
    around,
    band,
    canvas,
    change,
    dot,
    label,
    plain_ticks,
    positive,
    spread,
    stamp_of,
    styled,
)
from flatlab.plots.tables import called_on, listed, printed
from flatlab.study import columns, paper
from flatlab.study.columns import phi, phi_series, series
from flatlab.study.correlations import FITTED
from flatlab.study.ledger import LEAST_SEEDS, Word, verdict
from flatlab.study.recorded import TIERS, Result, largest, recorded
from flatlab.study.rules import Columns, closes_half

POINTS = "points of test accuracy added"
TIMES = "$\\phi(10^{-3})$, times the large batch's"
TITLE = 37  # letters of a title over one of two panels
DIVERGED = "the loss of a seed was not finite"
MARKS = (("o", "-"), ("s", "--"), ("^", ":"), ("D", "-."))  # of the cures in one panel


class Treatment(NamedTuple):
    """A cure among others.

    Attributes
    ----------
    words : str
        What it is called.
    experiment : str
        Whose result holds it.
    run : str
        The label of the large batch's run with it.
    long : str
        The label of a plain run of as many gradients, where the cure takes more than one per step.
    also : tuple of (str, str)
        Other experiments that hold it, with its run's label there: for networks and rows that the first has not.
    """

    words: str
    experiment: str
    run: str = "cure"
    long: str = ""
    also: tuple[tuple[str, str], ...] = ()


OF_THE_PAPER = (
    Treatment("augmented data", "augmentation"),
    Treatment("conservative steps", "conservative", long="LB long"),
    Treatment("adversarial training", "adversarial", long="LB long"),
    Treatment("stability training", "stability", long="LB long"),
    Treatment("a growing batch", "dynamic", "growing"),
    Treatment("noisy gradients", "gradient-noise"),
    Treatment("noisy weights", "iterate-noise"),
    Treatment("noisy inputs", "input-noise"),
    Treatment("noisy labels", "label-noise"),
)
RIGHT_STEP = (
    Treatment("root rule", "rate-and-statistics", "rate"),
    Treatment("root + warm-up", "learning-rate", "LB root warm"),
    Treatment("linear rule", "learning-rate", "LB linear"),
    Treatment("linear + warm-up", "learning-rate", "LB linear warm"),
    Treatment("ghost batches", "rate-and-statistics", "ghost"),
    Treatment("root + ghost", "rate-and-statistics", "rate ghost"),
)
SINCE_2017 = (
    Treatment("root rule", "waterfall", "rate", also=(("rate-and-statistics", "rate"), ("learning-rate", "LB root"))),
    Treatment("ghost batches", "waterfall", "ghost", also=(("rate-and-statistics", "ghost"),)),
    Treatment("root + ghost", "waterfall", "rate ghost", also=(("rate-and-statistics", "rate ghost"),)),
    Treatment("linear + warm-up", "learning-rate", "LB linear warm"),
    Treatment("SAM", "sam", long="LB long"),
    Treatment("ASAM", "asam", long="LB long"),
    Treatment("mean of points", "swa", "LB averaged"),
    Treatment("LARS", "lars"),
    Treatment("LAMB", "lamb"),
)
AT_A_PRICE = (*SINCE_2017, Treatment("rate, ghosts, updates", "waterfall", "regime"))


class Outcome(NamedTuple):
    """What a cure has done, one number per seed.

    Attributes
    ----------
    words : str
        What the cure is called.
    gain : array
        Points of test accuracy above the large batch as it is.
    times : array
        Its sharpness over that of the large batch as it is.
    longer : array or None
        The gain of the large batch as it is for as many gradients.
    """

    words: str
    gain: np.ndarray
    times: np.ndarray
    longer: np.ndarray | None = None


class Comparison(NamedTuple):
    """Cures on one network at one tier.

    Attributes
    ----------
    net : str
        The network.
    results : dict
        {experiment: its result}.
    small : Outcome
        The small batch, as if it were a cure.
    outcomes : list of Outcome
        Of the cures that are recorded there.
    """

    net: str
    results: dict[str, Result]
    small: Outcome
    outcomes: list[Outcome]


def where_most_are_recorded(experiments: Iterable[str]) -> tuple[str, dict[str, Result]]:
    """Results that can be compared, because they are on one network and the same rows at one tier.

    Parameters
    ----------
    experiments : iterable of str
        Their names.

    Returns
    -------
    (str, dict)
        The network, and {experiment: result}, where most of the experiments are recorded; the larger tier where two
        have as many, and there the network's own setting, "mlp" before "mlp, half". Where a verdict can be had, because
        two of them are recorded on seeds enough, comes first.

    Raises
    ------
    FileNotFoundError
        Where none of them is recorded.
    """
    found: dict[tuple[int, str, str], dict[str, Result]] = {}
    names = tuple(dict.fromkeys(experiments))
    for place, tier in enumerate(TIERS):
        for experiment in names:
            try:
                result = recorded(experiment, tier)
            except FileNotFoundError:
                continue
            for net in result.values:
                found.setdefault((place, net, result.data[net]), {})[experiment] = result
    if not found:
        raise FileNotFoundError(f"none of {', '.join(names)} is recorded: run `flatlab reproduce` on one.")

    def rank(setting: tuple[int, str, str]) -> tuple[bool, int, int, bool]:
        (place, net, _), results = setting, found[setting]
        seeds_decide = all(len(result.seeds[net]) >= LEAST_SEEDS for result in results.values())
        return seeds_decide and len(results) >= min(2, len(names)), len(results), place, paper.original(net) == net

    best = max(found, key=rank)
    return best[1], found[best]


def compared(treatments: Sequence[Treatment]) -> Comparison:
    """The outcomes of cures, on the network and at the tier that `where_most_are_recorded` finds.

    Parameters
    ----------
    treatments : sequence of Treatment
        Those that are not recorded there are left out.

    Returns
    -------
    Comparison
        In the order of the treatments.

    Raises
    ------
    FileNotFoundError
        Where none of them is recorded.
    """
    net, results = where_most_are_recorded(treatment.experiment for treatment in treatments)
    return _comparison(net, results, treatments)


def each_at_its_largest(treatments: Iterable[Treatment]) -> list[Comparison]:
    """The outcomes of cures, each on every network and its rows on which it is recorded, at the largest tier there.

    Parameters
    ----------
    treatments : iterable of Treatment
        Those that are recorded nowhere are left out.

    Returns
    -------
    list of Comparison
        One for each tier, network's setting and its rows, the larger tier first: only what stands in one can be
        compared.
    """
    groups: dict[tuple[int, str, str], tuple[dict[str, Result], list[Treatment]]] = {}
    for treatment in treatments:
        for there, net, result in _recorded(treatment):
            place = TIERS.index(result.tier), net, result.data[net]
            results, known = groups.setdefault(place, ({}, []))
            results[there.experiment] = result
            known.append(there)
    order = sorted(groups, key=lambda place: -place[0])
    return [_comparison(place[1], *groups[place]) for place in order]


def _recorded(treatment: Treatment) -> Iterator[tuple[Treatment, str, Result]]:
    """A cure as each experiment names it that holds it, a network's setting, and the result of that network's largest
    tier."""
    seen: set[tuple[str, str]] = set()
    for experiment, run in ((treatment.experiment, treatment.run), *treatment.also):
        for result in largest(experiment):
            for net in result.values:
                setting = net, result.data[net]
                if setting not in seen:
                    seen.add(setting)
                    yield treatment._replace(experiment=experiment, run=run), net, result


def _comparison(net: str, results: dict[str, Result], treatments: Iterable[Treatment]) -> Comparison:
    known = [treatment for treatment in treatments if treatment.experiment in results]
    small = known[0]._replace(words="small batch", run="SB", long="")
    values = {experiment: result.values[net] for experiment, result in results.items()}
    return Comparison(net, results, _outcome(small, values), [_outcome(treatment, values) for treatment in known])


def _outcome(treatment: Treatment, values: Mapping[str, Mapping[str, list]]) -> Outcome:
    found = values[treatment.experiment]

    def gain(run: str) -> np.ndarray:
        return np.subtract(found[columns.test(run)], found[columns.test("LB")])

    times = positive(found[phi(treatment.run)]) / positive(found[phi("LB")])
    return Outcome(treatment.words, gain(treatment.run), times, gain(treatment.long) if treatment.long else None)


def half_closed(treatments: Iterable[Treatment]) -> str:
    """Which cures close half of the gap to the small batch, which do not, and of which it is not decided.

    Parameters
    ----------
    treatments : iterable of Treatment
        Each is judged on every network and its rows on which it is recorded, at the largest tier there, as
        `each_at_its_largest` has them. Those that are recorded nowhere are left out.

    Returns
    -------
    str
        A short sentence for each network and its rows.
    """
    judged: dict[str, dict[Word, list[str]]] = {}
    for treatment in treatments:
        for there, net, result in _recorded(treatment):
            words = judged.setdefault(called_on(net, result.data[net]), {})
            words.setdefault(_closes_half(net, result, there), []).append(treatment.words)
    return " ".join(
        f"Half of the gap, {place}: "
        f"{'; '.join(f'{said} {listed(words[word])}' for word, said in _HALF.items() if word in words)}."
        for place, words in judged.items()
    )


_HALF: dict[Word, str] = {"holds": "closed by", "fails": "not closed by", "undecided": "not decided for"}


def _closes_half(net: str, result: Result, treatment: Treatment) -> Word:
    return verdict(closes_half(treatment.run)(Columns(result.values[net])), above=0)


@styled
def beside_one_another(*comparisons: Comparison) -> Picture:
    """The points of test accuracy that each cure adds, and the factor by which it changes the sharpness.

    Parameters
    ----------
    *comparisons : Comparison
        From `compared`, or those of `each_at_its_largest`; each has two panels.

    Returns
    -------
    Picture
        One row per cure. A hollow dot is the large batch as it is for as many gradients; the dotted line is half of the
        way to the small batch.
    """
    panels: list[Figure] = []
    table: list[dict] = []
    told: list[str] = []
    for comparison in comparisons:
        first = next(iter(comparison.results.values()))
        place = called_on(comparison.net, first.data[comparison.net])
        head = f"{textwrap.fill(place, TITLE)}\n{first.tier} tier, " if len(comparisons) > 1 else ""
        drawn, rows = _beside(comparison, head)
        panels += drawn
        table += [
            {"tier": first.tier, "network": comparison.net, "data": first.data[comparison.net], **row} for row in rows
        ]
        each = [f"{row['cure']} {row['gain']:+.2f} points, {row['times']:.2g} times" for row in rows]
        told.append((f"On {place}, {first.tier} tier: " if head else "") + "; ".join(each))
    alt = f"Points of test accuracy added to the large batch's, and its sharpness over what it was: {'. '.join(told)}."
    firsts = [next(iter(comparison.results.values())) for comparison in comparisons]
    words = "; ".join(stamp_of(first, comparison.net) for first, comparison in zip(firsts, comparisons))
    cures = [outcome.words.replace(" + ", " ") for comparison in comparisons for outcome in comparison.outcomes]
    name = f"{cures[0]} to {cures[-1]}" + "".join(f"-{first.tier}" for first in firsts)
    return Picture(panels, table, words, alt, name)


def _beside(comparison: Comparison, head: str) -> tuple[list[Figure], list[dict]]:
    """The panels of one comparison, with what goes before their titles, and their numbers."""
    rows, panels = [*comparison.outcomes, comparison.small], []
    table: dict[str, list] = {"cure": [row.words for row in rows]}
    for name, words, log in (("gain", POINTS, False), ("times", TIMES, True)):
        axes = canvas(WIDE, 1.1 + 0.25 * len(rows) + 0.2 * head.count("\n"))
        seen = [getattr(row, name) for row in rows]
        axes.axvline(1 if log else 0, color=LARGE, linewidth=1, linestyle="--")
        low, mean, high = (np.ravel(ends) for ends in zip(*(spread(np.c_[values], log) for values in seen)))
        for place, (row, values) in enumerate(zip(rows, seen)):
            colour = SMALL if row is comparison.small else CONTROL
            axes.plot([low[place], high[place]], [place] * 2, color=colour, linewidth=1.2)
            axes.plot(values, [place] * len(values), "o", color=colour, markersize=3)
            axes.plot(mean[place], place, "o", color=colour, markersize=7)
            if not log and row.longer is not None:
                axes.plot(row.longer.mean(), place, "o", color=LARGE, markersize=9, markerfacecolor="none")
        if not log:
            axes.axvline(comparison.small.gain.mean() / 2, color=SMALL, linewidth=1, linestyle=":")
        axes.set(xscale="log" if log else "linear")
        around(axes, "x", np.concatenate([*seen, [1 if log else 0]]), log)
        axes.set_yticks(range(len(rows)), labels=table["cure"], size=SMALLER)
        axes.set(xlabel=words, ylim=(len(rows) - 0.5, -0.5))
        lines = "dashed: the large batch" if log else "dotted: half of the gap"
        axes.set_title(head + lines)
        panels.append(axes.figure)
        table |= {f"{name}, low": low.tolist(), name: mean.tolist(), f"{name}, high": high.tolist()}
    table["gain of as many gradients"] = [np.nan if row.longer is None else float(row.longer.mean()) for row in rows]
    return panels, rows_of(table)


def _price(treatment: Treatment, result: Result, net: str) -> float:
    """Gradients of rows that a cure takes, in units of the large batch as it is. A run that was chosen among doses has
    no recipe of its own; it has as many epochs."""
    epochs = {run: float(recipe["epochs"]) for run, recipe in result.recipes[net].items()}
    plain = epochs["LB"]
    return epochs.get(treatment.long or treatment.run, plain) / plain


def _plainly(results: Iterable[Result], net: str, run: str) -> dict[float, list[float]]:
    """{epochs over the run's: test accuracies} of the runs that differ from it in their epochs alone, the fewest
    first."""
    found: dict[float, list[float]] = {}
    for result in results:
        whole = result.recipes[net][run]
        for name, recipe in result.recipes[net].items():
            test = result.values[net].get(columns.test(name))
            if test and {**recipe, "epochs": whole["epochs"]} == whole:
                found.setdefault(recipe["epochs"] / whole["epochs"], test)
    return dict(sorted(found.items()))


@styled
def by_price(treatments: Sequence[Treatment]) -> Picture:
    """Test accuracy against the gradients of rows that it took: of each cure, and of the plain batches for fewer epochs
    and for more.

    Parameters
    ----------
    treatments : sequence of Treatment
        Those that are not recorded where `where_most_are_recorded` finds most of them are left out.

    Returns
    -------
    Picture
        One row per dot. The large batch as it is has the price 1.
    """
    net, results = where_most_are_recorded(treatment.experiment for treatment in treatments)
    axes, dots = canvas(WIDE, 4), []
    for run, words, colour, style in (("SB", "small batch", SMALL, "-"), ("LB", "large batch", LARGE, "--")):
        way = _plainly(results.values(), net, run)
        mean = band(axes, list(way), list(zip(*way.values())), colour, linestyle=style, marker="o", markersize=5)
        dots += [(price, float(y), words, colour) for price, y in zip(way, mean)]
    for treatment in treatments:
        if treatment.experiment in results:
            result = results[treatment.experiment]
            price = _price(treatment, result, net)
            y = dot(axes, price, result.values[net][columns.test(treatment.run)], CONTROL)
            dots.append((price, y, treatment.words, CONTROL))
    axes.set(xscale="log", xlabel="gradients of rows, times the large batch's", ylabel="test accuracy, %")
    plain_ticks(axes.xaxis)
    _name(axes, dots)
    rows = [{"cure": words, "price": price, "test accuracy": y} for price, y, words, _ in dots]
    told = [f"{row['cure']} {row['test accuracy']:.1f} at {row['price']:.3g}" for row in rows]
    alt = (
        "Test accuracy in percent against gradients of rows, logarithmic, in units of the large batch's: "
        f"{'; '.join(told)}."
    )
    first = next(iter(results.values()))
    return Picture([axes.figure], rows, stamp_of(first, net), alt, f"cures-by-price-{first.tier}")


def _name(axes: Axes, dots: Sequence[tuple[float, float, str, str]]) -> None:
    """Words behind dots (x, y, words, colour), none on another's, on a dot nor on the large batch's line, which is
    named at its end. Words near the line's start stand before their dot; those of the dearest dots, for which the axes
    make room, are folded."""
    plain = [y for x, y, _, colour in dots if colour == LARGE and x == 1]
    order = [*reversed(dots), *(one for one in dots if one[3] == LARGE)]  # of a line's dots the last here counts
    named = {words: (x, y, colour) for x, y, words, colour in order}
    dearest = max(x for x, *_ in dots)
    places = sorted(named.items(), key=lambda one: one[1][1])
    for words, (x, y, colour) in places:
        label(axes, x, y, textwrap.fill(words, 14) if x == dearest else words, colour, size=SMALLER)
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]
    low, high = axes.get_ylim()
    line_height, scale = 1.4 * SMALLER, 72 / axes.figure.dpi
    centres = axes.transData.transform([one[:2] for one in dots]) * scale
    line = np.array(sorted(axes.transData.transform([one[:2] for one in dots if one[3] == LARGE]).tolist())) * scale
    # of what is there its ends, its height and half its thickness, in points; the line is taken from the start
    inside = np.linspace(line[0, 0] + 4, line[-1, 0] - 4)
    taken = [(x - 4, x + 4, float(np.interp(x, *line.T)), 3.0) for x in inside]
    taken += [(x - 5, x + 5, y, 4.0) for x, y in centres]
    for name, (_, (x, y, colour)) in zip(axes.texts, places):
        rows = name.get_text().split("\n")
        across, at = axes.transData.transform((x, y)) * scale
        before = colour == CONTROL and x <= 1 and abs(y - plain[0]) < 0.1 * (high - low)
        long = 0.6 * SMALLER * max(map(len, rows))  # about
        start = across - 7 - long if before else across + 7
        height, half = at, line_height * len(rows) / 2
        for left, right, other, its_half in sorted(taken, key=lambda one: one[2]):
            if left < start + long and start < right and abs(other - height) < its_half + half:
                height = other + its_half + half
        taken.append((start, start + long, height, half))
        name.set(position=(-7 if before else 7, height - at), ha="right" if before else "left")


@styled
def by_strength(results: Mapping[str, Result], net: str, start: int = 0) -> Slides:
    """Test accuracy against sharpness as cures grow stronger, from the large batch as it is.

    Parameters
    ----------
    results : mapping of str to Result
        {what a cure is called: a result of `flatlab.study.cures`}, at most four, all of one tier.
    net : str
        A network of them all.
    start : int
        The first position.

    Returns
    -------
    Slides
        Position 0 is no cure; then a position for each strength, the weakest first. A cure with fewer strengths stays
        at its strongest. One row per strength of each cure. Hollow where the mean training accuracy is below `FITTED`;
        no dot where the loss of a seed was not finite, which the stamp says.
    """
    count = 1 + max(len(result.values[net][columns.DOSE][0]) for result in results.values())
    axes, rows, told = canvas(WIDE, 3.8), [], []
    layers: list[list] = [[] for _ in range(count)]
    read: list[list[str]] = [[] for _ in range(count)]
    sharp, right, gone = [], [], []
    for (words, result), (mark, style) in zip(results.items(), MARKS):
        values = result.values[net]
        doses = values[columns.DOSE][0]
        strengths = ["", *(f" at {DOSES[result.experiment]} = {dose:g}" for dose in doses)]
        test = np.c_[values[columns.test("LB")], values[series(columns.CURE, "test")]]
        phis = positive(np.c_[values[phi("LB")], values[phi_series(1e-3, columns.CURE)]])
        trained = [100, *np.mean(values[series(columns.CURE, "train")], 0)]
        (left, x, far), (low, y, high) = spread(phis, log=True), spread(test)
        axes.plot(x, y, style, color=CONTROL, marker=mark, markersize=4, linewidth=1, label=words)
        for place, layer in enumerate(layers):
            at = min(place, len(doses))
            colour = CONTROL if at else LARGE
            face = colour if trained[at] >= FITTED else "none"
            layer += axes.plot(phis[:, at], test[:, at], mark, color=colour, markersize=4, mew=0)
            layer += axes.plot(x[at], y[at], mark, color=colour, markersize=10, markerfacecolor=face)
            layer += axes.plot([left[at], far[at]], [y[at]] * 2, color=colour, linewidth=1)
            layer += axes.plot([x[at]] * 2, [low[at], high[at]], color=colour, linewidth=1)
            if np.isnan(y[at]):
                read[place].append(f"{words}{strengths[at]}: {DIVERGED}")
                continue
            fitted = "" if trained[at] >= FITTED else f", and only {trained[at]:.0f} % of the training rows are right"
            read[place].append(f"{words}{strengths[at]}: {y[at]:.1f} % right, sharpness {x[at]:.3g} %{fitted}")
        gone += [f"{words}{strength}" for strength, reached in zip(strengths, y) if np.isnan(reached)]
        rows += rows_of(
            {
                "cure": [words] * len(x),
                "strength": [0, *doses],
                "phi(1e-3)": x.tolist(),
                "test accuracy": y.tolist(),
                "training accuracy": [np.nan, *map(float, trained[1:])],
            }
        )
        told.append(f"{words}: {course('accuracy', x, y)}")
        sharp.append(phis.ravel())
        right.append(test.ravel())
    values = next(iter(results.values())).values[net]
    for name, run, colour in (("small batch", "SB", SMALL), ("large batch", "LB", LARGE)):
        phis, test = positive(values[phi(run)]), np.array(values[columns.test(run)], float)
        (at_x,), at_y = spread(np.c_[phis], log=True)[1].tolist(), float(test.mean())
        axes.plot(at_x, at_y, "*", color=colour, markersize=11)
        away = {"xytext": (6, 9)} if run == "SB" else {"xytext": (0, -14), "ha": "center"}  # off the cures' lines
        label(axes, at_x, at_y, name, colour, **away)
        rows.append(
            {"cure": name, "strength": 0, "phi(1e-3)": at_x, "test accuracy": at_y, "training accuracy": np.nan}
        )
        told.append(f"{name} {at_y:.3g} at {at_x:.3g}")
        read[0].append(f"the {name}: {at_y:.1f} % right, sharpness {at_x:.3g} %")
        sharp.append(phis)
        right.append(test)
    axes.set(xscale="log", xlabel="sharpness $\\phi(10^{-3})$, %", ylabel="test accuracy, %")
    around(axes, "x", np.concatenate(sharp), True)
    around(axes, "y", np.concatenate(right), False)
    axes.figure.legend(loc="outside upper left", ncols=2, fontsize=SMALLER, labelcolor="linecolor", borderaxespad=0.2)
    names = ["No cure", *(f"Strength {place} of {count - 1}" for place in range(1, count))]
    told_there = ("; ".join(one) for one in [read[0][-2:], *read[1:]])
    says = [f"{name}. {one[0].upper()}{one[1:]}." for name, one in zip(names, told_there)]
    alt = (
        "Test accuracy in percent against sharpness in percent, logarithmic; a way for each cure, from the large batch "
        f"as it is to the strongest. {'; '.join(told)}."
    )
    first = next(iter(results.values()))
    without = f"; no dot for {listed(gone)}: {DIVERGED}" if gone else ""
    stamped = f"{stamp_of(first, net)}{without}"
    picture = Picture([axes.figure], rows, stamped, alt, f"strength-{first.experiment}-{first.tier}")
    return Slides(picture, layers, "Strength of the cure", says, start)


@styled
def before_and_after(result: Result, net: str) -> Picture:
    """The gap and the large batch's sharpness without a cure and with it, for each network of the paper and for ours.

    Parameters
    ----------
    result : Result
        Of `table6` or `table7`.
    net : str
        One of the result's.

    Returns
    -------
    Picture
        One row per network: hollow without the cure, filled with it.
    """
    values = result.values[net]
    small = "SB plain" if columns.test("SB plain") in values else "SB"
    ours = {
        "gap": [np.subtract(values[columns.test(a)], values[columns.test(b)]) for a, b in ((small, "LB plain"), _PAIR)],
        "phi": [positive(values[phi(run)]) for run in ("LB plain", "LB")],
    }
    theirs = {
        name: {"gap": [_gap(paper.TABLE2[name]), _gap(row)], "phi": [float(paper.TABLE3[name][_PHI]), float(row[_PHI])]}
        for name, row in printed(result.experiment).items()
    }
    names = [*theirs, "ours"]
    panels: list[Figure] = []
    table: dict[str, list] = {"network": names}
    for kind, words, log in (("gap", "gap, points", False), ("phi", "$\\phi(10^{-3})$ of the large batch, %", True)):
        axes = canvas(HALF, 1.1 + 0.28 * len(names))
        ends = [spread(np.c_[one], log) for one in ours[kind]]
        way = [*(theirs[name][kind] for name in theirs), [float(mean[0]) for _, mean, _ in ends]]
        for place, (before, after) in enumerate(way):
            colour = PAPER if place < len(theirs) else CONTROL
            change(axes, place, before, after, colour, at_first=colour if colour is PAPER else LARGE)
        for (low, _, high), seeds, colour, up in zip(ends, ours[kind], (LARGE, CONTROL), (0.16, -0.16)):
            axes.plot([low, high], [len(theirs) + up] * 2, color=colour, linewidth=1)
            axes.plot(seeds, [len(theirs) + up] * len(seeds), "o", color=colour, markersize=3)
        if not log:
            axes.axvline(0, color=TEXT, linewidth=0.8)
        axes.set(xscale="log" if log else "linear")
        around(axes, "x", np.concatenate([np.ravel(way), *ours[kind], *([] if log else [[0]])]), log)
        axes.set_yticks(range(len(names)), labels=[*(f"the paper's {name}" for name in theirs), net], size=SMALLER)
        axes.set(xlabel=words, ylim=(len(names) - 0.5, -0.5))
        axes.set_title("hollow: without, filled: with")
        panels.append(axes.figure)
        table |= {f"{kind} without": [a for a, _ in way], f"{kind} with": [b for _, b in way]}
    rows = rows_of(table)
    told = [
        f"{row['network']} gap {row['gap without']:.2f} to {row['gap with']:.2f}, sharpness "
        f"{row['phi without']:.3g} to {row['phi with']:.3g}"
        for row in rows
    ]
    alt = f"Without the cure and with it: {'; '.join(told)}. All but ours are the paper's."
    return Picture(panels, rows, stamp_of(result, net), alt, f"{result.experiment}-before-after-{result.tier}")


_PAIR, _PHI = ("SB", "LB"), phi("LB")


def _gap(row: Mapping[str, paper.Value]) -> float:
    """Test accuracy of the small batch minus that of the large one, in a table of the paper."""
    return float(row[columns.test("SB")]) - float(row[columns.test("LB")])
