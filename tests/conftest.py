"""What every test stands on: the repository, a store of its own, a browser."""

import functools
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "labs"))  # the pipeline's modules, as `python labs/pipeline.py` sees them

# What takes longest, begun first: a worker that gets one of these last leaves the others idle.
LONGEST = (
    "test_marking.py",
    "test_labs.py",
    "test_surviving.py",
    "test_browser.py",
    "test_ledger_picture.py",
    "test_book.py",
    "test_scale_out.py",
    "test_battery.py",
    "test_course.py",
    "measuring_sharpness.ipynb",
    "test_experiments.py",
    "test_train.py",
    "lab1.ipynb",
    "lab2.ipynb",
    "between_two_minima.ipynb",
    "your_own_network.ipynb",
    "test_cli.py",
    "test_data.py",
)
PER_LAB = ("test_marking.py", "test_labs.py")  # together a third of the suite: too long for one worker


def pytest_collection_modifyitems(config, items):
    """Files in the order of LONGEST, then all others as they were, without the chapters that `make book` has just
    executed: test_book.py compares their pinned outputs.

    They are taken out here, because `pytest_ignore_collect` of this file is asked only for what lies beside it.
    """
    place = {name: number for number, name in enumerate(LONGEST)}
    wanted, again = [], []
    for item in sorted(items, key=lambda item: place.get(item.path.name, len(place))):
        (again if item.path.parent == ROOT / "book" and executed(item.path) else wanted).append(item)
    config.hook.pytest_deselected(items=again)
    items[:] = wanted


def shared_by(nodeid):
    """What a test's fixtures are made for: its file, or in the files of PER_LAB one lab. A test that names none there
    looks at the first."""
    file, _, test = nodeid.partition("::")
    if not file.endswith(PER_LAB):
        return file
    lab = re.search(r"\[(lab\d+)", test)
    return f"{file} {lab[1] if lab else 'lab1'}"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Under --dist=loadfile a worker takes what `shared_by` keeps together, so that each fixture is made once."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    scheduler = LoadFileScheduling(config, log)
    scheduler._split_scope = shared_by
    return scheduler


@functools.cache
def cache_of_the_book(source):
    """What `make book` has executed with the package, the pins and the data as they are, or None. It is looked for once
    in a process, because that reads the whole package and all results."""
    if not (source / "_build" / "cache").is_dir():
        return None
    sys.path.insert(0, str(ROOT / "book"))
    try:
        import build
        from jupyter_cache import get_cache
    finally:
        sys.path.remove(str(ROOT / "book"))
    cache = source / "_build" / "cache" / build.fingerprint(source)
    return get_cache(str(cache)) if cache.is_dir() else None


@functools.cache
def executed(chapter, source=ROOT):
    """A chapter with its outputs, if `make book` has executed it in this state; else None."""
    if (cache := cache_of_the_book(source)) is None:
        return None
    sys.path.insert(0, str(ROOT / "book"))
    try:
        import pages
    finally:
        sys.path.remove(str(ROOT / "book"))
    return pages.executed(cache, chapter)


def pytest_ignore_collect(collection_path, config):
    """The tests on a pretended GPU change torch for the whole process: they are run when they are asked for by name."""
    return collection_path == ROOT / "tests" / "gpu" and not any("gpu" in argument for argument in config.args) or None


@pytest.fixture(scope="session")
def root():
    """The top of the repository."""
    return ROOT


@pytest.fixture(autouse=True)
def own_store(tmp_path, monkeypatch):
    """No test reads or writes the runs of the book or of a user."""
    monkeypatch.setenv("FLATLAB_STORE", str(tmp_path / "store"))


@pytest.fixture(scope="session")
def browser_program():
    """The path of a Chromium. Where there is none the test is skipped; in CI that is a failure."""
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        if found := shutil.which(name):
            return found
    if os.environ.get("CI") == "true":
        pytest.fail("CI must look at the pages, but there is no chromium or google-chrome on the PATH: install one.")
    pytest.skip("no chromium or google-chrome on the PATH: install one to have the pages looked at")
