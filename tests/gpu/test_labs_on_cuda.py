"""The parts of Labs 2, 3, 4, 5 and 6 that a student with a GPU runs, made small: each runs on a CUDA device, or on the
pretended one, and prints a line that the lab takes."""

import ast
import json
import os
import re
import runpy
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import flatlab
from flatlab import checks
from flatlab.checks.lab3 import gpu_line
from flatlab.checks.lab5 import gain
from flatlab.data import Data, Split

MASTERS = Path(__file__).parents[2] / "labs" / "source"
HEAD = (
    "import json, os, time\nimport numpy as np\nimport torch\nimport flatlab\n"
    "from torch.nn.functional import one_hot\nfrom flatlab import checks\n"
    "gpu, tier, device = True, 'colab', 'a device'\n"
)
SHAPES = {"mnist": (1, 28, 28), "cifar10": (3, 32, 32)}
load = flatlab.load


@pytest.fixture(autouse=True)
def images(monkeypatch):
    """Noise in the shape of MNIST's and CIFAR-10's images, on the device; other data as they are."""

    def loaded(name, **options):
        if name not in SHAPES:
            return load(name, **options)
        x = torch.rand(24, *SHAPES[name], generator=torch.Generator().manual_seed(0))
        split = Split(x, torch.arange(24) % 10)
        return Data(name, 10, split, split).to("cuda")

    monkeypatch.setattr(flatlab, "load", loaded)


def cells(lab):
    """The sources of a lab's cells, by id."""
    master = json.loads((MASTERS / lab / f"{lab}.ipynb").read_text(encoding="utf8"))
    return {cell["id"]: "".join(cell["source"]) for cell in master["cells"]}


def script(lab, names, smaller, folder):
    """A file with a lab's cells of these names and its GPU cell, in which each of the pairs (whole, part) is put in."""
    source = cells(lab)
    small = source["gpu-run"]
    for whole, part in smaller:
        assert small.count(whole) == 1, whole
        small = small.replace(whole, part)
    file = folder / "lab.py"
    file.write_text("\n\n".join([HEAD, *(source[name] for name in ("settings", *names)), small]), encoding="utf8")
    return file


def held(thing):
    """The tensors that a lab's settings hand to its exercises in a thing of theirs."""
    parts = [thing.train, thing.test] if isinstance(thing, Data) else [thing]
    return [tensor for part in parts for tensor in (part, getattr(part, "x", None)) if torch.is_tensor(tensor)]


@pytest.mark.parametrize("lab", [f"lab{number}" for number in range(1, 8)])
def test_what_an_exercise_is_given_lies_on_the_processor(lab, tmp_path, monkeypatch):
    """Where a check's tensors lie too: an answer that makes one without naming a device, or an array of one, has its
    tick, and the next cell must take it."""
    monkeypatch.setenv("FLATLAB_STORE", str(tmp_path))
    setup = ast.parse(re.sub("^( *)%.*", r"\1pass", cells(lab)["setup"], flags=re.MULTILINE)).body
    imports = [ast.unparse(one) for one in setup if isinstance(one, (ast.Import, ast.ImportFrom))]
    given = {}
    exec("\n".join([*imports, HEAD, cells(lab)["settings"]]), given)
    tensors = {name: tensor for name, thing in given.items() for tensor in held(thing)}
    assert tensors and not [name for name, tensor in tensors.items() if tensor.is_cuda]


def on_the_device(answer):
    """An answer whose tensors and numbers of floating point are tensors on the device."""
    if isinstance(answer, (list, tuple)):
        return type(answer)(on_the_device(one) for one in answer)
    return torch.as_tensor(answer, device="cuda") if isinstance(answer, (float, torch.Tensor)) else answer


@pytest.mark.parametrize("lab", [f"lab{number}" for number in range(1, 9)])
def test_a_right_answer_on_the_device_gets_a_tick_in_every_exercise(lab):
    source = cells(lab)
    exercises = [name for name in source if f"{name}-check" in source and f"{name}-test" in source]
    given = runpy.run_path(str(MASTERS / lab / "answers.py")).get("GIVEN", {})
    exec("\n\n".join([HEAD, *(source[name] for name in exercises)]), given)
    for name in exercises:
        right = given[re.search(r"^def (\w+)", source[name], re.MULTILINE).group(1)]
        answer = getattr(checks, name)(lambda *asked, **more: on_the_device(right(*asked, **more)))
        assert answer, answer


def line(said):
    """The one line of JSON in what a cell printed, with a name for the functions that made it."""
    [found] = [one for one in said.splitlines() if one.startswith("{")]
    assert re.fullmatch("[0-9a-f]{12}", json.loads(found)["functions"])
    return found


def taken(check, found):
    """Whether a lab's check takes the line, and else what it says. Its file says the same, and has the lab's name."""
    lab = check.__module__.rpartition(".")[2]
    [file] = Path(os.environ["FLATLAB_STORE"]).rglob("*gpu.json")
    assert (file.name, file.read_text()) == (f"{lab}-gpu.json", found)
    answer = check(lambda recorded: found)
    assert answer, str(answer)


def examine(lab, exercise, found):
    """Run an exercise's hidden tests on the line."""
    given = {"np": np, "os": os, "torch": torch, exercise: lambda recorded: found}
    exec(cells(lab)[f"{exercise}-test"], given)


def test_the_gpu_part_of_lab2_prints_a_line_that_is_taken(tmp_path, capsys):
    """The line's form, its rate and its share alone are seen: the hidden tests ask for the accuracies and the sharpness
    that F1 reaches on MNIST. So a small network stands in for F1, which takes twice as long."""
    smaller = (
        ('Objective("F1"', 'Objective("small-mlp"'),
        ('train("F1"', 'train("small-mlp"'),
        ('("small", 256, 1e-3)', '("small", 6, 1e-3)'),
        ('("large", 6000, 1e-3)', '("large", 24, 1e-3)'),
        ('("root", 6000, rate)', '("root", 24, rate)'),
        ("epochs=20", "epochs=1"),
    )
    names = ("predicted_noise", "two_batch", "noise_scale", "stationary", "sgd", "matched_rate", "share")
    runpy.run_path(str(script("lab2", names, smaller, tmp_path)))
    found = line(capsys.readouterr().out)
    taken(checks.report, found)
    assert json.loads(found)["rate"] == pytest.approx(1e-3 * (6000 / 256) ** 0.5)
    assert all(0 < phi < float("inf") for phis in json.loads(found)["phi"].values() for phi in phis)


def test_the_gpu_part_of_lab3_prints_a_line_that_is_taken_and_goes_on_after_a_cut(tmp_path, monkeypatch, capsys):
    smaller = (
        ("subset(5000)", "subset(20)"),
        ("Linear(3072, 200)", "Linear(192, 200)"),
        ("40 / lr", "0.04 / lr"),
        ("steps // 20", "steps // 2"),
    )
    monkeypatch.setitem(SHAPES, "cifar10", (3, 8, 8))
    file = script("lab3", ("hvp", "power", "track", "arrival"), smaller, tmp_path)
    runpy.run_path(str(file))
    found = gpu_line(line(capsys.readouterr().out))
    assert [rows[-1][0] for rows in found["tracks"]] == [2, 4, 8]
    kept = next(tmp_path.rglob("lab3.json"))
    kept.write_text(json.dumps(dict(list(json.loads(kept.read_text()).items())[:2])))  # cut off in the third of three
    runpy.run_path(str(file))
    said = capsys.readouterr().out
    assert "(2 runs read.)" in said and gpu_line(line(said))["tracks"] == found["tracks"]


def test_the_gpu_part_of_lab4_prints_a_line_that_is_taken_and_examined(tmp_path, monkeypatch, capsys):
    """The hidden tests see the lengths and the rises as they are printed, and accuracies and seconds of a full run,
    which noise in one epoch does not reach."""
    smaller = (
        ("subset(10_000)", "subset(20)"),
        ('("small", 128)', '("small", 10)'),
        ('("large", 1000)', '("large", 20)'),
        ("epochs=30", "epochs=1"),
    )
    monkeypatch.setitem(SHAPES, "cifar10", (3, 8, 8))  # C1 takes any size, and 32 x 32 takes 16 times as long
    runpy.run_path(str(script("lab4", ("unit_direction", "plane"), smaller, tmp_path)))
    found = line(capsys.readouterr().out)
    taken(checks.flip, found)
    full = json.loads(found)
    full |= {"seconds": 300.0, "accuracy": {net: [60.0] * 3 for net in full["accuracy"]}}
    examine("lab4", "flip", json.dumps(full))


def test_the_gpu_part_of_lab5_prints_a_line_that_is_taken_and_goes_on_after_a_cut(tmp_path, monkeypatch, capsys):
    """The hidden tests see the line with the accuracies and seconds of a full run, which noise in four gradients does
    not reach."""
    smaller = (("cifar.train, 300, 5000)", "cifar.train, 4, 20)"),)
    monkeypatch.setitem(SHAPES, "cifar10", (3, 8, 8))  # C1 takes any size, and 32 x 32 takes 16 times as long
    names = ("sam_step", "asam_step", "ghost_norm", "average", "schedule", "trust_ratio", "compare", "race")
    file = script("lab5", names, smaller, tmp_path)
    parts = "PARTS = (sam_step, asam_step, ghost_norm, average, schedule, trust_ratio)\n"
    needed = "from flatlab.checks.racing import Race, rivals, signals, start_of\n"
    file.write_text(needed + file.read_text().replace("\n\nrecorded =", f"\n\n{parts}recorded ="))
    runpy.run_path(str(file))
    found = line(capsys.readouterr().out)
    taken(checks.fair_gain, found)
    kept = next(tmp_path.rglob("lab5.json"))
    some = dict(list(json.loads(kept.read_text()).items())[:4])  # cut off in the fifth of six runs
    kept.write_text(json.dumps(some))
    runpy.run_path(str(file))
    said = capsys.readouterr().out
    assert "(4 runs read.)" in said and json.loads(line(said))["plain"] == json.loads(found)["plain"]
    made_up = {"plain": [52.0, 53.5, 51.5], "mine": [60.0, 61.0, 60.5]}
    mean, low, high = gain(*(dict(enumerate(made_up[name])) for name in ("mine", "plain")))
    full = json.loads(found) | made_up | {"seconds": 400.0, "gradients": 300, "gain": [mean, low, high]}
    examine("lab5", "fair_gain", json.dumps(full))


def test_the_gpu_part_of_lab6_prints_a_line_that_is_taken_and_examined(tmp_path, monkeypatch, capsys):
    """A clock of its own, whose updates take a time for the network and one hundredth of it for each row, so that the
    knee is at 100 rows whatever the device does."""
    now, gradient = [0.0], flatlab.Objective.gradient

    def timed(f, x):
        now[0] += f.size * (100 + f.rows) * 1e-9
        return gradient(f, x)

    monkeypatch.setattr(flatlab.Objective, "gradient", timed)
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    smaller = (("[16, 64, 256, 1024, 4096]", "[2, 4, 8, 10, 12]"), ("range(30)", "range(6)"))
    runpy.run_path(str(script("lab6", ("fit_time",), smaller, tmp_path)))
    found = line(capsys.readouterr().out)
    assert json.loads(found)["knee"] == pytest.approx({"F1": 100, "C1": 100})
    taken(checks.knee, found)
    examine("lab6", "knee", found)
