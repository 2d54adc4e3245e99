"""Finished and half-finished runs on disk, so that nothing is computed twice and nothing is lost when a machine is.

A run is one safetensors file: its vectors as tensors, everything else as JSON in the file's header, and a checksum of
both. The file's name is the hash of what the run is made of (net, data, recipe, seed, starting point and the code that
trains), so a changed ingredient is another file. Files are written whole under another name, flushed, and moved into
place: a reader sees all of a file or none of it, and many processes may use one store at once.
"""

import contextlib
import hashlib
import io
import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from flatlab.files import abandoned, cache_directory, in_one_sentence, write_whole
from flatlab.fingerprints import digest
from flatlab.identity import as_json, is_current

# What reading a file that is not ours, or is damaged, can raise.
BROKEN = (SafetensorError, KeyError, TypeError, ValueError, OverflowError, MemoryError)
GONE = "see that its disk or Drive is still there, and call again"


class Store:
    """A directory of runs. A damaged file counts as none, with a warning, so that what it held is computed again.

    Parameters
    ----------
    root : str or path, optional
        The directory; left out: $FLATLAB_STORE, else "runs" in the platform's cache directory. On Colab, a folder of a
        mounted Drive.
    every : float
        Seconds, 0 or more, that must pass before a half-finished run is written again, because a mounted Drive keeps
        every file that it ever had. An interrupted run is written at once; one that is killed goes back to what was
        last written.

    Raises
    ------
    ValueError
        If `root` is no directory's name, or `every` no number of seconds.
    OSError
        In one sentence, when a file cannot be written (disk full, read-only) or read (Drive gone).
    """

    def __init__(self, root: str | os.PathLike | None = None, every: float = 10.0) -> None:
        seconds = isinstance(every, (int, float)) and not isinstance(every, bool) and every >= 0  # not NaN either
        if not isinstance(root, (str, os.PathLike, type(None))) or not seconds:
            raise ValueError(f"a store takes a directory and a number of seconds, not {root!r} and {every!r}.")
        if "\0" in os.fsdecode(root or ""):
            raise ValueError(f"a directory's name has no NUL character, but the store's is {root!r}.")
        self.every = every
        self.root = Path(root or os.environ.get("FLATLAB_STORE") or cache_directory() / "runs").expanduser()

    def __repr__(self) -> str:
        return f"Store({str(self.root)!r})"

    def path(self, key: str, partial: bool = False) -> Path:
        """The file of a run, or of its half-finished state."""
        return self.root / f"{key}.{'partial' if partial else 'safetensors'}"

    def put(self, key: str, tensors: dict[str, Tensor], facts: dict[str, Any], partial: bool = False) -> None:
        """Write tensors and facts (anything JSON can hold) as one file, whole or not at all."""
        tensors, text = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}, as_json(facts)
        sums = {"tensors": _sum_of_tensors(tensors)}
        sums |= {"checksum": _sum(text, sums["tensors"]), "key": key}
        write_whole(self.path(key, partial), save(tensors, {"flatlab": text, **sums}))

    def get(
        self, key: str, partial: bool = False, device: str | torch.device = "cpu"
    ) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """(tensors, facts) of a run, or None when the store does not hold it whole."""
        path = self.path(key, partial)
        try:
            with in_one_sentence(path, "read", GONE), contextlib.suppress(FileNotFoundError, NotADirectoryError):
                content = path.read_bytes()  # at once: a file that is opened twice may be two files
                tensors, (facts, sums) = load(content), _header(io.BytesIO(content))
                if sums["checksum"] and _sum_of_tensors(tensors) != sums["tensors"]:
                    raise ValueError("its checksum is another")
                if sums.get("key", key) != key:
                    raise ValueError(f"it is the file of {sums['key']}, under another name")
                return {name: t.to(device) for name, t in tensors.items()}, facts
        except BROKEN as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            warnings.warn(f"{path} is damaged ({reason}): what it held is computed again.", stacklevel=2)
        return None

    def remove(self, key: str, partial: bool = False) -> None:
        """Remove the file of a run, or of its half-finished state, if it is there."""
        _remove(self.path(key, partial))

    def runs(self) -> Iterator[tuple[str, bool, dict[str, Any] | None]]:
        """(key, partial, facts) of every file, the newest first; facts is None for a file that is not a whole run."""
        for path, _, facts in self._files():
            yield path.stem, path.suffix == ".partial", facts

    def prune(self, stale: bool = False) -> list[Path]:
        """Remove what no run needs: files that are damaged, leftovers of writers that were killed, and the
        half-finished state of runs that have finished; with `stale` also what other code has made than that of now.
        What another process is writing stays. Returns the paths removed."""
        useless = []
        for path, changed, facts in self._files():
            finished = path.with_suffix(".safetensors")
            with contextlib.suppress(FileNotFoundError):  # another process has finished that run, or pruned
                left = path != finished and finished.exists() and finished.stat().st_mtime_ns >= changed
                useful = not left and facts is not None and not (stale and is_stale(facts))
                if not useful and path.stat().st_mtime_ns == changed:  # nobody has written it since
                    useless.append(path)
        with in_one_sentence(self.root, "read", GONE):
            useless += abandoned(self.root)
        for path in useless:
            _remove(path)
        return useless

    def _files(self):
        """(path, time of change, facts) of every file, the newest first."""
        found = []
        with in_one_sentence(self.root, "read", GONE), contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self.root):
                if name.endswith((".safetensors", ".partial")):
                    with contextlib.suppress(FileNotFoundError):  # another process has removed it since
                        found.append((os.stat(self.root / name).st_mtime_ns, self.root / name))
        for changed, path in sorted(found, reverse=True):
            facts, there = None, False
            with in_one_sentence(path, "read", GONE), contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
                there = True
                with contextlib.suppress(*BROKEN):
                    facts = _header(file)[0]
            if there:
                yield path, changed, facts


def is_stale(facts: dict[str, Any]) -> bool:
    """Whether other code than that of now has made what a file holds, so that nothing asks for it any more."""
    return not is_current(facts.get("source"))


def _remove(path):
    with in_one_sentence(path, "removed", GONE):
        path.unlink(missing_ok=True)


def _header(file):
    """(facts, checksums) of a safetensors file: a length, then JSON."""
    length = int.from_bytes(file.read(8), "little")
    kept = json.loads(file.read(length))["__metadata__"]
    if "checksum" in kept and kept["checksum"] != _sum(kept["flatlab"], kept["tensors"]):
        raise ValueError("its checksum is another")
    return json.loads(kept["flatlab"]), kept


def _sum(*texts):
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:24]


def _sum_of_tensors(tensors):
    return _sum(*(f"{name} {digest(tensors[name])}" for name in sorted(tensors)))
