"""A cage for a student's code: it runs there, and what comes out are values.

    with Cage(home) as cage:
        outputs = cage.run(source)            a cell
        box_radius = cage.function("box_radius")
        box_radius(x, 1e-3)                   called in the cage; the result is a copy

In the cage there is no network, no course, no other student: the system and the package read-only, without the checks
of the labs, which hold answers, and a home of its own. The checks and the hidden tests run outside. They pass values in
and get values out; an object that they pass, an f with f.value, stays outside and answers.

A cage is made by bubblewrap; by podman or docker where that is not installed; where there is none, the code runs in a
process of its own without walls, and marking says "uncaged". $FLATLAB_CAGE names one of the four: bwrap, podman,
docker, none.
"""

import contextlib
import ctypes
import dataclasses
import functools
import inspect
import json
import math
import os
import re
import secrets
import selectors
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
from inside import MOST_TEXT, PATIENCE, decode, encode

LABS = Path(__file__).resolve().parent
KINDS = ("bwrap", "podman", "docker")
GRACE = 5  # seconds of computing that a cell has after its interrupt before it is ended
START = 120  # seconds of computing that a cage may take to start
MOST_BYTES = 64 * 2**20  # of one answer
MOST_PROCESSES, MOST_FILES = 200, 20_000  # of one student at once
FILES = 5  # all files together may be this many times as large as the largest one may be
MOST_OBJECTS = 20_000  # that one call gets of the marker's: they stay in its memory
MOST_OUTPUTS = 4  # of one cell: what it prints to each of two streams, its value, an error
NONSENSE = "what it answered makes no sense"
PR_SET_CHILD_SUBREAPER = 36  # Linux's number for it
LIMITS = {  # what a teacher can set, by the name of the variable; the times are of computing
    "FLATLAB_CELL_SECONDS": 120,
    "FLATLAB_STUDENT_MINUTES": 20,
    "FLATLAB_CAGE_GIB": 8,
    "FLATLAB_CAGE_MB": 200,
}
SYSTEM = (
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib64",
    "/etc/alternatives",
    "/etc/fonts",
    "/etc/ld.so.cache",
    "/etc/localtime",
)


class Died(Exception):
    """Why the process in the cage is no more."""


class Overtime(BaseException):
    """The student's whole time is over: how long it was. What else a student's function meets, a check answers."""


class Failed(Exception):
    """What a student's function raised, in one line; the name of its class, and what a check says of it."""

    def __init__(self, text, kind="", said=""):
        super().__init__(text)
        self.kind, self.said = kind, said or text


# What settles the order of sums: in another order a right answer that trains a net is another number.
ARITHMETIC = ("ATEN_CPU_CAPABILITY", "MKL_CBWR", "ONEDNN_MAX_CPU_ISA")


def limit(name):
    """A limit of `LIMITS`, as it is set now."""
    said = os.environ.get(name, LIMITS[name])
    try:
        value = float(said)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise SystemExit(f"{name} is {said!r}: give a number above 0.")
    return value


def environment(home):
    """What a student's code sees of the environment: nothing of the teacher's, except how the processor computes."""
    return {name: os.environ[name] for name in ARITHMETIC if name in os.environ} | {
        "HOME": str(home),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", "/bin"]),
        "PYTHONPATH": "/package",
        "PYTHONNOUSERSITE": "1",
        "PYTHONSAFEPATH": "1",  # else a json.py of the student's is what the next process in the cage begins with
        "PYTHONDONTWRITEBYTECODE": "1",
        "IPYTHONDIR": f"{home}/ipython",
        "FLATLAB_STORE": f"{home}/store",
        "FLATLAB_DATA": f"{home}/data",
        "FLATLAB_TIER": "mark",
        "MPLBACKEND": "agg",
        "MPLCONFIGDIR": f"{home}/matplotlib",
        "TQDM_DISABLE": "1",
        "OMP_NUM_THREADS": "1",
        "PIP_NO_INDEX": "1",
        "PIP_TARGET": f"{home}/installed",
        "LANG": "C.UTF-8",
        "CAGE_GIB": f"{limit('FLATLAB_CAGE_GIB'):g}",
        "CAGE_MB": f"{limit('FLATLAB_CAGE_MB'):g}",
    }


def installation():
    """The directories of this Python and its packages. One behind a link has both its names: a program there is called
    by the first, and the links in it lead to the second."""
    prefixes = (sys.prefix, sys.base_prefix)
    return sorted({*prefixes, *(str(Path(prefix).resolve()) for prefix in prefixes)} - {"/usr", "/"})


def command(kind, home, program):
    """The command that runs a program of this Python in a cage of a kind, with `home` as its home."""
    import flatlab
    from flatlab.study.recorded import IS_CLONE, results_directory

    source = Path(flatlab.__file__).parent
    package = {str(LABS / "inside.py"): "/package/inside.py"}
    for file in (*source.iterdir(), *(source / "checks").glob("*.py")):
        if file.name != "checks" and not is_of_a_lab(file):
            package[str(file)] = f"/package/flatlab/{file.relative_to(source)}"
    if IS_CLONE:  # else the results lie beside this Python's packages
        package[str(results_directory())] = "/package/results"
    python = [sys.executable, *program]
    if kind == "none":
        paths = os.pathsep.join([str(source.parent), str(LABS)])
        return [*_env({**environment(home), "PYTHONPATH": paths}), *python]
    inner = Path("/student")
    settings = environment(inner)
    if kind == "bwrap":
        walls = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--uid", "1000", "--gid", "1000"]
        walls += ["--proc", "/proc", "--dev", "/dev", "--remount-ro", "/dev"]
        for place in ("/dev/shm", "/tmp", "/content"):  # the last is where Colab keeps files
            walls += ["--size", str(256 * 2**20), "--tmpfs", place]
        for path in (*SYSTEM, *installation()):  # after /tmp, in which Python itself may be installed
            walls += ["--ro-bind-try", path, path]
        for outer, seen in package.items():
            walls += ["--ro-bind", outer, seen]
        if is_installed(source):
            walls += ["--tmpfs", str(source / "checks")]
        walls += ["--bind", str(home), str(inner), "--chdir", str(inner), "--remount-ro", "/"]
        return [*walls, *_env(settings), *python]
    # The image only lends its name: the system is this machine's, read-only. The container has a name of its own, by
    # which it is ended.
    walls = [kind, "run", "--name", f"flatlab-{secrets.token_hex(8)}", "--rm", "-i", "--network", "none", "--read-only"]
    walls += ["--cap-drop", "all", "--security-opt", "no-new-privileges", "--pids-limit", "256"]
    walls += ["--memory", f"{settings['CAGE_GIB']}g", "--tmpfs", "/tmp:size=256m"]
    walls += ["--tmpfs", "/content:size=256m"]  # where Colab keeps files
    if kind == "docker":  # its daemon is root: what the student's code writes would be root's, and stay when it is done
        walls += ["--user", f"{os.getuid()}:{os.getgid()}"]
    for path in [*SYSTEM, *installation()]:
        if Path(path).is_dir():
            walls += ["-v", f"{Path(path).resolve()}:{path}:ro"]
    for outer, seen in package.items():
        walls += ["-v", f"{outer}:{seen}:ro"]
    if is_installed(source):
        walls += ["--tmpfs", str(source / "checks")]
    walls += ["-v", f"{home}:{inner}", "-w", str(inner)]
    return [*walls, os.environ.get("FLATLAB_CAGE_IMAGE", "debian:stable-slim"), *_env(settings), *python]


def is_of_a_lab(file):
    """Whether a file of the package's checks is one lab's: these hold answers, and are not shown in a cage."""
    return file.parent.name == "checks" and bool(re.match(r"lab\d", file.name))


def is_installed(source):
    """Whether a package lies where a cage shows this Python's own packages."""
    return any(Path(place).resolve() in source.resolve().parents for place in (*SYSTEM, *installation()))


def _env(settings):
    return ["/usr/bin/env", "-i", *(f"{name}={value}" for name, value in settings.items())]


@functools.cache
def kind_of_cage():
    """The first kind of cage that works here, or "none"."""
    wanted = os.environ.get("FLATLAB_CAGE")
    if wanted and wanted not in (*KINDS, "none"):
        raise SystemExit(f"FLATLAB_CAGE is {wanted!r}: choose {', '.join(KINDS)} or none.")
    if wanted == "none":
        return "none"
    for kind in [wanted] if wanted else KINDS:
        if not hindrance(kind):
            return kind
    if wanted:
        why = f"{wanted}: {hindrance(wanted)}"
        raise SystemExit(f"FLATLAB_CAGE is {wanted}, which does not work here ({why}): install it, or choose another.")
    return "none"


@functools.cache
def hindrance(kind):
    """Why a kind of cage does not work here, in a line; nothing where it does."""
    if not shutil.which(kind):
        return "not installed"
    line = command(kind, Path(os.environ.get("TMPDIR", "/tmp")), ["-c", "pass"])
    tried = subprocess.run(line, capture_output=True, stdin=subprocess.DEVNULL, text=True, errors="replace")
    said = tried.stderr.strip().splitlines() or ["it ended without a word"]
    return said[0] if tried.returncode else ""


def shown(output):
    """A cell's output, anew: text and nothing else, whatever a student's code has sent in place of it."""
    kind = output["output_type"]
    if kind == "stream":
        known = {"name": "stderr" if output["name"] == "stderr" else "stdout", "text": text_of(output["text"])}
    elif kind == "execute_result":
        known = {"data": {"text/plain": text_of(output["data"]["text/plain"])}, "metadata": {}, "execution_count": None}
    else:
        kind, name, why = "error", text_of(output["ename"]), text_of(output["evalue"])
        known = {"ename": name, "evalue": why, "traceback": [f"{name}: {why}"]}
    return {"output_type": kind, **known}


def text_of(value):
    """A text, cut off where it is longer than what the cage lets a cell print."""
    return str(value)[: MOST_TEXT + 1000]


class Cage:
    """A process in a cage that runs cells one after another and keeps what they define.

    A cell, or a call of a function, may compute for `seconds`, and all together for `minutes`. By the clock they may
    take `PATIENCE` times as long, so that what sleeps ends too. The processes in a cage of podman or docker cannot be
    seen from here: there a loop that swallows its interrupts is ended by the clock.
    """

    def __init__(self, home, seconds=120, minutes=math.inf, kind=None):
        self.home, self.seconds, self.minutes, self.kind = Path(home), seconds, minutes, kind or kind_of_cage()
        self.deadline = time.monotonic() + 60 * PATIENCE * minutes
        self.computed = self.before = 0.0  # seconds of all its processes, and of those that have ended
        self.lived = []  # the cells that the process survived: run again in a new one
        self.process, self.looked = None, 0.0

    def __enter__(self):
        self._start()
        return self

    def __exit__(self, *_):
        self._end()

    def run(self, source):
        """The outputs of a cell. Where the cell ends the process, `Died`, and a new process has run the cells before
        it."""
        outputs = self._guarded({"run": source}, lambda answer: list(map(shown, answer["outputs"][:MOST_OUTPUTS])))
        self.lived.append(source)
        return outputs

    def function(self, name):
        """The student's function of this name: called here, carried out in the cage."""

        def function(*args, **kwargs):
            passed = Passed()
            message = {"call": name, "args": passed.encode(list(args)), "kwargs": passed.encode(kwargs)}
            answer = self._guarded(message, lambda answer: answer, passed)
            for number, value in answer.get("changed", {}).items():
                _overwrite(args[int(number)], *(decode_values(one) for one in value))
            return decode_values(answer["value"])

        function.__name__ = function.__qualname__ = name
        return function

    def value(self, name):
        """The student's variable of this name, as a copy."""
        return self._guarded({"get": name}, lambda answer: decode_values(answer["value"]))

    def _guarded(self, message, use, passed=None):
        try:
            answer = self._exchange({**message, "seconds": self.seconds}, passed)
        except Died:
            self._end()
            self._start()
            raise
        try:
            if error := answer.get("error"):
                name, why, said = (text_of(error[one]) for one in ("ename", "evalue", "said"))
                raise Failed(f"{name}: {why}", name, said)
            return use(answer)
        except (KeyError, TypeError, AttributeError):
            raise Died(NONSENSE) from None

    def _start(self):
        line = command(self.kind, self.home, ["-m", "inside"])
        if self.kind == "none":
            adopt()
            self.others = set(children())
        self.process = subprocess.Popen(
            line,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            bufsize=0,
            cwd=self.home,
        )
        for pipe in (self.process.stdin, self.process.stdout):
            os.set_blocking(pipe.fileno(), False)
        self.pending = b""
        try:
            self._receive(START)
        except Died as why:
            said = self.process.stderr.read() if self.process.poll() is not None else b""
            raise SystemExit(
                f"the cage ({self.kind}) did not start: {why} {said.decode(errors='replace')[-500:]}"
            ) from None
        for source in list(self.lived):
            try:
                self._exchange({"run": source, "seconds": self.seconds})
            except Died:  # though it lived once: do without it
                self.lived.remove(source)
                self._end()
                return self._start()

    def _look(self, now=False):
        """Count what was computed, and end what takes too much, looked for once a second: the limits of the system hold
        for one process or one file each."""
        if not now and time.monotonic() < self.looked + 1:
            return
        processes = family(self.process.pid)
        self.computed = max(self.computed, self.before + computed(processes))
        if why := excess(processes[1:], self.home):
            self._end()
            empty(self.home)
            raise Died(why)
        self.looked = time.monotonic()  # after it, as to count many files takes a while

    def _end(self):
        if self.process and self.process.poll() is None:
            if self.kind in ("podman", "docker"):  # whose containers outlive the command that started them
                name = self.process.args[self.process.args.index("--name") + 1]
                subprocess.run([self.kind, "kill", name], capture_output=True)
            os.killpg(self.process.pid, signal.SIGKILL)  # in a cage its children end with it, wherever they hide
        if self.process:
            self.process.wait()
            for _ in range(20 if self.kind == "none" else 0):  # what has fled into a session of its own
                for child in (left := set(children()) - self.others):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        child.kill()
                if not left:
                    break
                psutil.wait_procs(left, timeout=1)
            for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
                pipe.close()
        self.process, self.before = None, self.computed

    def _exchange(self, message, passed=None):
        """Send a message, answer what is asked meanwhile, and return the answer."""
        begun = time.monotonic(), self.computed
        self._send(message, begun)
        while True:
            answer = self._receive(self.seconds + GRACE, begun)
            if "ask" not in answer:
                if "run" in message:
                    self._look(now=True)
                return answer
            self._send(_answered(answer, passed or Passed()), begun)

    def _send(self, message, begun):
        """Send a message. What asks on and on and reads no answer fills this pipe, and is waited for no longer than for
        an answer."""
        rest = memoryview((json.dumps(message) + "\n").encode())
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdin, selectors.EVENT_WRITE)
            while rest:
                self._in_time(self.seconds + GRACE, begun)
                if selector.select(1):
                    try:
                        rest = rest[os.write(self.process.stdin.fileno(), rest) :]
                    except BrokenPipeError:
                        raise Died("it ended") from None

    def _receive(self, seconds, begun=None):
        """What the cage sends next, in these seconds of computing after what was `begun`, or a while by the clock."""
        begun = begun or (time.monotonic(), self.computed)
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while b"\n" not in self.pending:
                self._in_time(seconds, begun)
                if not selector.select(1):
                    continue
                part = os.read(self.process.stdout.fileno(), 1 << 20)
                if not part:
                    raise Died("it ended: exit, or no memory left")
                self.pending += part
                if len(self.pending) > MOST_BYTES:
                    raise Died("its answer is too long")
        line, _, self.pending = self.pending.partition(b"\n")
        try:
            answer = json.loads(line)
            assert isinstance(answer, dict)
        except (ValueError, AssertionError, RecursionError):
            raise Died(NONSENSE) from None
        return answer

    def _in_time(self, seconds, begun):
        """Refuse what takes more than these seconds of computing since it was `begun`, or than a student has in all."""
        clock, before = begun
        self._look()
        if self.computed > 60 * self.minutes:
            raise Overtime(f"{self.minutes:g} minutes of computing")
        if time.monotonic() > self.deadline:
            raise Overtime(f"{PATIENCE * self.minutes:g} minutes by the clock")
        if self.computed > before + seconds or time.monotonic() > clock + PATIENCE * seconds:
            raise Died(f"it ran on after {self.seconds:g} seconds and would not be interrupted")


def adopt():
    """Let this process be the parent of what its children leave behind, so that it can be found (Linux)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children():
    """The processes that this one has started, and theirs."""
    return psutil.Process().children(recursive=True)


def family(pid):
    """A process and its children, and theirs; none where it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return [(first := psutil.Process(pid)), *first.children(recursive=True)]
    return []


def computed(processes):
    """The seconds for which processes, and those children of theirs that have ended, kept a processor busy."""
    total = 0.0
    for one in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def excess(processes, home):
    """What processes together take too much of, or nothing."""
    most_memory, most_megabytes = limit("FLATLAB_CAGE_GIB"), FILES * limit("FLATLAB_CAGE_MB")
    memory = size = files = 0
    for one in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            memory += one.memory_info().rss
    if len(processes) > MOST_PROCESSES:
        return f"it started more than {MOST_PROCESSES} processes"
    if memory > most_memory * 2**30:
        return f"its processes took more than {most_memory:g} GiB of memory"
    for folder, _, names in os.walk(home):
        for name in names:
            with contextlib.suppress(OSError):  # it may be gone again
                size, files = size + os.lstat(os.path.join(folder, name)).st_size, files + 1
            if files > MOST_FILES:
                return f"it wrote more than {MOST_FILES:,} files"
            if size > most_megabytes * 2**20:
                return f"it wrote more than {most_megabytes:g} MB of files"
    return ""


def empty(folder):
    """Remove everything in a folder."""
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry, ignore_errors=True)
        else:
            os.unlink(entry)


class Passed:
    """The objects that one call passes to a student's function, and those that they answer with: they stay here, and
    answer by number."""

    def __init__(self):
        self.objects = []

    def encode(self, value):
        """As inside.encode, with objects of the marker's as the numbers by which they are asked."""
        import flatlab

        if isinstance(value, (list, tuple)):
            return {"list" if isinstance(value, list) else "tuple": [self.encode(one) for one in value]}
        if isinstance(value, dict):
            return {"dict": [[self.encode(name), self.encode(one)] for name, one in value.items()]}
        kind = type(value)
        if dataclasses.is_dataclass(value) and kind.__module__.split(".")[0] == flatlab.__name__:
            fields = [self.encode(getattr(value, field.name)) for field in dataclasses.fields(value)]
            return {"made": [kind.__module__, kind.__qualname__, fields]}
        known = encode(value)
        if not (isinstance(known, dict) and "other" in known):
            return known
        if len(self.objects) >= MOST_OBJECTS:
            raise RuntimeError("it asks for too many objects")
        methods = [name for name, _ in inspect.getmembers(type(value), callable) if not name.startswith("_")]
        self.objects.append((value, {*methods, *(["__call__"] if callable(value) else [])}))
        properties = [name for name, _ in inspect.getmembers(type(value), lambda member: isinstance(member, property))]
        return {
            "remote": len(self.objects) - 1,
            "methods": sorted(self.objects[-1][1]),
            "properties": encode({name: getattr(value, name) for name in properties if not name.startswith("_")}),
        }


def _answered(question, passed):
    """The answer to what a student's function asks of an object of the marker's."""
    try:
        thing, methods = passed.objects[question["ask"]]
        if question["method"] not in methods:
            raise AttributeError(question["method"])
        args, kwargs = decode_values(question["args"]), decode_values(question["kwargs"])
        return {"value": passed.encode(getattr(thing, question["method"])(*args, **kwargs))}
    except Exception as error:  # noqa: BLE001 - the question may be nonsense
        return {"error": {"kind": type(error).__name__, "text": str(error)[:500]}}


class Other:
    """What a student's function returned, if it is no value: only its kind is known."""

    def __init__(self, kind):
        self.kind = kind

    def __repr__(self):
        return f"a {self.kind}"


def decode_values(thing):
    """The value that came from a cage; `Failed` where it is none."""
    if isinstance(thing, dict) and "other" in thing:
        return Other(str(thing["other"]))
    try:
        return decode(thing)
    except Exception as error:  # noqa: BLE001 - it may be anything
        raise Failed(f"what it returned is no value: {type(error).__name__}") from None


def _overwrite(argument, value, carries=False, gradient=None):
    """Do to an argument what the student's function did to its copy."""
    if isinstance(argument, list):
        argument[:] = value
    elif argument.shape == value.shape and argument.dtype == value.dtype:
        argument.detach().copy_(value)
        argument.requires_grad_(carries).grad = gradient
    else:
        raise Failed("it changes the shape of its argument")
