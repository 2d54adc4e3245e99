"""What runs in the cage: a student's cells, and calls of the functions that they define. See cage.py for the other
side.

One JSON object a line comes in and goes out. What passes is a value: numbers, text, lists, arrays, and from the marker
frozen dataclasses of the package, which are made anew here, so that a loss can be differentiated. Any other object of
the marker's is here a `Remote`, whose methods are carried out there.
"""

import ast
import base64
import contextlib
import gc
import importlib
import io
import json
import os
import resource
import signal
import sys
import types
from pathlib import Path

import numpy as np
import torch

MOST_TEXT = 20_000  # characters that are kept of what one cell prints
MOST_NUMBERS = 100_000  # of a list: what reads one makes something of each
PATIENCE = 10  # by the clock all may take this many times as long as it may compute: what waits computes nothing


class Remote:
    """Stands for an object of the marker's: each method asks it and returns a value, or another such object."""

    def __init__(self, wire, number, methods, properties):
        self._wire, self._number, self._methods, self._properties = wire, number, methods, properties

    def __getattr__(self, name):
        if name in self._properties:
            return self._properties[name]
        if name.startswith("_") or name not in self._methods:
            raise AttributeError(f"it has no attribute {name!r}")
        return lambda *args, **kwargs: self._wire.ask(self._number, name, args, kwargs)

    def __call__(self, *args, **kwargs):
        if "__call__" not in self._methods:
            raise TypeError("it is no function")
        return self._wire.ask(self._number, "__call__", args, kwargs)


def encode(value):
    """A value as JSON. What is none is told by the name of its type."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, np.generic):
        return value if isinstance(value, int) and abs(value) < 2**53 else {"float": repr(float(value))}
    if hasattr(value, "__array__") and not isinstance(value, torch.Tensor):  # numpy's, or a column of pandas
        value = np.array(value)
        value = torch.from_numpy(value.astype(float) if value.dtype == np.longdouble else value)
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().contiguous()
        raw = value.reshape(-1).view(torch.uint8).numpy().tobytes() if value.numel() else b""
        kind = str(value.dtype).removeprefix("torch.")
        return {"tensor": kind, "shape": list(value.shape), "data": base64.b64encode(raw).decode()}
    if isinstance(value, range) and len(value) <= MOST_NUMBERS:
        value = list(value)
    if isinstance(value, (list, tuple)):
        return {"list" if isinstance(value, list) else "tuple": [encode(one) for one in value]}
    if isinstance(value, dict):
        return {"dict": [[encode(name), encode(one)] for name, one in value.items()]}
    return {"other": type(value).__name__}


def decode(thing, wire=None):
    """The value that `encode`, here or in cage.py, made this from."""
    if not isinstance(thing, dict):
        return thing
    ((kind, content),) = [
        (name, thing[name]) for name in thing if name not in ("shape", "data", "methods", "properties")
    ]
    if kind == "float":
        return float(content)
    if kind == "tensor":
        raw = bytearray(base64.b64decode(thing["data"]))
        flat = (
            torch.frombuffer(raw, dtype=getattr(torch, content))
            if raw
            else torch.zeros(0, dtype=getattr(torch, content))
        )
        return flat.clone().reshape(thing["shape"])
    if kind in ("list", "tuple") and len(content) <= MOST_NUMBERS:
        values = [decode(one, wire) for one in content]
        return values if kind == "list" else tuple(values)
    if kind == "dict":
        return {decode(name, wire): decode(one, wire) for name, one in content}
    # Objects are made here alone, of what the marker sends: a student's answer makes none.
    if kind == "made" and wire is not None:
        module, name, fields = content
        return getattr(importlib.import_module(module), name)(*(decode(one, wire) for one in fields))
    if kind == "remote" and wire is not None:
        return Remote(wire, content, thing["methods"], decode(thing["properties"]))
    raise ValueError(f"no value: {kind}")


class Wire:
    """The two pipes to the marker."""

    def __init__(self, read, write):
        self.read, self.write = read, write

    def send(self, message):
        self.write.write(json.dumps(message) + "\n")
        self.write.flush()

    def receive(self):
        line = self.read.readline()
        if not line:
            os._exit(0)
        return json.loads(line)

    def ask(self, number, method, args, kwargs):
        """What a method of the marker's object returns."""
        self.send({"ask": number, "method": method, "args": encode(list(args)), "kwargs": encode(kwargs)})
        answer = self.receive()
        if "error" in answer:
            raise refusal(**answer["error"])
        return decode(answer["value"], self)


def refusal(kind, text):
    """The error with which an object of the marker's has answered. Its own sentences are the hints of a check."""
    from flatlab.checks.answer import Wrong

    return Wrong(text) if kind == Wrong.__name__ else RuntimeError(f"{kind}: {text}")


class Short(io.TextIOBase):
    """A stream that keeps the beginning of what is written."""

    def __init__(self):
        self.text, self.rest = "", 0

    def write(self, text):
        room = MOST_TEXT - len(self.text)
        self.text += text[:room]
        self.rest += max(len(text) - room, 0)
        return len(text)

    def output(self, name):
        cut = f"\n... and {self.rest:,} characters more, which were cut off.\n" if self.rest else ""
        return [{"output_type": "stream", "name": name, "text": self.text + cut}] if self.text else []


@contextlib.contextmanager
def limited(seconds):
    """Interrupt what computes longer, again and again, as it may swallow the first one. The marker ends what swallows
    them all. The processor's seconds are counted, so that no mark depends on what else the machine has to do."""
    timers = {
        signal.SIGPROF: (signal.ITIMER_PROF, seconds, "of computing"),
        signal.SIGALRM: (signal.ITIMER_REAL, PATIENCE * seconds, "by the clock"),
    }

    def stop(number, _):
        _, after, counted = timers[number]
        raise KeyboardInterrupt(f"stopped after {after:g} seconds {counted}")

    for number, (timer, after, _) in timers.items():
        signal.signal(number, stop)
        signal.setitimer(timer, after, 1)
    try:
        yield
    finally:
        for timer, *_ in timers.values():
            signal.setitimer(timer, 0)


def failure(error):
    """An error as a notebook's output."""
    name, text = type(error).__name__, str(error)[:2000]
    return {"output_type": "error", "ename": name, "evalue": text, "traceback": [f"{name}: {text}"]}


def told(error):
    """An error of a call, with what a check says of it, since the line that stopped is known here alone."""
    from flatlab.checks.answer import sentence

    return {**failure(error), "said": sentence(error)[:2000]}


def run(shell, source, seconds):
    """The outputs of a cell, at the marker's tier, although a cell before it may have asked for a larger one."""
    os.environ["FLATLAB_TIER"] = "mark"
    out, err = Short(), Short()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), limited(seconds):
        try:
            done = shell.run_cell(source, store_history=True)
            error = done.error_before_exec or done.error_in_exec
            result = repr(done.result)[:MOST_TEXT] if error is None and done.result is not None else None
        except BaseException as stopped:  # noqa: BLE001 - whatever a student's code raises
            error, result = stopped, None
    if error is not None and ("allocate memory" in str(error) or isinstance(error, MemoryError)) and full():
        os._exit(0)  # else the cells after it would find no memory either
    outputs = out.output("stdout") + err.output("stderr")
    if result is not None and shows(source):
        outputs.append(
            {"output_type": "execute_result", "data": {"text/plain": result}, "metadata": {}, "execution_count": None}
        )
    return outputs + ([failure(error)] if error is not None and not isinstance(error, SystemExit) else [])


def full():
    """Whether what is kept takes most of the memory that there is."""
    gc.collect()
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    return taken > 0.75 * resource.getrlimit(resource.RLIMIT_AS)[0]


def shows(source):
    """Whether a cell ends in an expression whose value is shown."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError):
        return True
    return bool(body) and isinstance(body[-1], ast.Expr) and not source.rstrip().endswith(";")


def call(wire, space, name, args, kwargs, seconds):
    """A student's function called with values: what it returns, and those arguments that it has changed.

    A network that it builds has the numbers of the marker's, whatever default its cells have set."""
    torch.set_default_dtype(torch.float32)
    args, kwargs = decode(args, wire), decode(kwargs, wire)
    before = [state(one) for one in args]
    with limited(seconds):
        value = encode(space[name](*args, **kwargs))
    after = [state(one) for one in args]
    changed = {n: now for n, now in enumerate(after) if now != before[n]}
    return {"value": value, "changed": changed}


def state(argument):
    """What a function can change in an argument: its numbers, and whether it carries a gradient."""
    if isinstance(argument, torch.Tensor):
        return [encode(argument), argument.requires_grad, encode(argument.grad) if argument.is_leaf else None]
    return [encode(argument)] if isinstance(argument, list) else None


class Absent(types.ModuleType):
    """A module of Colab's: a cell may import it, and what is asked of it does nothing here."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: None


def pretend_colab():
    """Let the cells run that a lab or a student has for Colab alone: the one that mounts a Drive, above all."""
    colab = sys.modules.setdefault("google.colab", Absent("google.colab"))
    sys.modules.setdefault("google", types.ModuleType("google")).colab = colab
    for name in ("drive", "files", "output", "userdata"):
        setattr(colab, name, sys.modules.setdefault(f"google.colab.{name}", Absent(f"google.colab.{name}")))


def main():
    gib, megabytes = float(os.environ["CAGE_GIB"]), float(os.environ["CAGE_MB"])
    for kind, most in (
        (resource.RLIMIT_AS, int(gib * 2**30)),
        (resource.RLIMIT_FSIZE, int(megabytes * 2**20)),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))
    wire = Wire(os.fdopen(os.dup(0), encoding="utf8"), os.fdopen(os.dup(1), "w", encoding="utf8"))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)

    from IPython.core.interactiveshell import InteractiveShell

    sys.path.append(os.getcwd())  # the student's own files, after all that Python and the package have
    shell = InteractiveShell.instance()
    shell.display_pub.publish = lambda *args, **kwargs: None
    for name in ("write_output_prompt", "write_format_data", "finish_displayhook"):
        setattr(shell.displayhook, name, lambda *args, **kwargs: None)
    shell.ask_exit = lambda: None
    shell.enable_gui = lambda *args, **kwargs: None  # of %matplotlib
    pretend_colab()
    shell.showtraceback = lambda *args, **kwargs: None
    shell.history_manager.enabled = False
    wire.send({"ready": True})
    while True:
        message = wire.receive()
        try:
            if "run" in message:
                answer = {"outputs": run(shell, message["run"], message["seconds"])}
            elif "get" in message:
                answer = {"value": encode(shell.user_ns[message["get"]])}
            else:
                name, args, kwargs = message["call"], message["args"], message["kwargs"]
                answer = call(wire, shell.user_ns, name, args, kwargs, message["seconds"])
        except BaseException as error:  # noqa: BLE001 - whatever a student's code raises
            answer = {"error": told(error)}
        wire.send(answer)


if __name__ == "__main__":
    main()
