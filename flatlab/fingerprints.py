"""The fingerprint of what a user hands over: all that decides what a network, a function or another object computes.

An object is known as it is loaded, functions down to their instructions, because a class of a notebook's cell has no
source file and a file may be edited after it was loaded.
"""

import collections
import copy
import dis
import functools
import hashlib
import inspect
import os
import sys
import types
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from flatlab.generators import undisturbed
from flatlab.identity import PACKAGE

ATOMS = (type(None), bool, int, float, complex, str, bytes)
BUILTIN = (
    types.BuiltinFunctionType,
    types.MethodWrapperType,
    types.WrapperDescriptorType,
    types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
)
# What a class holds beside the way it computes.
ASIDE = {
    "__abstractmethods__",
    "__annotate_func__",
    "__annotations__",
    "__annotations_cache__",
    "__dataclass_fields__",
    "__dataclass_params__",
    "__dict__",
    "__doc__",
    "__firstlineno__",
    "__match_args__",
    "__module__",
    "__static_attributes__",
    "__weakref__",
    "_abc_impl",
}
READS_ENVIRONMENT = {"environ", "getenv"}
OWN = vars(nn.Module()).keys()  # what torch keeps in every layer
MOST = 100_000  # objects that are looked at: more are taken for something that makes new ones without end


class _Seen(NamedTuple):
    """A module of the user's as a function sees it: by the names that the function looks up."""

    module: types.ModuleType
    names: frozenset


def fingerprint(*things: Any, without: Iterable[torch.Tensor] = ()) -> tuple[str, bool]:
    """(hash, whole): all that decides what some objects compute, and whether all of it could be told.

    A network is known by every attribute of its layers: parameters, buffers, hooks, modes and what a user has put
    there. A function is known by its instructions, its defaults, what it closes over, what the names that it looks up
    stand for, and the variables of the environment that it names; a class by its bases and methods; another object by
    what pickle would keep. What lies in an installed package is known by its name and the package's version (torch's
    and numpy's by the name). The instructions are those of one minor version of Python.

    without     tensors of which the type and shape alone count
    """
    seen: dict[Any, tuple[int, Any]] = {}
    content, waiting, whole = hashlib.sha256(), collections.deque(things), True
    bare = {id(tensor) for tensor in without}
    while waiting:
        thing = waiting.popleft()
        if type(thing) in ATOMS:
            content.update(f"{type(thing).__name__} {thing!r}\n".encode())
            continue
        mark = (id(thing.module), thing.names) if isinstance(thing, _Seen) else id(thing)
        if mark in seen:
            content.update(f"again {seen[mark][0]}\n".encode())
            continue
        if type(thing) not in (tuple, types.CodeType):  # of which equal ones may be one object or two
            seen[mark] = len(seen), thing  # held, so that no other object gets its id
        label, parts = (f"point {thing.dtype} {tuple(thing.shape)}", ()) if id(thing) in bare else _parts(thing)
        content.update(f"{label} {len(parts)}\n".encode())
        waiting.extend(parts)
        whole &= label is not None and len(seen) < MOST
        if len(seen) >= MOST:
            break
    return content.hexdigest()[:24], whole


def _parts(thing):
    """(label, parts) of an object: what is said of it at once, and what says the rest. The label is None where not all
    can be told."""
    if name := _installed(thing):
        return name, ()
    if isinstance(thing, torch.Tensor):
        return _of_tensor(thing)
    if isinstance(thing, np.ndarray) and thing.dtype != object:
        return f"array {thing.dtype} {thing.shape} {hashlib.sha256(thing.tobytes()).hexdigest()}", ()
    if isinstance(thing, (torch.jit.ScriptModule, torch.jit.ScriptFunction)):
        state = dict(thing.state_dict()) if isinstance(thing, nn.Module) else None
        return None, (thing.inlined_graph.str(False), state)
    if isinstance(thing, nn.Module):
        return "network", (type(thing), *_flat(_attributes(thing)))
    if isinstance(thing, type):
        return f"class {thing.__qualname__}", (*thing.__bases__, *_flat(_without(vars(thing), ASIDE)))
    if isinstance(thing, types.FunctionType):
        return _of_function(thing)
    if isinstance(thing, types.CodeType):
        return _of_code(thing)
    if isinstance(thing, _Seen):
        held = vars(thing.module)
        return "module", tuple(_flat({n: _seen(held[n], thing.names) for n in sorted(thing.names & held.keys())}))
    if isinstance(thing, types.MethodType):
        return "method", (thing.__func__, thing.__self__)
    if isinstance(thing, BUILTIN):
        of = getattr(thing, "__self__", None)
        return f"builtin {thing.__qualname__}", () if isinstance(of, (types.ModuleType, type)) else (of,)
    if isinstance(thing, property):
        return "property", (thing.fget, thing.fset, thing.fdel)
    if isinstance(thing, functools.cached_property):
        return "property", (thing.func,)
    if inspect.isroutine(thing) or hasattr(thing, "__wrapped__"):  # a static or class method, what functools.cache made
        return type(thing).__name__, (getattr(thing, "__wrapped__", None) or getattr(thing, "__func__", None),)
    if type(thing) in (dict, types.MappingProxyType, collections.OrderedDict):
        return "dict", tuple(_flat(thing))
    if type(thing) in (list, tuple):
        return type(thing).__name__, tuple(thing)
    if type(thing) in (set, frozenset):
        return f"set {sorted(fingerprint(part) for part in thing)}", ()
    if isinstance(thing, (torch.device, weakref.ReferenceType, os._Environ)):  # where it is, and what is told elsewhere
        return type(thing).__name__, ()
    return _of_another(thing)


def _flat(mapping):
    """key, value, key, value ..."""
    return (part for item in mapping.items() for part in item)


def _without(mapping, names):
    return {name: value for name, value in mapping.items() if name not in names}


def _attributes(module):
    """All that a layer holds. Of torch's own names those that hold nothing are left out: there its versions differ."""
    held = {}
    for name, value in vars(module).items():
        if name in OWN and ("state_dict" in name or not isinstance(value, bool) and not value):
            continue
        held[name] = list(value.values()) if name in OWN and "hooks" in name else value  # by numbers of the process
    return held


def _of_tensor(tensor):
    kind = () if type(tensor) in (torch.Tensor, nn.Parameter) else (type(tensor),)
    try:
        return f"tensor {digest(tensor)} {tensor.requires_grad}", kind
    except (RuntimeError, TypeError, NotImplementedError):  # a sparse one, or one without bits
        return None, kind


def _of_function(function):
    """Instructions, defaults, what is closed over, and what the names that are looked up stand for."""
    instructions = list(_instructions(function.__code__))
    names = frozenset(i.argval for i in instructions if i.opcode in dis.hasname)
    used = {i.argval: sys.modules.get(i.argval) for i in instructions if i.opname == "IMPORT_NAME"}
    for name in {i.argval for i in instructions if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")}:
        if name in function.__globals__:  # else one of Python's own
            used[name] = function.__globals__[name]
    looked_up = {name: _seen(used[name], names) for name in sorted(used)}
    closed_over = [cell.cell_contents for cell in function.__closure__ or () if cell != types.CellType()]
    constants = [i.argval for i in instructions if i.opcode in dis.hasconst]
    said = [*constants, *closed_over, *used.values(), *(function.__defaults__ or ())]
    return "function", (
        function.__code__,
        function.__defaults__,
        function.__kwdefaults__,
        *closed_over,
        *_flat(looked_up),
        *_flat(_environment(said) if names & READS_ENVIRONMENT else {}),
    )


def _environment(things):
    """The variables of the environment that are named by some of these, with their values."""
    said = {thing for thing in things if isinstance(thing, str)}
    return {name: os.environ[name] for name in sorted(said & os.environ.keys())}


def _instructions(code):
    """The instructions of a function and of those that are defined in it."""
    yield from dis.get_instructions(code)
    for part in code.co_consts:
        if isinstance(part, types.CodeType):
            yield from _instructions(part)


def _seen(value, names):
    return _Seen(value, names) if isinstance(value, types.ModuleType) and not _installed(value) else value


def _of_code(code):
    """The instructions by name, without places in the file; a docstring is loaded by none of them."""
    said, constants = [], []
    for i in dis.get_instructions(code):
        if i.opcode in dis.hasconst:
            constants.append(i.argval)
        said.append(f"{i.opname} {'' if i.opcode in dis.hasconst else i.argrepr}")
    head = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & 0x3FFFFFF
    return f"code {head} {said} {code.co_exceptiontable}", tuple(constants)


def _of_another(thing):
    """What pickle would keep, or else the class alone."""
    try:
        kept: Any = thing.__reduce_ex__(4)
    except Exception:  # noqa: BLE001  a lock, a file, a class that refuses: it may raise anything
        return None, (type(thing),)
    if isinstance(kept, str):
        return f"{type(thing).__name__} {kept}", ()
    make, arguments, state, items, pairs = [*kept, None, None, None][:5]
    return "object", (make, arguments, state, list(items or ()), list(pairs or ()))


def _installed(thing):
    """The name under which an installed package has this module, class or function, with the package's version; else
    None."""
    if not isinstance(thing, (types.ModuleType, type, types.FunctionType, types.BuiltinFunctionType)):
        return None
    module, path = (
        (thing.__name__, "") if isinstance(thing, types.ModuleType) else (thing.__module__, thing.__qualname__)
    )
    found, top = sys.modules.get(module), str(module).partition(".")[0]
    if found is None or not _lies_installed(found, top):
        return None
    for step in filter(None, path.split(".")):
        found = getattr(found, step, None)
    if getattr(found, "__func__", found) is not thing:  # a class method's function
        return None
    version = "" if top in ("torch", "numpy", PACKAGE) else getattr(sys.modules[top], "__version__", "")
    return f"{module} {path} {str(version).partition('+')[0]}"


def _lies_installed(module, top):
    file = getattr(module, "__file__", None)
    if file is None:
        return top in sys.stdlib_module_names
    installed = not {"site-packages", "dist-packages"}.isdisjoint(Path(file).parts)
    return installed or top in ("torch", "numpy", PACKAGE) or Path(file).is_relative_to(Path(os.__file__).parent)


@torch.no_grad()
def probe(model: nn.Module, inputs: torch.Tensor, rows: int = 16) -> torch.Tensor | None:
    """What a network computes on some rows in evaluation mode, on the CPU; None if it cannot tell so, or not twice the
    same.

    A fingerprint says how a network computes, this what: it is kept beside, for whatever a fingerprint may not see.
    """
    seen, device = [], inputs.device
    with undisturbed(device), torch.autocast(device.type, enabled=False):
        for _ in range(2):
            try:
                seen.append(copy.deepcopy(model).eval()(inputs[:rows].clone()).double().cpu())
            except Exception:  # noqa: BLE001  a network may raise anything on rows that it was not made for
                return None
    return seen[0] if torch.equal(seen[0], seen[1]) else None


def digest(tensor: torch.Tensor) -> str:
    """The hash of a tensor's type, shape and bits."""
    content = hashlib.sha256(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
    content.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return content.hexdigest()[:24]
