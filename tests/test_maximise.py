"""The inner maximum against closed forms; the sharpness's properties: scale, sign, region. Against scipy:
test_battery.py."""

import math
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode

import flatlab
from flatlab.measure import maximise
from flatlab.measure import region as regions
from flatlab.measure.estimate import interval
from flatlab.measure.maximise import SEARCHES
from flatlab.measure.region import Region

BALL = [method for method in SEARCHES if "scipy" not in method]


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


@pytest.mark.parametrize("method", ["lbfgs", "apgd", "vertex", "best"])
def test_separable_quadratic_has_its_maximum_at_the_far_vertex(method):
    """max of 1/2 sum a_i z_i^2 over |z_i - x_i| <= r_i is 1/2 sum a_i (|x_i| + r_i)^2."""
    a, x, f = quadratic()
    region = flatlab.box(f, x, 0.1)
    exact = 0.5 * (a * (x.abs() + region.radius).square()).sum().item()
    found = flatlab.maximise(f, region, method=method)
    assert found.value == pytest.approx(exact, rel=1e-12)
    assert found.at_bound == 1.0
    assert f.value(found.x) == pytest.approx(found.value)


@pytest.mark.parametrize("method", list(SEARCHES))
def test_linear_function_rises_by_its_weighted_one_norm(method):
    """max of g.z over the box is g.x + sum r_i |g_i|."""
    g, x = torch.randn(2, 50, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    f = Function(lambda z: g @ z, x)
    region = flatlab.box(f, x, 0.01)
    assert flatlab.maximise(f, region, method=method).value == pytest.approx(
        (g @ x + region.radius @ g.abs()).item(), rel=1e-9
    )


@pytest.mark.parametrize("method", BALL)
def test_linear_function_rises_by_its_weighted_two_norm_in_a_ball(method):
    """max of g.z over ||(z - x) / r|| <= 1 is g.x + ||r g||."""
    g, x, r = torch.randn(3, 50, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    f = Function(lambda z: g @ z, x)
    found = flatlab.maximise(f, Region(x, r.abs(), norm=2), method=method)
    assert found.value == pytest.approx((g @ x + (r * g).norm()).item(), rel=1e-9)
    assert found.at_bound == 1 and f.value(found.x) == pytest.approx(found.value)


@pytest.mark.parametrize("method", BALL)
def test_concave_function_has_its_maximum_inside_a_ball(method):
    x = torch.zeros(20, dtype=torch.float64)
    c = torch.linspace(-0.01, 0.01, 20, dtype=torch.float64)
    f = Function(lambda z: -0.5 * (z - c).square().sum(), x)
    found = flatlab.maximise(f, Region(x, torch.full_like(x, 0.2), norm=2), method=method, steps=60)
    if method != "vertex":  # which knows the boundary only
        assert found.value == pytest.approx(0, abs=1e-6) and found.at_bound == 0


def test_concave_function_has_its_maximum_inside():
    """max of -1/2 |z - c|^2 is at c, found by the quasi-Newton steps and not by vertices."""
    x = torch.zeros(20, dtype=torch.float64)
    c = torch.linspace(-0.05, 0.05, 20, dtype=torch.float64)
    scales = torch.linspace(1, 30, 20, dtype=torch.float64)
    f = Function(lambda z: -0.5 * (scales * (z - c).square()).sum(), x)
    found = flatlab.maximise(f, flatlab.box(f, x, 0.1), steps=60)
    assert found.value == pytest.approx(0, abs=1e-8)
    assert found.at_bound == 0


@pytest.mark.parametrize("norm", [2, math.inf])
def test_each_step_aims_by_the_last(norm):
    """For h = b.u - 1/2 u.a.u, stepping from 0: where h is concave along the step, the coordinates that turned go to b
    / a, their maximum, and in a ball none does; where it is convex, to the vertex of the gradient extrapolated by the
    growth, at most 2."""
    b, a = (
        torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64),
        torch.tensor([2.0, 5.0, 1.0, 1.0], dtype=torch.float64),
    )
    region = Region(torch.zeros_like(b), torch.ones_like(b), norm=norm)
    new = b.sign()
    target, growth = maximise._aim(region, 0 * b, b, new, b - a * new)
    assert growth == pytest.approx(-9 / 6.5)  # s.y / |s.g|
    torch.testing.assert_close(
        target, torch.tensor([0.5, -0.4, 0.5, 1]).double() if norm == math.inf else region.steepest(b - a * new)
    )
    for share in (0.1, 10):  # the gradient of the last coordinate shrinks, and turns if followed
        bent = torch.tensor([share * 6.5 + 2, 0, 0, -2.0], dtype=torch.float64)
        target, growth = maximise._aim(region, 0 * b, b, new, b + bent * new)
        assert growth == pytest.approx(share)
        torch.testing.assert_close(target, region.steepest(b + (1 + min(share, 2)) * bent * new))


def test_quasi_newton_steps_meet_the_secant_equation():
    """The direction for g = y_k is s_k, the last step; for a g that is orthogonal to the one pair there is, g s.y /
    y.y."""
    s = torch.randn(3, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.linspace(1, 4, 8, dtype=torch.float64) * s
    torch.testing.assert_close(maximise._two_loop(y[2], list(zip(s, y))), s[2])
    basis = torch.linalg.qr(torch.stack([s[0], y[0], s[1]], 1))[0]
    torch.testing.assert_close(
        maximise._two_loop(basis[:, 2], [(s[0], y[0])]), basis[:, 2] * (s[0] @ y[0]) / (y[0] @ y[0])
    )


def test_a_coordinate_moves_unless_f_wants_it_out_of_the_box():
    u, gradient = torch.tensor([[1.0, 1.0, 0.5, -1.0, -1.0], [1.0, -1.0, 1.0, 1.0, -1.0]])
    tangent = Region(u, torch.ones_like(u)).tangent(u, gradient)
    assert tangent(torch.arange(1.0, 6.0)).tolist() == [0, 2, 3, 4, 0]


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.sampled_from([2, math.inf]), st.integers(1, 3))
def test_no_method_leaves_the_region_or_falls_below_its_centre(seed, norm, starts):
    generator = torch.Generator().manual_seed(seed)
    a, b, x = torch.randn(3, 12, generator=generator, dtype=torch.float64)
    f = Function(lambda z: (a * z.square() + b * z.sin()).sum(), x)
    region = Region(x, 0.3 * (x.abs() + 1), norm=norm)
    for method in BALL if norm == 2 else SEARCHES:
        found = flatlab.maximise(f, region, method=method, starts=starts)
        u = (found.x - x) / region.radius
        assert (u.norm() if norm == 2 else u.abs().max()) <= 1 + 1e-12
        assert found.value >= found.history[0] == f.value(x) and found.value == pytest.approx(
            f.value(found.x), rel=1e-12
        )
        assert list(found.history) == sorted(found.history) and len(found.history) == found.evaluations
        if "scipy" not in method:
            assert found.evaluations <= starts * 11 * (1 + (method == "best"))


@pytest.mark.parametrize("method", ["vertex", "lbfgs"])
def test_further_starts_find_the_higher_end(method):
    """max(z + 0.1, -2 z) on [-1, 1]: from the centre one climbs to 1.1, from nearly half of the interval to 2."""
    x = torch.zeros(1, dtype=torch.float64)
    f = Function(lambda z: torch.maximum(z + 0.1, -2 * z).sum(), x)
    one, many = (flatlab.maximise(f, Region(x, x + 1), method=method, starts=starts) for starts in (1, 8))
    assert one.value == pytest.approx(1.1) and many.value == pytest.approx(2)
    assert many.history[: one.evaluations] == one.history and many.evaluations > one.evaluations
    assert many.history == flatlab.maximise(f, Region(x, x + 1), method=method, starts=8).history
    assert many.history != flatlab.maximise(f, Region(x, x + 1), method=method, starts=8, seed=50).history


def two_hills():
    """max(z + 0.1, -2 z) on [-1, 1]: one climb from the centre ends at 1.1, and the higher hill has 2."""
    x = torch.zeros(1, dtype=torch.float64)
    return x, Function(lambda z: torch.maximum(z + 0.1, -2 * z).sum(), x)


def test_a_box_of_the_papers_size_has_one_start_and_a_larger_one_has_eight():
    x, f = two_hills()
    for eps in (5e-4, 1e-3):
        found = flatlab.maximise(f, flatlab.box(f, x, eps))
        assert found.history == flatlab.maximise(f, flatlab.box(f, x, eps), starts=1).history
    for eps in (1.1e-3, 1.0):
        region = flatlab.box(f, x, eps)
        found = flatlab.maximise(f, region)
        assert found.history == flatlab.maximise(f, region, starts=8).history and found.evaluations >= 8
        assert (
            flatlab.maximise(f, region, method="scipy").history
            == flatlab.maximise(f, region, method="scipy", starts=1).history
        )
        assert flatlab.sharpness(f, x, eps).maximum.history == found.history
    assert flatlab.sharpness(f, x, 1.0).peak == pytest.approx(2)
    assert flatlab.sharpness(f, x, 1.0, starts=1).peak == pytest.approx(1.1)


@pytest.mark.parametrize("method", ["lbfgs", "vertex", "apgd", "best"])
def test_one_start_in_a_large_box_has_not_converged(method):
    """It ends on the lower hill, at the best point within reach. A straight slope has nothing else, and two starts say
    so."""
    x, f = two_hills()
    found = flatlab.maximise(f, flatlab.box(f, x, 1.0), method=method, starts=1, steps=40)
    assert found.value == pytest.approx(1.1) and not found.converged
    many = flatlab.maximise(f, flatlab.box(f, x, 1.0), method=method, steps=40)
    assert many.value == pytest.approx(2) and many.converged  # several of eight find it
    slope = Function(lambda z: z.sum(), x)
    assert flatlab.maximise(slope, flatlab.box(slope, x, 1.0), method=method, steps=40).converged
    assert flatlab.maximise(slope, flatlab.box(slope, x, 1e-3), method=method, steps=40).converged


@pytest.mark.parametrize("method", ["lbfgs", "vertex", "apgd", "best"])
def test_two_starts_that_end_at_different_heights_have_not_converged(method):
    x, f = two_hills()
    region = Region(x, x + 1)
    seed = next(seed for seed in range(9) if region.random(seed + 1) < -0.1)  # the second start climbs the other hill
    found = flatlab.maximise(f, region, method=method, starts=2, seed=seed, steps=40)
    assert found.value == pytest.approx(2) and not found.converged


def test_what_stands_in_for_a_zero_gradient_is_drawn_once_for_all_regions_of_a_size(monkeypatch):
    drawn, randn = [], torch.randn
    monkeypatch.setattr(torch, "randn", lambda *size, **options: drawn.append(size) or randn(*size, **options))
    x, gradient = torch.ones(1237), torch.zeros(1237)
    steps = [Region(x, radius * x, norm=norm).steepest(gradient) for radius in (1, 2) for norm in (2, math.inf)]
    assert drawn == [(1237,)] and torch.equal(steps[0], steps[2]) and torch.equal(steps[1], steps[3])
    assert torch.equal(steps[1], steps[0].sign()) and steps[1].all() and not gradient.any()


def test_random_points_of_a_region_are_uniform():
    """In a box each coordinate has mean 0 and variance 1/3; in a ball of p dimensions the length has the law t^p."""
    x = torch.zeros(3, dtype=torch.float64)
    for norm in (2, math.inf):
        points = torch.stack([Region(x, x + 1, norm=norm).random(seed) for seed in range(2000)])
        assert points.mean(0).abs().max() < 0.05
        if norm == 2:
            assert (points.norm(dim=1) <= 0.5).double().mean().item() == pytest.approx(1 / 8, abs=0.03)
        else:
            assert points.var(0).mean().item() == pytest.approx(1 / 3, abs=0.02)


def test_a_peak_that_is_not_finite_is_no_peak():
    x = torch.ones(4, dtype=torch.float64)
    f = Function(lambda z: z.sum() if z.sum() < 4.2 else z.sum() / 0, x)
    for method in SEARCHES:
        assert 4 <= flatlab.maximise(f, flatlab.box(f, x, 0.1), method=method).value <= 4.2


@pytest.fixture(scope="module")
def trained():
    """A small and a large batch net on digits, in float64, where rounding cannot turn a sign."""
    data = flatlab.load("digits").subset(400)
    split = data.train.x.double(), data.train.y
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Flatten(),
            nn.Linear(64, 64),
            nn.BatchNorm1d(64),
            nn.ReLU(),
            nn.Linear(64, 64),
            nn.BatchNorm1d(64),
            nn.ReLU(),
            nn.Linear(64, 10),
        )
    runs = {b: flatlab.train(net, data, batch_size=b, epochs=e, progress=False) for b, e in ((32, 10), (200, 30))}
    return {batch: (run.model().double(), split) for batch, run in runs.items()}


@pytest.mark.parametrize("scale", [1e-4, 1e-2, 1e2, 1e4])
@pytest.mark.parametrize("subspace", [None, 20])
def test_the_rise_scales_with_the_loss(trained, scale, subspace):
    """max c f - c f(x) = c (max f - f(x)): the search sees signs and ratios only. The factor rounds, so not bit for
    bit."""
    rises = []
    for c in (1.0, scale):
        f = flatlab.Objective(*trained[200], loss=lambda o, t, c=c: c * cross_entropy(o, t))
        maximum = flatlab.maximise(f, flatlab.box(f, subspace=subspace))
        rises.append((maximum.value - maximum.history[0]) / c)
    assert rises[1] == pytest.approx(rises[0], rel=1e-6)


class StaysOnTheDevice(TorchDispatchMode):
    """Fails when a tensor of n numbers or more is copied to another device; `watch` makes Python's own ways out fail
    too."""

    def __init__(self, n):
        super().__init__()
        self.n = n

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops.aten._to_copy.default and args[0].numel() >= self.n:
            assert (kwargs or {}).get("device") in (None, args[0].device), "a vector is copied to another device"
        return function(*args, **(kwargs or {}))

    def watch(self, monkeypatch):
        for name in ("numpy", "tolist", "cpu", "__array__", "__iter__"):

            def refused(tensor, *arguments, name=name, original=getattr(torch.Tensor, name), **options):
                assert tensor.numel() < self.n, f"a vector leaves the device by {name}"
                return original(tensor, *arguments, **options)

            monkeypatch.setattr(torch.Tensor, name, refused)
        return self


@pytest.mark.parametrize(
    "method, norm, subspace",
    [
        ("lbfgs", math.inf, None),
        ("lbfgs", math.inf, 20),
        ("lbfgs", 2, None),
        ("apgd", math.inf, None),
        ("vertex", math.inf, None),
        ("best", 2, None),
    ],
)
def test_no_vector_leaves_the_device(trained, monkeypatch, method, norm, subspace):
    f = flatlab.Objective(*trained[200])
    region = flatlab.box(f, subspace=subspace)
    region = Region(region.x, region.radius, region.subspace, norm)
    with StaysOnTheDevice(len(region.radius)).watch(monkeypatch):
        flatlab.maximise(f, region, method=method, starts=2)


def test_that_test_sees_a_vector_that_leaves(trained, monkeypatch):
    f = flatlab.Objective(*trained[200])
    with StaysOnTheDevice(f.size).watch(monkeypatch), pytest.raises(AssertionError, match="leaves the device by"):
        flatlab.maximise(f, flatlab.box(f), method="scipy")


@pytest.mark.parametrize("method", BALL)
def test_a_ball_is_searched_where_the_squares_of_the_gradient_underflow(method):
    g, x = torch.randn(2, 50, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    f = Function(lambda z: 1e-200 * (g @ (z - x)), x)
    rise = flatlab.maximise(f, Region(x, torch.full_like(x, 0.1), norm=2), method=method).value
    assert rise == pytest.approx(1e-201 * g.norm().item(), rel=1e-9, abs=0)


def test_a_loss_that_underflows_does_not_stall_the_search():
    x = torch.ones(5)
    f = Function(lambda z: (z - 1).square().sum(), x)  # gradient exactly zero at x
    assert flatlab.maximise(f, flatlab.box(f, x, 0.1)).value == pytest.approx(5 * 0.2**2)


def test_sharpness_is_its_formula():
    a, x, f = quadratic()
    found = flatlab.sharpness(f, x, 0.01)
    base, peak = f.value(x), 0.5 * (a * (x.abs() + 0.01 * (x.abs() + 1)).square()).sum().item()
    assert found.percent == float(found) == pytest.approx(100 * (peak - base) / (1 + base))
    assert (found.base, found.peak) == pytest.approx((base, peak))
    assert "phi(0.01) >=" in str(found)


def test_sharpness_grows_with_eps(trained):
    f = flatlab.Objective(*trained[32])
    values = [flatlab.sharpness(f, eps=eps).percent for eps in (1e-4, 5e-4, 1e-3, 2e-3)]
    assert values == sorted(values) and values[0] > 0


def test_the_box_is_equation_3():
    x = torch.tensor([-2.0, 0.0, 0.5])
    f = Function(lambda z: z.sum(), x)
    torch.testing.assert_close(flatlab.box(f, x, 1e-3).radius, torch.tensor([3e-3, 1e-3, 1.5e-3]))


@pytest.mark.parametrize("held", [0, 2**28])
def test_the_subspace_is_one_matrix_whether_held_or_drawn_at_each_use(monkeypatch, held):
    monkeypatch.setattr(regions, "DIRECTIONS_HELD", held)
    monkeypatch.setattr(regions, "BLOCK", 700)  # several blocks of rows
    x = torch.randn(500, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    s = regions.Subspace(x, 7, seed=5)
    a = torch.cat([block for _, _, block in s.blocks()])
    assert a.shape == (500, 7) and a.mean().abs() < 0.06 and abs(a.std() - 1) < 0.05  # 3,500 normals
    z = torch.randn(7, dtype=torch.float64)
    torch.testing.assert_close(s @ z, a @ z)
    torch.testing.assert_close(s.transpose(x), a.T @ x)
    torch.testing.assert_close(s.coordinates(x), torch.linalg.pinv(a) @ x)
    assert torch.equal(s @ z, regions.Subspace(x, 7, seed=5) @ z) and not torch.equal(
        s @ z, regions.Subspace(x, 7, seed=6) @ z
    )


def test_a_subspaces_worst_point_lies_in_it_and_in_its_box(trained):
    f = flatlab.Objective(*trained[200])
    found = flatlab.sharpness(f, subspace=20, seed=3)
    region = flatlab.box(f, subspace=20, seed=3)
    move = found.maximum.x - f.x
    z = region.subspace.coordinates(move)
    torch.testing.assert_close(region.subspace @ z, move)
    assert (z.abs() <= region.radius * (1 + 1e-9)).all()
    assert found.subspace == 20 and found.percent > 0 and f.value(found.maximum.x) == pytest.approx(found.peak)


def test_refusals_say_what_to_do():
    _, x, f = quadratic(5)
    for message, call in {
        "eps is 0": lambda: flatlab.sharpness(f, x, 0),
        "eps is nan": lambda: flatlab.sharpness(f, x, math.nan),
        "subspace is 6: choose 1 to 5": lambda: flatlab.sharpness(f, x, subspace=6),
        "method is 'sgd': choose": lambda: flatlab.sharpness(f, x, method="sgd"),
        "steps is 0": lambda: flatlab.sharpness(f, x, steps=0),
        "starts is 0": lambda: flatlab.sharpness(f, x, starts=0),
        "norm is 1": lambda: Region(x, x.abs(), norm=1),
        "'scipy' knows boxes only": lambda: flatlab.maximise(f, Region(x, x.abs(), norm=2), method="scipy"),
    }.items():
        with pytest.raises(ValueError, match=message):
            call()
    infinite = Function(lambda z: z.sum() / 0, x)
    with pytest.raises(FloatingPointError, match="sought where the loss is finite"):
        flatlab.sharpness(infinite, x)


@pytest.mark.parametrize("method", list(SEARCHES))
def test_without_a_slope_to_begin_with_nothing_is_said_to_be_flat(method):
    """sqrt |z| rises from 0 in every direction, and its derivative there is not finite."""
    x = torch.zeros(4, dtype=torch.float64)
    f = Function(lambda z: z.abs().sqrt().sum(), x)
    with pytest.raises(FloatingPointError, match="centre is 0, and its gradient is not finite"):
        flatlab.sharpness(f, x, method=method)


def test_a_loss_below_minus_one_has_no_phi():
    """phi = 100 (max f - f) / (1 + f) would turn its sign there: a log likelihood can do that."""
    x = torch.zeros(4, dtype=torch.float64)
    f = Function(lambda z: z.sum() - 3, x)
    with pytest.raises(ValueError, match=r"f\(x\) is -3, and phi is relative to 1 \+ f\(x\)"):
        flatlab.sharpness(f, x)
    assert (
        float(
            flatlab.adaptive_sharpness(
                flatlab.Objective(
                    nn.Linear(2, 2), (torch.eye(2), torch.eye(2)), loss=lambda o, t: -3 + (o - t).square().mean()
                )
            )
        )
        > 0
    )


@pytest.mark.parametrize("missing", ["scipy", "scipy.optimize"])
def test_without_scipy_its_methods_say_so(monkeypatch, missing):
    _, x, f = quadratic(5)
    for name in [name for name in sys.modules if name.partition(".")[0] == "scipy"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    for method in ("scipy", "scipy-scaled"):
        with pytest.raises(ImportError, match="needs scipy .*: pip install scipy, or take another method"):
            flatlab.sharpness(f, x, method=method)
    assert flatlab.sharpness(f, x).percent > 0
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    with pytest.raises(ImportError, match="an interval needs scipy"):
        interval([1, 2])
