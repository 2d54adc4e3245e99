"""The exercises of a chapter as cards of sphinx-exercise, each with an anchor: `puzzle.html#exercise-1`.

A chapter says no more than `**1. Title.** *Difficulty ...* What to do.`, because it is read in JupyterLab and in Colab
as well, which know no directive. The number is the chapter's, because the cell of the solution prints it too.
"""

import re

from docutils import nodes
from sphinx_exercise.nodes import exercise_node

NUMBERED = re.compile(r"(\d)\. (.+?)\.?")


def card(paragraph):
    """The card of an exercise; None of any other paragraph."""
    match paragraph.children:
        case [nodes.Text(), nodes.strong() as head, nodes.Text(), nodes.emphasis() as difficulty, *task]:
            found = NUMBERED.fullmatch(head.astext())
            if found and difficulty.astext().startswith("Difficulty "):
                title = nodes.title("", f"Exercise {found[1]}: {found[2]}")
                said = nodes.paragraph("", "", difficulty), nodes.paragraph("", "", *task)
                return exercise_node("", title, *said, ids=[f"exercise-{found[1]}"], classes=["exercise"])


def as_cards(app, doctree):
    """Put every exercise of a page into a card."""
    for paragraph in list(doctree.findall(nodes.paragraph)):
        if exercise := card(paragraph):
            paragraph.parent.replace(paragraph, exercise)


def setup(app):
    app.connect("doctree-read", as_cards, priority=600)  # after the extension, whose own names are the whole book's
    return {"parallel_read_safe": True, "parallel_write_safe": True}
