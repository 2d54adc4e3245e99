"""A kept measurement is the measurement, and another one is never taken for it."""

import copy
import functools
import threading

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import flatlab
from flatlab.study import memory as kept
from flatlab.study.memory import kept_sharpness

X = torch.randn(30, 5, generator=torch.Generator().manual_seed(0))
Y = torch.arange(30) % 3


def net(seed=0, **options):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8, **options), nn.ReLU(), nn.Linear(8, 3))


@pytest.fixture
def counted(monkeypatch):
    """The calls of `sharpness` so far."""
    calls = []

    @functools.wraps(flatlab.sharpness)
    def counting(*arguments, **options):
        calls.append(options)
        return flatlab.sharpness(*arguments, **options)

    monkeypatch.setattr(kept, "sharpness", counting)
    return calls


def test_a_second_time_it_is_read_and_equal_to_the_last_bit(tmp_path, counted):
    f = flatlab.Objective(net(), (X, Y))
    first = kept_sharpness(flatlab.Store(tmp_path))(f, steps=4)
    second = kept_sharpness(flatlab.Store(tmp_path))(flatlab.Objective(net(), (X.clone(), Y)), f.x, steps=4)
    assert len(counted) == 1
    assert torch.equal(first.maximum.x, second.maximum.x)
    for name in ("value", "evaluations", "history", "at_bound", "converged", "method"):
        assert getattr(first.maximum, name) == getattr(second.maximum, name), name
    for name in ("percent", "base", "peak", "eps", "subspace", "batch_norm", "seed"):
        assert getattr(first, name) == getattr(second, name), name
    assert float(first) == float(flatlab.sharpness(f, steps=4))


def test_what_an_evaluation_leaves_in_the_objective_makes_no_difference(tmp_path, counted):
    f, phi = flatlab.Objective(net(), (X, Y), batch_norm="recompute"), kept_sharpness(flatlab.Store(tmp_path))
    phi(f)
    f._pool_statistics(f.x)  # as an evaluation in several chunks does
    phi(f)
    assert len(counted) == 1


def test_whatever_decides_it_makes_it_another(tmp_path, counted):
    model, phi = net(), kept_sharpness(flatlab.Store(tmp_path))
    f = flatlab.Objective(model, (X, Y))
    moved, other, buffers = f.x.clone(), X.clone(), copy.deepcopy(model)
    moved[3] += 1e-6
    other[0, 0] += 1e-6
    buffers[1].running_mean[0] += 1e-3
    measured = [
        (f, {}),
        (f, {"x": moved}),
        (f, {"eps": 5e-4}),
        (f, {"steps": 9}),
        (f, {"method": "apgd"}),
        (f, {"subspace": 4}),
        (f, {"subspace": 4, "seed": 1}),
        (flatlab.Objective(model, (other, Y)), {}),
        (flatlab.Objective(model, (X, Y.flip(0))), {}),
        (flatlab.Objective(model, (X, Y), batch_norm="frozen"), {}),
        (flatlab.Objective(buffers, (X, Y), batch_norm="frozen"), {}),
        (flatlab.Objective(model, (X, Y), batch_norm="recompute"), {}),
        (flatlab.Objective(model, (X, Y), chunk=10), {}),
        (flatlab.Objective(net(eps=1e-3), (X, Y)), {"x": f.x}),
    ]
    for count, (objective, options) in enumerate(measured, 1):
        phi(objective, **options)
        assert len(counted) == count, options
    for objective, options in measured:
        phi(objective, **options)
    assert len(counted) == len(measured)


def test_a_seed_from_which_nothing_is_drawn_makes_no_difference(tmp_path, counted):
    f, phi = flatlab.Objective(net(), (X, Y)), kept_sharpness(flatlab.Store(tmp_path))
    assert [phi(f, seed=seed, subspace=None).seed for seed in (0, 7)] == [0, 7] and len(counted) == 1
    phi(f, seed=7, starts=2)
    phi(f, seed=8, starts=2)
    assert len(counted) == 3


def test_another_source_of_what_measures_makes_it_another(tmp_path, counted, monkeypatch):
    f, phi = flatlab.Objective(net(), (X, Y)), kept_sharpness(flatlab.Store(tmp_path))
    phi(f)
    monkeypatch.setitem(kept.SHARPNESS.__dict__, "hash", "another")
    phi(f)
    assert len(counted) == 2


class Odd(nn.Linear):
    def forward(self, x):
        return super().forward(x).sin()


class Even(nn.Linear):
    def forward(self, x):
        return super().forward(x).cos()


def hooked(factor):
    model = net()
    model[0].register_forward_hook(lambda layer, inputs, output: output * factor)
    return model


def weighted(factor):
    return lambda outputs, targets: factor * cross_entropy(outputs, targets)


@pytest.mark.parametrize(
    "one, other",
    [
        (
            lambda: flatlab.Objective(net(), (X, Y), loss=weighted(2)),
            lambda: flatlab.Objective(net(), (X, Y), loss=weighted(3)),
        ),
        (lambda: layer(Odd), lambda: layer(Even)),
        (lambda: flatlab.Objective(hooked(2), (X, Y)), lambda: flatlab.Objective(hooked(3), (X, Y))),
    ],
    ids=["a loss of one's own", "a layer of one's own", "a hook"],
)
def test_what_a_user_hands_over_is_known_as_well(tmp_path, counted, one, other):
    phi = kept_sharpness(flatlab.Store(tmp_path))
    assert float(phi(one())) == float(phi(one())) != float(phi(other()))
    assert len(counted) == 2


def layer(kind):
    torch.manual_seed(0)
    return flatlab.Objective(nn.Sequential(kind(5, 3)), (X, Y))


class Locked:
    def __init__(self):
        self.lock = threading.Lock()

    def __call__(self, outputs, targets):
        return cross_entropy(outputs, targets)


@pytest.mark.parametrize(
    "objective",
    [
        lambda: flatlab.Objective(net(), (X, Y), loss=Locked()),
        lambda: flatlab.Objective(net(), [(X, Y)]),
        lambda: Doubled(net(), (X, Y)),
    ],
    ids=["a loss that holds a lock", "a loader", "an objective of one's own"],
)
def test_what_cannot_be_told_is_measured_anew(tmp_path, counted, objective):
    phi = kept_sharpness(flatlab.Store(tmp_path))
    f = objective()
    assert float(phi(f)) == float(phi(f))
    assert len(counted) == 2 and not list(tmp_path.iterdir())


class Doubled(flatlab.Objective):
    def gradient(self, x):
        value, gradient = super().gradient(x)
        return value, 2 * gradient
