"""What is passed to a measurement is refused in one sentence that says what was wrong and what to do."""

import math

import pytest
import torch
from torch import nn

import flatlab
from flatlab.measure import door
from flatlab.measure.region import Region

with torch.random.fork_rng():
    torch.manual_seed(0)
    NET = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    F = flatlab.Objective(NET, (torch.randn(20, 4), torch.arange(20) % 3))
A, B = F.x, F.x.flip(0)

OF_A_FUNCTION = {
    "sharpness": flatlab.sharpness,
    "adaptive_sharpness": flatlab.adaptive_sharpness,
    "average_sharpness": flatlab.average_sharpness,
    "box": flatlab.box,
    "maximise": lambda f: flatlab.maximise(f, flatlab.box(F)),
    "line": lambda f: flatlab.line(f, A, B),
    "arc": lambda f: flatlab.arc(f, A, B),
    "connect": lambda f: flatlab.connect(f, A, B),
    "plane": lambda f: flatlab.plane(f, A, [A, B]),
    "noise_scale": lambda f: flatlab.noise_scale(f, small=2, big=8),
    "signal_to_noise": lambda f: flatlab.signal_to_noise(f, batch_sizes=[2]),
    "hessian_noise_scale": flatlab.hessian_noise_scale,
    "gradient_variance": flatlab.gradient_variance,
}

OF_A_POINT = {
    "sharpness": lambda x: flatlab.sharpness(F, x, 0.5),
    "sharpness in a subspace": lambda x: flatlab.sharpness(F, x, 0.5, subspace=5),
    "adaptive_sharpness": lambda x: flatlab.adaptive_sharpness(F, x, 0.5, group=10),
    "average_sharpness": lambda x: flatlab.average_sharpness(F, x, samples=3),
    "box": lambda x: flatlab.box(F, x).radius.sum(),
    "maximise": lambda x: flatlab.maximise(F, Region(x, torch.full_like(x, 0.5))),
    "line from": lambda x: flatlab.line(F, x, B, (0, 0.5, 1)),
    "line to": lambda x: flatlab.line(F, B, x, (0, 0.5, 1)),
    "arc": lambda x: flatlab.arc(F, x, B, (0, 0.5, 1)),
    "connect": lambda x: flatlab.connect(F, x, B, steps=2, batch=8),
    "plane": lambda x: flatlab.plane(F, x, [A, B], (0, 1)),
    "plane along": lambda x: flatlab.plane(F, A, [x, B], (0, 1)),
    "plane through": lambda x: flatlab.plane(F, A, through=[B, x], alphas=(0, 1)),
    "triangle": lambda x: flatlab.triangle(A, x, B),
    "noise_scale": lambda x: flatlab.noise_scale(F, x, small=2, big=8, samples=2),
    "signal_to_noise": lambda x: flatlab.signal_to_noise(F, x, batch_sizes=[2], samples=2)[0],
    "hessian_noise_scale": lambda x: flatlab.hessian_noise_scale(F, x, samples=2, batch_size=4),
    "gradient_variance": lambda x: flatlab.gradient_variance(F, x),
}

SLIPS = {  # what is written, and what the sentence says
    "x is 0.001, and .* takes a point, .* names, as in sharpness.f, eps=1e-3.": lambda: flatlab.sharpness(F, 1e-3),
    "x is 0.1, and average_sharpness takes a point": lambda: flatlab.average_sharpness(F, 0.1),
    "x is a Sequential, and sharpness takes a point": lambda: flatlab.sharpness(F, NET),
    "b is a list, and line takes a point": lambda: flatlab.line(F, A, A.tolist()),
    r"x is torch.float64 of shape \(67,\)": lambda: flatlab.sharpness(F, A.double()),
    r"x is torch.int64 of shape \(67,\)": lambda: flatlab.average_sharpness(F, A.long()),
    r"x is torch.float32 of shape \(1, 67\)": lambda: flatlab.adaptive_sharpness(F, A[None]),
    r"x is torch.float32 of shape \(4,\)": lambda: flatlab.maximise(F, Region(A[:4], A[:4].abs())),
    "takes a Region: flatlab.box.* this is 0.001": lambda: flatlab.maximise(F, 1e-3),
    "67 numbers, none of them negative": lambda: Region(A, -A.abs()),
    "method is 'LBFGS': choose one of lbfgs": lambda: flatlab.sharpness(F, method="LBFGS"),
    "method is 0: choose one of": lambda: flatlab.sharpness(F, method=0),
    "steps is 2.5: choose a whole number": lambda: flatlab.sharpness(F, steps=2.5),
    "steps is '10': choose a whole number": lambda: flatlab.adaptive_sharpness(F, steps="10"),
    "eps is '1e-3x'": lambda: flatlab.sharpness(F, eps="1e-3x"),
    "eps is -0.1: .* above 0": lambda: flatlab.box(F, eps=-0.1),
    "rho is inf: .* above 0": lambda: flatlab.adaptive_sharpness(F, rho=math.inf),
    "subspace is 2.0: choose a whole number": lambda: flatlab.sharpness(F, subspace=2.0),
    "group is 0: choose 1 to 20": lambda: flatlab.adaptive_sharpness(F, group=0),
    "norm is True": lambda: flatlab.adaptive_sharpness(F, norm=True),
    "seed is 0.5: choose a whole number": lambda: flatlab.average_sharpness(F, seed=0.5),
    "seed is None: choose a whole number": lambda: flatlab.sharpness(F, starts=2, seed=None),
    "alphas is 0.5: pass finite numbers": lambda: flatlab.line(F, A, B, 0.5),
    "batch_sizes is 60: choose 1 to 19": lambda: flatlab.signal_to_noise(F, batch_sizes=60),
    "small is 0.5: choose a whole number": lambda: flatlab.noise_scale(F, small=0.5, big=8),
}


@pytest.mark.parametrize("name", OF_A_FUNCTION)
@pytest.mark.parametrize(
    "thing", [NET, "F1", F.x, flatlab.Objective, F.hessian(), None], ids=lambda thing: str(type(thing))
)
def test_every_measurement_of_a_function_says_that_it_takes_an_objective(name, thing):
    sentence = rf"^{name} takes an Objective: flatlab.Objective\(net, \(inputs, targets\)\); this is "
    with pytest.raises(ValueError, match=sentence) as refusal:
        OF_A_FUNCTION[name](thing)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", OF_A_POINT)
def test_every_measurement_takes_a_point_that_carries_a_gradient_as_the_point_it_is(name):
    for x in (nn.utils.parameters_to_vector(NET.parameters()) + 0.01, nn.Parameter(A + 0.01)):
        assert float(OF_A_POINT[name](x)) == float(OF_A_POINT[name](x.detach()))
        assert x.requires_grad and all(p.grad is None for p in NET.parameters())


@pytest.mark.parametrize("sentence", SLIPS)
def test_a_slip_is_answered_by_one_sentence(sentence):
    with pytest.raises(ValueError, match=sentence) as refusal:
        SLIPS[sentence]()
    assert "\n" not in str(refusal.value) and str(refusal.value).endswith(".")


@pytest.mark.parametrize("name", ["eigenvalues", "trace", "density"])
@pytest.mark.parametrize("thing", [F, NET, 3.0, None], ids=lambda thing: type(thing).__name__)
def test_what_is_no_operator_is_sent_to_the_hessian(name, thing):
    with pytest.raises(ValueError, match=rf"^{name} takes an operator, .*: pass f.hessian\(x\) or f.gauss_newton\(x\)"):
        getattr(flatlab, name)(thing)


def test_an_operator_is_square():
    door.operator(torch.eye(3), "trace")
    with pytest.raises(ValueError, match=r"shape \(n, n\), and this one has \(2, 3\)"):
        door.operator(torch.ones(2, 3), "trace")
