"""What a lab's experiment has found with a student's functions, kept in a file, so that a run that was cut goes on."""

import hashlib
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flatlab.files import write_whole


class Kept:
    """A file of values by name, each made once.

    Parameters
    ----------
    file : path
        Where they are kept, as JSON. Its folder is made when it is needed.

    Attributes
    ----------
    read : int
        How many of the values that were asked for the file had.
    """

    def __init__(self, file: str | Path) -> None:
        self.file, self.read = Path(file), 0

    def __call__(self, name: str, make: Callable[[], Any], *functions: Callable[..., Any]) -> Any:
        """What `make()` gives, numbers or lists of them; read from the file where these functions, as they are written
        now, have given it before. What has no source to be read is made each time."""
        try:
            written = "".join(inspect.getsource(one) for one in functions)
        except (OSError, TypeError):
            return make()
        key = f"{name} {hashlib.sha256(written.encode()).hexdigest()[:12]}"
        known = json.loads(self.file.read_text()) if self.file.exists() else {}
        if key in known:
            self.read += 1
            return known[key]
        known[key] = make()
        self.file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.file, json.dumps(known).encode())
        return known[key]
