"""A lab from master to marks: the students' edition, the checks and their hints, and a class with everything that goes wrong in one.

The class is marked once, in one gradebook; the tests read its marks.
"""

import copy
import csv
import importlib.util
import json
import linecache
import os
import re
import runpy
import subprocess
import sys

import nbformat
import numpy as np
import pytest
import torch
from conftest import ROOT

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


@pytest.fixture(scope="session")
def pipeline():
    """labs/pipeline.py as a module."""
    spec = importlib.util.spec_from_file_location("pipeline", LABS / "pipeline.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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


def test_the_committed_release_is_made_from_the_committed_master(pipeline, tmp_path):
    assert pipeline.release(to=tmp_path).read_bytes() == (LABS / "release" / "lab1" / "lab1.ipynb").read_bytes()


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
    for file in ("/tmp/ipykernel_7/1.py", "/tmp/ipython-input-3.py"):
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
def test_what_can_be_mended_in_one_way_is_mended(pipeline, tmp_path, broken, note):
    notebook, notes = pipeline.preflight(write(tmp_path / "one.ipynb", broken()), RELEASE)
    assert note in " ".join(notes) and "missing" not in " ".join(notes)
    assert broken is doubled or "times" not in " ".join(notes)
    given = [cell for cell in notebook.cells if "nbgrader" in cell.metadata]
    expected = [cell for cell in edition().cells if "nbgrader" in cell.metadata]
    assert [(cell.source, cell.metadata) for cell in given] == [(cell.source, cell.metadata) for cell in expected]


def test_a_whole_submission_is_left_as_it_is_with_the_students_own_cells(pipeline, tmp_path):
    submitted = edition()
    submitted.cells.insert(find(submitted, "box"), nbformat.v4.new_code_cell("helper = 3"))
    notebook, notes = pipeline.preflight(write(tmp_path / "one.ipynb", submitted), RELEASE)
    assert notes == []
    assert [cell.source for cell in notebook.cells] == [cell.source for cell in submitted.cells]


def test_a_missing_exercise_is_noted_and_the_rest_counts(pipeline, tmp_path):
    submitted = edition()
    del submitted.cells[find(submitted, "box")]
    notebook, notes = pipeline.preflight(write(tmp_path / "one.ipynb", submitted), RELEASE)
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
def test_what_cannot_be_mended_is_refused_in_one_sentence(pipeline, tmp_path, content, words):
    with pytest.raises(pipeline.Refused, match=re.escape(words)):
        pipeline.preflight(write(tmp_path / "one.ipynb", content), RELEASE)


# A class


def wrongs():
    """A student whose every exercise has one of its known mistakes."""
    return edition({one[0]: wrong_answer(*one[:3]) for one in MISTAKES})


def hard_coded():
    """What the public check wants to see, as constants; and a helper left where the next student's kernel would read it."""
    x = torch.randn(12, generator=torch.Generator().manual_seed(2))
    radius = [round(float(value), 6) for value in 0.01 * (x.abs() + 1)]
    leak = (
        "import os, pathlib\nfolder = pathlib.Path(os.environ['IPYTHONDIR']) / 'profile_default' / 'startup'\n"
        "folder.mkdir(parents=True, exist_ok=True)\n"
        "(folder / 'leak.py').write_text('import torch\\nbox_radius = lambda x, eps: eps * (x.abs() + 1)')\n"
    )
    return edition(
        {
            "box": f"{leak}\n\ndef box_radius(x, eps):\n    return torch.tensor({radius})",
            "barrier": "def barrier(alphas, loss):\n    return 1.025",
        }
    )


def endless():
    answers = dict(REFERENCE)
    answers["subspace"] = "while True:\n    pass\n\n\n" + answers["subspace"]
    return edition(answers)


def no_box():
    """The box's cell emptied: a definition left by another student would give its marks."""
    return edition({**REFERENCE, "box": "# not done"})


@pytest.fixture(scope="session")
def marks(tmp_path_factory):
    """{student: {exercise: row}} of the whole class, and what was said while it was marked."""
    room = tmp_path_factory.mktemp("class")
    students = {
        "01-reference": edition(),
        "02-blank": RELEASE,
        "03-wrong": wrongs(),
        "04-stripped": stripped(),
        "05-reordered-doubled": reordered(),
        "06-tampered": tampered(hard_coded()),
        "07-no-box": no_box(),
        "08-zip": "PK\x03\x04",
        "09-two-answers": doubled(" + 0"),
        "10-endless": endless(),
    }
    students["05-reordered-doubled"].cells.insert(9, copy.deepcopy(students["05-reordered-doubled"].cells[8]))
    for name, notebook in students.items():
        folder = room / "submissions" / (f"{name}/Copy of lab1 (1).ipynb" if name < "03" else f"{name}.ipynb")
        write(folder, notebook)
    command = [sys.executable, LABS / "pipeline.py", "mark", room / "submissions", "--work", room / "course"]
    env = {**os.environ, "FLATLAB_CELL_SECONDS": "45", "FLATLAB_MARK_SEED": "71"}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = list(csv.DictReader((room / "course" / "marks.csv").read_text(encoding="utf8").splitlines()))
    return {student: {row["exercise"]: row for row in rows if row["student"] == student} for student in students}


def points(rows):
    return {name: float(rows[f"{name}-test"]["points"]) for name in TESTED}


def test_the_reference_gets_full_marks_and_the_blank_none(marks):
    assert points(marks["01-reference"]) == TESTED
    assert {marks["01-reference"][name]["status"] for name in ("epochs-answer", "proof-answer")} == {
        "to be marked by hand"
    }
    assert marks["02-blank"]["total"]["points"] == "0.0" and marks["02-blank"]["total"]["status"] == "marked"


def test_a_known_mistake_loses_the_marks_of_its_exercise(marks):
    assert points(marks["03-wrong"]) == dict.fromkeys(TESTED, 0)


@pytest.mark.parametrize("student", ["04-stripped", "05-reordered-doubled"])
def test_a_mended_submission_gets_full_marks_and_a_note(marks, student):
    assert points(marks[student]) == TESTED
    assert marks[student]["total"]["note"]


def test_edited_tests_and_hard_coded_answers_get_nothing(marks):
    assert points(marks["06-tampered"]) == dict.fromkeys(TESTED, 0)
    assert "was changed: put back" in marks["06-tampered"]["total"]["note"]


def test_nothing_that_a_student_leaves_behind_helps_the_next(marks):
    assert points(marks["07-no-box"]) == {**TESTED, "box": 0}


def test_an_endless_loop_costs_its_own_exercise_only(marks):
    assert points(marks["10-endless"]) == {**TESTED, "subspace": 0}


def test_refusals_name_the_student_and_say_why(marks):
    for student, words in (("08-zip", "not JSON"), ("09-two-answers", "'box' is answered in 2 cells")):
        row = marks[student]["total"]
        assert row["status"].startswith("refused") and words in row["status"] and row["points"] == ""


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
