"""One submission against the release: what can be mended in one way is mended and noted, anything else is refused in a
sentence."""

import copy
import io
import itertools
import json
import re
import zipfile
from pathlib import Path

import nbformat
from nbformat import NotebookNode

MOST_PRINTED = 5000  # characters that are kept of what a cell printed for the student
MOST_CELLS = 2000  # a lab has some eighty


class Refused(Exception):
    """Why a submission cannot be marked, in one sentence."""


def preflight(path, original):
    """(notebook, notes): a submission as it can be marked, and one sentence for each thing that was mended.

    path        the student's file
    original    the release, a NotebookNode
    Every marked or given cell is there once, in the release's order, with the release's metadata; the student's own
    cells stay behind the cell that they followed. A given cell keeps what it printed for the student. Raises Refused.
    """
    submitted = _read(path)
    given = [cell for cell in original.cells if "nbgrader" in cell.metadata]
    owners, notes = _recognise(submitted.cells, given)
    if not any(owner and owner.metadata.nbgrader.solution for owner in owners):
        raise Refused("none of this lab's exercises is in it: it is another notebook, or an empty one.")
    chosen = {}
    for cell in given:
        found = [number for number, owner in enumerate(owners) if owner is cell]
        chosen[cell.id] = _choose(cell, found, submitted.cells, notes)
    order = [chosen[cell.id] for cell in given if chosen[cell.id] is not None]
    if order != sorted(order):
        notes.append("cells were in another order: put back in the lab's order.")

    own, last = {None: []}, None  # the student's own cells, by the given cell that they follow
    for number, cell in enumerate(submitted.cells):
        if owners[number] is None:
            cell.id = f"own-{number}"
            del cell["printed"]
            own.setdefault(last, []).append(cell)
        else:
            last = owners[number].id
    texts = {" ".join(cell.source.split()) for cell in original.cells}
    cells, question = own[None], None
    for cell in given:
        restored = _restore(cell, chosen[cell.id], submitted.cells, notes)
        beside = [*(own.get(question.id, []) if question else []), *own.get(cell.id, [])]
        if _is_free_answer(cell) and _same(restored, cell) and question:
            asked = submitted.cells[chosen[question.id]].source if chosen[question.id] is not None else ""
            added = [
                one.source
                for one in beside
                if one.cell_type == "markdown" and " ".join(one.source.split()) not in texts
            ]
            _find_answer(restored, question, asked, added, notes)
        cells += [restored, *own.get(cell.id, [])]
        question = cell
    notebook = NotebookNode(nbformat=4, nbformat_minor=5, metadata=copy.deepcopy(original.metadata), cells=cells)
    nbformat.validate(notebook)
    return notebook, notes


def _read(path):
    """The file as a notebook of the current format, with what was printed as its only outputs, or Refused."""
    try:
        raw = json.loads(_decoded(Path(path).read_bytes()))
    except (ValueError, RecursionError):
        raise Refused(
            "it is not a notebook: the file is not JSON. Ask for File > Download > Download .ipynb."
        ) from None
    except OSError as error:
        raise Refused(f"it could not be read: {error.strerror}.") from None
    if not isinstance(raw, dict) or not isinstance(raw.get("cells"), list) or raw.get("nbformat") != 4:
        raise Refused("it is not a notebook of format 4, the one that Colab and Jupyter save.")
    if len(raw["cells"]) > MOST_CELLS:
        raise Refused(f"it has {len(raw['cells']):,} cells, and may have {MOST_CELLS:,}.")
    cells = []
    for cell in raw["cells"]:
        source = cell.get("source", "") if isinstance(cell, dict) else None
        source = (
            "".join(source) if isinstance(source, list) and all(isinstance(line, str) for line in source) else source
        )
        if not isinstance(source, str) or cell.get("cell_type") not in ("code", "markdown", "raw"):
            raise Refused("it is not a whole notebook: one of its cells has no text or no type.")
        metadata = cell.get("metadata") if isinstance(cell.get("metadata"), dict) else {}
        names = {str(cell.get("id")), str(metadata.get("id"))}  # Jupyter's id, and Colab's
        mark = metadata.get("nbgrader") if isinstance(metadata.get("nbgrader"), dict) else {}
        new = {
            "code": nbformat.v4.new_code_cell,
            "markdown": nbformat.v4.new_markdown_cell,
            "raw": nbformat.v4.new_raw_cell,
        }
        new = new[cell["cell_type"]](source)
        new.printed = _printed(cell.get("outputs"))
        new.names, new.grade_id = names, mark.get("grade_id")  # read by _recognise, which takes them away
        cells.append(new)
    return NotebookNode(cells=cells)


def _printed(outputs):
    """The text that a cell printed or showed, cut off where it is long; errors and pictures are left out."""
    found = []
    for output in outputs if isinstance(outputs, list) else []:
        output = output if isinstance(output, dict) else {}
        shown = output.get("data") if isinstance(output.get("data"), dict) else {}
        text = output.get("text", shown.get("text/plain", "") if output.get("output_type") == "execute_result" else "")
        text = text if isinstance(text, list) else [text]
        found += [line for line in text if isinstance(line, str) and output.get("name") != "stderr"]
    return "".join(found)[:MOST_PRINTED]


def _decoded(content):
    """A file's text: UTF-8, with a byte order mark or without, or UTF-16."""
    if not content.strip():
        raise Refused("the file is empty: the upload or the download was cut off.")
    if zipfile.is_zipfile(io.BytesIO(content)):
        raise Refused("it is a zip and not a notebook (not JSON): ask for File > Download > Download .ipynb.")
    return content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")


def _recognise(cells, given):
    """(owners, notes): owners holds the release's cell that each submitted cell is, or None.

    By nbgrader's name for it; for those that no cell names, by the cell's id; then by what it defines or, for a given
    cell, by its text; then, for a free answer, as the cell that follows its question.
    """
    by_name = {cell.metadata.nbgrader.grade_id: cell for cell in given}
    owners, lost = [by_name.get(cell.grade_id) for cell in cells], []

    def claim(cell, test):
        matches = [n for n, one in enumerate(cells) if owners[n] is None and test(one)]
        for n in matches:
            owners[n] = cell
        return bool(matches)

    for cell in given:
        if any(owner is cell for owner in owners):
            continue
        if claim(cell, lambda one: cell.id in one.names) or claim(cell, lambda one: _same_content(one, cell)):
            lost.append(cell.metadata.nbgrader.grade_id)
    for question, cell in itertools.pairwise(given):
        if (
            cell.metadata.nbgrader.solution
            and cell.cell_type == "markdown"
            and not any(owner is cell for owner in owners)
        ):
            places = [n for n, owner in enumerate(owners) if owner is question]
            if places and places[0] + 1 < len(cells) and owners[places[0] + 1] is None:
                owners[places[0] + 1] = cell
                lost.append(cell.metadata.nbgrader.grade_id)
    for cell in cells:
        del cell["names"], cell["grade_id"]
    return owners, [
        f"the marks of {len(lost)} cells were lost on the way ({', '.join(lost)}): found again."
    ] if lost else []


def _same_content(one, cell):
    if cell.metadata.nbgrader.solution:
        return (
            cell.cell_type == "code" and bool(_defines(cell.source)) and _defines(cell.source) <= _defines(one.source)
        )
    return one.source.split() == cell.source.split()


def _defines(source):
    return set(re.findall(r"^(?:def|class) +(\w+)", source, re.MULTILINE))


def _choose(cell, found, cells, notes):
    """Which of the submitted cells found for a release cell counts, or None; a given cell's copies are all alike."""
    name = cell.metadata.nbgrader.grade_id
    if cell.metadata.nbgrader.solution:
        answers = {" ".join(cells[n].source.split()): n for n in reversed(found)}
        answers.pop(" ".join(cell.source.split()), None)
        if len(answers) > 1:
            raise Refused(f"the exercise '{name}' is answered in {len(answers)} cells that differ: keep one of them.")
        if len(found) > 1:
            notes.append(f"the cell '{name}' was there {len(found)} times: one kept.")
        return next(iter(answers.values()), found[0] if found else None)
    if len(found) > 1:
        notes.append(f"the cell '{name}' was there {len(found)} times: one kept.")
    return found[0] if found else None


def _is_free_answer(cell):
    return cell.cell_type == "markdown" and cell.metadata.nbgrader.solution


def _same(one, other):
    return one.source.split() == other.source.split()


def _find_answer(answer, question, asked, added, notes):
    """Take a free answer that stands in a cell of its own beside its question, or inside the question's cell."""
    given = question.source.rstrip()
    inside = asked[len(given) :].strip() if asked.startswith(given) else ""
    if found := [text for text in (inside, *added) if text.strip()]:
        answer.source = "\n\n".join(found)
        notes.append(f"the answer '{answer.metadata.nbgrader.grade_id}' stood beside its cell: put into it.")


def _restore(cell, number, cells, notes):
    """The release's cell, with the student's text where it is an answer."""
    name, restored = cell.metadata.nbgrader.grade_id, copy.deepcopy(cell)
    if number is None:
        notes.append(
            f"the cell '{name}' was missing: put back"
            + (", and counts as not answered." if cell.metadata.nbgrader.solution else ".")
        )
    elif cell.metadata.nbgrader.solution:
        restored.source = cells[number].source
    elif cells[number].source.split() != cell.source.split():
        notes.append(f"the given cell '{name}' was changed: put back.")
    if (
        number is not None
        and restored.cell_type == "code"
        and not cell.metadata.nbgrader.solution
        and cells[number].printed
    ):
        restored.outputs = [nbformat.v4.new_output("stream", text=cells[number].printed)]
    return restored
