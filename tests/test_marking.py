"""Marking a class: right answers keep their marks, cheats get none, and nothing that one student hands in touches
another.

The class is marked once, in one gradebook, as a teacher does it; the tests read its marks.
"""

import copy
import csv
import functools
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import threading
import zipfile
from pathlib import Path

import cage as cages
import marking
import nbformat
import pytest
import running
import tables
import torch
from submission import Refused, preflight
from test_labs import EVERY, LAB1, LABS, doubled, find, write

import flatlab
from flatlab.checks.losses import Quartic

RELEASE = LAB1.release
CAGED = cages.kind_of_cage() != "none"
needs_cage = pytest.mark.skipif(
    not CAGED and os.environ.get("CI") != "true", reason="no bubblewrap, podman or docker here"
)


def with_cells(notebook, *sources, last=False):
    """The notebook with cells of the student's own, before the first exercise or after everything."""
    notebook = copy.deepcopy(notebook)
    first = next(n for n, cell in enumerate(notebook.cells) if cell.metadata.get("nbgrader", {}).get("solution"))
    number = len(notebook.cells) if last else first
    notebook.cells[number:number] = [nbformat.v4.new_code_cell(source) for source in sources]
    return notebook


def wrongs(lab):
    """A student whose every exercise has one of its known mistakes."""
    return lab.edition({exercise: lab.wrong(exercise, old, new) for exercise, old, new, _ in lab.mistakes})


WHEEL = """import zipfile
with zipfile.ZipFile("left_behind-1.0-py3-none-any.whl", "w") as made:
    made.writestr("left_behind.py", "")
    for name, text in {
        "METADATA": "Metadata-Version: 2.1\\nName: left-behind\\nVersion: 1.0\\n",
        "WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
        "RECORD": "",
    }.items():
        made.writestr(f"left_behind-1.0.dist-info/{name}", text)"""
INSTALLS = (WHEEL, "%pip install --quiet left_behind-1.0-py3-none-any.whl")  # a package that needs no network


def packages():
    """What is installed for the teacher."""
    return sorted(os.listdir(sysconfig.get_path("purelib")))


BEFORE = packages()


def hindered(notebook, lab):
    """The notebook with everything in its way that a student leaves behind without harm in mind."""
    scratch = "\n".join(f"{name} = 0" for name in lab.names_of_tests())
    notebook = with_cells(notebook, "exit()", "import sys; sys.exit(3)", "quit", scratch)
    if lab is LAB1:  # pip takes seconds, and what it does is the same in every lab
        notebook = with_cells(notebook, *INSTALLS, "__import__('os').listdir('installed')", last=True)
    return with_cells(notebook, "print('x' * 10**8)", last=True)


def ended(notebook):
    """The notebook with cells that end the process; each costs a new one, which runs the cells before it."""
    return with_cells(notebook, "import os\nos._exit(0)", "import signal, os\nos.kill(os.getpid(), 9)")


def patched(notebook):
    """The notebook after the language and torch were changed under its tests."""
    return with_cells(
        notebook,
        "import ast\n\n\nclass Empty(ast.NodeTransformer):\n"
        "    def visit_FunctionDef(self, node):\n"
        "        if node.name.startswith('examine_'):\n            node.body = [ast.Pass()]\n        return node\n\n\n"
        "get_ipython().ast_transformers.append(Empty())",
        "torch.allclose = torch.equal = lambda *a, **k: True",
    )


def liar():
    """Answers that claim to be equal to everything, or that look for the right one in the caller."""
    lie = (
        "class Lie(torch.Tensor):\n"
        "    @classmethod\n    def __torch_function__(cls, f, types, args=(), kwargs=None):\n        return "
        "torch.tensor(True)\n"
        "    def __eq__(self, other):\n        return True\n    def __float__(self):\n        return 0.0\n\n\n"
    )
    look = (
        "import sys\n    for depth in range(9):\n        try:\n            here = sys._getframe(depth).f_locals\n"
        "        except ValueError:\n            break\n"
        "        for name in ('right', 'top', 'answer', 'spread', 'z'):\n            if name in here:\n"
        "                return here[name]\n    return 0.0"
    )
    return LAB1.edition(
        {
            "box": lie + "def box_radius(x, eps):\n    return torch.zeros(len(x)).as_subclass(Lie)",
            "subspace": "def subspace_radius(x, A, eps):\n    return torch.zeros(A.shape[1]).as_subclass(Lie)",
            "slope": f"def slope(batches, noise):\n    {look}",
            "phi": f"def phi(f, x, radius, steps):\n    {look}",
            "barrier": "class Zero:\n    def __float__(self):\n        return 0.0\n"
            "    def __rsub__(self, other):\n        return 0.0\n\n\n"
            "def barrier(alphas, loss):\n    return Zero()",
            "gap": "def gap(data, small, large, seeds, epochs):\n"
            "    flatlab.train = lambda *a, **k: type('Run', (), {'history': {'test_accuracy': [1.0]}})\n    return "
            "[0.0] * 3",
            "line": "def line_loss(f, a, b, alphas):\n    return [f.c for _ in alphas]",
        }
    )


def robbed(notebook, port):
    """The notebook with cells that look for the master, for others' answers and for the gradebook, run what they find,
    and call home."""
    return with_cells(
        notebook,
        "import glob, json, os, subprocess, sys\n"
        f"places = [*glob.glob('../../../s*/**/*.ipynb', recursive=True), *glob.glob('{LABS}/**/*.ipynb', "
        "recursive=True),\n"
        "          *glob.glob('/home/**/*.ipynb', recursive=True), *glob.glob('/tmp/**/*.ipynb', recursive=True)]\n"
        "for place in places:\n"
        "    for cell in json.load(open(place))['cells']:\n"
        "        if cell['cell_type'] == 'code' and 'def ' in ''.join(cell['source']) and 'Hidden' not in "
        "''.join(cell['source']):\n"
        "            exec(''.join(cell['source']), globals())\n"
        "print('found', len(places))",
        "child = '''\nimport glob, sqlite3, time\ntime.sleep(5)\n"
        "for book in glob.glob('/**/gradebook.db', recursive=True):\n"
        "    db = sqlite3.connect(book)\n    db.execute('update grade set manual_score = 30, needs_manual_grade = "
        "0')\n    db.commit()\n'''\n"
        "subprocess.Popen([sys.executable, '-c', child], start_new_session=True)",
        f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 2).sendall(b'the master')",
        last=True,
    )


@pytest.fixture(scope="session")
def listener():
    """(port, what arrived): somebody waits on this machine for what a notebook sends."""
    import socket

    server, arrived = socket.create_server(("127.0.0.1", 0)), []

    def wait():
        while True:
            try:
                arrived.append(server.accept()[0].recv(99))
            except OSError:
                return

    threading.Thread(target=wait, daemon=True).start()
    yield server.getsockname()[1], arrived
    server.close()


def of_every_lab(lab, port):
    """{student: notebook}: what is tried with every lab. A run of a lab takes many seconds, so that no two of these
    prove the same: the blank lab is handed in by the one who cheats in every way."""
    blank = patched(lab.release)
    return {
        "01-hindered": hindered(lab.edition(), lab),
        "02-blank-cheat": robbed(blank, port) if CAGED else blank,
        "03-wrong": wrongs(lab),
    }


@pytest.fixture(scope="session")
def class_of(tmp_path_factory, listener):
    """The directory of a lab's class, marked when it is first asked for: submissions and course."""

    @functools.cache
    def marked(lab):
        room = tmp_path_factory.mktemp(lab.name)
        of_lab1 = {"08-zip": "PK\x03\x04", "09-two-answers": doubled(" + 0"), "15-liar": liar()}
        for name, notebook in {**of_every_lab(lab, listener[0]), **(of_lab1 if lab is LAB1 else {})}.items():
            file = f"{name}/Copy of {lab} (1).ipynb" if name < "03" else f"{name}.ipynb"
            write(room / "submissions" / file, notebook)
        (room / "submissions" / os.fsdecode(b"18-\xff.ipynb")).write_text("")
        (room / "submissions" / "19-other.py").write_text("print()")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FLATLAB_MARK_SEED", "71")
            marking.mark(room / "submissions", room / "course", lab.name, jobs=2)
        return room

    return marked


@pytest.fixture(params=EVERY, ids=str)
def lab(request):
    return request.param


def read_marks(file):
    """{student: {exercise: row}} of a table of marks."""
    rows = list(csv.DictReader(file.read_text(encoding="utf8").splitlines()))
    return {row["student"]: {one["exercise"]: one for one in rows if one["student"] == row["student"]} for row in rows}


@pytest.fixture
def marks(class_of):
    """{student: {exercise: row}} of Lab 1's class."""
    return read_marks(class_of(LAB1) / "course" / "lab1" / "marks.csv")


def points(rows, lab=LAB1):
    return {name: float(rows[name]["points"]) for name in lab.tests}


def test_every_lab_from_blank_to_full_marks(lab, class_of):
    marks = read_marks(class_of(lab) / "course" / lab.name / "marks.csv")
    full = {name: lab.points[name] for name in lab.tests}
    assert points(marks["01-hindered"], lab) == full
    assert {marks["01-hindered"][name]["status"] for name in lab.texts} == {"to be marked by hand"}
    wrong = points(marks["03-wrong"], lab)
    assert not any(wrong[f"{exercise}-test"] for exercise in lab.tested), wrong
    cheat = marks["02-blank-cheat"]["total"]
    assert (cheat["points"], cheat["status"]) == ("0.0", "marked")


def outputs(room, lab, student):
    """(cell, its outputs) of each of the lab's cells in a student's run."""
    kept = json.loads((room / "course" / lab.name / "executed" / f"{student}.json").read_text())
    run = zip(json.loads(kept["notebook"])["cells"], kept["outputs"], strict=True)
    return [(cell, found) for cell, found in run if not cell["id"].startswith("own-")]


def test_a_lab_runs_from_the_first_cell_to_the_last_answered_or_blank(lab, class_of):
    for cell, found in outputs(class_of(lab), lab, "01-hindered"):
        assert '"error"' not in json.dumps(found), (cell["id"], found)
        if cell["id"].endswith("-check"):
            assert found[0]["data"]["text/plain"].startswith("✓"), found
    for cell, found in outputs(class_of(lab), lab, "02-blank-cheat"):
        said, name = json.dumps(found), cell["id"]
        if name not in lab.tests:
            assert '"error"' not in said, (name, said)
        if name.removesuffix("-check") in lab.tested and name.endswith("-check"):
            assert len(found) == 1 and "not written yet" in found[0]["data"]["text/plain"], (name, said)
        if cell["source"].startswith("with checks.attempt("):
            assert "not written yet" in found[-1]["text"], (name, said)


def test_refusals_name_the_student_and_say_why(marks):
    for student, words in (
        ("08-zip", "not JSON"),
        ("09-two-answers", "'box' is answered in 2 cells"),
        ("18-\ufffd", "the file is empty"),
        ("19-other.py", "it is a .py and not a notebook"),
    ):
        row = marks[student]["total"]
        assert row["status"].startswith("refused") and words in row["status"] and row["points"] == ""


def test_a_liar_gets_nothing_with_a_cage_or_without(marks):
    assert not any(points(marks["15-liar"]).values())


@needs_cage
def test_in_the_cage_there_is_no_master_no_gradebook_and_no_network(class_of, listener):
    kept = json.loads((class_of(LAB1) / "course" / "lab1" / "executed" / "02-blank-cheat.json").read_text())
    printed = json.dumps(kept["outputs"])
    assert "found 0" in printed and "Connection refused" in printed and listener[1] == []


def test_what_a_notebook_installs_is_not_installed_for_the_teacher(class_of, tmp_path):
    """In a cage, where the student's folder is all that can be written, nor without one."""
    kept = json.loads((class_of(LAB1) / "course" / "lab1" / "executed" / "01-hindered.json").read_text())
    assert "'left_behind.py'" in json.dumps(kept["outputs"])
    with cages.Cage(tmp_path, kind="none") as made:
        for source in INSTALLS:
            made.run(source)
    assert (tmp_path / "installed" / "left_behind.py").exists()
    assert packages() == BEFORE


def test_feedback_has_the_checks_sentence_and_no_hidden_test(class_of):
    said = (class_of(LAB1) / "course" / "lab1" / "feedback" / "03-wrong.md").read_text()
    assert "- **box**: 0.0 of 2.0\n  ✗ box: it changes its argument x in place" in said
    assert not re.search("examine_|HIDDEN|assert", said)


def test_another_seed_marks_everybody_again_and_says_so(tmp_path, monkeypatch):
    said = []
    marking.write(tmp_path / "seed.txt", "71")
    monkeypatch.setenv("FLATLAB_MARK_SEED", "72")
    assert marking.kept_seed(tmp_path, said.append) == "72"
    assert "was marked with 71: everybody is marked again" in said[0]
    monkeypatch.delenv("FLATLAB_MARK_SEED")
    assert marking.kept_seed(tmp_path, said.append) == "72"


def test_two_markings_of_one_course_at_once_say_so(tmp_path):
    with (
        marking.alone(tmp_path),
        pytest.raises(SystemExit, match="is being marked by another command"),
        marking.alone(tmp_path),
    ):
        pass


def test_the_commands_of_the_teachers_page_run_as_they_stand(tmp_path):
    """All except `make` and the editor that opens, in a copy of labs/ with one submission."""
    text = (LABS.parent / "book" / "teach.md").read_text(encoding="utf8")
    commands = [
        line
        for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
        for line in block.replace("\\\n", "").splitlines()  # a line that ends in \\ goes on
        if line.startswith("python ")
    ]
    assert {line.split()[2] for line in commands} == {"release", "mark", "preflight", "export", "gradescope"}
    (tmp_path / "labs").mkdir()
    for file in (*LABS.glob("*.py"), *LABS.glob("*/lab1/*.ipynb")):
        write(tmp_path / "labs" / file.relative_to(LABS), file.read_text(encoding="utf8"))
    write(tmp_path / "submissions" / "ada.ipynb", RELEASE)
    program = """if True:
        import runpy, shlex, sys
        for line in sys.argv[1:]:
            sys.argv = shlex.split(line)[1:]
            print("$", line, flush=True)
            runpy.run_path(sys.argv[0], run_name="__main__")
    """
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(["labs", str(LABS.parent)])}
    started = [sys.executable, "-c", program, *commands]  # in one process, since each would take seconds to start
    done = subprocess.run(started, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    for file in ("marks.csv", "seed.txt", "gradescope.zip"):
        assert file in text and (tmp_path / "course" / "lab1" / file).is_file()
    assert "course/lab1/feedback/STUDENT.md" in text and (tmp_path / "course/lab1/feedback/ada.md").is_file()


# Who has handed in what


def handed_in(folder, **files):
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def test_every_entry_of_the_folder_has_a_row(tmp_path):
    names = ["a.ipynb.txt", "b.IPYNB", "c.py", "d.html", "__max.ipynb", "f", "g (1).ipynb"]
    found = marking.collect(handed_in(tmp_path / "s", **dict.fromkeys(names, "{}")), room=tmp_path)
    assert len(found) == len(names)
    assert {student for student, one in found.items() if one["refused"]} == {"c.py", "d.html", "f"}


def test_a_zip_is_opened_and_what_is_alike_is_one(tmp_path):
    folder = handed_in(tmp_path / "s")
    with zipfile.ZipFile(folder / "ada.zip", "w") as packed:
        packed.writestr("a/lab1.ipynb", "{}")
        packed.writestr("a/copy of lab1.ipynb", "{}")
        packed.writestr("__MACOSX/._lab1.ipynb", "junk")
    found = marking.collect(folder, room=tmp_path)
    assert found["ada"]["file"] and not found["ada"]["refused"] and "all alike" in found["ada"]["notes"][0]


@pytest.mark.parametrize(
    "platform, names",
    [
        ("canvas", ["adalovelace_LATE_123_456_lab1.ipynb", "adalovelace_LATE_123_999_lab1-1.ipynb"]),
        (
            "blackboard",
            [
                "lab1_adalovelace_attempt_2026-01-01-10-00-00_x.ipynb",
                "lab1_adalovelace_attempt_2026-01-02-10-00-00_x.ipynb",
            ],
        ),
    ],
)
def test_a_platforms_names_are_read_and_the_last_attempt_counts(tmp_path, platform, names):
    folder = handed_in(tmp_path / "s", **{names[0]: "first", names[1]: "last"})
    (found,) = marking.collect(folder, names=platform, room=tmp_path).items()
    assert found[0] == "adalovelace" and found[1]["file"].read_text() == "last"
    assert ("handed in late." in found[1]["notes"]) == (platform == "canvas")


def test_moodles_folders_are_read(tmp_path):
    folder = tmp_path / "s" / "Ada Lovelace_42_assignsubmission_file_"
    folder.mkdir(parents=True)
    (folder / "lab1.ipynb").write_text("{}")
    assert list(marking.collect(tmp_path / "s", names="moodle", room=tmp_path)) == ["Ada Lovelace"]


def test_a_table_holds_no_formula(tmp_path):
    tables.table(tmp_path / "t.csv", ("student", "points"), [{"student": "=cmd()", "points": 3}])
    assert (tmp_path / "t.csv").read_text().splitlines()[1] == "'=cmd(),3"


# One submission


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_other_encodings_are_read(tmp_path, encoding):
    (tmp_path / "one.ipynb").write_bytes(json.dumps(LAB1.edition()).encode(encoding))
    assert preflight(tmp_path / "one.ipynb", RELEASE)[1] == []


@pytest.mark.parametrize("where", ["below", "in the question"])
def test_a_free_answer_beside_its_cell_is_found(tmp_path, where):
    notebook = LAB1.edition({name: source for name, source in LAB1.reference.items() if name != "epochs-answer"})
    number = find(notebook, "epochs-answer")
    if where == "below":
        notebook.cells.insert(number + 1, nbformat.v4.new_markdown_cell("Because of the updates."))
    else:
        notebook.cells[number - 1].source += "\n\nBecause of the updates."
    mended, notes = preflight(write(tmp_path / "one.ipynb", notebook), RELEASE)
    assert mended.cells[find(mended, "epochs-answer")].source == "Because of the updates."
    assert "'epochs-answer' stood beside its cell" in " ".join(notes)
    blank, notes = preflight(write(tmp_path / "two.ipynb", RELEASE), RELEASE)
    assert not notes and blank.cells[find(blank, "proof-answer")].source.startswith("**Your answer:**")


# The cage


@pytest.fixture(scope="module")
def cage(tmp_path_factory):
    """One for all tests, as a new one takes seconds to start."""
    with cages.Cage(tmp_path_factory.mktemp("cage"), seconds=20) as made:
        yield made


def test_what_comes_out_of_the_cage_are_values(cage):
    cage.run(
        "import torch\ndef f(x, g):\n    x *= 2\n    return {'sum': g.value(x), 'x': (x, [1, None, float('inf')])}"
    )

    class Sum:
        secret = 7

        def value(self, y):
            return float(y.sum())

    x = torch.ones(3)
    found = cage.function("f")(x, Sum())
    assert found["sum"] == 6 and torch.equal(found["x"][0], x) and found["x"][1] == [1, None, float("inf")]
    assert torch.equal(x, torch.full((3,), 2.0)), "what the function did to its argument was done to ours"
    cage.run("def peep(g):\n    return g.secret")
    with pytest.raises(cages.Failed, match="AttributeError"):
        cage.function("peep")(Sum())


def test_an_object_that_a_method_returns_stays_outside_too_and_shows_its_properties(cage):
    class Part:
        secret = 7

        def __init__(self, numbers):
            self.numbers = numbers

        @property
        def rows(self):
            return len(self.numbers)

        def subset(self, chosen):
            return Part([self.numbers[k] for k in chosen])

        def total(self):
            return sum(self.numbers)

    cage.run("def f(part):\n    few = part.subset([0, 2])\n    return part.rows, few.rows, few.total()")
    assert cage.function("f")(Part([1, 10, 100])) == (3, 2, 101)
    cage.run("def first(part):\n    return part.subset(range(2)).total()")
    assert cage.function("first")(Part([1, 10, 100])) == 11
    cage.run("def peep(part):\n    return part.subset([0]).secret")
    with pytest.raises(cages.Failed, match="AttributeError"):
        cage.function("peep")(Part([1]))


def test_who_asks_for_part_after_part_gets_no_more_than_the_marker_has_room_for(monkeypatch):
    class Part:
        def part(self):
            return Part()

    monkeypatch.setattr(cages, "MOST_OBJECTS", 3)
    passed = cages.Passed()
    passed.encode(Part())
    question = {"ask": 0, "method": "part", "args": {"list": []}, "kwargs": {"dict": []}}
    assert ["error" in cages._answered(question, passed) for _ in range(4)] == [False, False, True, True]


def test_a_frozen_dataclass_of_ours_is_made_anew_in_the_cage_so_that_it_can_be_differentiated(cage):
    cage.run(
        "import torch\ndef slope(loss, x):\n    y = x.clone().requires_grad_()\n    return "
        "torch.autograd.grad(loss(y), y)[0]"
    )
    loss, x = Quartic(torch.ones(2), torch.eye(2), torch.zeros(2, 2)), torch.tensor([1.0, 2.0])
    assert torch.equal(cage.function("slope")(loss, x), 1 + x)


@pytest.mark.parametrize(
    "sent",
    [
        {"made": ["os", "getpid", []]},
        {"remote": 0, "methods": [], "properties": {"dict": [["__array_interface__", "any place in memory"]]}},
        {"list": [0] * 200_000},
    ],
    ids=["made", "remote", "long"],
)
def test_an_answer_from_the_cage_makes_no_object_of_ours_and_is_no_longer_than_what_is_asked_for(sent):
    """Of a list each number becomes a tensor: twenty million of them would fill the marker's memory."""
    with pytest.raises(cages.Failed, match="no value"):
        cages.decode_values(sent)


def test_a_gradient_that_is_left_on_an_argument_is_seen_outside(cage):
    cage.run("def watch(x):\n    x.requires_grad_()\ndef leave(x):\n    x.requires_grad_().sum().backward()")
    x, y = torch.zeros(2), torch.zeros(2)
    cage.function("watch")(x)
    cage.function("leave")(y)
    assert x.requires_grad and x.grad is None and torch.equal(y.grad, torch.ones(2))


def test_the_recorded_results_can_be_read_in_the_cage(cage):
    cage.run("def seeds():\n    return list(flatlab.recorded('fig2', 'paper').seeds['F1'])\nimport flatlab")
    assert cage.function("seeds")() == list(flatlab.recorded("fig2", "paper").seeds["F1"])


def test_a_process_that_ended_is_followed_by_one_that_knows_the_cells_before(cage):
    cage.run("seen = 3")
    with pytest.raises(cages.Died, match="it ended"):
        cage.run("import os\nos._exit(0)")
    assert cage.value("seen") == 3


@pytest.mark.parametrize(
    "source",
    [
        "%matplotlib inline",
        "%matplotlib notebook",
        "from google.colab import drive, files, userdata\ndrive.mount('/content/drive', force_remount=True)",
        "import google.colab\ngoogle.colab.drive.flush_and_unmount()\ngoogle.colab.output.clear()",
        "from google.colab.drive import mount\nmount('/content/drive')",
        "import pandas, scipy.stats, sklearn, matplotlib.pyplot\nlen(pandas.DataFrame({'a': [1.0, 2.0]}))",
        pytest.param(
            "import os\nos.makedirs('/content/drive/MyDrive/flatlab', exist_ok=True)\nopen('/content/a', 'w').close()",
            marks=needs_cage,
        ),
    ],
)
def test_what_a_student_has_for_colab_stops_no_cell(cage, source):
    assert [
        output["output_type"] for output in cage.run(f"{source}\nseen = 4") if output["output_type"] == "error"
    ] == []
    assert cage.value("seen") == 4


def test_a_default_that_a_cell_has_set_does_not_reach_a_call(cage):
    cage.run("import torch\ntorch.set_default_dtype(torch.float64)\ndef made():\n    return torch.zeros(2)")
    assert cage.function("made")().dtype == torch.float32


def test_a_long_double_comes_out_of_the_cage_as_a_double(cage):
    cage.run("import numpy as np\ndef long():\n    return np.arange(3, dtype=np.longdouble)[::-1]")
    assert cage.function("long")().tolist() == [2.0, 1.0, 0.0]


def test_what_a_cell_prints_is_cut_off(cage):
    (output,) = cage.run("print('x' * 10**6)")
    assert len(output["text"]) < 30_000 and "characters more, which were cut off" in output["text"]


@needs_cage
def test_a_cage_computes_as_the_marker_does(tmp_path, monkeypatch):
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    with cages.Cage(tmp_path, seconds=20) as made:
        made.run("import torch\nused = torch.backends.cpu.get_cpu_capability()")
        assert made.value("used") == "DEFAULT"


def test_the_walls_of_the_cage(cage):
    text = json.dumps(cage.run(f"import os\nos.listdir('{LABS}')"))
    assert "FileNotFoundError" in text
    assert "Read-only file system" in json.dumps(cage.run("import flatlab\nopen(flatlab.__file__, 'a')"))
    assert (
        cage.run("import os\nos.environ.get('FLATLAB_MARK_SEED'), os.getppid() < 3")[0]["data"]["text/plain"]
        == "(None, True)"
    )


@needs_cage
def test_the_answers_that_the_checks_hold_are_not_in_the_cage(cage, tmp_path, monkeypatch):
    look = "import pathlib\n[one for one in pathlib.Path({!r}).rglob('lab*') if one.parent.name == 'checks']"
    for place in ("/package", sys.prefix):
        assert cage.run(look.format(place))[0]["data"]["text/plain"] == "[]"
    (said,) = cage.run("from flatlab import checks\nchecks.edge(lambda: 1)")
    assert said["data"]["text/plain"] == "'edge: the marker asks this check.'"
    # The same where the package is installed among Python's own, which the cage shows.
    copied = shutil.copytree(Path(flatlab.__file__).parent, tmp_path / "site" / "flatlab")
    shown = [*cages.installation(), str(tmp_path / "site")]
    monkeypatch.setattr(cages, "installation", lambda: shown)
    monkeypatch.setattr(flatlab, "__file__", str(copied / "__init__.py"))
    (tmp_path / "home").mkdir()
    with cages.Cage(tmp_path / "home", seconds=20) as other:
        assert other.run(look.format(str(copied)))[0]["data"]["text/plain"] == "[]"


def test_a_check_is_asked_outside_and_knows_the_line_that_stopped(cage):
    def said(function):
        notes = []
        (output,) = running.checked("noise_scale", function, cage, {}, "of the check", notes)
        return output.get("data", output.get("evalue")), notes

    cage.run("def stops(*a):\n    return 1 / 0\ndef blank(*a):\n    raise NotImplementedError\nnumber = 3")
    cage.run("import os\ndef ends(*a):\n    os._exit(0)\ndef draws(*a):\n    yield 1")
    known = {name: said(name) for name in ("stops", "blank", "number", "ends", "draws", "absent")}
    assert "in `return 1 / 0`, line 2 of its cell: ZeroDivisionError" in known["stops"][0]["text/plain"]
    assert "not written yet" in known["blank"][0]["text/plain"]
    assert "an int, and should get your function" in known["number"][0]["text/plain"]
    assert "it returns a generator" in known["draws"][0]["text/plain"]
    assert known["absent"][0] == "name 'absent' is not defined"
    assert "the kernel ended" in known["ends"][0]["text/plain"] and "call of the check" in known["ends"][1][0]


def doubled_by(x):
    return 2 * x


def test_a_line_from_a_gpu_that_names_other_functions_is_noted(tmp_path):
    """And one that names these is not, though a comment came later. It says nothing of a line that is typed with the
    right name."""

    def cell(source, name, **mark):
        return nbformat.v4.new_code_cell(source, metadata={"nbgrader": {"grade_id": name, **mark}})

    answer = inspect.getsource(doubled_by).replace(":", ":  # twice", 1)
    given = 'from flatlab import checks\nif False:\n    print({"functions": checks.code_name(doubled_by)})'
    for number, (name, noted) in enumerate({flatlab.checks.code_name(doubled_by): 0, "0" * 12: 1, "": 1}.items()):
        line = f'def report(recorded):\n    return \'{{"device": "a GPU", "functions": "{name}"}}\''
        cells = [
            cell(answer, "twice", solution=True, locked=False),
            cell(given, "gpu-run", locked=True),
            cell(line, "report", solution=True, locked=False),
        ]
        (tmp_path / str(number)).mkdir()
        notebook = nbformat.v4.new_notebook(cells=cells)
        ran, notes = running.run(notebook, notebook, tmp_path / str(number), "71")
        assert not any(one.outputs for one in ran.cells)
        assert notes == ["the line of its GPU run names other functions than the notebook has: read it."] * noted


def test_without_a_cage_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(marking, "kind_of_cage", lambda: "none")
    monkeypatch.setattr(marking, "executed", lambda *a: (_ for _ in ()).throw(Refused("not run here")))
    said = []
    write(tmp_path / "s" / "ada.ipynb", with_cells(LAB1.edition(), "import subprocess"))
    marking.mark(
        tmp_path / "s", tmp_path / "c", "lab1", roster=["ada", "grace"], say=lambda *a, **k: said.append(" ".join(a))
    )
    assert "There is no cage here" in said[0]
    rows = list(csv.DictReader((tmp_path / "c" / "lab1" / "marks.csv").read_text().splitlines()))
    note = {row["student"]: row for row in rows}
    assert "uncaged" in note["ada"]["note"] and "subprocess" in note["ada"]["note"]
    assert note["grace"]["status"] == "nothing handed in"
