"""What is kept of a course, and what is made from it: marks by hand, the reader's page, tables, a zip for Gradescope.

A lab of one exercise and one free answer stands for the others, so that marking it takes seconds.
"""

import argparse
import copy
import csv
import functools
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import cage
import edition
import gradescope
import marking
import nbformat
import pipeline
import psutil
import pytest
import reading
import running
import tables
from masters import find, write
from submission import Refused, preflight

import flatlab.checks

CELLS = [  # (name, kind, what nbgrader knows of it, text)
    ("setup", "code", {}, f'try:\n    import torch\nexcept ModuleNotFoundError:\n    package = "{edition.PACKAGE}"'),
    (
        "twice",
        "code",
        {"solution": True, "locked": False},
        "def twice(x):\n    ### BEGIN SOLUTION\n    return 2 * x\n    ### END SOLUTION",
    ),
    ("twice-check", "code", {}, "print('a log line')\n'✓ twice' if twice(2) == 4 else '✗ twice: double it.'"),
    ("twice-run", "code", {}, "print('the marking machine has', twice(1))"),
    (
        "twice-test",
        "code",
        {"grade": True, "points": 3},
        "# Marked here.\n### BEGIN HIDDEN TESTS\nassert twice(3) == 6\n### END HIDDEN TESTS",
    ),
    ("why-question", "markdown", {}, "**Question.** Why?"),
    (
        "why-answer",
        "markdown",
        {"solution": True, "grade": True, "points": 2, "locked": False},
        "Because.\n\n*Marks: 2 for because.*",
    ),
]


def master(hidden="assert twice(3) == 6"):
    """The lab with its solution and its hidden test."""
    cells = []
    for name, kind, known, text in CELLS:
        known = {"grade": False, "solution": False, "locked": True, "task": False, **known}
        mark = {"grade_id": name, "schema_version": 3, "cell_type": kind, **known}
        new = nbformat.v4.new_code_cell if kind == "code" else nbformat.v4.new_markdown_cell
        cells.append(new(text.replace("assert twice(3) == 6", hidden), id=name, metadata={"nbgrader": mark}))
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python"}})


class Course:
    """A teacher's labs, a folder of submissions and a course, all in one directory."""

    def __init__(self, root, labs):
        self.labs, self.submissions, self.course, self.said = root / "labs", root / "submissions", root / "course", []
        shutil.copytree(labs, self.labs)
        self.release = nbformat.read(self.labs / "release" / "tiny" / "tiny.ipynb", 4)

    def set(self, notebook):
        write(self.labs / "source" / "tiny" / "tiny.ipynb", notebook)

    def answered(self, twice="def twice(x):\n    return x + x", why="So it is.", printed=""):
        notebook = copy.deepcopy(self.release)
        notebook.cells[find(notebook, "twice")].source = twice
        notebook.cells[find(notebook, "why-answer")].source = why
        if printed:
            notebook.cells[find(notebook, "twice-run")].outputs = [nbformat.v4.new_output("stream", text=printed)]
        return notebook

    def hand_in(self, name, notebook):
        return write(self.submissions / name, notebook)

    def mark(self, **options):
        """{student: {exercise: row}}"""
        rows = marking.mark(
            self.submissions,
            self.course,
            "tiny",
            self.labs,
            say=lambda *a, **k: self.said.append(" ".join(a)),
            **options,
        )
        return {row["student"]: {r["exercise"]: r for r in rows if r["student"] == row["student"]} for row in rows}

    def page(self, student):
        return nbformat.read(self.course / "autograded" / student / "tiny" / "tiny.ipynb", 4)


@pytest.fixture(scope="session")
def labs(tmp_path_factory):
    """The master and the students' edition of the small lab."""
    labs = tmp_path_factory.mktemp("labs")
    write(labs / "source" / "tiny" / "tiny.ipynb", master())
    edition.release("tiny", labs=labs)
    return labs


@pytest.fixture
def course(tmp_path, labs):
    return Course(tmp_path, labs)


def test_the_reader_has_scheme_question_answer_and_the_students_own_numbers_on_one_page(course):
    course.hand_in("ada.ipynb", course.answered(printed="mine was 945\n```\n"))
    rows = course.mark()["ada"]
    assert rows["twice-test"]["points"] == 3 and rows["why-answer"]["status"] == "to be marked by hand"
    page = course.page("ada")
    number = find(page, "why-answer")
    assert "Question" in page.cells[number - 2].source and page.cells[number].source == "So it is."
    assert "> *Marks: 2 for because.*" in page.cells[number - 1].source
    assert "    mine was 945\n    ```" in page.cells[number - 1].source
    assert page.cells[find(page, "twice-run")].outputs[0].text.startswith("mine was 945")
    assert "marking machine" not in json.dumps([cell.get("outputs") for cell in page.cells])
    feedback = (course.course / "tiny" / "feedback" / "ada.md").read_text()
    assert "- **why-answer**: to be marked by hand (2.0 marks)" in feedback


def test_a_mended_test_gives_new_marks_and_keeps_those_given_by_hand(course):
    from nbgrader.api import Gradebook

    course.hand_in("ada.ipynb", course.answered())
    assert course.mark()["ada"]["twice-test"]["points"] == 3
    with Gradebook(f"sqlite:///{course.course}/gradebook.db") as gradebook:
        grade = gradebook.find_grade("why-answer", "tiny", "tiny", "ada")
        grade.manual_score, grade.needs_manual_grade = 1.5, False
        gradebook.db.commit()
    course.set(master(hidden="assert twice(3) == 7"))
    rows = course.mark()["ada"]
    assert rows["twice-test"]["points"] == 0 and rows["why-answer"]["points"] == 1.5
    assert rows["total"]["points"] == 1.5


def test_what_the_marker_says_reaches_the_student_and_stays(course):
    """Of a text and of code, whose comment stands at its cell and whose marks at the hidden test's."""
    from nbgrader.api import Gradebook

    course.hand_in("ada.ipynb", course.answered())
    course.mark()
    with Gradebook(f"sqlite:///{course.course}/gradebook.db") as gradebook:
        for cell, words in (("why-answer", "Which numbers?"), ("twice", "Short, and good.")):
            gradebook.find_comment(cell, "tiny", "tiny", "ada").manual_comment = words
        gradebook.db.commit()
    for again in (lambda: tables.export(course.course, "tiny"), course.mark):
        again()
        feedback = (course.course / "tiny" / "feedback" / "ada.md").read_text()
        assert "- **twice**: 3.0 of 3.0\n  Short, and good.\n" in feedback
        assert "- **why-answer**: to be marked by hand (2.0 marks)\n  Which numbers?\n" in feedback
        (course.course / "tiny" / "feedback" / "ada.md").unlink()


def test_a_marking_under_other_limits_or_with_other_checks_is_made_anew(course, tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(marking, "run", lambda notebook, *rest: (ran.append(notebook) or notebook, []))

    def times():
        for _ in range(2):
            marking.executed(course.course, "tiny", "ada", course.release, master(), "71")
        return len(ran)

    assert times() == 1
    for number, name in enumerate(cage.LIMITS, 2):
        monkeypatch.setenv(name, "7")
        assert times() == number, name
    monkeypatch.setattr(flatlab.checks, "__file__", str(write(tmp_path / "checks" / "lab1.py", "mended")))
    assert times() == len(cage.LIMITS) + 2


@pytest.mark.parametrize("said", ["a lot", "0", "-1", "nan", "inf", ""])
def test_a_limit_that_is_none_is_refused_in_a_sentence(monkeypatch, said):
    monkeypatch.setenv("FLATLAB_CAGE_GIB", said)
    with pytest.raises(SystemExit, match=f"FLATLAB_CAGE_GIB is '{said}': give a number above 0."):
        cage.limit("FLATLAB_CAGE_GIB")


def test_a_tier_that_a_student_has_asked_for_is_not_the_markers(tmp_path):
    """Else a lab that was worked on with a GPU would be trained at its full length, and stopped."""
    with cage.Cage(tmp_path, kind="none") as made:
        made.run("%env FLATLAB_TIER=colab")
        made.run("import os\ntier = os.environ['FLATLAB_TIER']")
        assert made.value("tier") == "mark"


def test_a_total_above_the_maximum_is_not_exported(course):
    from nbgrader.api import Gradebook

    course.hand_in("ada.ipynb", course.answered())
    course.mark()
    with Gradebook(f"sqlite:///{course.course}/gradebook.db") as gradebook:
        grade = gradebook.find_grade("why-answer", "tiny", "tiny", "ada")
        grade.manual_score, grade.needs_manual_grade = 30, False
        gradebook.db.commit()
    with pytest.raises(SystemExit, match="ada has 33.0 of 5.0 points: the gradebook was tampered with"):
        tables.export(course.course, "tiny")


def test_a_file_that_is_not_there_is_said_in_a_sentence(tmp_path):
    command = [sys.executable, edition.LABS / "pipeline.py", "preflight", "lab1", tmp_path / "absent.ipynb"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.strip() == f"{tmp_path}/absent.ipynb: there is no such file."


# What the note says: a cell that meets that limit of the cage. The endless one is last, because each new cage runs
# again what the one before survived.
LIMITS = {
    "had no memory left": "bytearray(2**40)",
    "or no memory left": "import numpy\nfull = []\nwhile True:\n    full.append(numpy.empty(2**23))",
    "would not be interrupted": "while True:\n    try:\n        while True:\n            2 + 2\n"
    "    except BaseException:\n        continue",
    "characters more than are kept": "print('x' * 10**6)",
    "wrote a file that is too large": "open('large', 'wb').write(bytes(30 * 2**20))",
    "it wrote more than 100 MB of files": "for k in range(7):\n    open(f'{k}', 'wb').write(bytes(19 * 2**20))",
    "it started more than 200 processes": "import subprocess, time\n"
    "started = [subprocess.Popen(['sleep', '60']) for k in range(210)]\ntime.sleep(9)",
    "was stopped after 3 seconds of computing": "while True:\n    print('x' * 1000)",
}


def mangled(notebook):
    """As an editor leaves it: without metadata and ids, a cell twice, in another order, with half an emoji."""
    notebook.cells.insert(3, copy.deepcopy(notebook.cells[2]))
    notebook.cells[0:0] = [notebook.cells.pop(), notebook.cells.pop()][::-1]
    notebook.cells += [nbformat.v4.new_code_cell("# \ud83d")]
    for number, cell in enumerate(notebook.cells):
        cell.metadata, cell.id = {}, f"c{number}"
    return notebook


def tampered(notebook):
    """Full marks by editing: the test emptied and its marks raised, the check deleted, the set-up changed, and what
    tests stand on replaced."""
    test = notebook.cells[find(notebook, "twice-test")]
    test.source, test.metadata.nbgrader.points, test.metadata.nbgrader.locked = "pass", 100, False
    del notebook.cells[find(notebook, "twice-check")]
    notebook.cells[0].source += "\nimport builtins, os\nos.environ['FLATLAB_TIER'] = 'paper'"
    patch = "import builtins\nbuiltins.abs = lambda x: 0.0\nbuiltins.all = lambda x: True"
    notebook.cells.insert(1, nbformat.v4.new_code_cell(patch))
    return notebook


@pytest.fixture(scope="module")
def hazards(labs, tmp_path_factory):
    """A course whose class is marked with its marks: one who meets every limit, and leaves a file; one whose answer is
    wrong if it finds that file, and whose editor mangled the notebook; one who cheats."""
    course = Course(tmp_path_factory.mktemp("hazards"), labs)
    ada = course.answered()
    ada.cells[1:1] = [nbformat.v4.new_code_cell(source) for source in LIMITS.values()]
    ada.cells += [nbformat.v4.new_code_cell("open('left.py', 'w').close()")]
    looks = "import os\n\n\ndef twice(x):\n    return x + x * ('left.py' not in os.listdir())"
    constant = "def twice(x):\n    return 4"
    absent = nbformat.v4.new_code_cell("import nowhere\n\n\ndef helper(x):\n    return x")
    fay = course.answered("def twice(x):\n    return 2 * helper(x)")
    fay.cells[1:1] = [absent]
    students = {
        "ada": ada,
        "bob": mangled(course.answered(looks)),
        "eve": tampered(course.answered(constant)),
        "fay": fay,
    }
    for name, notebook in students.items():
        course.hand_in(f"{name}.ipynb", notebook)
    with pytest.MonkeyPatch.context() as patch:
        for name, most in (("CAGE_MB", "20"), ("CELL_SECONDS", "3")):
            patch.setenv(f"FLATLAB_{name}", most)
        return course, course.mark()


def test_a_cell_that_meets_a_limit_costs_nothing_else_and_is_noted(hazards):
    """Of memory, time, output, files and processes, each in a cell of its own."""
    course, marks = hazards
    for number, words in enumerate(LIMITS, 2):
        assert re.search(f"'{number} [(]the student's own[)]'[^.]*{words}", marks["ada"]["total"]["note"]), words
    assert marks["ada"]["twice-test"]["points"] == 3
    assert "had no memory left" in (course.course / "tiny" / "feedback" / "ada.md").read_text()


def test_a_cell_that_stops_when_it_is_marked_is_named_with_its_error(hazards):
    """What it imports may be on the student's machine alone."""
    course, marks = hazards
    words = "the cell '2 (the student's own)' stopped: ModuleNotFoundError: No module named 'nowhere'"
    assert words in marks["fay"]["total"]["note"]
    assert words in (course.course / "tiny" / "feedback" / "fay.md").read_text()


def test_a_mended_submission_has_its_marks_and_finds_nothing_of_the_one_before(hazards):
    _, marks = hazards
    assert marks["bob"]["twice-test"]["points"] == 3
    for note in ("found again", "another order", "2 times"):
        assert note in marks["bob"]["total"]["note"]


def test_edited_tests_and_a_constant_get_nothing(hazards):
    _, marks = hazards
    assert marks["eve"]["total"]["points"] == 0 and marks["eve"]["total"]["max"] == 5
    assert "was changed: put back" in marks["eve"]["total"]["note"]


@pytest.mark.parametrize(
    "endless, words",
    [("import time\ntime.sleep(99)", "70 minutes by the clock"), ("while True:\n    2 + 2", "7 minutes of computing")],
    ids=["sleeps", "computes"],
)
def test_what_stands_above_keeps_its_marks_when_the_students_time_is_over(
    course, tmp_path, monkeypatch, endless, words
):
    class Impatient(cage.Cage):
        """Its whole time is over soon after an endless cell has begun."""

        def run(self, source):
            if source == endless:
                self.deadline = time.monotonic() + (1 if "sleep" in source else 1000)
                self.before += 60 * self.minutes - self.computed - 1
            return super().run(source)

    monkeypatch.setattr(running, "Cage", Impatient)
    monkeypatch.setenv("FLATLAB_STUDENT_MINUTES", "7")
    notebook = course.answered()
    number = find(notebook, "twice-test")
    notebook.cells[number + 1 : number + 1] = [nbformat.v4.new_code_cell(source) for source in (endless, "2 + 2")]
    ran, notes = running.run(notebook, master(), tmp_path, "71")
    assert ran.cells[number].outputs == []
    assert notes == [
        f"stopped after {words}, in the cell '{number + 2} (the student's own)': what follows was not run."
    ]
    assert {output.evalue for cell in ran.cells[number + 1 : number + 3] for output in cell.outputs} == {
        f"stopped after {words}"
    }


def test_only_what_is_computed_counts_and_by_the_clock_ten_times_as_much(tmp_path):
    """Else on a busy machine a right answer would be stopped; and a cell that sleeps would never end."""
    with cage.Cage(tmp_path, seconds=0.5, kind="none") as made:
        assert made.run("import time\ntime.sleep(1)") == []
        (output,) = made.run("time.sleep(60)")
        assert output["evalue"] == "stopped after 5 seconds by the clock"


def test_who_asks_and_asks_and_reads_no_answer_is_stopped_too(tmp_path, monkeypatch):
    """The marker writes into a pipe that is full: without a limit it would wait there, and the class behind it."""
    monkeypatch.setattr(cage, "GRACE", 0.5)
    monkeypatch.setattr(cage, "PATIENCE", 1)
    asks = json.dumps({"ask": 0, "method": "value", "args": {"list": []}, "kwargs": {"dict": []}}) + "\n"
    flood = f"""import os, stat
wires = [n for n in range(3, 40) if os.path.exists(f"/proc/self/fd/{{n}}") and stat.S_ISFIFO(os.fstat(n).st_mode)]
def twice(x):
    while True:
        for wire in wires:
            try:
                os.write(wire, {asks.encode()!r} * 2000)
            except OSError:
                pass"""
    with cage.Cage(tmp_path, seconds=0.5, kind="none") as made:
        assert made.run(flood) == []
        with pytest.raises(cage.Died, match="ran on"):
            made.function("twice")(3)
        assert made.run("1 + 1")[0]["data"]["text/plain"] == "2"


def test_what_a_child_computed_counts_whether_it_has_ended_or_not():
    busy = "import time\nwhile time.process_time() < 0.5:\n    2 + 2\nprint('done', flush=True)\n"
    both = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {busy!r}])\n"
    both += f"subprocess.run([sys.executable, '-c', {busy + 'time.sleep(99)'!r}])"
    with subprocess.Popen([sys.executable, "-c", both], stdout=subprocess.PIPE) as process:
        assert [process.stdout.readline() for _ in range(2)] == [b"done\n"] * 2
        processes = cage.family(process.pid)
        assert len(processes) == 2 and cage.computed(processes) > 0.9
        for one in processes:
            one.kill()
    assert cage.family(process.pid) == [] and cage.computed(processes[:1]) == 0


def test_a_release_that_was_not_made_from_the_master_is_said(course):
    changed = master()
    del changed.cells[find(changed, "twice-run")]
    course.set(changed)
    course.submissions.mkdir()
    with pytest.raises(SystemExit, match="was not made from this master: run `make labs`"):
        course.mark()


@pytest.mark.parametrize(
    "platform, file, known",
    [
        ("canvas", "lovelaceada_LATE_12_99_tiny.ipynb", {"Student": "lovelaceada", "ID": "12"}),
        (
            "moodle",
            "Ada Lovelace_12_assignsubmission_file_/tiny.ipynb",
            {"Full name": "Ada Lovelace", "Identifier": "Participant 12"},
        ),
    ],
)
def test_a_platform_gets_a_row_for_each_student_with_its_own_number_of_them(course, platform, file, known):
    course.hand_in(file, "no notebook")
    course.mark(names=platform, roster=["=grace"])
    text = tables.wide(course.course, platform, "tiny").read_bytes()
    assert text.startswith(b"\xef\xbb\xbf")
    grace, ada = sorted(csv.DictReader(text.decode("utf-8-sig").splitlines()), key=lambda row: max(row.values()))
    assert known.items() <= ada.items() and ada["tiny total"] == ""
    assert "'=grace" in grace.values() and {"tiny twice-test", "tiny why-answer"} <= set(grace)


def test_the_options_of_the_command_line_reach_the_marking(course, monkeypatch, capsys):
    """Who is named by the platform's files and by the roster, and the platform's own table."""
    course.hand_in("lovelaceada_LATE_12_99_tiny.ipynb", "no notebook")
    roster = write(course.course.parent / "roster.csv", "=grace,1\n")
    monkeypatch.setattr(edition, "names", lambda: ["tiny"])
    monkeypatch.setattr(marking, "mark", functools.partial(marking.mark, labs=course.labs))

    def command(*words):
        monkeypatch.setattr(sys, "argv", ["pipeline.py", *map(str, words), "--work", str(course.course)])
        pipeline.main()
        return capsys.readouterr().out.splitlines()[-1]

    marks = command("mark", "tiny", course.submissions, "--names", "canvas", "--roster", roster)
    rows = {row["student"]: row for row in csv.DictReader(Path(marks).read_text(encoding="utf8").splitlines())}
    assert set(rows) == {"lovelaceada", "'=grace"} and "handed in late" in rows["lovelaceada"]["note"]
    for platform, known in (("canvas", ("ID", "12")), ("moodle", ("Identifier", "Participant 12"))):
        table = command("export", "tiny", "--for", platform)
        assert table.endswith(f"marks-{platform}.csv")
        lines = Path(table).read_text(encoding="utf-8-sig").splitlines()
        assert any(known in row.items() for row in csv.DictReader(lines))


def test_a_regular_expression_can_say_how_files_are_named(course):
    course.hand_in("group7--ada--2.ipynb", "second")
    course.hand_in("group7--ada--1.ipynb", "first")
    (found,) = marking.collect(course.submissions, r"group\d+--(?P<student>\w+)--(?P<attempt>\d+)").items()
    assert found[0] == "ada" and found[1]["file"].read_text() == "second"


def names_of(folder, **options):
    """{student: why it is refused} of a folder."""
    return {student: one["refused"] for student, one in marking.collect(folder, **options).items()}


@pytest.mark.parametrize("pattern, words", [("(", "no regular expression"), (r"(\w+)", "choose canvas, moodle")])
def test_an_expression_that_names_no_student_is_refused_in_a_sentence(course, pattern, words):
    course.hand_in("ada.ipynb", "{}")
    with pytest.raises(SystemExit, match=words):
        marking.collect(course.submissions, pattern)
    (found,) = marking.collect(course.submissions, r"(?P<student>x)?ada").values()
    assert "does not read as" in found["notes"][0]


DAMAGE = {  # what is said of a zip: the bytes that are changed, counted from the beginning of each of its two headers
    "Bad CRC-32": [(b"{}", 0, ord("["))],
    "password required": [(b"PK\x03\x04", 6, 1), (b"PK\x01\x02", 8, 1)],
    "compression method is not supported": [(b"PK\x03\x04", 8, 9), (b"PK\x01\x02", 10, 9)],
}


@pytest.mark.parametrize("words", DAMAGE)
def test_a_zip_that_cannot_be_opened_is_refused_and_the_others_are_found(course, tmp_path, words):
    """It is damaged, has a password, or was packed by another method: it does not end the class."""
    course.hand_in("bob.ipynb", "{}")
    file = course.hand_in("ada.zip", "")
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("tiny.ipynb", "{}")
    content = bytearray(file.read_bytes())
    for header, place, byte in DAMAGE[words]:
        content[content.find(header) + place] = byte
    file.write_bytes(content)
    found = names_of(course.submissions, room=tmp_path)
    assert found["bob"] == "" and "could not be opened" in found["ada"] and words in found["ada"]


def test_what_lies_in_a_folder_beside_the_systems_own_has_a_row_whatever_its_name(course):
    """Two long names that are cut off stay two, and leave room for the names of what is made from them."""
    files, wang = ["...ipynb", ".ada.ipynb", "._bob.ipynb", ".DS_Store", "a\nb.ipynb"], "\u738b" * 81
    for file in [*files, f"{wang}.ipynb", f"{wang}x.ipynb"]:
        course.hand_in(file, "{}")
    os.mkfifo(course.submissions / "pipe.ipynb")
    found = names_of(course.submissions)
    assert len(found) == 6 and {"..", ".ada", "a b", "pipe"} <= set(found)
    assert [student for student, refused in found.items() if refused] == ["pipe"]
    assert len({marking.safe(student) for student in found}) == 6
    assert all(len(os.fsencode(marking.safe(student))) < 200 for student in found)


@pytest.mark.parametrize("seed", ["abc", "-1", "1e3", "\u00b2", "2147483648"])
def test_a_seed_that_no_hidden_test_can_read_is_refused(tmp_path, monkeypatch, seed):
    """Else every hidden test would stop at it, and the whole class would have no marks."""
    monkeypatch.setenv("FLATLAB_MARK_SEED", seed)
    with pytest.raises(SystemExit, match="give a whole number from 0"):
        marking.kept_seed(tmp_path, print)
    monkeypatch.delenv("FLATLAB_MARK_SEED")
    write(tmp_path / "seed.txt", seed)
    with pytest.raises(SystemExit, match=f"the seed in .*seed.txt is '{seed}'"):
        marking.kept_seed(tmp_path, print)


def test_a_name_that_the_terminal_cannot_show_does_not_end_the_class(monkeypatch):
    screen = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "argv", ["pipeline.py", "mark", "lab1", "submissions"])
    monkeypatch.setattr(marking, "mark", lambda *rest, **options: print("\u738b: marked."))
    pipeline.main()
    screen.seek(0)
    assert screen.read().startswith("?: marked.")


@pytest.mark.parametrize("said", ["0", "-2", "two", ""])
def test_no_students_at_once_are_refused_in_a_sentence(said):
    with pytest.raises(argparse.ArgumentTypeError, match="give a number above 0"):
        pipeline.at_least_one(said)


def test_a_link_to_the_master_or_to_another_student_is_no_notebook(course):
    file = course.hand_in("ada/tiny.ipynb", course.answered())
    (course.submissions / "bob.ipynb").symlink_to(course.labs / "source" / "tiny" / "tiny.ipynb")
    (course.submissions / "eve").symlink_to(file.parent)
    (course.submissions / "max").mkdir()
    (course.submissions / "max" / "tiny.ipynb").symlink_to(file)
    link = "it is a link and not a file."
    none = "there is no notebook in the folder."
    assert names_of(course.submissions) == {"ada": "", "bob": link, "eve": link, "max": none}


def test_two_students_of_one_name_stay_two(course):
    """By the platform's numbers; and two names that would be one folder's have two folders."""
    for file in ("wangwei_1_8_tiny.ipynb", "wangwei_2_9_tiny-1.ipynb", "wangwei_2_7_tiny.ipynb"):
        course.hand_in(file, file)
    found = marking.collect(course.submissions, "canvas")
    assert {name: (one["id"], one["file"].name[:9]) for name, one in found.items()} == {
        "wangwei 1": ("1", "wangwei_1"),
        "wangwei 2": ("2", "wangwei_2"),
    }
    assert found["wangwei 2"]["file"].read_text() == "wangwei_2_9_tiny-1.ipynb"
    assert found["wangwei 1"]["notes"] == ["2 have the name wangwei."]
    shutil.rmtree(course.submissions)
    for file in ("M\u00fcller, Anna.ipynb", "M\u00fcller; Anna.ipynb"):
        course.hand_in(file, "{}")
    assert len({marking.safe(name) for name in names_of(course.submissions)}) == 2
    assert not marking.safe("..").startswith(".")


def test_a_name_is_the_rosters_however_a_mac_or_a_browser_writes_it(course):
    for file in ("Zoe\u0308 Ko\u0308nig (1).ipynb", "Ada (2).ipynb", "Bob.ipynb", "Bob (1).ipynb"):
        course.hand_in(file, "{}")
    found = names_of(course.submissions, roster=["Zo\u00eb K\u00f6nig", "Ada (2)", "Bob (1)"])
    assert set(found) == {"Zo\u00eb K\u00f6nig", "Ada (2)", "Bob", "Bob (1)"}


def test_a_roster_is_read_as_a_spreadsheet_saves_it(tmp_path):
    file = tmp_path / "roster.csv"
    for text in ("J\u00fcrgen,1\n\n Ada ,2\n", "\ufeffJ\u00fcrgen;1\r\nAda;2\r\n"):
        file.write_bytes(text.encode())
        assert marking.read_roster(file) == ["J\u00fcrgen", "Ada"]
    file.write_bytes("J\u00fcrgen;1".encode("cp1252"))
    with pytest.raises(SystemExit, match='is not UTF-8: save it as "CSV UTF-8".'):
        marking.read_roster(file)
    with pytest.raises(SystemExit, match="there is no such file"):
        marking.read_roster(tmp_path / "absent.csv")


def test_what_takes_too_much_is_refused_before_it_is_opened(course, tmp_path):
    with zipfile.ZipFile(course.hand_in("ada.zip", ""), "w", zipfile.ZIP_DEFLATED) as packed:
        for number in range(3):
            packed.writestr(f"{number}.ipynb", bytes(20 * 2**20))
    assert "larger than 50 MB" in names_of(course.submissions, room=tmp_path)["ada"]
    notebook = course.answered()
    notebook.cells += [nbformat.v4.new_markdown_cell("")] * 2000
    with pytest.raises(Refused, match="it has 2,007 cells, and may have 2,000"):
        preflight(course.hand_in("bob.ipynb", notebook), course.release)


def test_a_script_in_an_answer_is_shown_to_the_reader_and_not_run(course):
    from nbconvert import HTMLExporter

    scripts = "So it is: $a<b$. <script>mark(5)</script> <img src=x onerror=mark(5)> [here](javascript:mark(5))"
    scripts += " [there](javascript&colon;mark(5)) [b]\n\n[b]: java&#115;cript:mark(5)\n\n"
    scripts += "$\\href{java\tscript:mark(5)}{x}$ $\\mmlToken{mi}[href='java\tscript:mark(5)']{x}$ "
    scripts += "&#36;&bsol;href{java&Tab;script:mark(5)}{x}&dollar;"
    notebook = course.answered(why=scripts)
    notebook.cells += [nbformat.v4.new_raw_cell("<script>mark(6)</script>"), nbformat.v4.new_markdown_cell(scripts)]
    page, _ = HTMLExporter().from_notebook_node(reading.for_the_reader(notebook, master(), course.release))
    assert "mark(5)" in page and "mark(6)" in page and "$a&lt; b$" in page
    for live in ("<script>mark", "<img src=x", 'href="java', "\\href", "\\mmlToken"):
        assert live not in page


SENT = {  # what a student's code sends in place of what a cell shows: what the marker makes of it
    "3": cage.NONSENSE,
    '{"value": 6}': cage.NONSENSE,
    '{"outputs": [7]}': cage.NONSENSE,
    '{"outputs": [{"output_type": "display_data", "data": {"text/html": "<script>"}}]}': cage.NONSENSE,
    '{"outputs": [{"output_type": "execute_result", "data": {"text/html": "<b>", "text/plain": "b"}}]}': "b",
}


@pytest.mark.parametrize("sent", SENT)
def test_what_is_sent_in_place_of_a_cells_outputs_is_text_or_nothing(monkeypatch, sent):
    made = cage.Cage("nowhere", kind="none")
    for name in ("_start", "_end"):
        monkeypatch.setattr(made, name, lambda: None)
    monkeypatch.setattr(made, "_exchange", lambda *rest: json.loads(sent))
    try:
        said = [output["data"] for output in made.run("1")]
    except cage.Died as why:
        said = str(why)
    assert said in (SENT[sent], [{"text/plain": SENT[sent]}])


def test_of_what_is_sent_in_place_of_a_cells_outputs_or_of_an_error_no_more_is_kept_than_a_cell_can_show(monkeypatch):
    """Of a text 20,000 characters, and as many texts as a cell has: else what is sent fills the marker's memory."""
    made, stream = cage.Cage("nowhere", kind="none"), {"output_type": "stream", "name": "stdout", "text": "x"}
    sent = [{"outputs": [stream] * 1000}, {"error": {"ename": "E", "evalue": "x" * 10**6, "said": "x"}}]
    for name in ("_start", "_end"):
        monkeypatch.setattr(made, name, lambda: None)
    monkeypatch.setattr(made, "_exchange", lambda *rest: sent.pop(0))
    assert len(made.run("1")) == 4
    with pytest.raises(cage.Failed) as failed:
        made.run("1")
    assert len(str(failed.value)) < 30_000


@pytest.mark.skipif(cage.kind_of_cage() == "none" and os.environ.get("CI") != "true", reason="no cage here")
def test_a_cage_works_where_python_lies_behind_a_link(tmp_path, monkeypatch):
    """As where a disk or a project has two names: else a class would be marked without a cage."""
    (tmp_path / "env").symlink_to(sys.prefix)
    python = tmp_path / "env" / os.path.relpath(sys.executable, sys.prefix)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "env"))
    monkeypatch.setattr(sys, "executable", str(python))
    cage.hindrance.cache_clear()
    assert cage.hindrance(cage.kind_of_cage()) == ""


def test_why_a_cage_does_not_work_is_said(monkeypatch):
    cage.hindrance.cache_clear()
    monkeypatch.setattr(cage.shutil, "which", lambda name: None if name == "docker" else name)
    monkeypatch.setattr(
        cage, "command", lambda kind, *rest: ["sh", "-c", "echo no namespace here >&2; echo read the help >&2; exit 1"]
    )
    assert {kind: cage.hindrance(kind) for kind in cage.KINDS} == {
        "bwrap": "no namespace here",
        "podman": "no namespace here",
        "docker": "not installed",
    }
    cage.hindrance.cache_clear()


def test_a_file_with_the_name_of_one_of_pythons_ends_nothing(course):
    """The process in the cage begins anew where it ended, and the files that it then finds are the student's."""
    ada = course.answered()
    files = "for name in ('json', 'random', 'numpy', 'inside'):\n    open(f'{name}.py', 'w').write('raise SystemExit')"
    own = "open('helper.py', 'w').write('two = 2')\nfrom helper import two"
    ada.cells[1:1] = [nbformat.v4.new_code_cell(source) for source in (own, files, "import os\nos._exit(1)")]
    course.hand_in("ada.ipynb", ada)
    row = course.mark()["ada"]
    assert row["twice-test"]["points"] == 3 and row["total"]["note"].count("the kernel ended") == 1


def test_who_answers_with_the_checks_own_functions_is_named_and_in_a_cage_has_nothing(course):
    told = "from flatlab.checks.lab6 import first_epoch\n\n\ndef twice(x):\n    return x + x"
    hidden = told.replace("from flatlab.checks.lab6 import first_epoch", '__import__("flatlab.chec" "ks.lab6")')
    course.hand_in("ada.ipynb", course.answered(told))
    course.hand_in("bob.ipynb", course.answered(hidden))
    course.hand_in("eve.ipynb", course.answered())
    marks = course.mark()
    assert "read its code: it has flatlab.checks." in marks["ada"]["total"]["note"]
    assert "read its code" not in marks["eve"]["total"]["note"]
    got = [marks[name]["twice-test"]["points"] for name in ("ada", "bob", "eve")]
    assert got == ([3, 3, 3] if cage.kind_of_cage() == "none" else [0, 0, 3])


class Unwilling(cage.Cage):
    def _start(self):
        raise SystemExit("the cage did not start")


def killed_with_ada(course, lab, student, *rest):
    """`executed`, whose process is killed at one student's notebook."""
    if student == "ada":
        os.kill(os.getpid(), signal.SIGKILL)
    return EXECUTED(course, lab, student, *rest)


EXECUTED = marking.executed


def test_a_cage_that_does_not_start_and_a_marker_that_is_killed_cost_one_students_marks(course, monkeypatch):
    for student in ("ada", "bob"):
        course.hand_in(f"{student}.ipynb", course.answered())
    with monkeypatch.context() as patch:
        patch.setattr(marking, "executed", killed_with_ada)
        marks = course.mark()
    assert "refused: the process that marked it was killed" in marks["ada"]["total"]["status"]
    assert marks["bob"]["twice-test"]["points"] == 3
    (course.submissions / "ada.ipynb").unlink()
    course.hand_in("bob.ipynb", course.answered("def twice(x):\n    return 2.0 * x"))
    monkeypatch.setattr(running, "Cage", Unwilling)
    assert "refused: the cage did not start" in course.mark()["bob"]["total"]["status"]


# In place of podman or docker: it writes down what it is asked, and makes its container by bubblewrap where that works.
# Like theirs, the container is no child of the command, and goes on when the command is killed.
ENGINE = """#!{python}
import json, os, subprocess, sys
asked = sys.argv[1:]
with open({asked!r}, "a") as file:
    file.write(json.dumps(sys.argv) + "\\n")
if asked[0] == "kill":
    with open({room!r} + asked[1]) as file:
        sys.exit(subprocess.call(["kill", "-9", "--", "-" + file.read()]))
walls = ["bwrap", "--unshare-all", "--proc", "/proc", "--dev", "/dev"]
while asked[0] != {image!r}:
    option = asked.pop(0)
    if option == "-v":
        outer, inner, *only = asked.pop(0).split(":")
        walls += ["--ro-bind" if only else "--bind", outer, inner]
    elif option == "--tmpfs":
        walls += ["--tmpfs", asked.pop(0).partition(":")[0]]
    elif option == "-w":
        walls += ["--chdir", asked.pop(0)]
    elif option == "--name":
        name = asked.pop(0)
started = subprocess.Popen([*walls, *asked[1:]], start_new_session=True)
with open({room!r} + name, "w") as file:
    file.write(str(started.pid))
sys.exit(started.wait())
"""


@pytest.fixture(params=["podman", "docker"])
def engine(request, tmp_path, monkeypatch):
    """(its name, a function that returns what it has been asked): a stand-in for podman or docker."""
    image, asked = "an-image", tmp_path / "asked"
    program = ENGINE.format(python=sys.executable, asked=str(asked), room=f"{tmp_path}/", image=image)
    write(tmp_path / "programs" / request.param, program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/programs", prepend=os.pathsep)
    monkeypatch.setenv("FLATLAB_CAGE_IMAGE", image)
    monkeypatch.setenv("FLATLAB_CAGE", request.param)
    cage.kind_of_cage.cache_clear(), cage.hindrance.cache_clear()
    yield request.param, lambda: [json.loads(line)[1:] for line in asked.read_text().splitlines()]
    cage.kind_of_cage.cache_clear(), cage.hindrance.cache_clear()


def test_a_container_of_podman_or_docker_has_every_wall(engine, tmp_path, monkeypatch):
    """No network, the limits, no rights, and of this machine nothing that can be written except the home."""
    kind, _ = engine
    monkeypatch.setenv("FLATLAB_CAGE_GIB", "3")
    line = cage.command(kind, tmp_path / "ada", ["-c", "pass"])
    walls, program = line[: line.index("an-image")], line[line.index("an-image") + 1 :]
    assert walls[:2] == [kind, "run"] and {"--rm", "-i", "--read-only"} <= set(walls)
    for wall in (
        ["--network", "none"],
        ["--memory", "3g"],
        ["--pids-limit", "256"],
        ["--cap-drop", "all"],
        ["--security-opt", "no-new-privileges"],
        ["-w", "/student"],
    ):
        assert walls[(place := walls.index(wall[0])) : place + 2] == wall
    mounts = [walls[place + 1].split(":") for place, wall in enumerate(walls) if wall == "-v"]
    assert [mount for mount in mounts if mount[2:] != ["ro"]] == [[str(tmp_path / "ada"), "/student"]]
    for outer, inner, *_ in mounts:
        assert not (edition.LABS / "source").is_relative_to(outer) and not re.search(r"checks(/lab\d.*)?$", inner)
    assert program[:2] == ["/usr/bin/env", "-i"] and "CAGE_GIB=3" in program and "PYTHONPATH=/package" in program
    # What docker's daemon, which is root, writes would be root's. In podman's who marks is root inside already.
    user = walls[walls.index("--user") + 1] if "--user" in walls else ""
    assert user == (f"{os.getuid()}:{os.getgid()}" if kind == "docker" else "")


def test_each_student_has_a_container_and_a_home_of_their_own(engine, tmp_path):
    kind, _ = engine
    ada, bob = (set(cage.command(kind, tmp_path / name, ["-c", "pass"])) for name in ("ada", "bob"))
    own = sorted(one.replace(str(tmp_path), "") for one in ada - bob)
    assert own[0] == "/ada:/student" and own[1].startswith("flatlab-") and len(own) == 2


@pytest.mark.skipif(cage.hindrance("bwrap") != "" and os.environ.get("CI") != "true", reason="no bubblewrap here")
def test_a_container_is_ended_with_the_cage_and_its_students_code_sees_no_more_than_its_home(engine, tmp_path):
    """The command of a container may be killed, and the container goes on: without an end of its own, a loop that
    swallows interrupts would keep a processor busy until the machine is switched off."""
    kind, asked = engine
    home = tmp_path / "home"
    home.mkdir()
    assert cage.kind_of_cage() == kind
    with cage.Cage(home) as made:
        made.run(f"import os\nopen('mine', 'w').close()\nthere = os.path.exists({str(edition.LABS)!r})")
        assert not made.value("there") and (home / "mine").exists()
        name = made.process.args[made.process.args.index("--name") + 1]
        container = psutil.Process(int((tmp_path / name).read_text()))
        inside = [container, *container.children(recursive=True)]
        made._send({"run": LIMITS["would not be interrupted"], "seconds": 1}, (time.monotonic(), made.computed))
    _, left = psutil.wait_procs(inside, timeout=20)
    for process in left:
        process.kill()
    assert not left and len(inside) == 3, "bubblewrap, the first process of its own, and the student's"
    assert ["kill", name] in asked()


# Without a cage


def test_nothing_that_a_notebook_starts_outlives_it_without_a_cage_either(tmp_path):
    flee = (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
        "        open('pid', 'w').write(str(os.getpid()))\n        time.sleep(600)\n    os._exit(0)\n"
        "while not os.path.exists('pid') or not open('pid').read():\n    time.sleep(0.1)"
    )
    with cage.Cage(tmp_path, kind="none") as made:
        made.run(flee)
        fled = psutil.Process(int((tmp_path / "pid").read_text()))
        assert fled.is_running()
    assert not fled.is_running()


def test_what_a_students_code_writes_into_the_gradebook_without_a_cage_is_put_back(course, monkeypatch):
    monkeypatch.setattr(marking, "kind_of_cage", lambda: "none")
    monkeypatch.setenv("FLATLAB_CAGE", "none")
    cage.kind_of_cage.cache_clear()
    give = f"""import sqlite3
book = sqlite3.connect("{course.course}/gradebook.db", timeout=60)
book.execute("update grade set manual_score = 2.5, needs_manual_grade = 0")
book.commit()
print(book.total_changes, "changed")"""
    course.hand_in("ada.ipynb", course.release)
    before = course.mark()["ada"]
    notebook = copy.deepcopy(course.release)
    notebook.cells.insert(1, nbformat.v4.new_code_cell(give))
    course.hand_in("eve.ipynb", notebook)
    marks = course.mark()
    cage.kind_of_cage.cache_clear()
    assert "2 changed" in (course.course / "tiny" / "executed" / "eve.json").read_text()
    assert marks["ada"] == before and marks["eve"]["total"]["points"] == marks["ada"]["total"]["points"] == 0


def test_a_marker_whose_failing_tests_pass_refuses_the_notebook(course, tmp_path, monkeypatch):
    """As where a student's code has reached the marker's process."""
    notebook = nbformat.v4.new_notebook(cells=[])
    assert running.run(notebook, master(), tmp_path, "71")[1] == []
    monkeypatch.setattr(running, "examine", lambda source, *rest: [] if "allclose" in source else ["an error"])
    with pytest.raises(Refused, match="a test that must fail has passed"):
        running.run(notebook, master(), tmp_path, "71")


# Gradescope


@pytest.fixture
def autograder(course, tmp_path):
    """(what Gradescope makes of the zip, a function that hands a notebook in there and returns results.json)."""
    with zipfile.ZipFile(gradescope.pack(course.course, "tiny", labs=course.labs)) as packed:
        packed.extractall(tmp_path / "there" / "source")
    there = tmp_path / "there"
    python = f'#!/bin/sh\nexec {sys.executable} "$@"\n'
    write(there / "env" / "bin" / "python", python).chmod(0o755)  # in place of setup.sh, which needs the network
    write(there / "run_autograder", (there / "source" / "run_autograder").read_text()).chmod(0o755)
    (there / "results").mkdir()

    def results(notebook):
        write(there / "submission" / "my lab (2).ipynb", notebook)
        done = subprocess.run(
            [there / "run_autograder"], capture_output=True, text=True, env={**os.environ, "HOME": "/"}
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads((there / "results" / "results.json").read_text())

    return there, results


def test_gradescope_marks_a_submission(course, autograder):
    there, results = autograder
    assert (
        f"pip install --quiet '{edition.TAGGED}'".replace("[book]", "[book,course]")
        in (there / "source" / "setup.sh").read_text()
    )
    found = results(course.answered())
    assert found["score"] == 3 and found["output"] == "why-answer: to be marked by hand."
    assert found["tests"] == [{"name": "twice", "score": 3, "max_score": 3, "output": ""}]
    found = results("PK")
    assert found["score"] == 0 and found["output"].startswith("The file was refused: it is not a notebook")


def test_gradescope_shows_the_sentence_of_the_check_and_no_hidden_test():
    failed = {"exercise": "twice-test", "points": 0.0, "max": 3.0, "status": "marked", "note": ""}
    total = {**failed, "exercise": "total"}
    found = gradescope.results([failed, total], {"twice": "✗ twice: double it."})
    assert found["tests"] == [{"name": "twice", "score": 0.0, "max_score": 3.0, "output": "✗ twice: double it."}]
    found = gradescope.results([failed, total], {"twice": "✓ twice"})
    assert found["tests"][0]["output"] == "right on the public problem, not on others"
