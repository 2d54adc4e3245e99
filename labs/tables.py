"""The marks of a class as tables, and as feedback for each student."""

import contextlib
import csv
import json
from pathlib import Path

from kept import read_json, safe, write

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a spreadsheet knows one
COLUMNS = ("student", "exercise", "points", "max", "status", "note")
WHO = {  # the columns by which a platform knows a student, from the name and the number in the names of its files
    "canvas": lambda name, number: {
        "Student": name,
        "ID": number,
        "SIS User ID": "",
        "SIS Login ID": "",
        "Section": "",
    },
    "moodle": lambda name, number: {"Identifier": f"Participant {number}" if number else "", "Full name": name},
}


def export(course, lab):
    """Write course/LAB/marks.csv, one row for each exercise, the total last, and course/LAB/feedback. Returns the rows
    as dicts."""
    from nbgrader.api import Gradebook, MissingEntry

    course = Path(course).resolve()
    report = read_json(course / lab / "preflight.json")
    if not report:
        raise SystemExit(f"{lab} has not been marked in {course}: mark it first.")
    rows, comments = [], {}
    with Gradebook(f"sqlite:///{course}/gradebook.db") as gradebook:
        exercises = [(cell.name, cell.max_score) for cell in gradebook.find_assignment(lab).notebooks[0].grade_cells]
        most_of_all = sum(most for _, most in exercises)
        for student, found in sorted(report.items()):
            note, grades = " ".join(found["notes"]), {}
            if not found["status"]:
                with contextlib.suppress(MissingEntry):
                    submission = gradebook.find_submission_notebook(lab, lab, safe(student))
                    grades = {grade.name: grade for grade in submission.grades}
                    comments[student] = {c.name: c.manual_comment for c in submission.comments if c.manual_comment}
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
            if points != "" and points > most_of_all:
                raise SystemExit(
                    f"{student} has {points} of {most_of_all} points: the gradebook was tampered with. Mark again."
                )
            total = (student, "total", points, most_of_all, ", ".join(open_) or "marked", note)
            rows.append(dict(zip(COLUMNS, total)))
    table(course / lab / "marks.csv", COLUMNS, rows)
    feedback(course, lab, rows, comments)
    return rows


def wide(course, platform, lab):
    """Write course/LAB/marks-PLATFORM.csv, which a learning platform reads: one row for each student, with a column for
    each exercise."""
    rows, report = export(course, lab), read_json(Path(course) / lab / "preflight.json")
    exercises = list(dict.fromkeys(row["exercise"] for row in rows))
    lines = {}
    for row in rows:
        student = row["student"]
        known = lines.setdefault(student, WHO[platform](student, report[student].get("id", "")))
        known[f"{lab} {row['exercise']}"] = row["points"]
    file = Path(course) / lab / f"marks-{platform}.csv"
    columns = [*WHO[platform]("", ""), *(f"{lab} {exercise}" for exercise in exercises)]
    table(file, columns, lines.values(), encoding="utf-8-sig")
    return file


def table(file, columns, rows, encoding="utf8"):
    """Write a table whose cells no spreadsheet takes for a formula."""
    with open(file, "w", newline="", encoding=encoding, errors="replace") as out:
        writer = csv.DictWriter(out, columns)
        writer.writeheader()
        for row in rows:
            writer.writerow({name: f"'{cell}" if str(cell).startswith(FORMULA) else cell for name, cell in row.items()})


def feedback(course, lab, rows, comments):
    """Write course/LAB/feedback/STUDENT.md: points, and the check's sentence for what failed, but no hidden test."""
    said = {}
    for row in rows:
        said.setdefault(row["student"], []).append(row)
    for student, mine in said.items():
        answers = said_by_checks(course, lab, student)
        lines = [f"# {lab}: {student}", ""]
        for row in mine:
            most, name = row["max"], row["exercise"].removesuffix("-test")
            points = f"{row['points']} of {most}" if row["points"] != "" else f"{row['status']} ({most} marks)"
            lines.append(f"- **{name}**: {points}")
            if why := why_not(row, answers):
                lines.append(f"  {why}")
            if comment := comments.get(student, {}).get(name):  # of code: at its cell, as its test has none
                lines.append(f"  {comment}")
        if mine and mine[-1]["note"]:
            lines += ["", mine[-1]["note"]]
        write(course / lab / "feedback" / f"{safe(student)}.md", "\n".join(lines) + "\n")


def said_by_checks(course, lab, student):
    """{exercise: the answer of its public check, in one line}."""
    kept, answers = read_json(course / lab / "executed" / f"{safe(student)}.json"), {}
    if kept:
        for cell, outputs in zip(json.loads(kept["notebook"])["cells"], kept["outputs"]):
            name = cell["metadata"].get("nbgrader", {}).get("grade_id", "")
            if name.endswith("-check"):
                text = "".join(output.get("data", {}).get("text/plain", "") for output in outputs)
                answers[name.removesuffix("-check")] = text
    return answers


def why_not(row, answers):
    """The sentence of the check for an exercise that did not get its marks, or nothing."""
    said = answers.get(row["exercise"].removesuffix("-test"), "")
    if row["points"] in ("", row["max"]):
        return ""
    return "right on the public problem, not on others" if said.startswith("✓") else said
