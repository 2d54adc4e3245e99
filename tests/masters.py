"""Every lab as its tests see it: the master, the students' edition, and what students answer."""

import ast
import copy
import json
import os
import re
import runpy

import edition
import nbformat
import numpy as np
import torch
from conftest import ROOT

import flatlab

LABS = ROOT / "labs"


class Lab:
    """One folder of labs/source.

    `reference` holds the answers, by the names of their cells; `points` the marks of every graded cell; `tested` those
    of the exercises that a check and a hidden test look at.
    """

    def __init__(self, name):
        self.name = name
        self.master = nbformat.read(LABS / "source" / name / f"{name}.ipynb", 4)
        self.release = nbformat.read(LABS / "release" / name / f"{name}.ipynb", 4)
        marked = {cell.id: cell for cell in self.master.cells if "nbgrader" in cell.metadata}
        self.reference = {one: cell.source for one, cell in marked.items() if cell.metadata.nbgrader.solution}
        self.points = {
            one: cell.metadata.nbgrader.points for one, cell in marked.items() if cell.metadata.nbgrader.grade
        }
        self.tests = {one: marked[one].source for one in self.points if marked[one].cell_type == "code"}
        self.texts = [one for one in self.points if marked[one].cell_type == "markdown"]
        self.tested = {
            one: self.points[f"{one}-test"]
            for one in self.reference
            if f"{one}-check" in marked and f"{one}-test" in marked
        }
        answers = runpy.run_path(str(LABS / "source" / name / "answers.py"))
        self.mistakes, self.right = answers["MISTAKES"], answers["RIGHT"]
        self.cheats = answers.get("CHEATS", [])
        self.given = answers.get("GIVEN", {})  # names of the given cells that answers use
        self.alike = answers.get("ALIKE", set())  # (exercise, words): mistakes that are one, written in several ways

    def __repr__(self):
        return self.name

    def edition(self, answers=None):
        """The students' edition with these answers written into it; by default the reference."""
        notebook, answers = copy.deepcopy(self.release), self.reference if answers is None else answers
        for cell in notebook.cells:
            cell.source = answers.get(cell.id, cell.source)
        return notebook

    def wrong(self, exercise, old, new):
        """The reference of an exercise with one mistake in it."""
        head, body = self.reference[exercise].split("### BEGIN SOLUTION")
        assert old in body, f"the reference of {exercise} no longer holds {old!r}"
        return head + body.replace(old, new)

    def space(self, source):
        """What a kernel knows after the lab's answers, with this one in place of the reference's."""
        space = {"flatlab": flatlab, "torch": torch, "np": np, "os": os, **self.given}
        for one, answer in self.reference.items():
            if one in self.tested and defined(answer) != defined(source):
                exec(answer, space)
        exec(source, space)
        return space

    def function(self, source):
        """The function that a cell defines."""
        return self.space(source)[defined(source)]

    def first(self):
        """The name of the first exercise's cell."""
        return next(iter(self.tested))

    def names_of_tests(self):
        """The names that the hidden tests use, and no other cell."""
        used = {name for source in self.tests.values() for name in names(source)}
        others = [cell.source for cell in self.release.cells + self.master.cells if cell.id not in self.tests]
        return sorted(used - {word for source in others for word in re.findall(r"\w+", source)})


def names(source):
    """The names that a cell reads, or defines."""
    tree = list(ast.walk(ast.parse(source)))
    return {node.id for node in tree if isinstance(node, ast.Name)} | {
        node.name for node in tree if isinstance(node, (ast.FunctionDef, ast.ClassDef))
    }


def defined(source):
    """The name of the function that a cell defines."""
    return re.search(r"^def (\w+)", source, re.MULTILINE).group(1)


def find(notebook, name):
    """The number of the cell of this name."""
    return next(n for n, cell in enumerate(notebook.cells) if cell.id == name)


def write(path, notebook):
    """Write a notebook, or any text, and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(notebook if isinstance(notebook, str) else json.dumps(notebook))
    return path


EVERY = [Lab(name) for name in edition.names()]
