"""torch's global settings are set aside and come back, also those that were never set and follow others."""

import multiprocessing
from contextlib import ExitStack

import pytest
import torch

import flatlab
from flatlab.measure.arithmetic import _Setting, own_arithmetic

CPU, GPU = torch.device("cpu"), torch.device("cuda")
PLACES = [
    *((backend, "all") for backend in ("generic", "cuda", "mkldnn")),
    *((backend, operation) for backend in ("cuda", "mkldnn") for operation in ("matmul", "conv", "rnn")),
]
newer = pytest.mark.skipif(_Setting is None, reason="fp32_precision is of torch 2.9 and later")


def assign(place, value):
    return lambda: setattr(_Setting(*place), "fp32_precision", value)


CALLERS = {
    "nothing": [],
    "medium": [lambda: torch.set_float32_matmul_precision("medium")],
    "an older name": [lambda: setattr(torch.backends.cuda.matmul, "allow_tf32", True)],
    "an older name of cuDNN": [lambda: setattr(torch.backends.cudnn, "allow_tf32", False)],
    "every backend": [assign(("generic", "all"), "tf32")],
    "a backend": [assign(("cuda", "all"), "tf32")],
    "both alike": [assign(("generic", "all"), "tf32"), assign(("cuda", "all"), "tf32")],
    "an operation": [assign(("cuda", "conv"), "tf32")],
    "an operation set back": [assign(("cuda", "conv"), "none")],
    "several": [
        assign(("generic", "all"), "ieee"),
        assign(("mkldnn", "conv"), "bf16"),
        assign(("cuda", "matmul"), "tf32"),
    ],
}


def precisions():
    return tuple(_Setting(*place).fp32_precision for place in PLACES)


def older_names():
    for read in (
        torch.get_float32_matmul_precision,
        lambda: torch.backends.cuda.matmul.allow_tf32,
        lambda: torch.backends.cudnn.allow_tf32,
    ):
        try:
            yield read()
        except RuntimeError:
            yield "raises"


def watch(caller, use, answers):
    """In a process of its own: what the settings are after a use, and how each follows a change of those above it."""
    for step in CALLERS[caller]:
        step()
    inside = []
    for device, tf32 in ((CPU, False), (CPU, True), (GPU, False), (GPU, True)) if use else ():
        with own_arithmetic(device, tf32=tf32):
            inside.append((device.type, tf32, dict(zip(PLACES, precisions()))))
    after = [precisions(), tuple(older_names())]
    for place in PLACES[:3]:
        for value in ("ieee", "tf32", "none"):
            assign(place, value)()
            after.append(precisions())
    answers.put((inside, after))


def watched(caller, use):
    fork = multiprocessing.get_context("fork")
    answers = fork.Queue()
    process = fork.Process(target=watch, args=(caller, use, answers))
    process.start()
    found = answers.get()
    process.join()
    return found


@newer
@pytest.mark.parametrize("caller", CALLERS)
def test_products_are_exact_inside_and_the_callers_settings_come_back(caller):
    inside, after = watched(caller, use=True)
    for device, tf32, found in inside:
        backend = {"cpu": "mkldnn", "cuda": "cuda"}[device]
        kinds = {found[backend, operation] for operation in ("matmul", "conv", "rnn")}
        assert kinds <= ({"tf32"} if tf32 and device == "cuda" else {"ieee", "none"})
    assert after == watched(caller, use=False)[1]


def test_autocast_and_inference_mode_are_off_inside_and_come_back_after_an_error():
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        with pytest.raises(ZeroDivisionError), own_arithmetic(CPU):
            assert not torch.is_autocast_enabled("cpu") and not torch.is_inference_mode_enabled()
            raise ZeroDivisionError
        assert torch.is_autocast_enabled("cpu") and torch.is_inference_mode_enabled()
        assert torch.get_autocast_dtype("cpu") == torch.bfloat16


def test_cudnn_does_not_choose_by_speed_inside(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    with own_arithmetic(GPU):
        assert not torch.backends.cudnn.benchmark
    assert torch.backends.cudnn.benchmark


def precision(stack, value):
    stack.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
    torch.set_float32_matmul_precision(value)


def default_dtype(stack, value):
    stack.callback(torch.set_default_dtype, torch.get_default_dtype())
    torch.set_default_dtype(value)


def fp32(stack, place, value):
    if _Setting is None:
        pytest.skip("fp32_precision is of torch 2.9 and later")
    stack.callback(setattr, _Setting(*place), "fp32_precision", _Setting(*place).fp32_precision)
    _Setting(*place).fp32_precision = value


# What a notebook may have set before it measures; each is set back at the end.
SETTINGS = {
    "autocast": lambda stack: stack.enter_context(torch.autocast("cpu", torch.bfloat16)),
    "medium": lambda stack: precision(stack, "medium"),
    "high": lambda stack: precision(stack, "high"),
    "no_grad": lambda stack: stack.enter_context(torch.no_grad()),
    "inference_mode": lambda stack: stack.enter_context(torch.inference_mode()),
    "float64 by default": lambda stack: default_dtype(stack, torch.float64),
    "convolutions in bfloat16": lambda stack: fp32(stack, ("mkldnn", "conv"), "bf16"),
}


def convolutional():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 16, 3),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(576, 64),
        torch.nn.Tanh(),
        torch.nn.Linear(64, 10),
    )


def measured(f):
    """Every number that a measurement may give, of an f that is made and points that lie there."""
    eigen = flatlab.eigenvalues(f.hessian(), 2, max_products=6)
    return [
        f.value(f.x),
        f.accuracy(f.x),
        *f.gradient(f.x),
        f.outputs(f.x, f.inputs),
        f.hessian() @ f.x,
        f.hessian(method="reverse") @ f.x,
        f.hessian(method="forward") @ f.x,
        f.gauss_newton() @ f.x,
        eigen.values,
        eigen.vectors,
        flatlab.trace(f.hessian(), max_products=8, sketch=2).value,
        flatlab.density(f.hessian(), steps=4, probes=2).nodes,
        flatlab.sharpness(f).maximum.x,
        flatlab.sharpness(f, subspace=20).percent,
        flatlab.line(f, f.x, -f.x, (0, 0.5, 1)).loss,
    ]


@pytest.fixture(scope="module")
def problem():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(64, 1, 8, 8, generator=generator), torch.arange(64) % 10


@pytest.fixture(scope="module")
def outside(problem):
    return measured(flatlab.Objective(convolutional(), problem))


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_measurement_has_the_same_bits_whatever_the_caller_has_set(setting, problem, outside):
    f = flatlab.Objective(convolutional(), problem)
    net = convolutional()
    with ExitStack() as stack:
        SETTINGS[setting](stack)
        made_inside = flatlab.Objective(net, problem)
        inside = measured(f), measured(made_inside)
    for found in inside:
        for one, other in zip(found, outside):
            assert torch.equal(torch.as_tensor(one), torch.as_tensor(other))
    assert torch.get_default_dtype() == torch.float32 and not torch.is_autocast_enabled("cpu")


def test_the_settings_would_change_a_bit_without_the_guard(problem):
    """Or the test above would prove nothing: not where the processor has no bfloat16, but autocast does everywhere."""
    net = convolutional()
    exact = net(problem[0])
    with torch.autocast("cpu", torch.bfloat16):
        assert not torch.equal(net(problem[0]).float(), exact)
