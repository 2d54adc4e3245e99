"""What a user has who installs flatlab instead of cloning it: every module, what was recorded, and nobody else's
commit."""

import os
import shutil
import subprocess
import sys
import zipfile

import pytest


@pytest.fixture(scope="module")
def installed(root, tmp_path_factory):
    """(the wheel's names, a project of a user's own with flatlab installed in it, the folder of its packages)."""
    tree, project = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("project")
    for name in ("flatlab", "results"):
        shutil.copytree(root / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "LICENSE-prose"):
        shutil.copy(root / name, tree)
    pip, quiet = [sys.executable, "-m", "pip"], ["--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "wheel", *quiet, "--no-build-isolation", "-w", str(project), str(tree)], check=True)
    (wheel,) = project.glob("*.whl")
    environment = {**os.environ, "PYTHONPATH": ""}
    subprocess.run(
        [*pip, "install", *quiet, "--ignore-installed", "--prefix", str(project / "env"), str(wheel)],
        check=True,
        env=environment,
    )
    git = ["git", "-C", str(project), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "A project of somebody's"], check=True)
    (packages,) = {path.parent.parent for path in project.glob("env/**/flatlab/__init__.py")}
    return zipfile.ZipFile(wheel).namelist(), project, packages


def test_the_wheel_holds_every_module_all_data_and_every_recorded_result(root, installed):
    names, _, _ = installed
    ours = [path for end in ("py", "npz", "csv") for path in (root / "flatlab").rglob(f"*.{end}")]
    files = {str(path.relative_to(root)) for path in ours}
    assert files <= set(names)
    results = {path.name for path in (root / "results").glob("*.json")}
    assert results and results <= {name.rpartition("/")[2] for name in names}


def test_recorded_results_are_found_and_no_commit_is_somebody_elses(installed):
    _, project, packages = installed
    code = (
        "import flatlab; from flatlab.study import recorded; print(flatlab.__file__); "
        "print(flatlab.recorded('table2', 'smoke').experiment, len(recorded.largest('table2')) > 1, recorded._commit())"
    )
    environment = {**os.environ, "PYTHONPATH": str(packages), "FLATLAB_COMMIT": ""}
    said = subprocess.run([sys.executable, "-c", code], cwd=project, env=environment, capture_output=True, text=True)
    assert said.stdout.splitlines() == [str(packages / "flatlab" / "__init__.py"), "table2 True None"], said.stderr
