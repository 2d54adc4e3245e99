"""Expected output: what a master's experiments print with the reference's answers, put below each for comparison.

`make labs` runs a master whose code has changed since, or of which a recorded result or a verdict that it reads has, on
the CPU at the smoke tier, and writes the numbers into it. No number in such a cell is typed. It is run once for each of
`ORDERS`, since a processor that adds up in another order gives other numbers after many updates; where they differ, the
range is written. An experiment whose numbers the clock decides has the tag `timed`, and no expected output.

Where a student may draw other random numbers than the reference, and be as right, the cell's metadata `others` say how
its number is made with other seeds; between which bounds such numbers lie is then written below. Where the runs above
differ in this number, `here` in them says what each of these has, and the bounds hold these numbers too.
"""

import copy
import hashlib
import itertools
import json
import os
import re
import tempfile

import nbformat
import numpy as np
from edition import LABS, as_text
from scipy import stats

import flatlab
from flatlab.study.claims import CLAIMS
from flatlab.study.ledger import ledger, significant
from flatlab.study.recorded import results_directory

TEXT = """<details><summary>Expected output</summary>

What the reference's answers print here, on a processor (made by <code>make labs</code>).{about}

```text
{text}
```
{others}</details>"""

# What is said about the text: of measured numbers, of numbers that differ.
DIGITS = """ Yours may differ in the last
digits, and by more after many updates: another processor adds up in another order."""
RANGES = """ They were run four times, each
time with the sums in another order, because another processor adds up in another order. Where the four numbers differ,
the smallest is in its line and the largest below it. If your number is outside this range, and farther from it than the
range is wide, look at
{look}."""
OTHERS = """
Other random numbers give other results. With other seeds, {number} lies between {low} and {high} in 95 of
100 cases, judged by {count} seeds. If yours is beyond{too}, look at {look}.
"""
BOTH = """
Other random numbers and other processors give other results. Between {low} and {high} lies {number}
in the four runs above and, with other seeds, in 95 of 100 cases, judged by {count} seeds. If yours is beyond, look at
{look}.
"""
# Unless the cell's own `look` says more.
LOOK = "the answer of the check above, and at the given cells, which must be as they were"

# Settings with which the libraries add up as they do on other processors.
ORDERS = (
    {},
    {"ATEN_CPU_CAPABILITY": "default"},
    {"MKL_CBWR": "COMPATIBLE", "ONEDNN_MAX_CPU_ISA": "SSE41"},
    {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE", "ONEDNN_MAX_CPU_ISA": "SSE41"},
)
# Numbers, with the spaces that put them into their column; other spaces; words; signs.
PARTS = re.compile(r"\s*[-+]?\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]\d+)?|\s+|[^\W\d]+|.")


def record(lab, labs=LABS):
    """Write what a master's experiments print into the master. One that has not changed since is left as it is."""
    file = labs / "source" / lab / f"{lab}.ipynb"
    notebook = nbformat.read(file, 4)
    if notebook.metadata.get("expected") == fingerprint(notebook):
        return
    printed = [run(with_others(notebook, order == ORDERS[0]), order) for order in ORDERS]
    cells = []
    for cell in notebook.cells:
        if cell.id.endswith("-expected"):
            continue
        cells.append(cell)
        look, others = cell.metadata.get("look", LOOK), ""
        texts = [one.get(cell.id, "") for one in printed]
        if "others" in cell.metadata:
            too = " these as well" if len(set(texts)) > 1 else ""  # beyond A or B
            found = [json.loads(one[other(cell)]) for one in printed]
            here = [value for _, values in found for value in values]
            others = drawn(cell.metadata["others"]["number"], found[0][0], look, too, here)
        if text := shown(texts, look, others, cell.source):
            name = cell.id.removesuffix("-run") + "-expected"
            cells.append(nbformat.v4.new_markdown_cell(text, id=name))
    notebook.cells = cells
    notebook.metadata["expected"] = fingerprint(notebook)
    file.write_text(as_text(notebook), encoding="utf8")


def other(cell):
    """The name of the cell that makes an experiment's number with other seeds."""
    return cell.id.removesuffix("-run") + "-others-run"


def with_others(notebook, seeds=True):
    """A copy in which, behind each experiment with `others`, a cell prints the list of these numbers (an empty one
    without `seeds`) and the list of the number that the experiment itself has."""
    notebook = copy.deepcopy(notebook)
    for cell in [cell for cell in notebook.cells if "others" in cell.metadata]:
        asked = cell.metadata["others"]["made"] if seeds else "()", f"[{cell.metadata['others'].get('here', '')}]"
        source = "print([{}, {}])".format(*(f"[float(one) for one in {made}]" for made in asked))
        new = nbformat.v4.new_code_cell(source, id=other(cell))
        notebook.cells.insert(notebook.cells.index(cell) + 1, new)
    return notebook


def drawn(number, values, look, too="", here=()):
    """The sentence about the bounds between which one more of these numbers lies, and those of `here`. `too`: what
    follows "beyond" where the bounds are not of both."""
    ends = *bounds(values), *here
    low, high = (significant(one).replace("-", "−") for one in (min(ends), max(ends)))
    sentence = BOTH if here else OTHERS
    return sentence.format(number=number, low=low, high=high, count=len(values), too=too, look=look)


def bounds(values):
    """The 95 % prediction interval for one more number, of a normal law of which neither mean nor variance is known."""
    n = len(values)
    half = stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) * (1 + 1 / n) ** 0.5
    return np.mean(values) - half, np.mean(values) + half


def shown(printed, look, others="", source=""):
    """The text of a cell for what the runs have printed: nothing if they have printed nothing."""
    if not any(printed):
        return ""
    if len(set(printed)) == 1:
        about = DIGITS if measured(printed[0], source) else ""
        return TEXT.format(about=about, text=printed[0], others=others)
    lines = itertools.zip_longest(*(text.splitlines() for text in printed), fillvalue="")
    return TEXT.format(about=RANGES.format(look=look), text="\n".join(map(in_one, lines)), others=others)


def measured(text, source):
    """Whether a cell has printed decimals whose last digits a processor decides. Those that stand in its code are
    settings, and those of a recorded result are the same everywhere."""
    printed, typed = (set(re.findall(r"\d+\.\d+", one)) for one in (text, source))
    return "recorded" not in source and bool(printed - typed)


def in_one(lines):
    """One line for the same line of several runs. Where their numbers differ it has the least ones, and a second line
    the largest ones under them, so that each stays in its column, or "12 to 13" where one alone differs and the line
    begins with it; where words differ, each of them."""
    parts = [PARTS.findall(line) for line in lines]
    if len({len(one) for one in parts}) > 1:
        return " or: ".join(dict.fromkeys(line.strip() for line in lines if line))
    if not parts[0]:
        return ""
    both = list(map(ends, zip(*parts)))
    least, largest = ("".join(one).rstrip() for one in zip(*both))
    if not largest:
        return least
    below, room = re.subn(r"^( *)   (?=\S)", r"\1to ", largest)
    if room:
        return f"{least}\n{below}"
    if len(largest.split()) == 1:
        return "".join(f"{low} to {high}" if high.strip() else low for low, high in both)
    return f"{least}\n{largest}  (the largest of the runs)"


def ends(parts):
    """The least and the largest of several numbers as they were printed, equally wide; of what is the same in all, or
    is words, that, and as many spaces."""
    if len({part.strip() for part in parts}) == 1:
        known = max(parts, key=len)
    elif all(re.search(r"\d", part) for part in parts):
        least, *_, largest = sorted(parts, key=lambda part: float(part.replace(",", "")))
        width = max(len(least), len(largest))
        return least.rjust(width), largest.rjust(width)
    else:
        known = " or ".join(dict.fromkeys(parts))
    return known, " " * len(known)


def fingerprint(notebook):
    """Of what decides what is printed: the code, all of it except the hidden tests, and the recorded results, verdicts
    and rules that it reads."""
    others = [cell.metadata["others"] for cell in notebook.cells if "others" in cell.metadata]
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code" and not cell.id.endswith("-test")]
    results = [result for source in code if "flatlab.recorded(" in source for result in named(source)]
    read = [result.values for result in results]
    for source in code:
        if "ledger()" in source:
            found = [entry for entry in ledger() if f'"{entry.claim.name}"' in source]
            read += [[one.claim.name, one.claim.rule, one.word, [two.net for two in one.judgements]] for one in found]
        if "in CLAIMS" in source:
            read += [[claim.name, claim.rule] for claim in CLAIMS if f'"{claim.experiment}"' in source]
    return hashlib.sha256(json.dumps([*code, *read, *others]).encode()).hexdigest()[:16]


def named(source):
    """The recorded results whose experiment and tier a cell writes out, each in quotation marks."""
    names = [file.stem.rpartition("-")[::2] for file in sorted(results_directory().glob("*-*.json"))]
    found = [name for name in names if all(f'"{one}"' in source for one in name)]
    if not found:
        raise ValueError('write the names of a recorded result out in the cell that reads it, as "fig2" and "paper".')
    return [flatlab.recorded(*name) for name in found]


def run(notebook, order):
    """What each experiment prints, with one of `ORDERS`: {name of its cell: text}. An experiment is a cell named
    NAME-run."""
    from nbclient import NotebookClient

    with tempfile.TemporaryDirectory() as room:
        settings = {"FLATLAB_TIER": "smoke", "FLATLAB_STORE": f"{room}/store", "CUDA_VISIBLE_DEVICES": ""}
        client = NotebookClient(copy.deepcopy(notebook), timeout=900, resources={"metadata": {"path": room}})
        notebook = client.execute(env={**os.environ, **settings, **order})
    return {
        cell.id: "".join(output.text for output in cell.outputs if output.get("name") == "stdout").rstrip()
        for cell in notebook.cells
        if cell.id.endswith("-run") and "timed" not in cell.metadata.get("tags", [])
    }
