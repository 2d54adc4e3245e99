"""A stored thing is known by what made it: the package's code, whatever its comments, and all that the user hands
over."""

import ast
import functools
import importlib
import importlib.machinery
import itertools
import math
import os
import shutil
import subprocess
import sys
import textwrap
import types

import pytest
import torch
from torch import nn

import flatlab
from flatlab import identity
from flatlab.fingerprints import fingerprint
from flatlab.identity import code_hash, content_key, is_current
from flatlab.study import experiments, memory, reproductions
from flatlab.study.design import Experiment, Setting
from flatlab.training import train as training

# The code of the package


@pytest.fixture
def edit(monkeypatch):
    """edit(module, old, new): the package as if a module's text were another."""
    texts, read = {}, importlib.machinery.SourceFileLoader.get_source

    def forget():
        identity._read.cache_clear()
        for source in (training.SOURCE, memory.SHARPNESS):
            source.__dict__.pop("hash", None)

    def change(name, old, new):
        text = texts.get(name) or read(sys.modules[name].__loader__, name)
        assert old in text
        texts[name] = text.replace(old, new, 1)
        forget()

    monkeypatch.setattr(
        importlib.machinery.SourceFileLoader, "get_source", lambda loader, name: texts.get(name) or read(loader, name)
    )
    forget()
    yield change
    monkeypatch.undo()
    forget()


def sources():
    """The code of runs, of an experiment's measurements and of sharpness."""
    return training.SOURCE.hash, experiments._source(reproductions.table2).hash, memory.SHARPNESS.hash


@pytest.mark.parametrize(
    "name, old, new, changed",
    [
        ("flatlab.training.updates", ".optimizer.step()", ".optimizer.zero_grad()", (True, True, False)),
        ("flatlab.nets", "nn.ReLU()", "nn.GELU()", (True, True, True)),
        ("flatlab.measure.maximise", "import math", "import math as m", (False, True, True)),
        ("flatlab.study.design", "FRACTION, 100, TEN", "FRACTION, 90, TEN", (False, True, False)),
        ("flatlab.study.essays", "import statistics", "import statistics as s", (False, False, False)),
        ("flatlab.training.store", "import json", "import json as j", (False, False, False)),
        ("flatlab.files", "import os", "import os as o", (False, False, False)),
        ("flatlab.training.updates", "import torch\n", "import torch  # another comment\n\n\n", (False, False, False)),
        ("flatlab.training.updates", '"""', '"""Said anew. ', (False, False, False)),
    ],
)
def test_changed_code_is_another_source_of_what_it_decides_and_a_comment_of_nothing(edit, name, old, new, changed):
    before = sources()
    edit(name, old, new)
    assert tuple(one != other for one, other in zip(before, sources())) == changed


def test_a_changed_update_gives_another_key_for_runs_and_for_what_is_measured_on_them(edit, tmp_path):
    setting = Setting("plain-mlp", "digits", 200, 500, 1, (0,))
    experiment = Experiment("", {}, reproductions.pair, reproductions.table2)

    def files():
        jobs, store = experiment.jobs(setting, 0), flatlab.Store(tmp_path)
        experiments._measured("table2", experiment, setting, 0, jobs, store)
        return len(list(tmp_path.iterdir()))

    assert [files(), files()] == [3, 3]  # two runs and what was measured on them
    edit("flatlab.training.updates", '"""', '"""Said anew. ')
    assert files() == 3
    edit("flatlab.training.updates", ".optimizer.step()", ".optimizer.zero_grad()")
    assert [files(), files()] == [6, 6]


def test_line_ends_and_comments_in_every_file_change_nothing(root, tmp_path):
    package = shutil.copytree(root / "flatlab", tmp_path / "flatlab", ignore=shutil.ignore_patterns("__pycache__"))
    for file in package.rglob("*.py"):
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n") + b"# the end\r\n")
        os.utime(file, (0, 0))  # not edited after it was loaded
    code = "import flatlab\nfrom flatlab.training.train import SOURCE\nprint(flatlab.__file__, SOURCE.hash)"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    said = subprocess.run([sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert said.stdout.split() == [str(package / "__init__.py"), training.SOURCE.hash], said.stderr


def test_what_decides_a_run_imports_cannot_be_forgotten():
    text = """
        import flatlab.nets
        from flatlab import data as d, __version__
        from flatlab.measure import line, sharpness
        from ..objective import Objective
        from .updates import UPDATE_RULES
        import torch
        def f():
            from flatlab.study.paper import original
    """
    assert set(identity._imports(ast.parse(textwrap.dedent(text)), "flatlab.training.train")) == {
        "flatlab.nets",
        "flatlab.data",
        "flatlab.measure",
        "flatlab.measure.sharpness",
        "flatlab.objective",
        "flatlab.training.updates",
        "flatlab.study.paper",
    }


def test_the_hash_is_that_of_the_code():
    def hashed(text):
        return code_hash(ast.parse(textwrap.dedent(text)))

    one = hashed('def f(a):\n    "What it does."\n    return a + 1')
    assert one == hashed("# Said differently.\n\ndef f(a) :\n\treturn (a+\n 1) # so")
    others = ["def f(a):\n return a + 2", "def f(a):\n return a + 1.0", "def f(b):\n return b + 1", "def f(a):\n a + 1"]
    others += [
        "def g(a):\n return a + 1",
        "def f(a):\n return a + '1'",
        "def f(a=1):\n return a + 1",
        "def f(*a):\n return a + 1",
    ]
    assert len({one, *map(hashed, others)}) == 1 + len(others)


def test_nothing_is_read_at_import():
    code = "import flatlab; from flatlab import identity; print(identity._read.cache_info().currsize)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "0\n"


def test_a_stored_thing_tells_whether_its_code_is_still_the_same(edit):
    facts = training.SOURCE.facts
    assert is_current(facts)
    for other in (None, {}, {**facts, "modules": ["flatlab.gone"]}, {**facts, "hash": "0"}, {**facts, "modules": 3}):
        assert not is_current(other)
    edit("flatlab.training.updates", ".optimizer.step()", ".optimizer.zero_grad()")
    assert not is_current(facts)


def test_code_that_was_changed_after_it_was_loaded_is_filed_apart(edit, monkeypatch):
    before = training.SOURCE.hash
    monkeypatch.setattr(identity, "LOADED", 0.0)
    edit("flatlab.training.updates", "import torch", "import torch")
    with pytest.warns(UserWarning, match=r"was changed after flatlab was loaded: start Python again"):
        assert training.SOURCE.hash != before


# What a user hands over


def made(text, **names):
    """The names that a text defines, as a notebook's cell does: there is no file."""
    space = {"__name__": "__main__", "nn": nn, "torch": torch, "math": math, **names}
    exec(compile(textwrap.dedent(text), "<cell>", "exec"), space)
    return space


NET = """
    SCALE = 1.0
    def act(x):
        return torch.relu(x) * SCALE
    class Net(nn.Module):
        factor = 1
        def __init__(self, alpha=0.1, activation=act, layers=(3,)):
            super().__init__()
            self.alpha, self.activation = alpha, activation
            torch.manual_seed(0)
            self.layer = nn.Linear(4, 3)
            self.frozen = nn.Linear(3, 3).requires_grad_(False)
            self.register_buffer("shift", torch.zeros(3))
        def forward(self, x):
            return self.frozen(self.activation(self.layer(x))) * self.alpha + self.shift + self.helped(x)
        def helped(self, x):
            return self.factor
"""


def net(change=("", ""), **options):
    assert change[0] in NET
    return made(NET.replace(*change))["Net"](**options)


def patched(model, **attributes):
    for name, value in attributes.items():
        setattr(model, name, value)
    return model


def hooked(function):
    model = net()
    model.layer.register_forward_hook(function)
    return model


def filled(model, name, value):
    with torch.no_grad():
        model.get_parameter(name).fill_(value) if "." in name else getattr(model, name).fill_(value)
    return model


def double(layer, inputs, output):
    return output * 2


def triple(layer, inputs, output):
    return output * 3


def closing(number):
    return lambda x: x * number


DIFFERENT = {
    "as it is": net,
    "an attribute": lambda: net(alpha=10),
    "its type": lambda: net(alpha=torch.tensor(0.1)),
    "an activation passed in": lambda: net(activation=torch.tanh),
    "another": lambda: net(activation=torch.relu),
    "a function of torch": lambda: net(activation=nn.functional.gelu),
    "a lambda": lambda: net(activation=lambda x: x * 2),
    "another lambda": lambda: net(activation=lambda x: x * 3),
    "a closure": lambda: net(activation=closing(2)),
    "another closure": lambda: net(activation=closing(3)),
    "a partial": lambda: net(activation=functools.partial(math.pow, 2)),
    "another partial": lambda: net(activation=functools.partial(math.pow, 3)),
    "a helper function": lambda: net(("torch.relu(x)", "torch.tanh(x)")),
    "a global of it": lambda: net(("SCALE = 1.0", "SCALE = 2.0")),
    "a default": lambda: net(("alpha=0.1", "alpha=0.2")),
    "a class attribute": lambda: net(("factor = 1", "factor = 2")),
    "a method": lambda: net(("return self.factor", "return -self.factor")),
    "an operator": lambda: net(("* self.alpha", "/ self.alpha")),
    "frozen parts": lambda: filled(net(), "frozen.weight", 1.0),
    "a buffer": lambda: filled(net(), "shift", 1.0),
    "what is frozen": lambda: patched(net(), layer=net().layer.requires_grad_(False)),
    "a mode": lambda: patched(net(), frozen=net().frozen.eval()),
    "a hook": lambda: hooked(double),
    "another hook": lambda: hooked(triple),
    "a patched forward": lambda: patched(net(), forward=types.MethodType(lambda self, x: x, net())),
    "a list": lambda: patched(net(), sizes=[1, 2]),
    "another list": lambda: patched(net(), sizes=[2, 1]),
    "a dict": lambda: patched(net(), sizes={"a": {1, 2}}),
    "another dict": lambda: patched(net(), sizes={"a": {1, 3}}),
    "tied": lambda: patched(net(), other=patched(nn.Linear(1, 1), weight=None)),
    "a tensor of its own": lambda: patched(net(), constant=torch.ones(2)),
    "another tensor": lambda: patched(net(), constant=[torch.zeros(2)]),
    "an object": lambda: patched(net(), settings=types.SimpleNamespace(a=1)),
    "another object": lambda: patched(net(), settings=types.SimpleNamespace(a=2)),
}


def test_whatever_decides_what_a_network_computes_makes_it_another():
    found = {}
    for name, make in DIFFERENT.items():
        told, whole = fingerprint(make())
        assert whole, name
        assert found.setdefault(told, name) == name
    assert {fingerprint(make())[0]: name for name, make in DIFFERENT.items()} == found  # made anew they are the same


def test_what_decides_nothing_changes_nothing():
    told = fingerprint(net())
    assert told == fingerprint(
        net(("def helped(self, x):", 'def helped(self, x):\n            "Help."\n            # well'))
    )
    assert told == fingerprint(net(("class Net(nn.Module):", '# Mine.\n    class Net(nn.Module):\n        "A net."')))
    one, other = net(), net()
    x = [filled(other, "layer.weight", 3.0).layer.weight]
    assert fingerprint(one, without=[one.layer.weight]) == fingerprint(other, without=x)
    assert fingerprint(one) != fingerprint(other)


def by_subscript(x):
    return x * float(os.environ["FACTOR"])


def by_call(x, name="FACTOR"):
    return x * float(os.getenv(name, "1"))


FACTOR = "FACTOR"


def by_name(x):
    return x * float(os.environ.get(FACTOR, "1"))


@pytest.mark.parametrize("reads", [by_subscript, by_call, by_name])
def test_a_variable_of_the_environment_that_is_read_decides(reads, monkeypatch):
    """Also where it is read in training alone, which outputs in evaluation mode do not tell."""
    told = []
    for value in ("1", "2", "1"):
        monkeypatch.setenv("FACTOR", value)
        monkeypatch.setenv("OTHER", str(len(told)))
        told.append(fingerprint(net(activation=reads)))
    assert all(whole for _, whole in told) and told[0] == told[2] != told[1]


class Once(torch.autograd.Function):
    @staticmethod
    def forward(context, x):
        return x.clone()

    @staticmethod
    def backward(context, slope):
        return slope


class Reversed(Once):
    @staticmethod
    def backward(context, slope):
        return -slope


def test_a_derivative_of_the_users_own_is_known_by_what_it_does():
    """Its apply is a class method of torch's that a network may keep."""
    one, other = (fingerprint(net(activation=kind.apply)) for kind in (Once, Reversed))
    assert one[1] and other[1] and one != other and one == fingerprint(net(activation=Once.apply))


def test_a_helper_in_a_file_of_the_users_is_followed(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    found = []
    for number, (factor, comment) in enumerate([("2", ""), ("3", ""), ("2", "# so\n")]):
        inner, outer = f"inner{number}", f"outer{number}"
        (tmp_path / f"{inner}.py").write_text(
            f"{comment}UNUSED = {number}\ndef twice(x):\n    return x * RATE\nRATE = {factor}\n"
        )
        (tmp_path / f"{outer}.py").write_text(f"import {inner} as helpers\ndef act(x):\n    return helpers.twice(x)\n")
        importlib.invalidate_caches()
        found.append(fingerprint(importlib.import_module(outer).act))
    assert found[0] == found[2] != found[1]


def test_what_cannot_be_told_is_said_to_be_so():
    import threading

    assert not fingerprint(patched(net(), lock=threading.Lock()))[1]
    assert not fingerprint(torch.jit.script(nn.Linear(2, 2)))[1]

    class Endless:
        def __reduce_ex__(self, protocol):
            return Endless, (), {"more": Endless()}

    assert not fingerprint(Endless())[1]


LAYERS = """
import torch
from torch import nn
from flatlab.fingerprints import fingerprint
torch.manual_seed(0)
def hook(layer, inputs, output):
    return {"a", "b", "c", "d"} and output
parts = [nn.TransformerEncoderLayer(8, 2, 16), nn.LSTM(3, 4), nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))]
parts += [nn.Embedding(3, 2, padding_idx=0), nn.BatchNorm1d(3), torch.fx.symbolic_trace(nn.Linear(2, 2))]
[part.register_forward_hook(hook) for part in parts[LATE:]]
print(*fingerprint(nn.ModuleList(parts), {"x", "y", "z"}))
"""


def test_another_process_finds_the_same():
    """Hashes of strings, numbers of hooks and addresses differ from process to process."""
    said = {
        subprocess.run(
            [sys.executable, "-c", LAYERS.replace("LATE", "-1")],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1 and said.pop().split()[1] == "True"


def test_equal_identities_have_equal_keys_and_others_not():
    assert content_key({"a": 1, "b": 2}) == content_key({"b": 2, "a": 1}) != content_key({"a": 1, "b": 3})
    assert len({content_key(k) for k in itertools.permutations("abc")}) == 6
