"""Where files lie and how one is written: whole or not at all."""

import contextlib
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

ABANDONED = 3600  # seconds without a byte, after which a temporary file has no writer any more


def cache_directory() -> Path:
    """Where flatlab keeps data and runs: $FLATLAB_DATA, else the platform's cache directory."""
    if os.environ.get("FLATLAB_DATA"):
        return Path(os.environ["FLATLAB_DATA"]).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "flatlab"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "flatlab"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flatlab"


@contextlib.contextmanager
def whole(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """A binary file to write to. It takes the place of `path` when the block ends, and is removed when the block
    fails."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):  # what went wrong is said by the error that is under way
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def in_one_sentence(path: str | os.PathLike, what: str, advice: str) -> Iterator[None]:
    """An OSError within becomes one that says which path could not be `what` (written, read), why, and what to do."""
    try:
        yield
    except OSError as error:
        raise OSError(f"{path} could not be {what} ({error.strerror or error}): {advice}.") from error


def write_whole(path: str | os.PathLike, content: bytes) -> None:
    """Write bytes to a path so that it holds all of them or is left as it was.

    Raises OSError with one sentence when it cannot.
    """
    advice = "free some space or choose another directory; nothing was changed"
    with in_one_sentence(path, "written", advice), whole(path) as file:
        file.write(content)


def check_writable(path: str | os.PathLike) -> None:
    """Refuse a path to which nothing can be written, before what is to be written there has taken hours.

    Raises OSError with one sentence.
    """
    with in_one_sentence(path, "written", "choose another directory"):
        folder = Path(path).absolute().parent
        while not folder.exists():  # `write_whole` makes those that are missing
            folder = folder.parent
        with tempfile.TemporaryFile(dir=folder):
            pass


def abandoned(directory: str | os.PathLike) -> list[Path]:
    """The temporary files in a directory to which nobody has written for an hour: their writers were killed."""
    found = []
    for path in Path(directory).glob("*.tmp"):
        with contextlib.suppress(FileNotFoundError):  # its writer has just finished
            if time.time() - path.stat().st_mtime > ABANDONED:
                found.append(path)
    return found
