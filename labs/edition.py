"""The students' edition of a lab: its master without solutions and hidden tests, made by nbgrader."""

import json
import shutil
import tempfile
from pathlib import Path

import nbformat

from flatlab.version import __version__

LABS = Path(__file__).resolve().parent
MINE = shutil.ignore_patterns(".*", "answers.py", "__pycache__")  # in a master's folder, and no part of the lab
PACKAGE = "flatlab[book] @ git+https://github.com/flatlab/flatlab"  # what a master's first cell installs
TAGGED = f"{PACKAGE}@v{__version__}"  # what the students' edition installs instead


def names(labs=LABS):
    """Every lab that has a master."""
    return sorted(
        master.parent.name for master in (labs / "source").glob("*/*.ipynb") if master.stem == master.parent.name
    )


def release(lab, labs=LABS, to=None, package=None):
    """Write the students' edition of a lab and return its path. The same master gives the same bytes.

    Parameters
    ----------
    package : str, optional
        What the first cell installs, as pip names it: a tag, or a private clone, whose checks then arrive. By default
        the tag of this version, so that a class has the same checks from its first day to its last.

    Raises
    ------
    RuntimeError
        With nbgrader's log, when nbgrader refuses the master.
    """
    target = Path(to or labs / "release") / lab / f"{lab}.ipynb"
    with tempfile.TemporaryDirectory() as course:
        generate(Path(course), lab, labs)
        text = as_text(nbformat.read(Path(course) / "release" / lab / f"{lab}.ipynb", 4))
    quoted = [json.dumps(json.dumps(one))[1:-1] for one in (PACKAGE, package or TAGGED)]
    if quoted[0] not in text:
        raise RuntimeError(f"the master of {lab} does not install {PACKAGE!r} in its first cell.")
    text = text.replace(*quoted)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf8")
    return target


def as_text(notebook):
    """A notebook as the bytes that are stored. Half an emoji, which is no text, becomes a question mark."""
    text = json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    return text.encode("utf8", "replace").decode("utf8")


def nbgrader(course):
    """nbgrader on a course directory. Imported here, since it takes seconds."""
    import nbgrader.api
    from alembic.script import ScriptDirectory
    from nbgrader.apps import NbGraderAPI
    from nbgrader.dbutil import ALEMBIC_DIR
    from traitlets.config import PyFileConfigLoader

    # For each new gradebook nbgrader starts the command `alembic`, which takes seconds and may not be on the PATH.
    nbgrader.api.get_alembic_version = ScriptDirectory(ALEMBIC_DIR).get_current_head

    config = PyFileConfigLoader("nbgrader_config.py", path=str(LABS)).load_config()
    config.CourseDirectory.root = str(course)
    config.CourseDirectory.db_url = f"sqlite:///{course}/gradebook.db"
    return NbGraderAPI(config=config)


def generate(course, lab, labs=LABS):
    """Copy a master into a course directory, and let nbgrader make the edition there."""
    shutil.copytree(labs / "source" / lab, course / "source" / lab, ignore=MINE, dirs_exist_ok=True)
    done = nbgrader(course).generate_assignment(lab, force=True, create=True)
    if not done["success"]:
        raise RuntimeError(f"nbgrader could not release {lab}:\n{done.get('error') or ''}{done.get('log') or ''}")
