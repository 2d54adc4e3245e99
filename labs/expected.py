"""Expected output: what a master's experiments print with the reference's answers, put below each for comparison.

`make labs` runs a master whose code has changed since, or of which a recorded result or a verdict that it reads has, on
the CPU at the smoke tier, and writes the numbers into it. No number in such a cell is typed. An experiment whose
numbers the machine decides has the tag `timed`, and no expected output.
"""

import copy
import hashlib
import json
import os
import tempfile

import nbformat
from edition import LABS, as_text

import flatlab
from flatlab.study.claims import CLAIMS
from flatlab.study.ledger import ledger
from flatlab.study.recorded import results_directory

TEXT = """<details><summary>Expected output</summary>

What the reference's answers print here, on a processor (made by <code>make labs</code>). Yours may differ in the last
digits, and by more after many updates: another processor adds up in another order.

```text
{}
```
</details>"""


def record(lab, labs=LABS):
    """Write what a master's experiments print into the master. One that has not changed since is left as it is."""
    file = labs / "source" / lab / f"{lab}.ipynb"
    notebook = nbformat.read(file, 4)
    if notebook.metadata.get("expected") == fingerprint(notebook):
        return
    printed = run(notebook)
    cells = []
    for cell in notebook.cells:
        if cell.id.endswith("-expected"):
            continue
        cells.append(cell)
        if text := printed.get(cell.id):
            name = cell.id.removesuffix("-run") + "-expected"
            cells.append(nbformat.v4.new_markdown_cell(TEXT.format(text), id=name))
    notebook.cells = cells
    notebook.metadata["expected"] = fingerprint(notebook)
    file.write_text(as_text(notebook), encoding="utf8")


def fingerprint(notebook):
    """Of what decides what is printed: the code, all of it except the hidden tests, and the recorded results, verdicts
    and rules that it reads."""
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code" and not cell.id.endswith("-test")]
    results = [result for source in code if "flatlab.recorded(" in source for result in named(source)]
    read = [result.values for result in results]
    for source in code:
        if "ledger()" in source:
            found = [entry for entry in ledger() if f'"{entry.claim.name}"' in source]
            read += [[one.claim.name, one.claim.rule, one.word, [two.net for two in one.judgements]] for one in found]
        if "in CLAIMS" in source:
            read += [[claim.name, claim.rule] for claim in CLAIMS if f'"{claim.experiment}"' in source]
    return hashlib.sha256(json.dumps([*code, *read]).encode()).hexdigest()[:16]


def named(source):
    """The recorded results whose experiment and tier a cell writes out, each in quotation marks."""
    names = [file.stem.rpartition("-")[::2] for file in sorted(results_directory().glob("*-*.json"))]
    found = [name for name in names if all(f'"{one}"' in source for one in name)]
    if not found:
        raise ValueError('write the names of a recorded result out in the cell that reads it, as "fig2" and "paper".')
    return [flatlab.recorded(*name) for name in found]


def run(notebook):
    """What each experiment prints: {name of its cell: text}. An experiment is a cell named NAME-run."""
    from nbclient import NotebookClient

    with tempfile.TemporaryDirectory() as room:
        settings = {"FLATLAB_TIER": "smoke", "FLATLAB_STORE": f"{room}/store", "CUDA_VISIBLE_DEVICES": ""}
        client = NotebookClient(copy.deepcopy(notebook), timeout=900, resources={"metadata": {"path": room}})
        notebook = client.execute(env={**os.environ, **settings})
    return {
        cell.id: "".join(output.text for output in cell.outputs if output.get("name") == "stdout").rstrip()
        for cell in notebook.cells
        if cell.id.endswith("-run") and "timed" not in cell.metadata.get("tags", [])
    }
