"""A measurement's number does not depend on what its caller has set in torch, and what was set is set afterwards."""

from contextlib import contextmanager

import pytest
import torch
from test_door import OF_A_POINT, A

import flatlab


@contextmanager
def setting(read, write, value):
    before = read()
    write(value)
    try:
        yield
    finally:
        assert read() == value, "the caller's setting did not come back"
        write(before)


@contextmanager
def default_device(name):
    torch.set_default_device(name)
    try:
        yield
        assert torch.get_default_device().type == name
    finally:
        torch.set_default_device(None)


SETTINGS = {
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "inference mode": torch.inference_mode,
    "no_grad": torch.no_grad,
    "medium products": lambda: setting(
        torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "medium"
    ),
    "float64 by default": lambda: setting(torch.get_default_dtype, torch.set_default_dtype, torch.float64),
    "another device by default": lambda: default_device("meta"),
}


@pytest.mark.parametrize("given", SETTINGS)
@pytest.mark.parametrize("name", OF_A_POINT)
def test_a_measurement_gives_the_same_bits_whatever_is_set(name, given):
    measure, state = OF_A_POINT[name], torch.get_rng_state()
    x = A + 0.01
    outside = measure(x)
    with SETTINGS[given]():
        inside = measure(x)
    assert repr(inside) == repr(outside) and float(inside) == float(outside)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("given", SETTINGS)
def test_directions_are_the_same_bits_whatever_is_set(given):
    model = torch.nn.Linear(4, 3)
    with SETTINGS[given]():
        inside = flatlab.directions(model)
    assert torch.equal(inside, flatlab.directions(model))


DIGITS = flatlab.load("digits", device="cpu")
MATRIX = torch.diag(torch.arange(1.0, 9.0))
NET = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
torch.nn.init.constant_(NET[1].weight, 0.1)


def _parts(split):
    return split.x, split.y


MADE = {
    "Split.subset": lambda: _parts(DIGITS.train.subset(20, seed=1)),
    "Data.subset": lambda: _parts(DIGITS.subset(20, seed=1).train),
    "load": lambda: _parts(flatlab.load("digits", device="cpu").test),
    "batches": lambda: [flatlab.Objective(NET, [_parts(DIGITS.test)]).gradient(_net_x())[1]],
    "eigenvalues": lambda: [flatlab.eigenvalues(MATRIX).vectors, flatlab.eigenvalues(MATRIX.numpy(), 2).values],
    "trace": lambda: [torch.tensor([float(flatlab.trace(MATRIX))], device="cpu", dtype=torch.float64)],
    "density": lambda: [flatlab.density(MATRIX, steps=4).density],
    "to_scipy": lambda: [torch.from_numpy(_hessian().to_scipy() @ _net_x().numpy())],
    "train": lambda: [flatlab.train(NET, DIGITS.subset(40), epochs=1, batch_size=20, progress=False).x],
}


def _net_x():
    return torch.full((650,), 0.1, device="cpu", dtype=torch.float32)


def _hessian():
    return flatlab.Objective(NET, DIGITS.test).hessian()


@pytest.mark.parametrize("given", ["float64 by default", "another device by default"])
@pytest.mark.parametrize("name", MADE)
def test_what_is_made_has_the_same_bits_whatever_is_set(name, given):
    outside, state = MADE[name](), torch.get_rng_state()
    with SETTINGS[given]():
        inside = MADE[name]()
    for one, other in zip(inside, outside, strict=True):
        assert one.dtype == other.dtype and one.device == other.device and torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_network_is_built_whatever_device_is_set():
    """Its type is the one that is set, as for torch's own layers."""
    expected = torch.nn.utils.parameters_to_vector(flatlab.build("mlp", DIGITS).parameters())
    with default_device("meta"):
        net = flatlab.build("mlp", DIGITS)
        trained = flatlab.train("mlp", DIGITS.subset(40), epochs=1, batch_size=20, progress=False)
    assert torch.equal(torch.nn.utils.parameters_to_vector(net.parameters()), expected)
    assert torch.equal(trained.x, flatlab.train("mlp", DIGITS.subset(40), epochs=1, batch_size=20, progress=False).x)
