"""Finished and half-finished runs on disk, so that nothing is computed twice and nothing is lost when a machine is.

A run is one safetensors file: its vectors as tensors, everything else as JSON in the file's header. The file's name is the hash of
what the run is made of (net, data, recipe, seed, starting point and the source of the modules that train), so a changed ingredient
is another file. Files are written whole under another name, flushed, and moved into place: a reader sees all of a file or none of
it, and two processes may use one store at once.
"""

import io
import json
import os
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save

from flatlab.files import cache_directory, write_whole

# What reading a file that is not ours can raise.
BROKEN = (SafetensorError, KeyError, TypeError, ValueError, OverflowError, MemoryError)


class Store:
    """A directory of runs.

    root    default: $FLATLAB_STORE, else `runs` in the platform's cache directory. On Colab, a folder of a mounted Drive.

    Raises OSError, in one sentence, when a file cannot be written (disk full, read-only) or is not one of ours.
    """

    def __init__(self, root=None):
        self.root = Path(root or os.environ.get("FLATLAB_STORE") or cache_directory() / "runs").expanduser()

    def __repr__(self):
        return f"Store({str(self.root)!r})"

    def path(self, key, partial=False):
        return self.root / f"{key}.{'partial' if partial else 'safetensors'}"

    def put(self, key, tensors, facts, partial=False):
        """Write tensors and facts (anything JSON can hold) as one file, whole or not at all."""
        content = save(
            {name: t.detach().cpu().contiguous() for name, t in tensors.items()}, {"flatlab": json.dumps(facts)}
        )
        write_whole(self.path(key, partial), content)

    def get(self, key, partial=False, device="cpu"):
        """(tensors, facts) of a run, or None when the store does not hold it."""
        path = self.path(key, partial)
        if not path.exists():
            return None
        content = path.read_bytes()  # at once: a file that is opened twice may be two files
        try:
            return {name: t.to(device) for name, t in load(content).items()}, _facts(io.BytesIO(content))
        except BROKEN as error:
            raise OSError(
                f"{path} is not a whole flatlab run ({error}): move it away, or run `flatlab runs prune`."
            ) from error

    def remove(self, key, partial=False):
        self.path(key, partial).unlink(missing_ok=True)

    def runs(self):
        """(key, partial, facts) of every file, the newest first; facts is None for a file that is not a whole run."""
        files = [p for pattern in ("*.safetensors", "*.partial") for p in self.root.glob(pattern)]
        for path in sorted(files, key=lambda p: p.stat().st_mtime, reverse=True):
            try:
                with open(path, "rb") as file:
                    facts = _facts(file)
            except BROKEN:
                facts = None
            yield path.stem, path.suffix == ".partial", facts

    def prune(self):
        """Remove what no run needs: files that cannot be read, leftovers of writers that died, and the
        half-finished state of runs that have finished. Returns the paths removed."""
        useless = [
            self.path(key, partial)
            for key, partial, facts in self.runs()
            if facts is None or (partial and self.path(key).exists())
        ]
        useless += self.root.glob("*.tmp")
        for path in useless:
            path.unlink(missing_ok=True)
        return useless


def _facts(file):
    """The facts in the header of a safetensors file: a length, then JSON."""
    length = int.from_bytes(file.read(8), "little")
    return json.loads(json.loads(file.read(length))["__metadata__"]["flatlab"])
