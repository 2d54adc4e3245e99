"""What a reader of the free answers needs on one page: the student's own numbers, the question, the scheme, the answer.

The page is nbgrader's, which formgrader opens and takes the marks from. The numbers are those that the student quotes,
not those of the shorter runs that the marking makes.
"""

import re

import nbformat


def with_numbers(outputs, cells):
    """The outputs of each cell for the reader: a given cell's as the student had them, the others' as marking made
    them."""
    return [cell.get("outputs", []) if _is_given(cell) else made for made, cell in zip(outputs, cells)]


def for_the_reader(marked, master, submitted):
    """The marked notebook with the scheme and the student's own numbers above each free answer, and without what a
    student's text could do in the reader's browser."""
    schemes = {
        cell.metadata.nbgrader.grade_id: cell.source
        for cell in master.cells
        if cell.cell_type == "markdown" and cell.metadata.get("nbgrader", {}).get("solution")
    }
    numbers = "\n".join(
        f"[{cell.metadata.nbgrader.grade_id}]\n{cell.outputs[0]['text'].rstrip()}"
        for cell in submitted.cells
        if _is_given(cell) and cell.get("outputs") and not cell.metadata.nbgrader.grade_id.endswith(("-check", "setup"))
    )
    given, cells = {cell.source for cell in master.cells}, []
    for cell in marked.cells:
        if cell.cell_type == "raw":  # it would be a part of the page as it is
            cell = nbformat.v4.new_markdown_cell(cell.source)
        if cell.cell_type == "markdown" and cell.source not in given:
            cell.source = harmless(cell.source)
        if scheme := schemes.get(cell.metadata.get("nbgrader", {}).get("grade_id")):
            quoted = "\n".join(f"> {line}" for line in scheme.splitlines())
            indented = "\n".join(
                f"    {line}" for line in (numbers or "the notebook was handed in without any").splitlines()
            )
            text = f"**The scheme**\n\n{quoted}\n\n**The student's own numbers**\n\n{indented}\n\n**The answer**"
            cells.append(nbformat.v4.new_markdown_cell(text))
        cells.append(cell)
    marked.cells = cells
    return marked


def harmless(text):
    """A text whose tags and links are shown and not followed, as a space is in them: a script could give marks in the
    reader's name. A link's address can be written in many ways, so no address is read: there are no links, in a formula
    either, and no signs that are written by name or number."""
    text = re.sub(r"\\(?=href|mmlToken)|&(?=[#\w])|<(?=[a-zA-Z/!?])", r"\g<0> ", text)
    return re.sub(r"\](?=[(\[:])", "] ", text)


def _is_given(cell):
    mark = cell.metadata.get("nbgrader", {})
    return cell.cell_type == "code" and bool(mark) and not mark.get("solution") and not mark.get("grade")
