"""What a stored thing was made from: the key of it, and the code of this package.

Code is known by its source without comments, docstrings and layout, so that none of them makes anything be computed
again. It is read when a key is first asked for, not at import.
"""

import ast
import contextlib
import dataclasses
import functools
import gc
import hashlib
import importlib.util
import json
import os
import secrets
import time
import warnings
from typing import Any

PACKAGE = __name__.partition(".")[0]
LOADED = time.time()


def content_key(identity: Any) -> str:
    """The first 24 hex digits of the SHA-256 of an identity (anything JSON can hold)."""
    return hashlib.sha256(as_json(identity, sort_keys=True).encode()).hexdigest()[:24]


def as_json(thing: Any, **options: Any) -> str:
    """A thing as JSON, in which a number of numpy's or torch's, such as a seed out of an array, is Python's own."""
    return json.dumps(thing, default=_own, **options)


@dataclasses.dataclass(frozen=True)
class Source:
    """The code that decides a number: modules, and every module of this package that they import, however deep.

    modules     module objects: who stores a number names what makes it by what it imports
    without     modules that decide no number, such as the store; what they alone import is left out with them
    """

    modules: tuple
    without: tuple = ()

    @functools.cached_property
    def hash(self) -> str:
        """16 hex digits, the same for the same code whatever its comments, docstrings, layout and line ends."""
        passed, waiting, found = {__name__, *map(_name, self.without)}, list(map(_name, self.modules)), {}
        with _no_collection():
            while waiting:
                if (name := waiting.pop()) not in passed:
                    passed.add(name)
                    found[name], imported = _read(name)
                    waiting.extend(imported)
        return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def facts(self) -> dict[str, Any]:
        """The same as JSON can hold it; `is_current` tells from it whether the code is still what it was."""
        return {"modules": [*map(_name, self.modules)], "without": [*map(_name, self.without)], "hash": self.hash}


def is_current(facts: Any) -> bool:
    """Whether the code that made a stored thing, given as `Source.facts`, is the code of now."""
    try:
        modules, without = (
            tuple(importlib.import_module(name) for name in facts[part] if name.partition(".")[0] == PACKAGE)
            for part in ("modules", "without")
        )
        return Source(modules, without).hash == facts["hash"]
    except (TypeError, KeyError, AttributeError, ImportError):
        return False


def code_hash(tree: ast.AST) -> str:
    """The hash of a syntax tree without docstrings."""
    said: list[str] = []
    _say_tree(tree, said.append)
    return hashlib.sha256(" ".join(said).encode("utf8", "surrogatepass")).hexdigest()[:24]


def _own(number):
    if getattr(number, "ndim", None) == 0:
        return number.item()
    raise TypeError(f"JSON holds no {type(number).__name__}")


def _name(module):
    return module.__name__


@contextlib.contextmanager
def _no_collection():
    """Garbage is left lying: with torch loaded the search for it takes five times as long as the reading that sets it
    off."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@functools.cache
def _read(name):
    """(hash of a module's code, names of the package's modules that it imports)."""
    spec = importlib.util.find_spec(name)
    tree = ast.parse(spec.loader.get_source(name))
    found = code_hash(tree)
    if os.path.isfile(spec.origin) and os.stat(spec.origin).st_mtime > LOADED:
        warnings.warn(
            f"{spec.origin} was changed after flatlab was loaded: start Python again, because what is stored from "
            "here on is found again by this process alone.",
            stacklevel=2,
        )
        found += secrets.token_hex(8)
    return found, sorted(set(_imports(tree, name)))


def _imports(tree, name):
    """The package's modules that a module imports, anywhere in its text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            wanted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), name.rpartition(".")[0])
            wanted = [f"{base}.{alias.name}" for alias in node.names if not alias.name.startswith("__")]
        else:
            continue
        for path in wanted:
            if path.partition(".")[0] == PACKAGE:
                yield path if _is_module(path) else path.rpartition(".")[0]


def _is_module(path):
    try:
        return importlib.util.find_spec(path) is not None
    except ModuleNotFoundError:  # the name before its last dot is no package
        return False


def _say_tree(node, say):
    """Say a syntax tree without docstrings, and without what is empty: there the versions of Python differ."""
    if isinstance(node, ast.AST):
        say(type(node).__name__)
        for name in node._fields:
            value = getattr(node, name, None)
            if value is not None and value != [] and name != "kind":
                say(name)
                _say_tree(value, say)
        say(")")
    elif isinstance(node, list):
        for part in node:
            if not (isinstance(part, ast.Expr) and isinstance(getattr(part.value, "value", None), str)):
                _say_tree(part, say)
        say("]")
    else:
        say(repr(node))
