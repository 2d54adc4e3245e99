"""flatlab on a CUDA device. Where torch has none, on the pretended one, whose numbers are the CPU's to the last bit.

On a real GPU a captured step is compared with the eager one of the same device, because its random numbers are not the
CPU's; a measurement is compared with the CPU's within what another order of adding changes.
"""

import dataclasses
import random
import sys
import warnings
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

import flatlab
from flatlab import Objective
from flatlab.data import Data, Split
from flatlab.measure import noise
from flatlab.study import experiments, splits
from flatlab.training.recipe import OPTIMIZERS
from flatlab.training.store import Store
from flatlab.training.trainer import Trainer
from flatlab.training.updates import UPDATE_RULES

REAL = "pretend_cuda" not in sys.modules  # where there is a GPU, nothing is pretended
if not REAL:
    import pretend_cuda

only_pretended = pytest.mark.skipif(REAL, reason="the pretended device counts what waits")


def rows(train=64, test=32, shape=(40,), classes=10, device="cpu"):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(train + test, *shape, generator=generator)
    y = torch.randint(classes, (train + test,), generator=generator)
    return Data("rows", classes, Split(x[:train], y[:train]), Split(x[train:], y[train:])).to(device)


def on_both(net="small-mlp", shape=(40,), **options):
    """The same run twice: on the CPU, or on a real GPU without a graph, and on the device, where it must end. A network
    of ours must not be one that no graph can hold, of which a warning tells."""
    runs = []
    for device in ("eager" if REAL else "cpu", "cuda"):
        torch.manual_seed(0)
        random.seed(0)
        made = net if isinstance(net, str) else net()
        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
            if device == "eager":
                patch.setattr(Trainer, "_capturable", lambda problem: False)
            if isinstance(net, str):
                warnings.filterwarnings("error", "this network is trained without a CUDA graph")
            data = rows(shape=shape, device=device.replace("eager", "cuda"))
            runs.append(flatlab.train(made, data, progress=False, **{"batch_size": 24, "epochs": 3, **options}))
    one, other = runs
    assert other.x.is_cuda and other.x0.is_cuda and all(p.is_cuda for p in other.model().parameters())
    return one, other


def assert_same(one, other):
    """Equal bits on the pretended device. A GPU adds in no fixed order: there, equal within 1 % of the way from the
    start."""
    if REAL:
        assert (one.x - other.x).norm() < 0.01 * (one.x - one.x0).norm()
        return
    assert torch.equal(one.x, other.x.cpu())
    for column in one.history:
        if column != "seconds":
            assert one.history[column] == other.history[column], column
    for name, buffer in one.buffers.items():
        assert torch.equal(buffer, other.buffers[name].cpu()), name


def assert_near(one, other):
    """Two numbers of a measurement: equal bits on the pretended device, within 1 % on a GPU."""
    bounds = {"rtol": 0.01, "atol": 0.01 * one.abs().max().nan_to_num(0).item()} if REAL else {"rtol": 0, "atol": 0}
    torch.testing.assert_close(one, other, equal_nan=True, **bounds)


# Training: a captured step is the eager step


@pytest.mark.parametrize("batch_size", [16, 24, 64])  # of 64 rows: whole batches, a short last one, one batch
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer(optimizer, batch_size):
    one, other = on_both(optimizer=optimizer, batch_size=batch_size)
    if optimizer == "adagrad":  # fused on the CPU; torch 2.11 has it on no GPU
        assert (one.x.cpu() - other.x.cpu()).norm() < 0.1 * (one.x - one.x0).norm()
    else:
        assert_same(one, other)


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "sgd", "momentum": 0.9, "lr": 0.1},
        {"weight_decay": 1e-3},
        {"l1": 1e-4},
        {"decay": 0.5},
        {"growth": 2.0, "batch_size": 8},
        {"precision": "tf32"},
        {"precision": "bf16"},
        {"keep": (0, 2, 3)},
    ],
    ids=str,
)
def test_every_option(options):
    assert_same(*on_both(**options))


@pytest.mark.parametrize("update", UPDATE_RULES)
def test_every_update(update):
    assert_same(*on_both(update=update, strength=8 if update == "ghost" else None))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_fused_step_is_asked_for_only_where_torch_has_one(optimizer):
    data = rows(device="cuda")
    trainer = Trainer(flatlab.build("mlp", data), data, flatlab.Recipe(optimizer=optimizer))
    assert bool(trainer.optimizer.defaults.get("fused")) == (optimizer in ("adam", "sgd"))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"update": "noisy_gradient"},
        {"update": "noisy_gradient", "decay": 0.5},
        {"decay": 0.5},
        {"growth": 2.0},
        {"warm_up": 1},
        *({"optimizer": o} for o in ("adagrad", "rmsprop", "rprop")),
    ],
    ids=str,
)
def test_the_first_use_of_the_devices_libraries_is_no_part_of_a_runs_time(options, monkeypatch):
    calls, step, prepare = [], Trainer.step, Trainer.prepare

    def prepared(trainer):
        before, draws = {name: tensor.clone() for name, tensor in trainer.state().items()}, torch.cuda.get_rng_state()
        prepare(trainer)
        calls.append("prepared")
        assert torch.equal(draws, torch.cuda.get_rng_state())
        after = trainer.state()
        assert all(torch.equal(tensor, after[name]) for name, tensor in before.items()), "it leaves no trace"
        captured = options.keys() <= {"update"}
        assert after.keys() == before.keys() or captured, "of a captured step the optimizer's state must stay"

    monkeypatch.setattr(Trainer, "step", lambda trainer, batch: [calls.append("step"), step(trainer, batch)][1])
    monkeypatch.setattr(Trainer, "prepare", prepared)
    flatlab.train("small-mlp", rows(device="cuda"), batch_size=24, epochs=2, progress=False, **options)
    assert "step" in calls[: calls.index("prepared")]


def test_augmentation():
    on_both("lenet", shape=(1, 28, 28), augmentation=1, epochs=1)


def test_a_convolutional_net():
    assert_same(*on_both("lenet", shape=(1, 28, 28), epochs=2))


@only_pretended
def test_the_step_is_captured_and_the_host_waits_five_times_an_epoch():
    on_both(epochs=1)
    first = dict(pretend_cuda.events)
    pretend_cuda.events.clear()
    on_both(epochs=4)
    assert pretend_cuda.events["replay"] >= 8
    assert pretend_cuda.events["_local_scalar_dense"] - first["_local_scalar_dense"] <= 5 * 3
    assert pretend_cuda.events["to device"] == first["to device"]


# Networks of a user's


class Forward(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(40, 40), nn.Linear(40, 10)


class Branches(Forward):
    def forward(self, x):
        x = self.one(x).relu()
        return self.two(x / 2 if x.max() > 100 else x)


class Makes(Forward):
    def forward(self, x):
        return self.two(self.one(x).relu()) * torch.tensor([1.0] * 10, device=x.device)


class Counts(Forward):
    """As random depth, a warm-up of its own or a schedule do: Python decides anew at each call."""

    calls: ClassVar[list] = []

    def forward(self, x):
        if self.training:
            self.calls.append(len(x))
        return self.two(self.one(x).relu()) * min(1.0, 0.1 * len(self.calls))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.out = nn.LSTM(8, 16, batch_first=True), nn.Linear(16, 10)

    def forward(self, x):
        return self.out(self.inner(x.view(-1, 5, 8))[0][:, -1])


def plain():
    """Small, because scipy takes seconds in a large one; without BatchNorm, so that each row has a gradient."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(40, 64), nn.ReLU(), nn.Linear(64, 10))


def normed(**options):
    return nn.Sequential(nn.Linear(40, 32), nn.BatchNorm1d(32, **options), nn.ReLU(), nn.Linear(32, 10))


# The checks at an Objective's door watch every operation by a dispatch mode.
LISTS = "the pretended device cannot make a tensor from a list within a dispatch mode"


@pytest.mark.parametrize(
    "net",
    [
        normed,
        lambda: normed(momentum=None),
        Branches,
        pytest.param(Makes, marks=pytest.mark.xfail(not REAL, strict=True, reason=LISTS)),
        lambda: nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(40, 16)), nn.Tanh(), nn.Linear(16, 10)),
    ],
    ids=["BatchNorm", "cumulative BatchNorm", "branch", "tensor from a list", "spectral norm"],
)
def test_a_users_network(net):
    assert_same(*on_both(net))


class Fills(Forward):
    """Uses up the memory in its so-manyth step: the first two of a capture are rehearsed, the third is watched."""

    def __init__(self, steps):
        super().__init__()
        self.left = [steps]

    def forward(self, x):
        if self.training:
            self.left[0] -= 1
            if self.left[0] < 0:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return self.two(self.one(x).relu())


@pytest.mark.parametrize(
    "steps, options", [*((steps, {}) for steps in range(5)), (0, {"growth": 2.0}), (1, {"decay": 0.5})]
)
def test_a_step_that_does_not_fit_is_one_sentence_wherever_a_capture_is(steps, options):
    before, mode = torch.cuda.get_rng_state(), torch.cuda.get_sync_debug_mode()
    with pytest.raises(
        torch.OutOfMemoryError, match="^the memory of cuda.* does not suffice for training .* batch_size"
    ):
        flatlab.train(Fills(steps), rows(device="cuda"), batch_size=24, epochs=3, progress=False, **options)
    assert torch.equal(torch.cuda.get_rng_state(), before)
    assert torch.cuda.get_sync_debug_mode() == mode


class Silent(Forward):
    """Fails without a word where it is seen whether the host waits."""

    def forward(self, x):
        if torch.cuda.get_sync_debug_mode() in (2, "error"):
            raise RuntimeError
        return self.two(self.one(x).relu())


def test_an_error_without_a_message_is_named():
    with pytest.warns(RuntimeWarning, match=r"without a CUDA graph.* or copies to it \(RuntimeError\)\."):
        assert_same(*on_both(Silent))


def test_what_python_does_in_forward_it_does_at_every_step():
    """Over so many epochs that the steps of a capture and the short last batches alone would not make up for it."""
    Counts.calls.clear()
    with pytest.warns(RuntimeWarning, match="without a CUDA graph, more slowly, because a replayed step is another"):
        run = flatlab.train(Counts(), rows(device="cuda"), batch_size=24, epochs=9, progress=False)
    assert len(Counts.calls) >= run.history["updates"][-1]


class Drops(Forward):
    """Random depth, drawn by Python, after a warm-up that the network counts itself: in an attribute that it has from
    its first step on, and in one that it had before."""

    steps = 0

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        if not self.training:
            return self.two(self.one(x).relu())
        self.steps += 1
        self.calls += 1
        return self.two(x if max(self.steps, self.calls) > 3 and random.random() < 0.5 else self.one(x).relu())


def test_a_rehearsed_step_leaves_no_trace_in_python():
    """The network is trained without a graph, and draws and counts what it does on a processor."""
    with pytest.warns(RuntimeWarning, match="without a CUDA graph, more slowly, because its forward draws"):
        assert_same(*on_both(Drops, epochs=8))


def test_a_recurrent_network():
    one, other = on_both(Recurrent)
    assert torch.allclose(one.x.cpu(), other.x.cpu(), atol=1e-5)  # a fused cell adds in another order


def test_an_objective_is_where_its_run_is():
    data, net = rows(device="cuda"), normed()  # as one writes it in a notebook: the network was never moved
    run = flatlab.train(net, data, batch_size=16, epochs=1, progress=False)
    flatlab.sharpness(Objective(net, data.train), run.x, steps=1)


# Store


class Kill(Exception):
    pass


class Killed(Store):
    def put(self, key, tensors, facts, partial=False):
        super().put(key, tensors, facts, partial)
        if partial and len(facts["history"]["epoch"]) == 2:
            raise Kill


@pytest.mark.parametrize("first, then", [("cuda", "cuda"), ("cpu", "cuda"), ("cuda", "cpu")])
@pytest.mark.parametrize(
    "options", [{}, {"optimizer": "rprop"}, {"optimizer": "sgd", "momentum": 0.9}, {"keep": (0, 1, 3)}], ids=str
)
def test_a_run_goes_on_where_it_was(first, then, options, tmp_path):
    recipe = {"batch_size": 24, "epochs": 4, "progress": False, **options}
    with pytest.raises(Kill):
        flatlab.train("small-mlp", rows(device=first), store=Killed(tmp_path, every=0), **recipe)
    resumed = flatlab.train("small-mlp", rows(device=then), store=tmp_path, **recipe)
    whole, read = (flatlab.train("small-mlp", rows(device=then), store=store, **recipe) for store in (None, tmp_path))
    assert torch.equal(resumed.x, read.x)
    if not REAL or first == then:  # the order of the batches is drawn on the device
        assert torch.equal(resumed.x, whole.x)
    assert {x.device.type for run in (resumed, read) for x in (run.x, run.x0, *run.points.values())} == {then}


def test_a_run_that_draws_goes_on_where_it_was(tmp_path):
    recipe = {"batch_size": 24, "epochs": 4, "progress": False, "update": "noisy_inputs"}
    with pytest.raises(Kill):
        flatlab.train("small-mlp", rows(device="cuda"), store=Killed(tmp_path, every=0), **recipe)
    assert torch.equal(
        flatlab.train("small-mlp", rows(device="cuda"), store=tmp_path, **recipe).x,
        flatlab.train("small-mlp", rows(device="cuda"), **recipe).x,
    )


# Global state


@pytest.mark.parametrize(
    "call",
    [
        lambda d: flatlab.build("mlp", d),
        lambda d: Objective("mlp", d.train),
        lambda d: flatlab.train("mlp", d, batch_size=16, epochs=1, progress=False),
        lambda d: flatlab.train(normed(), d, batch_size=16, epochs=1, progress=False),
        lambda d: flatlab.directions(normed().cuda()),
        lambda d: d.subset(8),
    ],
    ids=["build", "Objective", "train", "train a module", "directions", "subset"],
)
def test_the_devices_generator_is_left_alone(call):
    torch.cuda.manual_seed(5)
    data, before = rows(device="cuda"), torch.cuda.get_rng_state()
    call(data)
    assert torch.equal(before, torch.cuda.get_rng_state())


# Measuring


def numbers(found):
    """All numbers in a result, in one order."""
    if torch.is_tensor(found):
        return [found.detach().double().cpu().flatten()]
    if isinstance(found, (int, float)):
        return [torch.tensor([float(found)], dtype=torch.float64)]
    if isinstance(found, (tuple, list)):
        return [part for one in found for part in numbers(one)]
    return (
        [part for field in dataclasses.fields(found) for part in numbers(getattr(found, field.name))]
        if dataclasses.is_dataclass(found)
        else []
    )


def other_point(f):
    return 2 * f.x


MEASUREMENTS = {
    "gradient": lambda f: f.gradient(f.x),
    "accuracy": lambda f: f.loss_and_accuracy(f.x),
    **{f"hessian, {m}": lambda f, m=m: f.hessian(method=m) @ f.x for m in ("reverse", "forward")},
    "gauss-newton": lambda f: f.gauss_newton() @ f.x,
    "hessian of a layer": lambda f: f.hessian(names=f.names[:1]).gradient(),
    **{
        f"sharpness, {m}": lambda f, m=m: flatlab.sharpness(f, method=m, steps=4, starts=2)
        for m in ("lbfgs", "apgd", "vertex", "best", "scipy", "scipy-scaled")
    },
    "sharpness in a subspace": lambda f: flatlab.sharpness(f, subspace=7, steps=4),
    "adaptive": lambda f: flatlab.adaptive_sharpness(f, norm=2, group=20, normalise_logits=True, steps=4),
    "average": lambda f: flatlab.average_sharpness(f, samples=3),
    "eigenvalues": lambda f: flatlab.eigenvalues(f.hessian(), 2, max_products=8),
    "trace": lambda f: flatlab.trace(f.hessian(), sketch=2, max_products=9),
    "density": lambda f: flatlab.density(f.hessian(), steps=5, probes=2),
    "line": lambda f: flatlab.line(f, f.x, other_point(f)),
    "arc": lambda f: flatlab.arc(f, f.x, other_point(f), (0, 0.3, 1)),
    "connect": lambda f: flatlab.connect(f, f.x, other_point(f), steps=5, batch=16),
    "plane": lambda f: flatlab.plane(f, f.x, flatlab.directions(f.model.requires_grad_(), 2), alphas=(-0.5, 0, 0.5)),
    "triangle": lambda f: flatlab.triangle(0 * f.x, f.x, other_point(f) + 1),
    "noise scale": lambda f: flatlab.noise_scale(f, small=4, big=32, samples=3),
    "signal": lambda f: flatlab.signal_to_noise(f, batch_sizes=[4, 8], samples=3),
    "hessian noise scale": lambda f: flatlab.hessian_noise_scale(f, batch_size=8, samples=3),
    "variance": lambda f: flatlab.gradient_variance(f),
}


# What is drawn from the device's own generator: a GPU draws other numbers than a processor.
DRAWN = ("sharpness in a subspace", "average", "trace", "density", "plane")


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("measure", MEASUREMENTS)
def test_a_measurement_has_the_same_bits(measure, monkeypatch):
    # A GPU holds more rows' gradients at once, for speed; bits are compared at as many.
    monkeypatch.setitem(noise.GRADIENTS_HELD, "cuda", noise.GRADIENTS_HELD["cpu"])
    results = [
        MEASUREMENTS[measure](Objective(plain(), rows(device=device).train, chunk=25)) for device in ("cpu", "cuda")
    ]
    if REAL and measure in DRAWN:
        assert all(number.isfinite().any() for number in numbers(results[1]))
        return
    if REAL and hasattr(results[0], "__float__"):  # the point that a search ends at is not unique, its value nearly is
        results = [float(result) for result in results]
    one, other = map(numbers, results)
    assert len(one) == len(other) > 0
    for a, b in zip(one, other):
        assert_near(a, b)


def test_eigenpairs_can_be_multiplied():
    found = flatlab.eigenvalues(Objective("mlp", rows(device="cuda").train).hessian(), 2, max_products=4)
    assert (found.vectors * found.values).is_cuda


# The paper's experiments, made small

TIMES = ("second", "allowed", "efficiency")
SMALL = {"data": "160 rows of mnist1d", "small": 16, "large": 80, "epochs": 3, "seeds": (0,)}
OTHERS = {
    "regression": {"small": 20, "large": 200, "seeds": (0,)},
    "online": {**SMALL, "epochs": 15},
    "optimizers": {**SMALL, "epochs": 4},
    "lenet-sweep": {**SMALL, "small": 8},
    "data-growth": {**SMALL, "small": 8},
    "ratio": {**SMALL, "data": "512 rows of mnist1d"},
    "critical-batch": {**SMALL, "epochs": 5},
    "table6": {**SMALL, "net": "C1", "data": "64 rows of digits", "small": 16, "large": 32, "epochs": 1},
}
DROPOUT = ("table6",)  # its net drops out, and the two devices draw that in two ways
# The gradients of many rows, which each device sums in parts of its own.
ROUNDED = ("noise-along", "noise-directions", "critical-batch")


def forget():
    """The data that are kept lie on the device of the run before."""
    splits.loaded.cache_clear()
    splits.validation.cache_clear()


@pytest.mark.parametrize("name", experiments.EXPERIMENTS)
def test_an_experiment_has_the_same_numbers(name, tmp_path, monkeypatch):
    whole = experiments.EXPERIMENTS[name]
    settings = whole.settings["smoke"] if name == "regression" else whole.settings["smoke"][:1]
    tiny = tuple(replace(setting, **OTHERS.get(name, SMALL)) for setting in settings)
    monkeypatch.setitem(experiments.EXPERIMENTS, name, replace(whole, settings={"smoke": tiny}))
    values = []
    for device in ("cpu", "cuda"):
        monkeypatch.setattr("flatlab.data._device", lambda asked, device=device: torch.device(asked or device))
        forget()
        values.append(flatlab.reproduce(name, store=tmp_path / device, progress=False, workers=1).values)
    forget()
    for net, columns in values[0].items():
        assert columns.keys() == values[1][net].keys()
        for column, value in columns.items():
            if not REAL and not any(word in column for word in TIMES) and name not in DROPOUT:
                other = values[1][net][column]
                if name in ROUNDED:
                    np.testing.assert_allclose(np.array(other, float), np.array(value, float), 1e-6, err_msg=column)
                else:
                    assert value == other, column
