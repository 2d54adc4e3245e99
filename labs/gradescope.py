"""A lab as an autograder of Gradescope: a zip that marks one submission there, as `mark` does here.

GRADESCOPE/source/             this zip, unpacked; setup.sh has been run in it once
GRADESCOPE/run_autograder      copied from it, and run for each submission
GRADESCOPE/submission/         what the student has handed in
GRADESCOPE/results/            results.json, which run_autograder writes
"""

import json
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

import marking
from edition import LABS, TAGGED
from kept import write
from tables import said_by_checks, why_not

SETUP = """#!/usr/bin/env bash
# Run once, when Gradescope makes the image: choose one whose Python is 3.11 or newer (Ubuntu 24.04).
set -e
apt-get update && apt-get install -y python3 python3-venv git bubblewrap
python3 -m venv /autograder/env
/autograder/env/bin/pip install --quiet '{package}'
"""
RUN = """#!/usr/bin/env bash
root="$(cd "$(dirname "$0")" && pwd)"
cd "$root/source" && exec "$root/env/bin/python" labs/gradescope.py {lab} "$root"
"""


def pack(course, lab, package=None, labs=LABS, say=print):
    """Write course/LAB/gradescope.zip and return its path. It holds the master: upload it, and give it to nobody."""
    place = Path(course) / lab
    place.mkdir(parents=True, exist_ok=True)
    package = (package or TAGGED).replace("[book]", "[book,course]")
    texts = {
        "setup.sh": SETUP.format(package=package),
        "run_autograder": RUN.format(lab=lab),
        "seed.txt": marking.kept_seed(place, say),
    }
    files = [*LABS.glob("*.py"), *(labs / "source" / lab).glob("*.ipynb"), *(labs / "release" / lab).glob("*.ipynb")]
    with zipfile.ZipFile(place / "gradescope.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for name, text in texts.items():
            member = zipfile.ZipInfo(name)
            member.external_attr = 0o755 << 16
            packed.writestr(member, text)
        for file in files:
            home = labs if file.is_relative_to(labs) else LABS
            packed.write(file, Path("labs") / file.relative_to(home))
    return place / "gradescope.zip"


def grade(lab, root):
    """Mark what lies in root/submission, and write root/results/results.json."""
    with tempfile.TemporaryDirectory() as room:
        course = Path(room) / "course"
        shutil.copytree(root / "submission", Path(room) / "submissions" / "student")
        write(course / lab / "seed.txt", (LABS.parent / "seed.txt").read_text())
        rows = marking.mark(Path(room) / "submissions", course, lab)
        said = said_by_checks(course, lab, "student")
    if "uncaged." in rows[-1]["note"]:
        print("There was no cage: the student's code could read the master.")  # seen by the instructors only
    write(root / "results" / "results.json", json.dumps(results(rows, said), indent=1))


def results(rows, said):
    """What Gradescope shows: points, the sentence of the check for what failed, and what waits for a reader."""
    *exercises, total = rows
    tests, waiting = [], []
    for row in exercises:
        if row["points"] == "":
            waiting.append(f"{row['exercise']}: {row['status']}.")
            continue
        name = row["exercise"].removesuffix("-test")
        tests.append({"name": name, "score": row["points"], "max_score": row["max"], "output": why_not(row, said)})
    output = [f"The file was {total['status']}"] if total["points"] == "" else waiting
    notes = total["note"].replace("uncaged.", "").strip()
    return {
        "score": total["points"] or 0.0,
        "output": "\n".join([*output, *([notes] if notes else [])]),
        "tests": tests,
        "stdout_visibility": "hidden",
    }


if __name__ == "__main__":
    grade(sys.argv[1], Path(sys.argv[2]).resolve())
