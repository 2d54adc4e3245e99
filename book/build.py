"""Build the book: `python book/build.py [SOURCE]`.

SOURCE holds _config.yml and _toc.yml (default: this repository); the pages land in SOURCE/_build/html.

Jupyter Book 1 alone does five things that a book of experiments cannot have:
- an incremental build does not read an unchanged page again and so passes although its notebook still fails:
  here the pages and doctrees of the last build are removed first, and warnings are errors;
- its execution cache is keyed by the source of the cells only: here it lies in a directory named after a
  fingerprint of everything else an output depends on;
- a kernel sees the user's own configuration and environment: here it does not;
- a slider waits for messages of a browser that is not there: here it is one call (book/static.py);
- pages are executed one after another: here what they share is trained first (book/runs.py), then they are executed one
  per core into that cache (book/pages.py).
"""

import argparse
import ast
import filecmp
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent

# The command of Jupyter Book, with as many processes of Sphinx as there are cores: it has no option for them.
JUPYTER_BOOK = """
import functools, os
from jupyter_book import sphinx
sphinx.build_sphinx = functools.partial(sphinx.build_sphinx, jobs=os.cpu_count())
from jupyter_book.cli.main import main
main()
"""

# Variables by which somebody's own set-up would reach the kernels. environment() replaces the directories.
PERSONAL = (
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "PYTHONHOME",
    "JUPYTER_PATH",
    "JUPYTER_CONFIG_PATH",
    "JUPYTERCACHE",
    "MPLBACKEND",
)


def data_directory(source: Path) -> Path:
    """Where the kernels find data sets: $FLATLAB_DATA, else the book's own place, never a user's cache."""
    return Path(os.environ.get("FLATLAB_DATA") or source / "_build" / "data").resolve()


def fingerprint(source: Path) -> str:
    """The key of what outputs depend on besides cells: the package's code, results, pins, data, Python and torch.

    The data are the sets that flatlab keeps by name. Rows that it generates follow from its code and the pins, and they
    are written while pages are executed, so counting them would make the next build execute every page again.
    """
    from flatlab.data import DATA_SETS  # here: it loads torch
    from flatlab.identity import code_hash, content_key

    files = [source / "requirements.txt", ROOT / "book" / "static.py"]
    files += [data_directory(source) / f"{name}.npz" for name in DATA_SETS]
    for pattern in ("flatlab/**/*.py", "flatlab/**/*.csv", "flatlab/**/*.npz", "results/**/*"):
        files += source.glob(pattern)
    found = {"python": platform.python_version(), "torch": metadata.version("torch")}
    for file in filter(Path.is_file, files):
        name = file.relative_to(source) if file.is_relative_to(source) else file.name
        code = file.suffix == ".py"
        found[str(name)] = (
            code_hash(ast.parse(file.read_bytes())) if code else hashlib.sha256(file.read_bytes()).hexdigest()
        )
    return content_key(found)


def environment(source: Path) -> dict:
    """What the kernels see: smoke tier, CPU, one thread (pages run side by side), this tree's package, nobody's own
    configuration."""
    output = source / "_build"
    env = {name: value for name, value in os.environ.items() if name not in PERSONAL}
    env |= {
        "FLATLAB_TIER": "smoke",
        "FLATLAB_STORE": str(output / "store"),
        "FLATLAB_DATA": str(data_directory(source)),
        "PYTHONPATH": str(source),
        "PYTHONNOUSERSITE": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONUTF8": "1",
        "JUPYTER_PREFER_ENV_PATH": "1",
        "JUPYTER_CONFIG_DIR": str(output / "settings" / "jupyter"),
        "IPYTHONDIR": str(output / "settings" / "ipython"),
        "MPLCONFIGDIR": str(output / "settings" / "matplotlib"),
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }
    return env


def build(source: Path) -> int:
    """Build the book in `source`; 0 only if every page was read, every cell ran and nothing warned."""
    output = source / "_build"
    cache = output / "cache" / fingerprint(source)
    for stale in [output / "html", output / ".doctrees", *(output / "cache").glob("*")]:
        if stale != cache:
            shutil.rmtree(stale, ignore_errors=True)
    cache.mkdir(parents=True, exist_ok=True)
    startup = output / "settings" / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "book" / "static.py", startup)

    settings = yaml.safe_load((source / "_config.yml").read_text(encoding="utf8"))
    settings.setdefault("execute", {}).update(execute_notebooks="cache", cache=str(cache))
    settings.setdefault("sphinx", {}).setdefault("config", {})["nb_execution_raise_on_error"] = True
    config = output / "config.yml"
    config.write_text(yaml.safe_dump(settings), encoding="utf8")

    def run(*command):
        return subprocess.run([sys.executable, *command], env=environment(source), stdin=subprocess.DEVNULL).returncode

    runs, trained = source / "book" / "runs.py", cache / "runs.py"  # the plan that was trained with this fingerprint
    if runs.is_file() and not (trained.is_file() and filecmp.cmp(runs, trained, shallow=False)):
        if status := run(str(runs)):
            return status
        shutil.copy(runs, trained)
    if status := run(str(ROOT / "book" / "pages.py"), str(source)):
        return status

    options = ["-W", "--keep-going", "--config", str(config), "--path-output", str(source)]
    return run("-c", JUPYTER_BOOK, "build", str(source), *options)


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the book; fails if a cell raises or anything warns.")
    parser.add_argument("source", nargs="?", type=Path, default=ROOT)
    source = parser.parse_args().source.resolve()
    if not (source / "_toc.yml").is_file():
        parser.error(f"{source} holds no _toc.yml: name the directory that does.")
    start = time.monotonic()
    status = build(source)
    minutes, seconds = divmod(round(time.monotonic() - start), 60)
    page = source / "_build" / "html" / "index.html"
    if status or not page.is_file():
        print(f"The book was not built ({minutes} min {seconds} s): the first error above says why.", file=sys.stderr)
        return status or 1
    (page.parent / ".complete").touch()  # last: `make test` takes a book without it for unfinished
    print(f"The book is at {page} (built in {minutes} min {seconds} s).")
    return 0


if __name__ == "__main__":
    sys.exit(main())
