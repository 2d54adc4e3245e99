"""A longer class of hazards, which `make class` marks and which is too long for `make test`: what a student's code can
try, in a cage and without one, and every lab as an editor or an ended process leaves it.

The cheats are tried on the small lab of test_course.py, whose hidden test asks for a number that a seed decides.
Without a cage nothing stops all of them: there a cheat gets nothing, or is named in marks.csv for a person to read.
"""

import copy
import json
import os
import zipfile

import cage
import edition
import marking
import nbformat
import psutil
import pytest
import test_course
from masters import EVERY, defined, find, names, write
from test_labs import stripped
from test_marking import ended, wrongs

from flatlab import checks

HIDDEN = 'number = int(os.environ["FLATLAB_MARK_SEED"])\nassert twice(number) == 2 * number'
FORGED = '\'{"value": 6, "outputs": []}\\n\'.encode()'
CELLS = {  # what stands above a blank exercise
    "reads the memory of those who started it": """
import os, re
pid = os.getpid()
for _ in range(4):
    pid = int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1])
    if not pid: break
    try: maps, memory = open(f"/proc/{pid}/maps").read().splitlines(), open(f"/proc/{pid}/mem", "rb")
    except OSError: continue
    for line in maps:
        begin, end = (int(one, 16) for one in line.split()[0].split("-"))
        if "rw-p" not in line or end - begin > 2**26: continue
        try: memory.seek(begin); block = memory.read(end - begin)
        except (OSError, ValueError, OverflowError): continue
        if re.search(rb"BEGIN SOLUTION.{1,9}return 2 \\* x", block): exec("def twice(x): return 2 * x", globals())""",
    "replaces nbgrader and numpy": """
import sys, types
for name in ("nbgrader", "nbgrader.utils", "nbgrader.api"): sys.modules[name] = types.ModuleType(name)
sys.modules["nbgrader.utils"].determine_grade = lambda *a: (3, 3)
import numpy, torch
numpy.allclose = torch.allclose = lambda *a, **k: True""",
    "prints what a passed test prints": "print('All tests passed: 3/3')\n3.0",
    "forges messages": f"""
import os
for number in range(3, 40):
    for _ in range(6):
        try: os.write(number, {FORGED})
        except OSError: pass""",
    "takes the wire over": """
import gc, types
for one in gc.get_objects():
    if isinstance(one, types.FunctionType) and one.__name__ in ("encode", "call", "state"):
        one.__globals__["encode"] = lambda value: 6
        one.__globals__["call"] = lambda *a, **k: {"value": 6, "changed": {}}
def twice(x): return None""",
    "lets a child answer": f"""
import os, time
for _ in range(3):
    if os.fork() == 0:
        time.sleep(0.2)
        for number in range(3, 20):
            try: os.write(number, {FORGED})
            except OSError: pass
        time.sleep(30); os._exit(0)""",
    "leaves a daemon for the gradebook": """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", '''
import glob, os, sqlite3, time
if os.fork(): os._exit(0)
os.setsid()
for _ in range(200):
    for book in glob.glob("COURSE/gradebook.db"):
        try:
            with sqlite3.connect(book, timeout=1) as db: db.execute("update grade set manual_score = 2.5")
        except sqlite3.Error: pass
    time.sleep(0.3)
'''], start_new_session=True)""",
    "will not end": """
import atexit, signal, time
atexit.register(time.sleep, 10**6)
for one in (signal.SIGALRM, signal.SIGTERM): signal.signal(one, signal.SIG_IGN)""",
    "returns what runs when it is read": """
class Runs:
    def __reduce__(self): return (exec, ("open('COURSE/read', 'w')",))
    def __eq__(self, other): return True
def twice(x): return Runs()""",
    "is equal to everything": """
class Equal(int):
    def __eq__(self, other): return True
    def __hash__(self): return 0
def twice(x): return Equal(5)""",
    "prints as another number": """
class Other(float):
    def __repr__(self): return "142"
def twice(x): return Other(5)""",
    "has a name that looks alike": "def twi\u0441e(x): return 2 * x",
    "prints too much": "print('x' * 10**8)\nraise type('N' * 10**7, (Exception,), {})('z' * 10**8)",
    "ends in the call": "def twice(x):\n    import os\n    os._exit(0)",
    "never returns": """
def twice(x):
    while True:
        try:
            while True: pass
        except BaseException: pass""",
    "looks for the right answer in its callers": """
def twice(x):
    import inspect
    for one in inspect.stack():
        for value in one.frame.f_locals.values():
            if getattr(value, "__name__", "") == "twice" and value is not twice: return value(x)
    return 0""",
    "answers too much": "def twice(x): return 'a' * (200 * 2**20)",
    "answers too deeply": """
def twice(x):
    answer = []
    for _ in range(10**5): answer = [answer]
    return answer""",
    "writes into the labs": """
import glob
for one in [*glob.glob("LABS/source/*/*.ipynb"), *glob.glob("COURSE/*/*.json"), "/package/inside.py"]:
    try: open(one, "a").write(" ")
    except OSError: pass""",
}
KINDS = [*({cage.kind_of_cage()} - {"none"}), "none"]


def cheated(course):
    """{student: notebook}: the cells above a blank exercise, and what an editor can do to a file."""
    students = {}
    for name, source in CELLS.items():
        students[name] = notebook = copy.deepcopy(course.release)
        source = source.replace("COURSE", str(course.course)).replace("LABS", str(course.labs))
        notebook.cells.insert(1, nbformat.v4.new_code_cell(source))
    students["changes what is given"] = notebook = copy.deepcopy(course.release)
    test = notebook.cells[find(notebook, "twice-test")]
    again = copy.deepcopy(test)
    test.source, test.metadata.nbgrader.points = "pass", 100
    again.outputs = [nbformat.v4.new_output("execute_result", {"text/plain": "3.0"}, execution_count=1)]
    bonus = {**again.metadata.nbgrader, "grade_id": "bonus", "points": 20}
    more = nbformat.v4.new_code_cell("assert True", metadata={"nbgrader": bonus})
    notebook.cells += [more, nbformat.v4.new_code_cell("3.0", metadata=again.metadata, outputs=again.outputs)]
    students["names another kernel"] = notebook = copy.deepcopy(course.release)
    notebook.metadata["kernelspec"] = {"name": "bash", "display_name": "bash"}
    students["has many cells"] = notebook = copy.deepcopy(course.release)
    notebook.cells += [nbformat.v4.new_markdown_cell("a")] * 5000
    return students


@pytest.fixture(scope="module", params=KINDS)
def marked(request, tmp_path_factory):
    """(kind of cage, course, rows by student) of a class of cheats."""
    room, labs = tmp_path_factory.mktemp(request.param), tmp_path_factory.mktemp("labs")
    write(labs / "source" / "tiny" / "tiny.ipynb", test_course.master(HIDDEN))
    edition.release("tiny", labs=labs)
    course = test_course.Course(room, labs)
    for name, notebook in {"honest": course.answered(), "blank": course.release, **cheated(course)}.items():
        course.hand_in(f"{name}.ipynb", notebook)
    master = course.labs / "source" / "tiny" / "tiny.ipynb"
    (course.submissions / "is a link.ipynb").symlink_to(master)
    (course.submissions / "has a link").mkdir()
    (course.submissions / "has a link" / "tiny.ipynb").symlink_to(master)
    with zipfile.ZipFile(course.submissions / "climbs.zip", "w") as packed:
        packed.writestr("../../climbed.ipynb", json.dumps(course.release))
    before = {one.pid for one in psutil.process_iter()}
    settings = {"FLATLAB_CAGE": request.param, "FLATLAB_MARK_SEED": "71", "FLATLAB_CELL_SECONDS": "8"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        cage.kind_of_cage.cache_clear()
        rows = course.mark(jobs=2)
    cage.kind_of_cage.cache_clear()
    left = [one for one in psutil.process_iter(["cmdline"]) if one.pid not in before]
    left = [one for one in left if str(course.course) in " ".join(one.info["cmdline"] or ())]
    return request.param, course, {student: mine["total"] for student, mine in rows.items()}, left


def test_who_answers_gets_the_marks_and_who_answers_nothing_gets_none(marked):
    _, _, rows, _ = marked
    assert (rows["honest"]["points"], rows["blank"]["points"]) == (3, 0)


def test_a_cheat_gets_nothing_and_without_a_cage_may_be_named_instead(marked):
    kind, _, rows, _ = marked
    rich = {name: row["note"] for name, row in rows.items() if row["points"] not in ("", 0) and name != "honest"}
    if kind == "none":
        rich = {name: note for name, note in rich.items() if "read its code" not in note}
        assert all("uncaged." in row["note"] for name, row in rows.items() if row["points"] != "")
    assert not rich


def test_a_cheat_leaves_nothing_behind(marked):
    kind, course, _, left = marked
    assert not left and not list(course.course.parent.rglob("climbed.ipynb")) and not (course.course / "read").exists()
    if kind != "none":
        assert json.loads((course.labs / "source" / "tiny" / "tiny.ipynb").read_text()) == test_course.master(HIDDEN)


def fits(lab, answers, exercise):
    """Whether an exercise and those that call it have their ticks with these answers. Each may be right alone, and one
    in float64 stop beside one in float32: then the student sees no tick and goes on."""
    answers = {one: {**lab.reference, **answers}[one] for one in lab.tested}
    space = lab.space(answers[exercise])
    for source in answers.values():
        exec(source, space)
    name = defined(answers[exercise])
    users = [one for one, source in answers.items() if one == exercise or name in names(source)]
    return all(getattr(checks, one)(space[defined(answers[one])]) for one in users)


@pytest.mark.parametrize("lab", EVERY, ids=str)
def test_a_lab_keeps_its_marks_whatever_an_editor_or_an_ended_process_did(lab, tmp_path, monkeypatch):
    """And each of the other right answers its own, marked as a teacher marks them."""
    right = {"stripped": stripped(lab.edition()), "ended": ended(lab.edition())}
    for number in range(max(sum(one == exercise for one, _ in lab.right) for exercise in lab.tested)):
        others = {}
        for exercise in lab.tested:
            mine = [source for one, source in lab.right if one == exercise]
            if mine and fits(lab, tried := {**others, exercise: mine[number % len(mine)]}, exercise):
                others = tried
        right[f"otherwise {number}"] = lab.edition({**lab.reference, **others})
    for name, notebook in {**right, "wrong": wrongs(lab)}.items():
        write(tmp_path / "submissions" / f"{name}.ipynb", notebook)
    monkeypatch.setitem(os.environ, "FLATLAB_MARK_SEED", "71")
    rows = marking.mark(tmp_path / "submissions", tmp_path / "course", lab.name, jobs=2)
    found = {name: {row["exercise"]: row["points"] for row in rows if row["student"] == name} for name in right}
    for name in right:
        assert {test: found[name][test] for test in lab.tests} == {test: lab.points[test] for test in lab.tests}, name
    wrong = {row["exercise"]: row["points"] for row in rows if row["student"] == "wrong"}
    assert not any(wrong[f"{exercise}-test"] for exercise in lab.tested)
