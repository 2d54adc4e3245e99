"""Set, check, mark and export the labs: a thin layer over nbgrader.

    python labs/pipeline.py release                          labs/release from the masters in labs/source
    python labs/pipeline.py preflight SUBMISSION.ipynb       say what is wrong with one file, and whether it can be mended
    python labs/pipeline.py mark SUBMISSIONS --work COURSE   mark a class; COURSE/marks.csv
    python labs/pipeline.py export --work COURSE             write COURSE/marks.csv again, after marking by hand

SUBMISSIONS holds STUDENT.ipynb, or STUDENT/anything.ipynb. It is only read. nbgrader alone gives a submission whose cell metadata
are lost 0 marks without a word, and stops the whole class at a duplicated cell: so every file is first compared with the release,
mended where there is one way to mend it, else refused by name; and each student is marked alone, in a process and a home of their own.
"""

import argparse
import contextlib
import copy
import csv
import itertools
import json
import multiprocessing
import os
import re
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import nbformat
from nbformat import NotebookNode

LABS = Path(__file__).resolve().parent
ROOT = LABS.parent
MINUTES = 20  # for one student; the time of one cell is in nbgrader_config.py
MINE = shutil.ignore_patterns(".*", "answers.py")  # in a master's folder, and no part of the lab
COLUMNS = ("student", "exercise", "points", "max", "status", "note")

# nbgrader calls `alembic` by name: let it find the one of this environment, activated or not.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


class Refused(Exception):
    """Why a submission cannot be marked, in one sentence."""


# The students' edition


def release(labs=LABS, lab="lab1", to=None):
    """Write the students' edition of a lab: the master without solutions and hidden tests. Returns its path.

    The same master gives the same bytes. Raises RuntimeError with nbgrader's log when nbgrader refuses the master.
    """
    target = Path(to or labs / "release") / lab / f"{lab}.ipynb"
    with tempfile.TemporaryDirectory() as course:
        shutil.copytree(labs / "source" / lab, Path(course) / "source" / lab, ignore=MINE)
        _generate(Path(course), lab)
        notebook = nbformat.read(Path(course) / "release" / lab / f"{lab}.ipynb", 4)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(_text(notebook), encoding="utf8")
    return target


def _text(notebook):
    return json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _nbgrader(course):
    """nbgrader on a course directory. Imported here, since it takes seconds."""
    from nbgrader.apps import NbGraderAPI
    from traitlets.config import PyFileConfigLoader

    config = PyFileConfigLoader("nbgrader_config.py", path=str(LABS)).load_config()
    config.CourseDirectory.root = str(course)
    config.CourseDirectory.db_url = f"sqlite:///{course}/gradebook.db"
    return NbGraderAPI(config=config)


def _generate(course, lab):
    done = _nbgrader(course).generate_assignment(lab, force=True, create=True)
    if not done["success"]:
        raise RuntimeError(f"nbgrader could not release {lab}:\n{done.get('error') or ''}{done.get('log') or ''}")


# One submission against the release


def preflight(path, original):
    """(notebook, notes): a submission as it can be marked, and one sentence for each thing that was mended.

    path        the student's file
    original    the release, a NotebookNode
    Every marked or given cell is there once, in the release's order, with the release's metadata; the student's own cells
    stay behind the cell that they followed. Raises Refused.
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
            own.setdefault(last, []).append(cell)
        else:
            last = owners[number].id
    cells = own[None]
    for cell in given:
        cells.append(_restore(cell, chosen[cell.id], submitted.cells, notes))
        cells += own.get(cell.id, [])
    notebook = NotebookNode(nbformat=4, nbformat_minor=5, metadata=copy.deepcopy(original.metadata), cells=cells)
    nbformat.validate(notebook)
    return notebook, notes


def _read(path):
    """The file as a notebook of the current format without outputs, or Refused."""
    try:
        raw = json.loads(Path(path).read_bytes().decode("utf8"))
    except (ValueError, RecursionError):
        raise Refused(
            "it is not a notebook: the file is not JSON. Ask for File > Download > Download .ipynb."
        ) from None
    if not isinstance(raw, dict) or not isinstance(raw.get("cells"), list) or raw.get("nbformat") != 4:
        raise Refused("it is not a notebook of format 4, the one that Colab and Jupyter save.")
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
        new.names, new.grade_id = names, mark.get("grade_id")  # read by _recognise, which takes them away
        cells.append(new)
    return NotebookNode(cells=cells)


def _recognise(cells, given):
    """(owners, notes): owners holds the release's cell that each submitted cell is, or None.

    By nbgrader's name for it; for those that no cell names, by the cell's id; then by what it defines or, for a given cell,
    by its text; then, for a free answer, as the cell that follows its question.
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
    return restored


# A class


def mark(submissions, course, lab="lab1", labs=LABS, say=print):
    """Mark every submission of a class in the directory `course`, and write course/marks.csv. Returns its rows.

    A student whose file has not changed since it was marked is not marked again. One file that cannot be marked is refused by
    name, and the others go on.
    """
    course = Path(course).resolve()
    students = collect(submissions)
    shutil.copytree(labs / "source" / lab, course / "source" / lab, ignore=MINE, dirs_exist_ok=True)
    _generate(course, lab)
    original = nbformat.read(course / "release" / lab / f"{lab}.ipynb", 4)
    report_file = course / "preflight.json"
    report = json.loads(report_file.read_text()) if report_file.exists() else {}
    for student, files in students.items():
        report[student] = {"status": "", "notes": []}
        try:
            if len(files) != 1:
                raise Refused(
                    f"there are {len(files)} notebooks ({', '.join(f.name for f in files)}): keep one."
                    if files
                    else "there is no notebook."
                )
            notebook, report[student]["notes"] = preflight(files[0], original)
            _mark_one(course, lab, student, notebook)
        except Refused as why:
            report[student]["status"] = f"refused: {why}"
            for room in ("submitted", "autograded"):  # marks of an earlier file are not this file's
                shutil.rmtree(course / room / student / lab, ignore_errors=True)
        report_file.write_text(json.dumps(report, indent=1, ensure_ascii=False))
        say(student, "·", " ".join([report[student]["status"] or "marked.", *report[student]["notes"]]), flush=True)
    return export(course, lab)


def collect(submissions):
    """{student: notebooks} of a directory with STUDENT.ipynb files and STUDENT directories."""
    submissions = Path(submissions)
    if not submissions.is_dir():
        raise SystemExit(f"{submissions} is not a directory: give the one with STUDENT.ipynb or STUDENT/*.ipynb in it.")
    students = {}
    for entry in sorted(submissions.iterdir()):
        if entry.name.startswith((".", "__")):
            continue
        if entry.is_dir():
            files = sorted(f for f in entry.rglob("*.ipynb") if ".ipynb_checkpoints" not in f.parts)
            students.setdefault(entry.name, []).extend(files)
        elif entry.suffix == ".ipynb":
            students.setdefault(entry.stem, []).append(entry)
    return students


def _mark_one(course, lab, student, notebook):
    """Let nbgrader mark one mended notebook, in a process that can be stopped; unchanged work is left as it was marked."""
    submitted = course / "submitted" / student / lab / f"{lab}.ipynb"
    text, marked = _text(notebook), course / "autograded" / student / lab / f"{lab}.ipynb"
    if marked.exists() and submitted.exists() and submitted.read_text(encoding="utf8") == text:
        return
    marked.unlink(missing_ok=True)  # stopped from here on, the next call marks it
    submitted.parent.mkdir(parents=True, exist_ok=True)
    submitted.write_text(text, encoding="utf8")
    log = course / "logs" / f"{student}.txt"
    log.parent.mkdir(exist_ok=True)
    process = multiprocessing.get_context("fork").Process(target=_autograde, args=(course, lab, student, log))
    process.start()
    process.join(60 * MINUTES)
    if process.is_alive():
        os.killpg(process.pid, signal.SIGKILL)
        process.join()
        raise Refused(f"it was stopped after {MINUTES} minutes; an endless loop that cannot be interrupted?")
    if process.exitcode or not marked.exists():
        raise Refused(f"nbgrader could not mark it: {log} says why.")


def _autograde(course, lab, student, log):
    """In a process of its own: nothing that a student's code leaves in its home or its store reaches the next student."""
    os.setsid()
    with (
        tempfile.TemporaryDirectory() as home,
        open(log, "w") as file,
        contextlib.redirect_stderr(file),
        contextlib.redirect_stdout(file),
    ):
        os.environ.update(
            HOME=home,
            IPYTHONDIR=f"{home}/ipython",
            FLATLAB_STORE=f"{home}/store",
            FLATLAB_TIER="mark",
            PYTHONNOUSERSITE="1",
            MPLBACKEND="agg",
            TQDM_DISABLE="1",
            OMP_NUM_THREADS="1",
            PYTHONPATH=os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        )
        done = _nbgrader(course).autograde(lab, student, force=True, create=True)
        print(done.get("log") or "", done.get("error") or "")
    os._exit(0 if done["success"] else 1)


def export(course, lab="lab1"):
    """Write course/marks.csv, one row an exercise, the total last. Returns the rows as dicts."""
    from nbgrader.api import Gradebook, MissingEntry

    course = Path(course).resolve()
    report = json.loads((course / "preflight.json").read_text())
    rows = []
    with Gradebook(f"sqlite:///{course}/gradebook.db") as gradebook:
        exercises = [(cell.name, cell.max_score) for cell in gradebook.find_assignment(lab).notebooks[0].grade_cells]
        for student, found in sorted(report.items()):
            note = " ".join(found["notes"])
            grades = {}
            if not found["status"]:
                with contextlib.suppress(MissingEntry):
                    grades = {
                        grade.name: grade for grade in gradebook.find_submission_notebook(lab, lab, student).grades
                    }
            for name, most in exercises:
                grade = grades.get(name)
                status = found["status"] or (
                    "not marked" if grade is None else "to be marked by hand" if grade.needs_manual_grade else "marked"
                )
                points = grade.score if status == "marked" else ""
                rows.append(dict(zip(COLUMNS, (student, name, points, most, status, note))))
            mine = rows[-len(exercises) :]
            open_ = sorted({row["status"] for row in mine} - {"marked"})
            points = sum(row["points"] for row in mine if row["points"] != "") if not found["status"] else ""
            total = (student, "total", points, sum(most for _, most in exercises), ", ".join(open_) or "marked", note)
            rows.append(dict(zip(COLUMNS, total)))
    with open(course / "marks.csv", "w", newline="", encoding="utf8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return rows


def main():
    parser = argparse.ArgumentParser(description="Set, check, mark and export the labs.")
    parser.add_argument("--lab", default="lab1")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("release", help="write the students' edition")
    commands.add_parser("preflight", help="say what is wrong with one file").add_argument("submission", type=Path)
    marking = commands.add_parser("mark", help="mark a class")
    marking.add_argument("submissions", type=Path)
    for command in (marking, commands.add_parser("export", help="write marks.csv again, after marking by hand")):
        command.add_argument(
            "--work", type=Path, default=Path("course"), help="where the gradebook and marks.csv are kept"
        )
    arguments = parser.parse_args()
    if arguments.command == "release":
        print(release(lab=arguments.lab))
    elif arguments.command == "preflight":
        try:
            notes = preflight(arguments.submission, nbformat.read(_release_path(arguments.lab), 4))[1]
        except Refused as why:
            sys.exit(f"{arguments.submission}: refused: {why}")
        print(*(notes or ["nothing to mend."]), sep="\n")
    elif arguments.command == "mark":
        mark(arguments.submissions, arguments.work, arguments.lab)
        print(arguments.work / "marks.csv")
    else:
        export(arguments.work, arguments.lab)
        print(arguments.work / "marks.csv")


def _release_path(lab):
    return LABS / "release" / lab / f"{lab}.ipynb"


if __name__ == "__main__":
    main()
