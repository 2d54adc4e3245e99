"""The inner maximum against closed forms and scipy; the sharpness's properties: scale, sign, region."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from scipy.optimize import Bounds, minimize
from torch import nn
from torch.nn.functional import cross_entropy

import flatlab
from flatlab import region as regions
from flatlab.maximise import METHODS


class Function:
    """A plain function of x, with the two methods that a maximiser needs."""

    def __init__(self, function, x):
        self.function, self.x, self.size, self.batch_norm = function, x, len(x), "batch"

    def value(self, x):
        return self.function(x).item()

    def gradient(self, x):
        x = x.detach().requires_grad_()
        value = self.function(x)
        return value.item(), torch.autograd.grad(value, x)[0]


def quadratic(n=200, seed=0):
    generator = torch.Generator().manual_seed(seed)
    a = torch.rand(n, generator=generator, dtype=torch.float64)
    x = torch.randn(n, generator=generator, dtype=torch.float64)
    return a, x, Function(lambda z: 0.5 * (a * z.square()).sum(), x)


@pytest.mark.parametrize("method", ["lbfgs", "apgd", "best"])
def test_separable_quadratic_has_its_maximum_at_the_far_vertex(method):
    """max of 1/2 sum a_i z_i^2 over |z_i - x_i| <= r_i is 1/2 sum a_i (|x_i| + r_i)^2."""
    a, x, f = quadratic()
    region = flatlab.box(f, x, 0.1)
    exact = 0.5 * (a * (x.abs() + region.radius).square()).sum().item()
    found = flatlab.maximise(f, region, method=method)
    assert found.value == pytest.approx(exact, rel=1e-12)
    assert found.at_bound == 1.0
    assert f.value(found.x) == pytest.approx(found.value)


@pytest.mark.parametrize("method", list(METHODS))
def test_linear_function_rises_by_its_weighted_one_norm(method):
    """max of g.z over the box is g.x + sum r_i |g_i|."""
    g, x = torch.randn(2, 50, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    f = Function(lambda z: g @ z, x)
    region = flatlab.box(f, x, 0.01)
    assert flatlab.maximise(f, region, method=method).value == pytest.approx((g @ x + region.radius @ g.abs()).item(), rel=1e-9)


def test_concave_function_has_its_maximum_inside():
    """max of -1/2 |z - c|^2 is at c, found by the quasi-Newton steps and not by vertices."""
    x = torch.zeros(20, dtype=torch.float64)
    c = torch.linspace(-0.05, 0.05, 20, dtype=torch.float64)
    scales = torch.linspace(1, 30, 20, dtype=torch.float64)
    f = Function(lambda z: -0.5 * (scales * (z - c).square()).sum(), x)
    found = flatlab.maximise(f, flatlab.box(f, x, 0.1), steps=60)
    assert found.value == pytest.approx(0, abs=1e-8)
    assert found.at_bound == 0


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6))
def test_no_method_leaves_the_box_or_falls_below_its_centre(seed):
    generator = torch.Generator().manual_seed(seed)
    a, b, x = torch.randn(3, 12, generator=generator, dtype=torch.float64)
    f = Function(lambda z: (a * z.square() + b * z.sin()).sum(), x)
    region = flatlab.box(f, x, 0.3)
    for method in METHODS:
        found = flatlab.maximise(f, region, method=method)
        assert ((found.x - x).abs() <= region.radius * (1 + 1e-12)).all()
        assert found.value >= f.value(x)
        assert list(found.history) == sorted(found.history) and len(found.history) == found.evaluations


@pytest.fixture(scope="module")
def trained():
    """Small nets on MNIST-1D, well and poorly trained, with and without BatchNorm."""
    data = flatlab.load("mnist1d").subset(800)
    plain = nn.Sequential(nn.Linear(40, 64), nn.ReLU(), nn.Linear(64, 10))
    made = {"batch 32": ("mlp", 32, 25), "batch 400": ("mlp", 400, 60), "early": ("mlp", 100, 1), "no BatchNorm": (plain, 50, 40)}
    runs = {name: flatlab.train(net, data, batch_size=b, epochs=e, progress=False) for name, (net, b, e) in made.items()}
    return {name: (run, data) for name, run in runs.items()}


def scaled_scipy(f, region, iterations):
    """L-BFGS-B on u = z / r with the objective scaled to a mean absolute gradient of 1: the form of scipy's search that works."""
    scale = 1 / region.pull(f.gradient(region.x)[1]).abs().mean().item()

    def negative(u):
        value, gradient = f.gradient(region.point(torch.from_numpy(u).to(region.x)))
        return -scale * value, -scale * region.pull(gradient).double().numpy()

    zero = np.zeros(len(region.radius))
    return -minimize(negative, zero, jac=True, method="L-BFGS-B", bounds=Bounds(-1, 1), options={"maxiter": iterations}).fun / scale


@pytest.mark.parametrize("eps", [1e-3, 5e-4])
@pytest.mark.parametrize("net", ["batch 32", "batch 400", "early", "no BatchNorm"])
def test_not_more_than_three_percent_below_scipy_at_equal_iterations(trained, net, eps):
    """An independent library, given the scaling that it needs and as many iterations."""
    run, data = trained[net]
    f, x = flatlab.Objective(run.model(), data.train), run.x
    region = flatlab.box(f, x, eps)
    rise = flatlab.maximise(f, region).value - f.value(x)
    assert rise >= 0.97 * (scaled_scipy(f, region, 10) - f.value(x))


@pytest.mark.parametrize("scale", [1e-4, 1e-2, 1e2, 1e4])
@pytest.mark.parametrize("subspace", [None, 20])
def test_the_rise_scales_with_the_loss(trained, scale, subspace):
    """max c f - c f(x) = c (max f - f(x)): the search sees signs and ratios only. The factor rounds, so not bit for bit."""
    run, data = trained["batch 400"]
    rises = []
    for c in (1.0, scale):
        f = flatlab.Objective(run.model(), data.train, loss=lambda o, t, c=c: c * cross_entropy(o, t))
        rises.append((flatlab.maximise(f, flatlab.box(f, run.x, subspace=subspace)).value - f.value(run.x)) / c)
    assert rises[1] == pytest.approx(rises[0], rel=1e-3)


def test_a_net_trained_to_loss_1e_7_is_not_flat():
    """There scipy's absolute stopping rule returns the centre, and so sharpness 0."""
    data = flatlab.load("mnist1d").subset(100)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(40, 64), nn.ReLU(), nn.Linear(64, 10))
    model = flatlab.train(net, data, batch_size=50, epochs=400, progress=False).model()
    with torch.no_grad():                                         # all answers are right: larger outputs are surer ones
        model[2].weight *= 4
        model[2].bias *= 4
    f = flatlab.Objective(model, data.train)
    assert 0 < f.value(f.x) < 2e-7
    assert flatlab.sharpness(f, method="scipy").percent == 0
    found = flatlab.sharpness(f)
    assert found.peak > 1.5 * found.base


def test_a_loss_that_underflows_does_not_stall_the_search():
    x = torch.ones(5)
    f = Function(lambda z: (z - 1).square().sum(), x)             # gradient exactly zero at x
    assert flatlab.maximise(f, flatlab.box(f, x, 0.1)).value == pytest.approx(5 * 0.2**2)


def test_sharpness_is_its_formula():
    a, x, f = quadratic()
    found = flatlab.sharpness(f, x, 0.01)
    base, peak = f.value(x), 0.5 * (a * (x.abs() + 0.01 * (x.abs() + 1)).square()).sum().item()
    assert found.percent == float(found) == pytest.approx(100 * (peak - base) / (1 + base))
    assert (found.base, found.peak) == pytest.approx((base, peak))
    assert "phi(0.01) >=" in str(found)


def test_sharpness_grows_with_eps(trained):
    run, data = trained["batch 32"]
    f = flatlab.Objective(run.model(), data.train)
    values = [flatlab.sharpness(f, run.x, eps).percent for eps in (1e-4, 5e-4, 1e-3, 2e-3)]
    assert values == sorted(values) and values[0] > 0


def test_the_box_is_equation_3():
    x = torch.tensor([-2.0, 0.0, 0.5])
    f = Function(lambda z: z.sum(), x)
    torch.testing.assert_close(flatlab.box(f, x, 1e-3).radius, torch.tensor([3e-3, 1e-3, 1.5e-3]))


@pytest.mark.parametrize("held", [0, 2**28])
def test_the_subspace_is_one_matrix_whether_held_or_drawn_at_each_use(monkeypatch, held):
    monkeypatch.setattr(regions, "HELD", held)
    monkeypatch.setattr(regions, "BLOCK", 700)                    # several blocks of rows
    x = torch.randn(500, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    s = regions.Subspace(x, 7, seed=5)
    a = torch.cat([rows for _, _, rows in s.rows()])
    assert a.shape == (500, 7) and a.mean().abs() < 0.06 and abs(a.std() - 1) < 0.05      # 3,500 normals
    z = torch.randn(7, dtype=torch.float64)
    torch.testing.assert_close(s @ z, a @ z)
    torch.testing.assert_close(s.transpose(x), a.T @ x)
    torch.testing.assert_close(s.coordinates(x), torch.linalg.pinv(a) @ x)
    assert torch.equal(s @ z, regions.Subspace(x, 7, seed=5) @ z) and not torch.equal(s @ z, regions.Subspace(x, 7, seed=6) @ z)


def test_the_full_space_contains_the_subspaces_of_its_size(trained):
    """A random subspace is a part of R^n: with the same eps its box reaches farther per direction, but far fewer directions."""
    run, data = trained["batch 400"]
    f = flatlab.Objective(run.model(), data.train)
    found = flatlab.sharpness(f, run.x, subspace=100)
    assert 0 < found.percent < flatlab.sharpness(f, run.x).percent
    assert found.subspace == 100 and len(found.maximum.x) == f.size


def test_refusals_say_what_to_do():
    _, x, f = quadratic(5)
    for message, call in {
        "eps is 0": lambda: flatlab.sharpness(f, x, 0), "eps is nan": lambda: flatlab.sharpness(f, x, math.nan),
        "6 dimensions: choose 1 to 5": lambda: flatlab.sharpness(f, x, subspace=6),
        "method is 'sgd': choose": lambda: flatlab.sharpness(f, x, method="sgd"), "steps is 0": lambda: flatlab.sharpness(f, x, steps=0),
    }.items():
        with pytest.raises(ValueError, match=message):
            call()
    infinite = Function(lambda z: z.sum() / 0, x)
    with pytest.raises(FloatingPointError, match="sought where the loss is finite"):
        flatlab.sharpness(infinite, x)
