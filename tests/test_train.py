"""Training against torch's own loop, its bits across repeats, resumes and real kills, and the paper's facts."""

import contextlib
import copy
import functools
import random

import numpy as np
import pytest
import torch
import tqdm.auto
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import parameters_to_vector

import flatlab
from flatlab.training.run import HISTORY
from flatlab.training.targets import as_trained
from flatlab.training.train import _epoch_seed
from flatlab.training.trainer import Trainer, batch_sizes
from flatlab.training.updates import UPDATE_RULES


@pytest.fixture(scope="module")
def data():
    return flatlab.load("mnist1d", device="cpu").subset(300)


def train(net, data, **changes):
    return flatlab.train(net, data, **{"batch_size": 50, "epochs": 3, "progress": False, **changes})


@pytest.mark.parametrize(
    "name, make",
    {
        "adam": lambda p: torch.optim.Adam(p, lr=1e-3),
        "sgd": lambda p: torch.optim.SGD(p, lr=1e-3, momentum=0.9),
        "rmsprop": lambda p: torch.optim.RMSprop(p, lr=1e-3),
        "rprop": lambda p: torch.optim.Rprop(p, lr=1e-3),
        "adagrad": lambda p: torch.optim.Adagrad(p, lr=1e-3),
    }.items(),
)
def test_it_is_torchs_own_loop_in_float64(data, name, make):
    """The plain loop over separate parameters, written out: the flat vector and the fused step change nothing."""
    data = flatlab.Data(data.name, 10, *(flatlab.Split(s.x.double(), s.y) for s in (data.train, data.test)))
    net = flatlab.build("mlp", data).double()
    run = train(net, data, optimizer=name, momentum=0.9 if name == "sgd" else 0.0)
    plain = copy.deepcopy(net).train()
    optimizer = make(plain.parameters())
    for epoch in (1, 2, 3):
        torch.manual_seed(_epoch_seed(0, epoch))
        for batch in torch.randperm(300).split(50):
            optimizer.zero_grad()
            cross_entropy(plain(data.train.x[batch]), data.train.y[batch]).backward()
            optimizer.step()
    x = torch.cat([p.detach().flatten() for p in plain.parameters()])
    torch.testing.assert_close(run.x, x, rtol=0, atol=1e-7)  # rounding differs, and is divided by small gradients


@pytest.mark.parametrize("name, fused", {"adam": 1, "sgd": 1, "adagrad": 1, "rmsprop": 0, "rprop": 0}.items())
def test_a_step_is_one_kernel_where_torch_has_one(data, name, fused):
    trainer = Trainer(flatlab.build("mlp", data), data, flatlab.Recipe(optimizer=name, batch_size=50))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        trainer.step(torch.arange(50))
    steps = [event.count for event in seen.key_averages() if event.key == f"aten::_fused_{name}_"]
    assert steps == [1] * fused


def test_the_seconds_of_a_run_are_those_of_its_epochs(data, monkeypatch, tmp_path):
    clock, prepare, epoch = [0.0], Trainer.prepare, Trainer.epoch

    def takes(seconds, method):
        def slow(*arguments):
            clock[0] += seconds
            return method(*arguments)

        return slow

    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    monkeypatch.setattr(Trainer, "prepare", takes(1000.0, prepare))
    monkeypatch.setattr(Trainer, "epoch", takes(1.0, epoch))
    assert train("mlp", data).history["seconds"] == [1.0, 2.0, 3.0]
    monkeypatch.setattr(Trainer, "epoch", takes(1.0, broken_in(2, epoch)))
    with pytest.raises(KeyboardInterrupt):
        train("mlp", data, store=tmp_path)
    monkeypatch.setattr(Trainer, "epoch", takes(1.0, epoch))
    assert train("mlp", data, store=tmp_path).history["seconds"] == [1.0, 2.0, 3.0], "what is resumed goes on counting"


def broken_in(number, epoch):
    calls = []

    def stops(*arguments):
        calls.append(1)
        if len(calls) == number:
            raise KeyboardInterrupt
        return epoch(*arguments)

    return stops


class Skips(nn.Module):
    """Looks its rows up in a table whose gradient is sparse, and leaves out a layer at random."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.table, self.inner, self.outer = nn.Embedding(5, 4, sparse=True), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x):
        h = self.table(x).flatten(1)
        return self.outer(self.inner(h).tanh() if not self.training or torch.rand(()) < 0.5 else h)


def test_where_a_step_gives_a_parameter_no_gradient_or_a_sparse_one_it_is_zero_or_dense():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randint(5, (60, 2), generator=generator), torch.randint(3, (60,), generator=generator)
    data, options = rows(x, y), {"lr": 0.1, "momentum": 0.9}
    run = train(Skips(), data, optimizer="sgd", **options)
    plain = Skips().train()
    optimizer = torch.optim.SGD(plain.parameters(), **options)
    for epoch in (1, 2, 3):
        torch.manual_seed(_epoch_seed(0, epoch))
        for batch in torch.randperm(60).split(50):
            optimizer.zero_grad()
            cross_entropy(plain(x[batch]), y[batch]).backward()
            for p in plain.parameters():
                p.grad = torch.zeros_like(p) if p.grad is None else p.grad.to_dense()
            optimizer.step()
    end = torch.cat([p.detach().flatten() for p in plain.parameters()])
    torch.testing.assert_close(run.x, end, rtol=0, atol=1e-6)


def test_defaults_are_the_papers():
    recipe = flatlab.Recipe()
    assert (recipe.batch_size, recipe.epochs, recipe.optimizer, recipe.lr, recipe.weight_decay) == (
        256,
        100,
        "adam",
        1e-3,
        0,
    )
    assert flatlab.Recipe(batch_size=0.10).rows(60_000) == 6000
    assert len(batch_sizes(60_000, 256)) == 235 and len(batch_sizes(60_000, 6000)) == 10


def test_every_row_is_used_once_an_epoch_and_no_row_is_left_alone():
    for count, rows in ((300, 50), (301, 50), (302, 50), (5, 2), (7, 7), (4, 1)):
        sizes = batch_sizes(count, rows)
        assert sum(sizes) == count and (rows == 1 or min(sizes) > 1) and max(sizes) <= rows + 1


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(data):
    a, b, c = (train("mlp", data, seed=s) for s in (0, 0, 1))
    assert torch.equal(a.x, b.x) and torch.equal(a.x0, b.x0)
    assert {k: v for k, v in a.history.items() if k != "seconds"} == {
        k: v for k, v in b.history.items() if k != "seconds"
    }
    assert not torch.equal(a.x0, c.x0) and not torch.equal(a.x, c.x)


def test_small_and_large_batch_start_at_the_same_point(data):
    assert torch.equal(train("mlp", data, epochs=0).x0, train("mlp", data, batch_size=0.5, epochs=0).x0)


def test_the_history_is_what_it_says(data):
    run = train("mlp", data, epochs=4)
    assert tuple(run.history) == HISTORY and all(len(v) == 4 for v in run.history.values())
    assert run.history["epoch"] == [1, 2, 3, 4] and run.history["updates"] == [6, 12, 18, 24]
    assert run.history["distance"][-1] == pytest.approx((run.x - run.x0).norm().item(), rel=1e-6)
    f = flatlab.Objective("mlp", data.test)
    assert run.history["test_loss"][-1] == f.value(run.x) and run.history["test_accuracy"][-1] == f.accuracy(run.x)
    assert run.history["seconds"] == sorted(run.history["seconds"])


def test_the_users_net_data_and_generator_are_left_alone(data):
    net = flatlab.build("mlp", data, running_averages=True)
    net[1].bias.requires_grad_(False)
    before, state = copy.deepcopy(net.state_dict()), torch.random.get_rng_state()
    digest = data.digest
    run = train(net, data)
    assert all(torch.equal(a, b) for a, b in zip(before.values(), net.state_dict().values()))
    assert all(p.grad is None for p in net.parameters()) and torch.equal(state, torch.random.get_rng_state())
    assert flatlab.Data(data.name, 10, data.train, data.test).digest == digest
    assert torch.equal(run.model()[1].bias, net[1].bias)  # frozen: not trained
    assert not torch.equal(run.model()[1].weight, net[1].weight)


def test_the_runs_model_is_the_net_at_x(data):
    net = flatlab.build("mlp", data, running_averages=True)
    run = train(net, data)
    f = flatlab.Objective(run.model(), data.test, batch_norm="frozen")
    assert torch.equal(f.x, run.x) and f.value(f.x) == run.history["test_loss"][-1]
    assert not run.model().training


def test_a_starting_point_can_be_given(data):
    first = train("mlp", data)
    assert torch.equal(train("mlp", data, x0=first.x, epochs=0).x, first.x)


def test_bf16_trains_about_as_well(data):
    exact, coarse = (train("mlp", data, epochs=10, precision=p) for p in ("float32", "bf16"))
    assert abs(exact.history["train_loss"][-1] - coarse.history["train_loss"][-1]) < 0.15
    assert not torch.equal(exact.x, coarse.x)


def test_a_finished_run_is_read_and_any_changed_ingredient_is_another_run(data, tmp_path):
    first = train("mlp", data, store=tmp_path)
    again = train("mlp", data, store=tmp_path)
    assert (
        torch.equal(first.x, again.x) and first.history == again.history
    )  # also the seconds: it was not trained again
    for change in ({"seed": 1}, {"lr": 2e-3}, {"batch_size": 60}, {"epochs": 2}, {"x0": first.x}):
        train("mlp", data, store=tmp_path, **change)
    train("mlp", data.subset(299), store=tmp_path)
    train("F1", data, store=tmp_path, epochs=0)
    assert len(list(tmp_path.iterdir())) == 8


def test_a_users_net_is_told_from_another_by_its_source(data, tmp_path):
    torch.manual_seed(0)
    first, second = Twice(), Thrice()
    second.load_state_dict(first.state_dict())
    assert repr(first).replace("Twice", "") == repr(second).replace("Thrice", "")
    a, b = (train(net, data, store=tmp_path) for net in (first, second))
    assert not torch.equal(a.x, b.x) and len(list(tmp_path.iterdir())) == 2


class Twice(nn.Module):
    factor = 2

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(40, 10)

    def forward(self, x):
        return self.factor * self.layer(x)


class Thrice(Twice):
    factor = 3


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop", "adagrad", "rprop"])
def test_an_interrupted_run_resumes_to_the_same_bits(data, tmp_path, monkeypatch, optimizer):
    """With running averages and dropout, so that buffers and random numbers are part of it."""
    net = nn.Sequential(
        *list(flatlab.build("mlp", data, running_averages=True))[:-1], nn.Dropout(0.5), nn.Linear(256, 10)
    )
    options = {"optimizer": optimizer, "momentum": 0.9 if optimizer == "sgd" else 0.0, "epochs": 5}
    whole = train(net, data, **options)
    real, calls = Trainer.epoch, []

    def interrupted(self, *arguments):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(self, *arguments)

    monkeypatch.setattr(Trainer, "epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(net, data, store=tmp_path, **options)
    assert [p.suffix for p in tmp_path.iterdir()] == [".partial"]
    resumed = train(net, data, store=tmp_path, **options)
    assert len(calls) == 4 + 2  # three epochs were kept
    assert torch.equal(whole.x, resumed.x) and torch.equal(whole.x0, resumed.x0)
    assert all(torch.equal(whole.buffers[k], resumed.buffers[k]) for k in whole.buffers)
    assert whole.history["test_loss"] == resumed.history["test_loss"]
    assert [p.suffix for p in tmp_path.iterdir()] == [".safetensors"]


def test_refusals_say_what_to_do(data):
    for message, call in {
        "optimizer is 'lion': choose": lambda: flatlab.Recipe(optimizer="lion"),
        "batch_size is 0": lambda: flatlab.Recipe(batch_size=0),
        "batch_size is 1.5": lambda: flatlab.Recipe(batch_size=1.5),
        "lr is 0": lambda: flatlab.Recipe(lr=0),
        "momentum is for": lambda: flatlab.Recipe(momentum=0.9),
        "rprop looks at signs": lambda: flatlab.Recipe(optimizer="rprop", weight_decay=1e-4),
        "only 300 rows": lambda: train("mlp", data, batch_size=301),
        "nothing to normalise": lambda: train("mlp", data, batch_size=1),
        "x0 has shape": lambda: train("mlp", data, x0=torch.zeros(3)),
        "nothing to train": lambda: train(nn.ReLU(), data),
    }.items():
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(FloatingPointError, match="lower lr"):
        train(nn.Linear(40, 10), data, optimizer="sgd", lr=1e38)


@pytest.mark.parametrize("net", ["mlp", nn.Sequential(nn.Linear(40, 20), nn.Dropout(0.5), nn.Linear(20, 10))])
def test_no_generator_but_those_that_are_put_back_is_seeded(data, net, monkeypatch):
    """torch.manual_seed seeds the generators of all devices."""
    monkeypatch.setattr(torch, "manual_seed", None)
    state = torch.random.get_rng_state()
    train(net, data)
    flatlab.Objective(net, data.train)
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize(
    "setting",
    [
        torch.no_grad,
        torch.inference_mode,
        lambda: torch.autocast("cpu", torch.bfloat16),
        lambda: matmul_precision("medium"),
        lambda: fp32_precision("tf32"),
    ],
    ids=["no_grad", "inference_mode", "autocast", "medium", "tf32"],
)
def test_what_the_caller_has_set_changes_no_bit_and_comes_back(data, setting):
    net = nn.Sequential(nn.Linear(40, 20), nn.ReLU(), nn.Linear(20, 10))
    for each in ("mlp", net):
        outside = train(each, data)
        with setting():
            inside, before = train(each, data), settings()
            train(each, data)
            assert settings() == before
        assert torch.equal(inside.x, outside.x) and inside.history["test_loss"] == outside.history["test_loss"]
        assert inside.model()(
            data.test.x[:2]
        ).requires_grad  # an ordinary network, also if it was made under inference_mode


def settings():
    return (
        torch.get_float32_matmul_precision(),
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"),
        getattr(torch.backends, "fp32_precision", None),
    )


@contextlib.contextmanager
def matmul_precision(value):
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(value)
    yield
    torch.set_float32_matmul_precision(before)


@contextlib.contextmanager
def fp32_precision(value):
    if not hasattr(torch.backends, "fp32_precision"):
        pytest.skip("torch 2.9 and later have it")
    before = torch.backends.fp32_precision
    torch.backends.fp32_precision = value
    yield
    torch.backends.fp32_precision = before


@pytest.mark.parametrize(
    "call, error, sentence",
    [
        (
            lambda d: flatlab.train("mlp", (d.train.x, d.train.y)),
            ValueError,
            r"flatlab.Split\(x, y\).* this is a tuple",
        ),
        (lambda d: flatlab.train("mlp", d.train), ValueError, "flatlab.load.*this is a Split"),
        (lambda d: flatlab.train("mlp", "mnist1d"), ValueError, "flatlab.load.*this is 'mnist1d'"),
        (lambda d: flatlab.train("mlp", d, batchsize=32), TypeError, "'batchsize'.* did you mean 'batch_size'"),
        (lambda d: flatlab.train("mlp", d, sed=1), TypeError, "did you mean 'seed'"),
        (lambda d: flatlab.train("mlp", d, 32), ValueError, "as batch_size=32; this is 32"),
        (lambda d: flatlab.train("mlp", d, {"batch_size": 32}), ValueError, "as batch_size=32; this is a dict"),
        (lambda d: flatlab.train(nn.Linear, d), ValueError, "or an nn.Module; this is the class Linear"),
        (lambda d: flatlab.train(None, d), ValueError, "or an nn.Module; this is None"),
        (lambda d: flatlab.train("mlp", d, x0=[1.0]), ValueError, "such as run.x; this is a list"),
        (lambda d: flatlab.train("mlp", d, keep=3), ValueError, "a list of epochs.*this is 3"),
        (lambda d: flatlab.train("mlp", d, keep=[1.5]), ValueError, "the epochs are 0 to 100"),
        (lambda d: flatlab.train("mlp", d, store=True), ValueError, "a flatlab.Store or a directory; this is True"),
        (lambda d: flatlab.train("mlp", d, seed="a"), ValueError, "seed is 'a': choose a whole number"),
        (lambda d: flatlab.Recipe(batch_size="32"), ValueError, "batch_size is '32': give a finite number"),
        (lambda d: flatlab.Recipe(batch_size=None), ValueError, "batch_size is None: give a finite number"),
        (lambda d: flatlab.Recipe(epochs=2.5), ValueError, "epochs is 2.5: give a whole number"),
        (lambda d: flatlab.Recipe(lr=float("nan")), ValueError, "lr is nan: give a finite number"),
        (lambda d: flatlab.Recipe(momentum=-0.9, optimizer="sgd"), ValueError, "momentum is -0.9"),
        (lambda d: flatlab.Recipe(weight_decay=-1), ValueError, "weight_decay -1: both are 0 or more"),
        (lambda d: flatlab.Recipe(augmentation=True), ValueError, "augmentation is True: give a finite number"),
        (lambda d: flatlab.Recipe(augmentation=-1), ValueError, "augmentation -1: growth is 1 or more, the others 0"),
        (
            lambda d: flatlab.Recipe(optimizer=torch.optim.Adam),
            ValueError,
            "optimizer is the class Adam: choose one of",
        ),
        (lambda d: flatlab.Recipe(update=["sam"]), ValueError, "update is a list: choose one of"),
        (lambda d: flatlab.train("mlp", d, learning_rate=0.1), TypeError, "did you mean 'lr'"),
    ],
)
def test_natural_slips_are_one_sentence_each(data, call, error, sentence):
    with pytest.raises(error, match=sentence) as caught:
        call(data)
    assert "\n" not in str(caught.value)


def test_numbers_of_other_libraries_are_pythons_own():
    recipe = flatlab.Recipe(batch_size=np.int64(32), lr=np.float32(0.5), epochs=np.int32(3))
    assert recipe == flatlab.Recipe(batch_size=32, lr=0.5, epochs=3) and type(recipe.epochs) is int


# Networks and data of a user's


def rows(x, y, classes=3):
    """The same rows to train and to test on."""
    return flatlab.Data("mine", classes, flatlab.Split(x, y), flatlab.Split(x, y))


@pytest.fixture
def blobs():
    torch.manual_seed(0)
    return rows(torch.rand(60, 8), torch.arange(60) % 3)


def linear(outputs=3):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, outputs))


def test_parts_in_evaluation_mode_stay_so(blobs):
    """A frozen backbone's averages do not move, and its dropout stays off; a network that is wholly so is put into
    training mode."""
    net = nn.Sequential(nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Dropout(0.9)), nn.Linear(16, 3))
    net[0].eval().requires_grad_(False)
    modes = [module.training for module in net.modules()]
    run = train(net, blobs, batch_size=20)
    assert torch.equal(run.buffers["0.1.running_mean"], net[0][1].running_mean)
    assert [module.training for module in net.modules()] == modes
    assert run.history["train_loss"][0] == train(net, blobs, batch_size=20).history["train_loss"][0]
    assert not torch.equal(train(net.eval(), blobs, batch_size=20).buffers["0.1.running_mean"], net[0][1].running_mean)


def test_types_are_made_to_fit(blobs):
    """Numbers of any type, and classes of any: torch alone would stop at each of them."""
    x, y = blobs.train.x, blobs.train.y
    expected = train(linear(), blobs, batch_size=20).x
    for other in (rows(x.double(), y), rows(x, y.int()), rows(x, y.byte())):
        assert torch.equal(train(linear(), other, batch_size=20).x, expected)
    soft = nn.functional.one_hot(y, 3)
    assert torch.allclose(train(linear(), rows(x, soft.double()), batch_size=20).x, expected, atol=1e-6)
    assert as_trained(rows(x, soft.double()).train, x.dtype)[1].dtype == x.dtype  # some versions of torch refuse two
    assert train(linear().double(), blobs, batch_size=20).x.dtype == torch.float64
    torch.set_default_dtype(torch.float64)
    try:
        assert train("mlp", blobs, batch_size=20).x.dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    with pytest.raises(ValueError, match="parameters of type torch.float32, torch.float64: train it in one type"):
        train(nn.Sequential(linear(), nn.Linear(3, 3).double()), blobs)
    with pytest.raises(ValueError, match="parameters of type torch.bfloat16"):
        train(linear().bfloat16(), blobs)


class Pixels(nn.Module):
    """A class for each pixel."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Conv2d(1, 3, 3, padding=1)

    def forward(self, x):
        return self.layer(x)


@pytest.mark.parametrize("kind", [torch.uint8, torch.int64, torch.bool, torch.complex64])
def test_inputs_that_the_network_cannot_take_are_one_sentence(blobs, kind):
    given = rows(blobs.train.x.to(kind), blobs.train.y)
    with pytest.raises(ValueError, match=rf"does not run on the training inputs, {kind} of shape \(20, 8\)") as refusal:
        flatlab.train(linear(), given, batch_size=20, epochs=1, progress=False)
    assert "\n" not in str(refusal.value)


def test_rows_that_are_not_finite_are_named_and_not_the_learning_rate(blobs):
    x = blobs.train.x.clone()
    x[7, 2] = float("nan")
    given = flatlab.Data("mine", 3, flatlab.Split(x, blobs.train.y), blobs.test)
    with pytest.raises(FloatingPointError, match="row 7 of the training inputs is not finite, so mend"):
        flatlab.train(linear(), given, batch_size=20, epochs=1, progress=False)
    x0 = parameters_to_vector(linear().parameters()) * float("inf")
    with pytest.raises(ValueError, match="x0 is not finite"):
        flatlab.train(linear(), blobs, x0=x0, batch_size=20, epochs=1, progress=False)


class InPlaceInTraining(nn.Module):
    def __init__(self, in_place):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.in_place = nn.Linear(8, 3), in_place

    def forward(self, x):
        if self.in_place and self.training:
            x.mul_(3)
        return self.layer(x if self.in_place or not self.training else 3 * x)


@pytest.mark.parametrize("update", UPDATE_RULES)
def test_a_forward_that_works_in_place_in_training_alone_is_trained_as_any(blobs, update):
    one, other = (
        flatlab.train(InPlaceInTraining(kind), blobs, batch_size=20, epochs=2, update=update, progress=False)
        for kind in (True, False)
    )
    assert torch.equal(one.x, other.x)


def test_the_data_are_left_as_they_are_by_a_forward_that_works_in_place(blobs):
    net = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(8, 3))
    data = rows(blobs.train.x - 0.5, blobs.train.y)
    before = data.train.x.clone()
    train(net, data, batch_size=60)  # all rows at once: what is looked at first is all that there is
    assert torch.equal(data.train.x, before)


class DropsOnTheHost(nn.Module):
    """Layers are left out by numpy's and Python's generators, as libraries of transformers do it."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x):
        x = self.body(x) if not self.training or np.random.rand() > 0.5 else x
        return self.head(x * 1.1 if self.training and random.random() > 0.5 else x)


def test_what_a_network_draws_on_the_host_is_decided_by_the_seed_and_moves_no_generator(blobs):
    def state():
        return random.getstate(), np.random.get_state()[1].tolist(), np.random.get_state()[2]

    def run(seed=0):
        return flatlab.train(DropsOnTheHost(), blobs, seed=seed, batch_size=20, epochs=2, progress=False).x

    before, one = state(), run()
    assert state() == before
    np.random.rand(), random.random()
    assert torch.equal(one, run()) and not torch.equal(one, run(seed=1))


@pytest.mark.parametrize("way", ["register_hook", "register_post_accumulate_grad_hook"])
def test_hooks_on_parameters_are_refused_because_a_copy_has_none(blobs, way):
    model = linear()
    getattr(model[0].weight, way)(lambda gradient: None)
    with pytest.raises(ValueError, match="the parameter 0.weight has a hook on its gradient.*requires_grad_"):
        flatlab.train(model, blobs, batch_size=20, epochs=1, progress=False)


def test_an_accuracy_is_the_share_of_the_targets_that_count():
    """Each pixel is a target; what the loss leaves out is none. Compared with the last point on the whole set: lr is
    tiny."""
    x = torch.rand(12, 1, 4, 5)
    y = (3 * x[:, 0]).long()
    y[:, 0] = -100
    run = train(Pixels(), rows(x, y), batch_size=6, lr=1e-12)
    right = (run.model()(x).argmax(1) == y).sum().item()
    assert run.history["train_accuracy"][-1] == pytest.approx(100 * right / (y >= 0).sum().item())
    assert 0 < run.history["train_accuracy"][-1] <= 100


def test_where_there_are_no_classes_there_is_no_accuracy(blobs, capfd, monkeypatch):
    monkeypatch.setattr("tqdm.auto.tqdm", functools.partial(tqdm.auto.tqdm, disable=False))  # $TQDM_DISABLE may be set
    soft = rows(blobs.train.x, nn.functional.one_hot(blobs.train.y, 3).float())
    run = train(linear(), soft, batch_size=20, progress=True)
    assert run.history["train_accuracy"] == [None] * 3 == run.history["test_accuracy"]
    assert repr(run).endswith("3 epochs)") and "3/3" in capfd.readouterr().err.replace("100%", "3/3")


@pytest.mark.parametrize(
    "net, y, sentence",
    [
        (lambda: linear(1), torch.arange(60) % 2, "give two outputs or more"),
        (linear, torch.arange(60) % 4, "a target is 3, but the network has outputs for 3 classes"),
        (linear, torch.arange(60) % 3 - 1, "a target is -1"),
        (linear, torch.rand(60), "do not fit targets in torch.float32 of shape"),
        (lambda: linear(1), torch.rand(60, 1), "give two outputs or more"),
        (lambda: nn.Sequential(linear(), nn.Flatten(0)), torch.arange(60) % 3, "a tensor of rows x classes"),
        (lambda: nn.LSTM(8, 3), torch.arange(60) % 3, "a tensor of rows x classes, and this network's are a tuple"),
    ],
)
def test_outputs_that_do_not_fit_the_targets_are_refused_before_training(blobs, net, y, sentence):
    """On a GPU a wrong target would end the process."""
    with pytest.raises(ValueError, match=sentence):
        train(net(), rows(blobs.train.x, y), batch_size=20)


class Moves(nn.Module):
    """Clips its weights as some do: with new memory for each."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 3)

    def forward(self, x):
        self.layer.weight.data = self.layer.weight.data.clamp(-1, 1)
        return self.layer(x)


class Flattens(nn.Module):
    """A recurrent network that calls flatten_parameters, which on a GPU gives the weights new memory."""

    class LSTM(nn.LSTM):
        def flatten_parameters(self):
            for parameter in self.parameters():
                parameter.data = parameter.data.clone()

    def __init__(self, flat=True):
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.out, self.flat = self.LSTM(4, 6, batch_first=True), nn.Linear(6, 3), flat

    def forward(self, x):
        if self.flat:
            self.inner.flatten_parameters()
        return self.out(self.inner(x.view(-1, 2, 4))[0][:, -1])


def test_parameters_that_get_new_memory_are_trained_or_refused(blobs):
    one, other = (train(Flattens(flat), blobs, batch_size=20) for flat in (True, False))
    assert torch.equal(one.x, other.x) and not torch.equal(one.x, one.x0)
    assert "flatten_parameters" not in vars(one.model().inner)
    with pytest.raises(ValueError, match="gives a parameter new memory"):
        train(Moves(), blobs, batch_size=20)


@pytest.mark.parametrize("wrap", [torch.nn.DataParallel, lambda net: torch.compile(net, backend="eager")])
def test_what_is_around_a_network_is_taken_off(blobs, wrap):
    run, expected = train(wrap(linear()), blobs, batch_size=20), train(linear(), blobs, batch_size=20)
    assert torch.equal(run.x, expected.x) and run.facts["net"] == "Sequential" == type(run.model()).__name__


def test_a_network_that_cannot_be_copied_is_one_sentence(blobs):
    net = linear()
    net.kept = net[0].weight * 2
    with pytest.raises(ValueError, match="the network cannot be copied"):
        train(net, blobs, batch_size=20)
    with pytest.raises(ValueError, match="a TorchScript network"):
        train(torch.jit.trace(linear(), torch.zeros(2, 8)), blobs, batch_size=20)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_captured_step_is_the_eager_one_on_a_gpu(data, monkeypatch):
    data = data.to("cuda")
    captured = train("mlp", data, epochs=3)
    monkeypatch.setattr(Trainer, "_capturable", lambda self: False)
    eager = train("mlp", data, epochs=3)
    torch.testing.assert_close(captured.x, eager.x, rtol=1e-3, atol=1e-4)
    assert captured.history["train_accuracy"] == pytest.approx(eager.history["train_accuracy"], abs=1.0)
