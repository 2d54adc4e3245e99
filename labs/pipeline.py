"""Set, check, mark and export the labs: a thin layer over nbgrader.

    python labs/pipeline.py release                          labs/release from every master of labs/source; one whose
                                                             code has changed is run first, for its expected output
    python labs/pipeline.py preflight LAB SUBMISSION.ipynb   what is wrong with one file, and whether it can be mended
    python labs/pipeline.py mark LAB SUBMISSIONS             mark a class; course/LAB/marks.csv
    python labs/pipeline.py export LAB                       write course/LAB/marks.csv again, after marking by hand
    python labs/pipeline.py gradescope LAB                   course/LAB/gradescope.zip, which marks on Gradescope

SUBMISSIONS holds STUDENT.ipynb, or STUDENT/anything.ipynb. It is only read. nbgrader alone gives a submission whose
cell metadata are lost 0 marks without a word, stops the whole class at a duplicated cell, and lets a student's code see
the tests: here every file is first compared with the release and mended (submission.py), and each student's code runs
in a cage (cage.py, running.py).
"""

import argparse
import sys
from pathlib import Path

import edition
import expected
import gradescope
import marking
import nbformat
import tables
from submission import Refused, preflight


def main():
    parser = argparse.ArgumentParser(description="Set, check, mark and export the labs.")
    commands = parser.add_subparsers(dest="command", required=True)
    setting = commands.add_parser("release", help="write the students' editions")
    setting.add_argument("lab", nargs="?", choices=edition.names(), help="default: every lab")
    setting.add_argument("--package", help="what the first cell installs, as pip names it: a tag, or a private clone")
    checking = commands.add_parser("preflight", help="say what is wrong with one file")
    checking.add_argument("lab", choices=edition.names())
    checking.add_argument("submission", type=Path)
    working = commands.add_parser("mark", help="mark a class")
    working.add_argument("lab", choices=edition.names())
    working.add_argument("submissions", type=Path)
    working.add_argument("--jobs", type=at_least_one, default=1, help="students who are marked at once")
    working.add_argument("--names", help="how the files are named: canvas, moodle, blackboard, or a regular expression")
    working.add_argument("--roster", type=Path, help="a CSV without a heading, whose first column names the class")
    exporting = commands.add_parser("export", help="write marks.csv again, after marking by hand")
    exporting.add_argument("lab", choices=edition.names())
    exporting.add_argument("--for", dest="platform", choices=("canvas", "moodle"), help="also a table that it reads")
    packing = commands.add_parser("gradescope", help="write a zip that marks the lab on Gradescope")
    packing.add_argument("lab", choices=edition.names())
    packing.add_argument("--package", help="what it installs, as pip names it; by default as `release`")
    for command in (working, exporting, packing):
        command.add_argument("--work", type=Path, default=Path("course"), help="where the gradebook and marks are kept")
    arguments = parser.parse_args()
    sys.stdout.reconfigure(errors="replace")  # a student's name may have letters that this terminal has not
    if arguments.command == "release":
        for lab in [arguments.lab] if arguments.lab else edition.names():
            expected.record(lab)
            print(edition.release(lab, package=arguments.package))
    elif arguments.command == "preflight":
        if not arguments.submission.is_file():
            sys.exit(f"{arguments.submission}: there is no such file.")
        original = nbformat.read(edition.LABS / "release" / arguments.lab / f"{arguments.lab}.ipynb", 4)
        try:
            notes = preflight(arguments.submission, original)[1]
        except Refused as why:
            sys.exit(f"{arguments.submission}: refused: {why}")
        print(*(notes or ["nothing to mend."]), sep="\n")
    elif arguments.command == "mark":
        roster = marking.read_roster(arguments.roster) if arguments.roster else None
        options = {"jobs": arguments.jobs, "names": arguments.names, "roster": roster}
        marking.mark(arguments.submissions, arguments.work, arguments.lab, **options)
        print(arguments.work / arguments.lab / "marks.csv")
    elif arguments.command == "gradescope":
        print(gradescope.pack(arguments.work, arguments.lab, arguments.package))
    else:
        tables.export(arguments.work, arguments.lab)
        print(arguments.work / arguments.lab / "marks.csv")
        if arguments.platform:
            print(tables.wide(arguments.work, arguments.platform, arguments.lab))


def at_least_one(said):
    """A number of students who are marked at once."""
    if not said.isdecimal() or int(said) < 1:
        raise argparse.ArgumentTypeError(f"{said} students cannot be marked at once: give a number above 0.")
    return int(said)


if __name__ == "__main__":
    main()
