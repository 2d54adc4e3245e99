"""A `Result` as a table, the paper's own numbers beside ours cell by cell."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from flatlab.measure.estimate import interval
from flatlab.study import paper
from flatlab.study.columns import RATIO, THRESHOLD
from flatlab.study.controls import SEARCHED
from flatlab.study.ledger import bounds, significant
from flatlab.study.recorded import Result
from flatlab.study.regression import PROBLEMS

MEANS = "A table has arithmetic means; a figure has geometric means where the axis of its values is logarithmic."
NOTE = (
    "Ours: mean ± half the width of the 95 % interval over seeds; a number alone where all seeds have it, and both "
    "numbers of two seeds. The paper's: mean ± standard deviation of five runs; difference: ours minus the paper's, "
    "where network and data are the same. SB: small batch, LB: large batch; train, test: accuracy in %; 1e-3, 5e-4: "
    "sharpness in % at that eps. small-C2, small-C4: C2, C4 at a quarter of their width and without dropout. "
    f"{MEANS}"
)


NAMES = {
    "mnist1d": "MNIST-1D",
    "digits": "digits",
    "mnist": "MNIST",
    "fashion-mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "spoken-digits": "spoken digits",
    "timit": "TIMIT",
}

SUBSCRIPT = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")

NO_BREAK = "\u00a0"
LARGEST_IN_FULL = 1e7  # from here on a number is a product with a power of ten
SMALLEST_IN_FULL = 1e-3  # below it too, where it would take more than five decimals
MOST_COLUMNS = 5  # of networks beside one another

# A number as code writes it: with an exponent, and below 0.
POWER = r"\b([\d.]+)e([+-])0*(\d+)\b"
MINUS = r"(?<![\w.)-])-(?=[\d.])"

# A batch size, or a number of rows, of a thousand or more: not a year.
THOUSANDS = r"(?:(?<=\bbatch )|(?<=\bbatch of )|(?<=\bbatches of ))\d{4,}\b|\b\d{4,}(?= rows\b)"

# Of Markdown what is set as it stands: formulas, code, addresses.
AS_IT_STANDS = re.compile(r"(\$\$.*?\$\$|\$[^$]*\$|`[^`]*`|\]\([^)]*\)|</?[a-z][^>]*>)", re.DOTALL)

# How code writes what a claim measures, and how a reader does; in this order.
READ_AS: list[tuple[str, Any]] = [
    (r"\bphi\(LB\) / phi\(SB\)", "phi of LB over SB"),
    (r"\b(conservative|augmented) LB\b", r"the \1 large batch"),
    (r"\bLB\b", "the large batch"),
    (r"\bSB\b", "the small batch"),
    (r"\blog(\d+)\b", lambda found: "log" + found[1].translate(SUBSCRIPT)),
    (POWER, lambda found: _power(*found.groups())),
    (r"\blambda_max rate\b", "lambda_max times the rate"),
    (r"\bgradient, rate /", "gradient, times the rate /"),
    (r"\bv_1\b", "v₁"),
    (r"\|1 - rate curvature\|", "|1 − rate × curvature|"),
    (r"\blambda_max\b", "λₘₐₓ"),
    (r"\beps (?=[\d.])", "ε = "),
    (r"\beps\b", "ε"),
    (r"(?<=\d) - (?=\w)", " − "),
    (r"\balpha\b", "α"),
    (r"\bbeta\b", "β"),
    (r"\brho\b", "ρ"),
    (r"\btau\b", "τ"),
    (r"\blambda\b", "λ"),
    (r"\bphi\b", "φ"),
    (MINUS, "−"),
]


def _power(mantissa: str, sign: str, exponent: str) -> str:
    """A number in code's exponential notation as a product with a power of ten, or in full up to a million."""
    if sign == "+" and int(exponent) < 6:
        return f"{float(f'{mantissa}e{exponent}'):,.0f}"
    return f"{mantissa}·10{'⁻' * (sign == '-')}{exponent.translate(SUPERSCRIPT)}".removeprefix("1·")


def with_commas(words: str) -> str:
    """Words in which sizes of batches and numbers of rows have a comma, "batch 2,000"."""
    return re.sub(THOUSANDS, lambda found: f"{int(found[0]):,}", words)


def readable(words: str) -> str:
    """What a claim measures, and the numbers beside it, as a reader writes them: log₁₀ and φ, not `log10` and `phi`."""
    for pattern, instead in READ_AS:
        words = re.sub(pattern, instead, words)
    return with_commas(words)


def numerals(words: str) -> str:
    """Markdown with its numbers as a reader writes them: −0.5, 2·10⁻⁵ and batch 2,000; no line ends at a ±."""
    parts = AS_IT_STANDS.split(words)
    for k in range(0, len(parts), 2):
        parts[k] = re.sub(POWER, lambda found: _power(*found.groups()), re.sub(MINUS, "−", parts[k]))
        parts[k] = with_commas(parts[k]).replace(" ± ", f"{NO_BREAK}±{NO_BREAK}")
    return "".join(parts)


def with_whole_labels(words: str) -> str:
    """Markdown in whose tables a short label, "batch 128", and the ends of an interval, "(17.4 to 25.5)", stay on one
    line."""
    words = re.sub(
        r"^\| ([\w .,]{1,14}) \|", lambda row: f"| {row[1].replace(' ', NO_BREAK)} |", words, flags=re.MULTILINE
    )
    return re.sub(
        r"^\|.*\|$",
        lambda row: re.sub(r"\(([−\d.,]+) to ([−\d.,]+)\)", rf"(\1{NO_BREAK}to{NO_BREAK}\2)", row[0]),
        words,
        flags=re.MULTILINE,
    )


def say(*paragraphs: str) -> None:
    """Print paragraphs of Markdown, as the cells of a chapter do."""
    from IPython.display import Markdown, display  # here: whoever draws on a server has no notebook

    display(Markdown(with_whole_labels(numerals("\n\n".join(paragraphs)))))


def solution(number: int, *paragraphs: str) -> None:
    """Print the solution of a chapter's exercise of that number, folded, as paragraphs of Markdown."""
    say(f"<details><summary><b>Solution to exercise {number}</b></summary>", *paragraphs, "</details>")


def grid(head: Sequence[object], *rows: Sequence[object]) -> str:
    """A table in Markdown."""
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in [head, ["---"] * len(head), *rows])


def listed(parts: Sequence[str]) -> str:
    """Words one after another: "a", "a and b", "a, b and c"; "" of none."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def called(net: str) -> str:
    """A network's name, with what it leaves unsaid; of a problem of the regression what it is: "64 features, even"."""
    if net in PROBLEMS:
        return f"{PROBLEMS[net].features} features, {'a network' if net == 'network' else net.removeprefix('many ')}"
    return {"mlp, half": "mlp (large batch: half of all)"}.get(net, net)


def called_on(net: str, data: str) -> str:
    """A network and its data, "mlp on MNIST-1D"; the name of a problem of the regression holds both."""
    return called(net) if net in PROBLEMS else f"{called(net)} on {named(data)}"


def named(data: str) -> str:
    """A data set's name as one writes it: "1,000 rows of CIFAR-10" of "1000 rows of cifar10"."""
    rows, part, whole = data.partition(" rows of ")
    written = re.sub(r"^\d{4,}", lambda number: f"{int(number[0]):,}", rows)
    return f"{written}{part}{named(whole)}" if part else NAMES.get(data, data)


def published(experiment: str, net: str, column: str) -> paper.Value | int | str | None:
    """What the paper has for a column of an experiment: a `paper.Value`, a batch size, words, or None."""
    if (experiment, column) == ("distances", RATIO) and paper.original(net) in paper.NETWORKS:
        return "{} to {}, six networks".format(*paper.DISTANCE_RATIO)
    if (experiment, column) == ("fig4", THRESHOLD):
        return paper.THRESHOLDS.get(paper.original(net))
    return printed(experiment).get(paper.original(net), {}).get(column)


def printed(experiment: str) -> dict[str, dict[str, paper.Value]]:
    """The paper's table of that name, net -> column -> `paper.Value`; {} where it has none."""
    return {
        "table2": paper.TABLE2,
        "table3": paper.TABLE3,
        "table4": paper.TABLE4,
        "table6": paper.TABLE6,
        "table7": paper.TABLE7,
    }.get(experiment, {})


def table(experiment: str, results: Sequence[Result], whole: bool = False) -> str:
    """Results of an experiment in Markdown: of what holds one number per seed; "" where there is none.

    As in the paper where it has the table: a row for each network, and below it the paper's and the difference; columns
    that the paper's lacks follow in tables as wide as the paper's. Else a column for each network, or a row where there
    are too many. With `whole` the networks of the paper's table that no result has are rows too, as "not recorded".
    """
    found = {net: result for result in reversed(results) for net in result.values}
    standing = {paper.original(net): net for net in found}
    nets = dict.fromkeys([*(standing.get(net, net) for net in printed(experiment) if whole or net in standing), *found])
    rows = [row for net in nets for row in _rows(experiment, net, found.get(net))]
    columns = list(dict.fromkeys(column for _, cells in rows for column in cells))
    if not printed(experiment):
        lying = len(rows) > MOST_COLUMNS
        words = [_in_words(experiment, column) for column in columns]
        lines = _head_and_rows(rows, columns, ["network" if lying else "quantity", *words])
        return _markdown(lines if lying else [list(row) for row in zip(*lines)]) if columns else ""
    width = len(next(iter(printed(experiment).values())))
    parts = [columns[k : k + width] for k in range(0, len(columns), width)]
    return "\n\n".join(_markdown(_head_and_rows(rows, part, ["network", *part])) for part in parts)


def _head_and_rows(rows: Sequence[tuple[str, Mapping[str, str]]], columns: Sequence[str], names: Sequence[str]) -> list:
    """Head and rows of some columns, without the rows that have none of them; the first name is that of the rows."""
    some = [(head, cells) for head, cells in rows if any(column in cells for column in columns)]
    return [[*names], *([head, *(cells.get(column, "") for column in columns)] for head, cells in some)]


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    return grid(*([_unbroken(cell) for cell in row] for row in rows))


# Of a column's name whose number it is, and how a reader calls them; the longer names first.
RUNS = {
    "LB": "large batch",
    "SB": "small batch",
    "root slower": "going on, rate over the root of the ratio",
    "slower": "going on, rate over the ratio",
    "faster": "going on, root rule",
    "on": "going on",
    "long": "as many gradients",
    "twice": "twice the epochs",
    "short": "the large batch's updates",
    "linear": "linear rule",
    "root": "root rule",
    "warm": "warm-up",
    "tuned": "tuned rate",
    "averaged": "mean of points",
    "ghost": "ghost batches",
    "cure": "large batch with the cure",
    "rival": "its tuned rival",
}
RUNS_OF_OTHERS = {
    "rate": "root rule",
    "updates": "the small batch's updates",
    "regime": "root rule, ghost batches and the small batch's updates",
    "inverse": "inverse rule",
    "growing": "growing batch",
    "decaying": "small batch, rate falls",
    "again": "twice from one start",
    "elsewhere": "from two starts",
    "decayed": "with weight decay",
    "before": "before rescaling",
    "after": "after rescaling",
    "start": "at the start",
    "none": "without",
    "mini": "small batches",
    "few": "batches of 1,000",
    "all": "all rows",
    "full": "all rows",
}
SEARCHES = {"lbfgs": "L-BFGS", "apgd": "APGD", "scipy": "scipy's L-BFGS-B"}  # what a search is called
OPTIMIZERS = {"adam": "Adam", "rmsprop": "RMSprop", "rprop": "Rprop", "sgd": "gradient descent"}
PHI = "φ(10⁻³), %"
HOW = {  # a sharpness is measured, where a column's name says no more
    "batch": "statistics of the batch",
    "frozen": "frozen statistics",
    "batches of 256": "statistics of batches of 256",
    **{f"{name} {steps}": f"{SEARCHES[name]}, {steps} steps" for name, steps in map(str.split, SEARCHED)},
}
MEASURED = {  # of a run, where a column's name is not the words
    "norm": "length of x",
    "adaptive": "adaptive sharpness, nats",
    "near zero": "share of weights near zero",
    "largest": "largest eigenvalue",
    "smallest": "smallest eigenvalue",
    "Gauss-Newton": "largest eigenvalue of the Gauss-Newton matrix",
    "trace": "trace of the Hessian",
    "barrier": "barrier on the line, nats",
    "residual": "residual of the largest eigenvalue",
    "flat share": "share of flat directions",
    "effective dimension": "effective dimension, as a share of all",
    "factor": "rate, in units of the paper's",
    "test": "test accuracy, %",
    "log": "correlation of the distance with the logarithm of the updates",
    "root": "correlation of the distance with the root of the updates",
    "at equal updates": "distance at equal updates",
    "test gradient": "length of the test loss's gradient",
    "test less training loss": "test loss minus training loss, nats",
    "move to its least": "distance to the least test loss along the gradient",
    "fall of the test loss": "fall of the test loss, nats",
    "rise": "largest rise of the loss, nats",
    "plain rise": "rise of the loss along random directions, nats",
    "filter rise": "rise of the loss along filter-normalised directions, nats",
    "seconds per update together": "seconds per update on all workers",
    "efficiency": "parallel efficiency",
    "equal updates": "excess loss at equal updates, squared error",
    "equal seconds": "excess loss at equal seconds, squared error",
}
LOSSES = {"batch-table": "least test loss, nats", "many-starts": "training loss, nats"}  # of each run
WHOLE = {  # columns whose names are no run's
    "SB": "distance from the start: small batch",
    "LB": "distance from the start: large batch",
    "ratio": "distance from the start, small over large batch",
    "threshold": "threshold, rows per batch",
    "noise scale": "noise scale, rows",
    "seconds": "seconds of the faster way",
    "goal": "accuracy to be reached, %",
    "nets": "nets that fit their training rows",
    "barrier": "barrier on the line, nats",
    "matched barrier": "barrier after matching units, nats",
    "line barrier": "barrier on the line, nats",
    "curve barrier": "barrier on the learned curve, nats",
    "line drop": "drop of the test accuracy on the line, points",
    "curve drop": "drop of the test accuracy on the learned curve, points",
    "before largest": "largest eigenvalue before rescaling",
    "after largest": "largest eigenvalue after rescaling",
    "outputs moved": "change of the loss by rescaling, nats",
    "updates growing": "updates: growing batch",
    "updates decaying": "updates: small batch, rate falls",
    "updates ratio": "updates, large over small batch",
    "updates ratio allowed": "updates, large over small batch, that appendix C allows",
    "seconds ratio": "seconds, large over small batch",
    "isotropic": "share along the steepest directions: noise alike in all",
}
AT_A_PLACE = {  # columns of which one is measured at the start and one at the end
    "slope": "slope of the error",
    "share": "share along the steepest directions",
    "cosine halves": "cosine of two halves",
    "cosine fresh": "cosine with fresh data",
    "error fresh": "squared error against fresh data, over what the rows' variance predicts",
}
_PLACED = re.compile(rf"({'|'.join(AT_A_PLACE)}) (start|end)")
_RUN = re.compile(rf"\b({'|'.join([*RUNS, *RUNS_OF_OTHERS])})\b")
_OPTIMIZED = re.compile(rf"({'|'.join(OPTIMIZERS)}) (\w+)")
_ONE_ROW = re.compile(r"(\d+) (constant|decaying)")
_TAU = re.compile(r"(.+?) ((?:granulated )?tau.*)")
_SHARE = re.compile(r"(?:(.+) )?1/(\d+)(?: (\d+))?")
_OF_A_RUN = re.compile(
    r"((?:SB|LB)(?: (?:again|elsewhere|decayed|averaged|root|linear|warm|tuned))*"
    rf"|start|none|L1|L2|momentum|full short|full|mini|few|all|cure|growing|{_OPTIMIZED.pattern}|{_ONE_ROW.pattern})"
    r" (?P<measured>.+)"
)


def _in_words(experiment, column):
    """A column's name with words for its keys: "test LB long" is "test accuracy, %: large batch, as many gradients"."""
    if column in WHOLE:
        return WHOLE[column]
    if placed := _PLACED.fullmatch(column):
        return f"{AT_A_PLACE[placed[1]]}: at the {placed[2]}"
    part, _, whose = column.partition(" ")
    if part in ("test", "train", "loss") and whose:
        what = {"test": "test accuracy, %", "train": "training accuracy, %", "loss": "training loss, nats"}[part]
        return f"{what}: {_called_run(whose)}"
    if sharp := re.fullmatch(r"(.+) (1e-3|5e-4)", column):
        return f"{readable(f'phi({sharp[2]}), %')}: {_called_run(sharp[1])}"
    if order := _TAU.fullmatch(column):
        return readable(f"{order[1]}: {order[2]}")
    if beyond := re.fullmatch(r"line LB less SB(?: (decayed))?", column):
        return "loss, nats: beyond the large batch minus beyond the small one" + ", with weight decay" * bool(beyond[1])
    if share := _SHARE.fullmatch(column):
        what, parts, batch = share.groups()
        what = {None: "test accuracy, %", "best": "best batch size", "critical": "critical batch size"}.get(what, what)
        rows = "all rows" if parts == "1" else f"1/{parts} of the rows"
        return f"{what}: {rows}" + (f", batch {batch}" if batch else "")
    if after := re.fullmatch(r"((?:(?!LB).)+) (SB|LB)", column):
        column = f"{MEASURED.get(after[1], after[1])}: {RUNS[after[2]]}"
    elif before := _OF_A_RUN.fullmatch(column):
        run, what = _called_run(before[1]), before["measured"]
        if what in HOW:
            return f"{PHI}: {run}, {HOW[what]}"
        if what == "loss":
            return f"{LOSSES[experiment]}: {run}"
        counted = before[1] in ("none", "L1", "L2", "momentum") and what == "dose"
        column = f"{run}: {'place of the best dose, from 0' if counted else MEASURED.get(what, what)}"
    return readable(column)


def _called_run(run):
    """A run as a reader calls it, its parts between commas."""
    if found := _OPTIMIZED.fullmatch(run):
        return f"{OPTIMIZERS[found[1]]}, {'all rows' if found[2] == 'full' else f'batch {found[2]}'}"
    if found := _ONE_ROW.fullmatch(run):
        return f"batch {found[1]}, {'constant' if found[2] == 'constant' else 'falling'} rate"
    if run == "full short":
        return "all rows, equal epochs"
    parts = [{**RUNS, **RUNS_OF_OTHERS}.get(part, part) for part in re.split(_RUN, run) if part.strip()]
    return ", ".join(part.strip() for part in parts)


def _rows(experiment, net, result):
    """(head, {column: cell}) of a net: ours, the paper's, the difference; the last two where there is one."""
    columns = result.values[net] if result else printed(experiment)[net]
    columns = {column: values for column, values in columns.items() if not (result and isinstance(values[0], list))}
    theirs = {column: value for column in columns if (value := published(experiment, net, column)) is not None}
    if not result:
        yield f"**{net}**", dict.fromkeys(columns, "not recorded")
    elif columns:
        count = len(next(iter(columns.values())))
        yield (
            f"**{called_on(net, result.data[net])}**, {result.tier} tier, {count} seed{'s' * (count > 1)}",
            {c: plus_minus(v) for c, v in columns.items()},
        )
    if theirs:
        yield "the paper", {column: str(value) for column, value in theirs.items()}
    numbers = {column: float(value) for column, value in theirs.items() if not isinstance(value, str)}
    if numbers and result and net in paper.NETWORKS and paper.NETWORKS[net].data == named(result.data[net]):
        yield (
            "difference",
            {column: readable(f"{interval(columns[column])[0] - value:+.2f}") for column, value in numbers.items()},
        )


def _unbroken(cell):
    """A short cell stays on one line."""
    return cell.replace(" ", "\u00a0").replace("e-", "e\u2011") if len(cell) < 20 else cell


def plus_minus(values: Sequence[float]) -> str:
    """Mean and 95 % interval of a column in words. Two digits of the interval are given, or three where the mean would
    have fewer, and the mean to the same place. The number alone for one seed or where all seeds agree, and both numbers
    of two, whose interval says next to nothing."""
    return readable(_plus_minus(values))


def geometric(values: Sequence[float]) -> str:
    """Geometric mean of positive numbers and its 95 % interval in words, "19.3 (16.6 to 22.3)": the mean of the
    logarithms and its interval, for what ranges over decades. The number alone for one seed, and both of two."""
    if len(values) == 2:
        return plus_minus(values)
    mean, low, high = (math.exp(value) for value in bounds([math.log(value) for value in values]))
    ends = f" ({significant(low)} to {significant(high)})" if math.isfinite(high) else ""
    return readable(f"{significant(mean)}{ends}")


def _plus_minus(values: Sequence[float]) -> str:
    mean, half = interval(values)
    if math.isnan(half) or half <= 1e-9 * abs(mean):
        return _number(mean)
    if len(values) == 2:
        return listed(list(map(_number, values)))
    place = 1 - math.floor(math.log10(float(f"{half:.1e}")))  # the decimal of the second digit, once it is rounded
    decimals = place + (abs(mean) * 10.0**place < 100)
    largest = max(abs(mean), half)
    if largest >= LARGEST_IN_FULL or (place > 5 and largest < SMALLEST_IN_FULL):
        return _times_one_power(mean, half, decimals)
    mean, half = round(mean, decimals), round(half, decimals)
    return f"{mean:,.{max(0, decimals)}f} ± {half:,.{max(0, decimals)}f}"


def _times_one_power(mean, half, decimals):
    """Mean and half width as a product with one power of ten, "(5.67 ± 0.52)·10¹⁰", to the digit that is their last of
    so many decimals."""
    mean, half = round(mean, decimals), round(half, decimals)
    exponent = math.floor(math.log10(max(abs(mean), half)))
    digits = max(0, decimals + exponent)
    shown = [f"{value / 10.0**exponent:.{digits}f}" if value else "0" for value in (mean, half)]
    return f"({' ± '.join(shown)})·10{'⁻' * (exponent < 0)}{str(abs(exponent)).translate(SUPERSCRIPT)}"


def _number(value):
    return f"{value:,.0f}" if 1000 <= abs(value) < LARGEST_IN_FULL else f"{value:.3g}"
