"""Execute the pages of the book, one per core, into the cache from which Jupyter Book takes them: `python book/pages.py
SOURCE`.

Jupyter Book executes one page after another, and a page of small nets is no quicker on two cores.
SOURCE/_build/config.yml is the configuration that Jupyter Book gets. Pages that the cache holds are left alone. If a
page fails, the others are still executed.
"""

import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path, PurePosixPath

import nbformat
import yaml
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_cache.executors.utils import single_nb_execution
from jupyter_cache.readers import get_reader
from myst_nb.core.read import is_myst_markdown_notebook

MARKDOWN = {"type": "plugin", "name": "myst_nb_md"}  # as which Jupyter Book reads a page of Markdown that has cells


def pages(source, excluded):
    """The pages with cells in the table of contents, the largest first: the best guess at which takes longest."""

    def files(entry):
        if isinstance(entry, dict):
            yield from (entry[name] for name in ("root", "file") if name in entry)
        for part in entry.values() if isinstance(entry, dict) else entry if isinstance(entry, list) else []:
            yield from files(part)

    listed = files(yaml.safe_load((source / "_toc.yml").read_text(encoding="utf8")))
    names = [f"{name}{end}" for name in listed for end in (".ipynb", ".md")]
    found = [source / name for name in names if not any(PurePosixPath(name).match(pattern) for pattern in excluded)]
    return sorted((page for page in found if has_cells(page)), key=lambda page: -page.stat().st_size)


def has_cells(page):
    """Whether the page is there, and is a notebook or Markdown whose head says that it has cells."""
    return page.is_file() and (page.suffix == ".ipynb" or is_myst_markdown_notebook(page.read_text(encoding="utf8")))


def read(page):
    """The page as a notebook."""
    return nbformat.read(page, 4) if page.suffix == ".ipynb" else get_reader(MARKDOWN)(str(page))


def execute(page, timeout):
    """The page's notebook with its outputs, the seconds it took, and the traceback if it failed."""
    done = single_nb_execution(read(page), cwd=str(page.parent), timeout=timeout, allow_errors=False)
    return done.nb, done.time, done.exc_string


def executed(cache, page):
    """The page's notebook with the outputs that the cache holds for its cells, or None."""
    try:
        return cache.merge_match_into_notebook(read(page))[1]
    except KeyError:
        return None


def main(source):
    settings = yaml.safe_load((source / "_build" / "config.yml").read_text(encoding="utf8"))["execute"]
    cache, failed = get_cache(settings["cache"]), 0
    missing = [page for page in pages(source, settings.get("exclude_patterns", [])) if executed(cache, page) is None]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        started = {pool.submit(execute, page, settings.get("timeout", 30)): page for page in missing}
        for done in as_completed(started):
            page, (notebook, seconds, traceback) = started[done], done.result()
            if traceback:
                print(f"{page.relative_to(source)}: {traceback}", file=sys.stderr)
                failed += 1
            else:
                bundle = CacheBundleIn(notebook, str(page), data={"execution_seconds": seconds})
                cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
                print(f"{page.relative_to(source)} executed in {seconds:.0f} s", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
