"""Captions of what the pages of evidence show.

A cell has one caption, typed beside it, and these pages show many pictures a cell, each with what a result says of it.
"""

import re

from docutils import nodes

# How flatlab.plots.exhibits begins what an experiment says of its claims, and a picture's file: EXPERIMENT-TIER.csv.
FINDING = "What it says: "
PICTURE = re.compile(r'class="picture".*download="([\w-]+)-\w+\.csv"', re.DOTALL)


def is_output(node):
    """Whether a node is what a cell displays at once: all its forms, of which a page is given one later."""
    return isinstance(node, nodes.container) and node.get("nb_element") == "mime_bundle"


def with_findings_as_captions(app, doctree):
    """Make what an experiment says the caption of the pictures that stand just before it, or, where there is none, of
    its table just behind it: Sphinx numbers it, as it does a caption that is typed beside a cell."""
    for number, output in enumerate(list(doctree.findall(is_output))):
        said = output.next_node(nodes.paragraph)
        if said is None or not said.astext().startswith(FINDING):
            continue
        cell, place = output.parent, output.parent.index(output)
        start, behind = place, place + 1
        while start and PICTURE.search(cell[start - 1].astext()):
            start -= 1
        shown, name = cell[start:place], ""
        if shown:
            name = PICTURE.search(shown[-1].astext())[1]
        elif behind < len(cell) and is_output(cell[behind]) and cell[behind].next_node(nodes.table):
            shown, name, behind = [cell[behind]], f"table-{number}", behind + 1
        if shown:
            figure = nodes.figure("", *shown, ids=[f"exhibit-{name}"])
            figure += nodes.caption("", "", *said.children)
            cell[start:behind] = [figure]


def setup(app):
    app.connect("doctree-read", with_findings_as_captions)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
