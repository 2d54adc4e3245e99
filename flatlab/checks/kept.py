"""What a lab's experiment has found with a student's functions, kept in a file, so that a run that was cut goes on."""

import ast
import hashlib
import inspect
import json
import textwrap
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
        code = code_name(*functions)
        if not code:
            return make()
        key = f"{name} {code}"
        known = json.loads(self.file.read_text()) if self.file.exists() else {}
        if key in known:
            self.read += 1
            return known[key]
        known[key] = make()
        self.file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.file, json.dumps(known).encode())
        return known[key]


def code_name(*functions: Callable[..., Any]) -> str:
    """A name for functions as they are written, by which it is known what they have found. Spaces, comments and texts
    that describe them do not change it, nor does the version of Python. Empty where one has no source to be read."""
    try:
        code = [ast.parse(textwrap.dedent(inspect.getsource(one))) for one in functions]
    except (OSError, TypeError, SyntaxError):
        return ""
    return hashlib.sha256(json.dumps(_said(code)).encode()).hexdigest()[:12]


def _said(code: object) -> object:
    """What code says, as lists: the kind of each of its parts, and what the part holds. Newer versions of Python know
    more parts, which are empty in code for older ones."""
    if isinstance(code, list):
        return [_said(one) for one in code if not _describes(one)]
    if isinstance(code, ast.AST):
        held = [value for _, value in ast.iter_fields(code) if value not in (None, [])]
        return [type(code).__name__, *map(_said, held)]
    return repr(code)


def _describes(code: object) -> bool:
    """Whether a line of code is a text that nobody reads but people."""
    return isinstance(code, ast.Expr) and isinstance(code.value, ast.Constant) and isinstance(code.value.value, str)
