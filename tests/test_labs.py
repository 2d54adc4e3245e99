"""A lab from master to marks: the students' edition, the checks and their hints, and a class with everything that goes
wrong in one.

The class is marked once, in one gradebook; the tests read its marks.
"""

import copy
import json
import linecache
import os
import re
import runpy
import tempfile

import nbformat
import numpy as np
import pytest
import torch
from conftest import ROOT
from edition import names, release
from submission import Refused, preflight

import flatlab
from flatlab import checks
from flatlab.checks.answer import Wrong

LABS = ROOT / "labs"
MASTER = nbformat.read(LABS / "source" / "lab1" / "lab1.ipynb", 4)
RELEASE = nbformat.read(LABS / "release" / "lab1" / "lab1.ipynb", 4)
SOLUTION = re.compile(r"^ *### BEGIN SOLUTION\n.*?### END SOLUTION\n?", re.MULTILINE | re.DOTALL)
HIDDEN = re.compile(r"^### BEGIN HIDDEN TESTS\n.*?### END HIDDEN TESTS\n?", re.MULTILINE | re.DOTALL)
REFERENCE = {cell.id: cell.source for cell in MASTER.cells if cell.metadata.get("nbgrader", {}).get("solution")}
TESTED = {"gap": 3, "noise": 3, "slope": 1, "box": 2, "phi": 4, "line": 2, "barrier": 2, "subspace": 3}
ANSWERS = runpy.run_path(str(LABS / "source" / "lab1" / "answers.py"))
MISTAKES, RIGHT = ANSWERS["MISTAKES"], ANSWERS["RIGHT"]
MISTAKE_IDS = [f"{exercise}-{words}" for exercise, _, _, words in MISTAKES]
RIGHT_IDS = [f"{exercise}-{number}" for number, (exercise, _) in enumerate(RIGHT)]


def defined(source):
    """The name of the function that a cell defines."""
    return re.search(r"^def (\w+)", source, re.MULTILINE).group(1)


def edition(answers=REFERENCE):
    """The students' edition with these answers written into it."""
    notebook = copy.deepcopy(RELEASE)
    for cell in notebook.cells:
        cell.source = answers.get(cell.id, cell.source)
    return notebook


def find(notebook, name):
    return next(n for n, cell in enumerate(notebook.cells) if cell.id == name)


def wrong_answer(exercise, old, new):
    head, body = REFERENCE[exercise].split("### BEGIN SOLUTION")
    assert old in body, f"the reference of {exercise} no longer holds {old!r}"
    return head + body.replace(old, new)


def function(source):
    space = {"flatlab": flatlab, "torch": torch, "np": np, "store": None}
    exec(source, space)
    return space[defined(source)]


# The students' edition


def test_the_release_is_the_master_without_solutions_and_hidden_tests():
    assert [cell.id for cell in RELEASE.cells] == [cell.id for cell in MASTER.cells]
    for theirs, ours in zip(RELEASE.cells, MASTER.cells):
        mark = ours.metadata.get("nbgrader", {})
        if mark.get("solution") and ours.cell_type == "markdown":
            assert theirs.source == "**Your answer:** (replace this line)"
        elif mark.get("solution"):
            stub = '    raise NotImplementedError("not written yet")\n'
            assert theirs.source.strip() == SOLUTION.sub(stub, ours.source).strip()
        else:
            assert theirs.source.strip() == HIDDEN.sub("", ours.source).strip()
    text = json.dumps(RELEASE)
    assert (
        "SOLUTION" not in text
        and "HIDDEN TESTS" not in text
        and "FLATLAB_MARK_SEED" not in text
        and "Marks: 1 for" not in text
    )


def test_the_committed_release_is_made_from_the_committed_master(tmp_path):
    assert release("lab1", to=tmp_path).read_bytes() == (LABS / "release" / "lab1" / "lab1.ipynb").read_bytes()


def test_make_labs_makes_every_lab():
    assert names() == sorted(folder.name for folder in (LABS / "source").iterdir() if folder.is_dir())


def test_the_package_that_a_lab_installs_can_be_set(tmp_path):
    text = release("lab1", to=tmp_path, package="flatlab @ git+https://example.org/ours@2027").read_text()
    assert (
        "git+https://example.org/ours@2027" in text and json.loads(text) and 'github.com/flatlab/flatlab\\"' not in text
    )


def test_every_exercise_has_a_card_a_check_and_marks():
    points = {
        cell.id: cell.metadata.nbgrader.points
        for cell in MASTER.cells
        if cell.metadata.get("nbgrader", {}).get("grade")
    }
    assert points == {**{f"{name}-test": most for name, most in TESTED.items()}, "epochs-answer": 2, "proof-answer": 3}
    assert (
        sum(
            "Difficulty" in cell.source and "Importance" in cell.source and "minutes" in cell.source
            for cell in MASTER.cells
            if cell.cell_type == "markdown"
        )
        == 7
    )
    for name in TESTED:
        assert f"checks.{name}({defined(REFERENCE[name])})" in MASTER.cells[find(MASTER, f"{name}-check")].source


# The checks


@pytest.mark.parametrize("exercise", TESTED)
def test_a_check_accepts_the_reference_and_other_right_answers(exercise):
    right = function(REFERENCE[exercise])
    assert getattr(checks, exercise)(right), getattr(checks, exercise)(right)
    as_tensor = getattr(checks, exercise)(lambda *a, **k: torch.as_tensor(right(*a, **k)))
    assert as_tensor, as_tensor


@pytest.mark.parametrize("exercise, source", RIGHT, ids=RIGHT_IDS)
def test_another_right_answer_gets_a_tick_and_its_marks(exercise, source, monkeypatch):
    answer = getattr(checks, exercise)(function(source))
    assert answer, answer
    assert hidden_tests_pass(exercise, source, monkeypatch, "20170")


@pytest.mark.parametrize("exercise, old, new, hint", MISTAKES, ids=MISTAKE_IDS)
def test_a_wrong_answer_gets_the_hint_of_its_own_mistake(exercise, old, new, hint):
    verdict = getattr(checks, exercise)(function(wrong_answer(exercise, old, new)))
    assert not verdict and hint in str(verdict), verdict
    assert "\n" not in str(verdict)


def hidden_tests_pass(exercise, source, monkeypatch, seed):
    monkeypatch.setenv("FLATLAB_MARK_SEED", seed)
    space = {"flatlab": flatlab, "torch": torch, "np": np, "os": os, "store": None}
    exec(source, space)
    try:
        exec(MASTER.cells[find(MASTER, f"{exercise}-test")].source, space)
    except (AssertionError, Wrong):
        return False
    return True


@pytest.mark.parametrize("exercise, old, new, hint", MISTAKES, ids=MISTAKE_IDS)
def test_a_wrong_answer_fails_the_hidden_tests(exercise, old, new, hint, monkeypatch):
    assert not hidden_tests_pass(exercise, wrong_answer(exercise, old, new), monkeypatch, "20170")


@pytest.mark.parametrize("exercise", TESTED)
def test_the_reference_passes_the_hidden_tests_whatever_their_seed(exercise, monkeypatch):
    for seed in ("20170", "1", "2", "3") if exercise != "gap" else ("20170", "1"):
        assert hidden_tests_pass(exercise, REFERENCE[exercise], monkeypatch, seed), seed


def test_two_mistakes_never_get_one_hint_unless_they_are_one():
    said = {}
    for exercise, old, new, words in MISTAKES:
        said.setdefault((exercise, words), set()).add((old, new))
    assert {key for key, found in said.items() if len(found) > 1} == {("phi", "same share of its own radius")}


@pytest.mark.parametrize("exercise", TESTED)
@pytest.mark.parametrize(
    "student, words",
    [
        (lambda *a, **k: None, "returns nothing"),
        (lambda *a, **k: 1 / 0, "ZeroDivisionError"),
        (lambda: 1, "TypeError"),
        (lambda *a, **k: float("nan"), ""),
        (lambda *a, **k: "text", ""),
        (lambda *a, **k: torch.zeros(2, 3, 4), ""),
        (lambda *a, **k: (value for value in [1.0]), "a generator"),
        (lambda *a, **k: {1: 2.0}, "a dict"),
        (lambda *a, **k: {1.0, 2.0}, "a set"),
        (lambda *a, **k: [[1.0, 2.0], [3.0]], "list of lists"),
        (3, "without brackets"),
    ],
    ids=[
        "None",
        "raises",
        "no arguments",
        "nan",
        "text",
        "a cube",
        "generator",
        "dict",
        "set",
        "nested",
        "no function",
    ],
)
def test_a_check_never_raises_and_answers_in_one_line(exercise, student, words):
    verdict = getattr(checks, exercise)(student)
    assert not verdict and words in str(verdict) and "\n" not in str(verdict)


def test_the_line_that_stopped_is_named_in_jupyter_and_in_colab():
    for file in ("ipykernel_7/1.py", "ipython-input-3.py"):
        file = f"{tempfile.gettempdir()}/{file}"
        space = {}
        exec(compile("def box_radius(x, eps):\n    return 1 / 0", file, "exec"), space)
        linecache.cache[file] = (0, None, ["def box_radius(x, eps):\n", "    return 1 / 0\n"], file)
        assert "your code stopped in `return 1 / 0`, line 2 of its cell: ZeroDivisionError" in str(
            checks.box(space["box_radius"])
        )


def test_a_check_that_stops_training_leaves_flatlab_as_it_was():
    train = flatlab.train
    assert not checks.gap(lambda data, small, large, seeds, epochs: [flatlab.train("mlp", data)] * 2)
    assert flatlab.train is train


def test_an_unknown_check_is_refused_in_a_sentence():
    with pytest.raises(AttributeError, match="there is no check 'bx': choose .*box"):
        checks.bx  # noqa: B018


def test_what_is_not_written_yet_is_said_to_be(capsys):
    assert "not written yet" in str(checks.box(function(RELEASE.cells[find(RELEASE, "box")].source)))
    with checks.attempt():
        raise NotImplementedError
    assert "not written yet" in capsys.readouterr().out


# One submission


def write(path, notebook):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(notebook if isinstance(notebook, str) else json.dumps(notebook))
    return path


def stripped():
    """As an editor leaves it that keeps neither metadata nor ids."""
    notebook = edition()
    for number, cell in enumerate(notebook.cells):
        cell.metadata, cell.id = {}, f"c{number}"
    return notebook


def colab():
    """As Colab saves it: its own ids, in the metadata."""
    notebook = stripped()
    for cell, ours in zip(notebook.cells, RELEASE.cells):
        del cell["id"]
        cell.metadata = {"id": ours.id}
    notebook.nbformat_minor = 0
    return notebook


def reordered():
    """The last exercise moved to the front, before the cell that imports anything."""
    notebook = edition()
    number = find(notebook, "subspace")
    notebook.cells[0:0] = [notebook.cells.pop(number) for _ in range(3)][::-1]
    return notebook


def doubled(change=""):
    """The box and its test copied with their metadata, as JupyterLab copies cells."""
    notebook = edition()
    for name in ("box", "box-test"):
        number = find(notebook, name)
        notebook.cells.insert(number + 1, copy.deepcopy(notebook.cells[number]))
        notebook.cells[number + 1].source += change
    return notebook


def tampered(notebook):
    """Full marks by editing: the tests emptied, one deleted, the marks raised, the settings changed."""
    for cell in notebook.cells:
        if cell.id.endswith("-test"):
            cell.source, cell.metadata.nbgrader.points, cell.metadata.nbgrader.locked = "pass", 100, False
    del notebook.cells[find(notebook, "line-test")]
    notebook.cells[find(notebook, "settings")].source += "\nos.environ['FLATLAB_TIER'] = 'paper'"
    return notebook


@pytest.mark.parametrize(
    "broken, note",
    [(stripped, "found again"), (colab, "found again"), (reordered, "another order"), (doubled, "2 times")],
)
def test_what_can_be_mended_in_one_way_is_mended(tmp_path, broken, note):
    notebook, notes = preflight(write(tmp_path / "one.ipynb", broken()), RELEASE)
    assert note in " ".join(notes) and "missing" not in " ".join(notes)
    assert broken is doubled or "times" not in " ".join(notes)
    given = [cell for cell in notebook.cells if "nbgrader" in cell.metadata]
    expected = [cell for cell in edition().cells if "nbgrader" in cell.metadata]
    assert [(cell.source, cell.metadata) for cell in given] == [(cell.source, cell.metadata) for cell in expected]


def test_a_whole_submission_is_left_as_it_is_with_the_students_own_cells(tmp_path):
    submitted = edition()
    submitted.cells.insert(find(submitted, "box"), nbformat.v4.new_code_cell("helper = 3"))
    notebook, notes = preflight(write(tmp_path / "one.ipynb", submitted), RELEASE)
    assert notes == []
    assert [cell.source for cell in notebook.cells] == [cell.source for cell in submitted.cells]


def test_a_missing_exercise_is_noted_and_the_rest_counts(tmp_path):
    submitted = edition()
    del submitted.cells[find(submitted, "box")]
    notebook, notes = preflight(write(tmp_path / "one.ipynb", submitted), RELEASE)
    assert "'box' was missing" in notes[0] and "not answered" in notes[0]
    assert "NotImplementedError" in notebook.cells[find(notebook, "box")].source


@pytest.mark.parametrize(
    "content, words",
    [
        ("PK\x03\x04 a zip", "not JSON"),
        ("[1, 2]", "not a notebook"),
        ('{"cells": [{}], "nbformat": 4}', "whole notebook"),
        ('{"cells": [], "nbformat": 4}', "another notebook"),
        ('{"worksheets": [], "nbformat": 3}', "not a notebook"),
        (json.dumps(doubled(" + 0")), "'box' is answered in 2 cells"),
    ],
    ids=["zip", "list", "no text", "empty", "format 3", "two answers"],
)
def test_what_cannot_be_mended_is_refused_in_one_sentence(tmp_path, content, words):
    with pytest.raises(Refused, match=re.escape(words)):
        preflight(write(tmp_path / "one.ipynb", content), RELEASE)


# The lab itself, as a student meets it


def test_a_blank_lab_runs_from_the_first_cell_to_the_last(tmp_path):
    from nbclient import NotebookClient

    notebook = copy.deepcopy(RELEASE)
    os.environ["FLATLAB_TIER"] = "mark"
    try:
        NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    finally:
        del os.environ["FLATLAB_TIER"]
    for name in TESTED:
        (output,) = notebook.cells[find(notebook, f"{name}-check")].outputs
        assert "not written yet" in output.data["text/plain"]
    for name in ("gap-run", "noise-run", "box-run", "phi-run", "line-run"):
        assert "not written yet" in notebook.cells[find(notebook, name)].outputs[-1].text
