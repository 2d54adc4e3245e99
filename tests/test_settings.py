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
