"""Paths and planes meet their points exactly and follow their formulas; barriers are the known ones."""

import copy
import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode

import flatlab
from flatlab.measure.paths import ALPHAS, CURVE, PLANE
from flatlab.study import paper


class Named:
    """A function of x in place of a network."""

    batch_norm = "batch"

    def __init__(self, function):
        self.function, self.seen = function, []

    def loss_and_accuracy(self, x):
        self.seen.append(x)
        return float(self.function(x)), 50.0

    def gradient(self, x):
        return self.function(x), torch.func.grad(self.function)(x)


A, B = torch.randn(2, 30, generator=torch.Generator().manual_seed(0))
B[3] = 0  # a zero weight must not pick up the other end's


@pytest.mark.parametrize("path, start, end", [(flatlab.line, 8, 16), (flatlab.arc, 8, 16)])
def test_both_ends_are_reproduced_bit_for_bit(path, start, end):
    f = Named(lambda x: 0.0)
    path(f, A, B)
    assert torch.equal(f.seen[start], A) and torch.equal(f.seen[end], B)


def test_the_alphas_are_the_papers():
    assert ALPHAS == tuple(torch.linspace(-1, 2, 25, dtype=torch.float64).tolist())
    assert ALPHAS == pytest.approx(tuple(paper.curve("fig3", "F1")["alpha"]))


def test_the_formulas():
    f = Named(lambda x: 0.0)
    flatlab.line(f, A, B, [0.25])
    flatlab.arc(f, A, B, [0.25, -1, 2])
    torch.testing.assert_close(f.seen[0], 0.75 * A + 0.25 * B)
    torch.testing.assert_close(f.seen[1], math.cos(math.pi / 8) * A + math.sin(math.pi / 8) * B)
    assert torch.equal(f.seen[2], -B) and torch.equal(f.seen[3], -A)


def test_barriers_of_known_functions():
    """On the line from -1 to 1, z^2 has its chord above it: barrier 0; 1 - z^2 rises by 1; a slope has none."""
    a, b = torch.tensor([-1.0]), torch.tensor([1.0])
    for function, height in (
        (lambda z: z.item() ** 2, 0),
        (lambda z: 1 - z.item() ** 2, 1),
        (lambda z: 3 * z.item(), 0),
    ):
        assert flatlab.line(Named(function), a, b).barrier() == pytest.approx(height)
    with pytest.raises(ValueError, match="have both among the alphas"):
        flatlab.line(Named(lambda z: 0.0), a, b, [0, 0.5]).barrier()


@pytest.mark.parametrize("place", [0, 0.25, 0.5, 0.75, 1])
def test_where_a_loss_between_the_ends_is_nan_so_is_the_barrier(place):
    """Python's max would leave out a nan that does not come first."""
    path = flatlab.Path((0, 0.25, 0.5, 0.75, 1), (1.0, 2.0, 3.0, 2.0, 1.0), (None,) * 5, "line", "batch")
    assert path.barrier() == 2
    loss = tuple(math.nan if alpha == place else value for alpha, value in zip(path.alphas, path.loss))
    assert math.isnan(dataclasses.replace(path, loss=loss).barrier())


def test_a_loss_beyond_the_ends_is_no_part_of_the_barrier_and_an_infinite_one_between_them_is():
    a, b = torch.tensor([0.0]), torch.tensor([1.0])
    assert flatlab.line(Named(lambda z: math.nan if z < 0 else 0.0), a, b).barrier() == 0
    assert flatlab.line(Named(lambda z: math.inf if z == 0.5 else 0.0), a, b).barrier() == math.inf
    assert math.isnan(flatlab.line(Named(lambda z: math.inf if z == 1 else 0.0), a, b).barrier())


def test_a_line_on_a_network_has_its_ends_losses():
    torch.manual_seed(0)
    f = flatlab.Objective(nn.Linear(4, 3), (torch.randn(20, 4), torch.arange(20) % 3))
    a, b = f.x, f.x.flip(0)
    path = flatlab.line(f, a, b)
    assert (path.loss[8], path.loss[16]) == (f.value(a), f.value(b))
    assert path.accuracy[8] == f.accuracy(a)


# Planes


def test_a_plane_of_a_quadratic_has_its_exact_values():
    """f = |x|^2 at x + alpha d1 + beta d2, in small whole numbers, which floating point holds exactly."""
    x, d1, d2 = torch.tensor([[1.0, 2, 3], [1, 0, -1], [0, 2, 1]])
    surface = flatlab.plane(Named(lambda z: z @ z), x, [d1, d2], (0, 1, 2), (-1, 0))
    assert surface.loss == ((5, 14), (5, 12), (9, 14))  # 14 - 4a + 14b + 2aa - 2ab + 5bb
    assert surface.alphas == (0, 1, 2) and surface.betas == (-1, 0)
    assert surface.accuracy == ((50, 50),) * 3 and surface.batch_norm == "batch"
    assert float(surface) == surface.rise() == 0  # none is above f(x) = 14
    assert flatlab.plane(Named(lambda z: z @ z), x, [d1, d2], (0, 3)).rise() == 14 * 3 + 5 * 9


def test_where_a_loss_is_nan_so_is_the_rise():
    surface = flatlab.plane(Named(lambda z: math.nan if z[0] > 1 else 0.0), A, [B, B], (0, 9, -9))
    assert math.isnan(surface.rise())


def test_a_plane_through_three_points_reproduces_them_bit_for_bit():
    """Their numbers are of very different sizes, so that x + (b - x) is not b."""
    sizes = torch.logspace(-8, 8, 30)
    x, b, c = A, B * sizes, B.flip(0) / sizes
    assert not torch.equal(x + (b - x), b) and not torch.equal(x + (c - x), c)
    f = Named(lambda z: 0.0)
    flatlab.plane(f, x, through=(b, c), alphas=(0, 1, 0.25))
    for place, point in ((0, x), (3, b), (1, c)):
        assert torch.equal(f.seen[place], point)
    torch.testing.assert_close(f.seen[8], 0.5 * x + 0.25 * b + 0.25 * c)


def test_the_planes_of_a_network_hold_its_value_and_its_lines():
    f = objective()
    a, b = f.x, f.x.flip(0)
    surface = flatlab.plane(f, a, flatlab.directions(net()), (-0.5, 0, 0.5))
    assert (surface.loss[1][1], surface.accuracy[1][1]) == (f.value(a), f.accuracy(a))
    through = flatlab.plane(f, a, through=(b, -b), alphas=(0, 0.25, 1))
    assert through.loss[2][0] == f.value(b) and through.loss[0][2] == f.value(-b)
    assert tuple(row[0] for row in through.loss) == flatlab.line(f, a, b, (0, 0.25, 1)).loss


def test_the_default_grids():
    assert PLANE == pytest.approx(torch.linspace(-1, 1, 21, dtype=torch.float64).tolist()) and 0 in PLANE
    assert CURVE == pytest.approx(torch.linspace(0, 1, 25, dtype=torch.float64).tolist())
    assert CURVE[0] == 0 and CURVE[-1] == 1


# Directions


def net(batch_norm=False):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8) if batch_norm else nn.Tanh(), nn.Linear(8, 3))


def objective(**options):
    draws = torch.randn(40, 4, generator=torch.Generator().manual_seed(1))
    return flatlab.Objective(net("batch_norm" in options), (draws, draws.argmax(1) % 3), **options)


def weights(*shapes, dtype=torch.float32, scale=1.0):
    torch.manual_seed(0)
    return nn.ParameterList([scale * torch.randn(shape, dtype=dtype) for shape in shapes])


@settings(deadline=None, max_examples=60)
@given(
    filters=some.integers(1, 5),
    entries=some.lists(some.integers(1, 4), min_size=1, max_size=3),
    count=some.integers(1, 6),
    seed=some.integers(0, 99),
    scale=some.sampled_from([1e-30, 1.0, 1e30]),
    dtype=some.sampled_from([torch.float32, torch.float64]),
)
def test_directions_are_orthogonal_and_as_long_as_every_filter(filters, entries, count, seed, scale, dtype):
    model = weights((filters, *entries), (7,), (2, 9), dtype=dtype, scale=scale)
    weight, size = model[0], math.prod(entries)
    found = flatlab.directions(model, count, seed=seed)
    assert found.shape == (count, weight.numel() + 7 + 18) and found.dtype == dtype
    found, weight = found.double(), weight.detach().double()  # for squares of 1e-30 and 1e30
    units = found / found.norm(dim=1, keepdim=True)
    assert (units @ units.T - torch.eye(count)).abs().max() < 1e-6
    assert not found[:, weight.numel() : weight.numel() + 7].any()  # the one-dimensional parameter
    parts = found[:, : weight.numel()].view(count, filters, size)
    lengths = weight.flatten(1).norm(dim=1).expand(min(count, size), -1)
    torch.testing.assert_close(parts[:size].norm(dim=2), lengths, rtol=1e-6, atol=0)
    assert not parts[size:].any()  # no room for an orthogonal one
    cosines = torch.einsum("kfe,lfe->fkl", parts, parts) / lengths[0].square().view(-1, 1, 1)
    assert (cosines - torch.diag_embed(cosines.diagonal(dim1=1, dim2=2))).abs().max() < 1e-6


def test_directions_are_standard_normal_draws_made_orthogonal():
    """Filter by filter g / |g| is uniform on the sphere: mean 0, covariance 1/m, to five standard errors."""
    model = weights((4000, 3), (4000, 2))
    for part, size in zip(flatlab.directions(model).split([12000, 8000], dim=1), (3, 2)):
        for direction in part:
            units = nn.functional.normalize(direction.view(4000, size), dim=1)
            assert units.mean(0).abs().max() < 5 / math.sqrt(size * 4000)
            covariance = units.T @ units / 4000  # of entries with a standard deviation below 0.5
            assert (covariance - torch.eye(size) / size).abs().max() < 5 * 0.5 / math.sqrt(4000)


@pytest.mark.parametrize("normalise", ["layer", None])
def test_a_whole_layer_as_one_filter(normalise):
    model = weights((30, 40), (5,), (2, 3, 10, 20), scale=0.01)
    found = flatlab.directions(model, 3, normalise=normalise)
    for part, weight in zip(found.split([1200, 5, 1200], dim=1), model):
        lengths = part.norm(dim=1)
        if weight.dim() == 1:
            assert not part.any()
        elif normalise == "layer":
            torch.testing.assert_close(lengths, weight.detach().norm().expand(3))
            filters = (each.flatten(1).norm(dim=1) for each in (part[0].view(weight.shape), weight.detach()))
            assert not torch.allclose(*filters, rtol=0.01)  # else it would be filter by filter
        else:  # |g| is sqrt(1200), give or take sqrt(1/2)
            assert (lengths - math.sqrt(1200)).abs().max() < 4
    products = found @ found.T
    torch.testing.assert_close(products, torch.diag(products.diag()), rtol=0, atol=1e-6 * products.max().item())


def test_directions_lie_in_the_order_of_x():
    """Frozen parameters have no part in x, shared ones one part."""
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3))
    model[1].weight.requires_grad_(False)
    model[2].weight = model[0].weight
    f = flatlab.Objective(model, (torch.randn(9, 4), torch.arange(9) % 3))
    found = flatlab.directions(model, 1)[0]
    assert found.shape == f.x.shape
    for name, x, d in zip(f.names, f.x.split(f.sizes), found.split(f.sizes)):
        if name.endswith("weight"):
            torch.testing.assert_close(d.view(-1, 4).norm(dim=1), x.view(-1, 4).norm(dim=1))
        else:
            assert not d.any()


def test_the_same_seed_gives_the_same_directions():
    first, again, other = (flatlab.directions(net(), seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_the_work_in_directions_does_not_grow_with_the_filters():
    """As many operations for 500 filters as for 5, and one number read: whether a direction is zero."""

    class Count(TorchDispatchMode):
        def __init__(self):
            super().__init__()
            self.names = []

        def __torch_dispatch__(self, function, types, arguments=(), options=None):
            self.names.append(str(function))
            return function(*arguments, **(options or {}))

    counts = []
    for filters in (5, 500):
        with Count() as count:
            flatlab.directions(nn.Linear(20, filters))
        counts.append([name for name in count.names if "init" not in name])
        assert sum("_local_scalar_dense" in name or "is_nonzero" in name for name in count.names) <= 1
    assert len(counts[0]) == len(counts[1])


# A curve that is learned


def test_the_curve_of_a_quadratic_has_its_middle_point_in_closed_form():
    """For f = |x|^2 / 2 the mean gradient is int 2t(1 - t) x(t) dt = a/10 + 2m/15 + b/10, which is 0 at
    m = -3/4 (a + b)."""
    a, b = torch.tensor([1.0, 0.0, 2.0]), torch.tensor([-0.5, 1.0, 2.0])
    path = flatlab.connect(Named(lambda z: z @ z / 2), a, b, batch=None, lr=0.05, steps=1500)
    torch.testing.assert_close(path.middle, -0.75 * (a + b), rtol=0, atol=0.05)  # a step has one random t
    t = 1 / 3
    at = (1 - t) ** 2 * a + 2 * t * (1 - t) * path.middle + t**2 * b
    assert path.loss[8] == pytest.approx(float(at @ at / 2)) and path.alphas[8] == t


def test_a_curve_goes_round_a_hill_that_the_line_climbs():
    """The hill is 1 - r^2 within 1 of (0, -0.1) and the ground flat: the line climbs 0.99, the curve nothing."""
    hill = Named(lambda z: torch.relu(1 - z[0] ** 2 - (z[1] + 0.1) ** 2))
    a, b = torch.tensor([-2.0, 0.0]), torch.tensor([2.0, 0.0])
    path = flatlab.connect(hill, a, b, batch=None, lr=0.1, steps=300)
    assert flatlab.line(hill, a, b, CURVE).barrier() == pytest.approx(0.99)
    assert path.barrier() == 0 and path.kind == "curve"
    assert path.middle[1] > 1.8  # the curve's top, half of that, is above 0.9


def test_a_curve_meets_its_ends_bit_for_bit():
    f = Named(lambda z: (z * 0).sum())
    flatlab.connect(f, A, B * 1e8, batch=None, steps=1)
    assert torch.equal(f.seen[0], A) and torch.equal(f.seen[-1], B * 1e8)


@pytest.fixture(scope="module")
def twins():
    """A small network at a minimum, and the same function with its hidden units in another order."""
    f = objective()
    x = f.x.clone()
    adam = torch.optim.Adam([x], lr=0.05)
    for _ in range(150):
        x.grad = f.gradient(x)[1]
        adam.step()
    first, bias, second, last = x.split(f.sizes)
    order = torch.arange(8).roll(1)
    first, second = first.view(8, 4)[order], second.view(3, 8)[:, order]
    return f, x, torch.cat([first.flatten(), bias[order], second.flatten(), last])


def test_a_network_is_connected_to_its_twin(twins):
    f, a, b = twins
    assert f.value(a) == pytest.approx(f.value(b), rel=1e-4)
    path = flatlab.connect(f, a, b, steps=400, batch=20, lr=0.05)
    assert (path.loss[0], path.loss[-1]) == (f.value(a), f.value(b))
    assert path.accuracy[0] == f.accuracy(a) and path.batch_norm == "batch"
    assert path.barrier() < 0.1 * flatlab.line(f, a, b, CURVE).barrier()


def test_the_same_seed_gives_the_same_curve(twins):
    f, a, b = twins
    first, again, other = (flatlab.connect(f, a, b, steps=5, batch=8, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.middle, again.middle) and first == again
    assert not torch.equal(first.middle, other.middle)


def test_each_step_sees_only_so_many_rows(twins, monkeypatch):
    f, a, b = twins
    seen, subset = [], f.subset
    monkeypatch.setattr(f, "subset", lambda rows: (seen.append(rows), subset(rows))[1])
    flatlab.connect(f, a, b, steps=3, batch=7)
    assert [len(rows.unique()) for rows in seen] == [7, 7, 7] and not torch.equal(seen[0], seen[1])


@pytest.mark.parametrize("policy", ["batch", "recompute"])
def test_a_curve_under_each_batch_norm(policy):
    f = objective(batch_norm=policy)
    path = flatlab.connect(f, f.x, f.x.flip(0), steps=3, batch=10, alphas=(0, 1))
    assert path.batch_norm == policy and path.loss == (f.value(f.x), f.value(f.x.flip(0)))


WAYS = {
    "line": lambda f, a, b: flatlab.line(f, a, b, (0, 1)).loss,
    "arc": lambda f, a, b: flatlab.arc(f, a, b, (0, 1)).loss,
    "connect": lambda f, a, b: flatlab.connect(f, a, b, steps=2, batch=None, alphas=(0, 1)).loss,
    "plane": lambda f, a, b: (
        flatlab.plane(f, a, through=(b, -b), alphas=(0, 1)).loss[0][:1]
        + flatlab.plane(f, a, through=(b, -b), alphas=(0, 1)).loss[1][:1]
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_each_end_of_a_way_is_its_own_nets_value_or_the_way_is_refused(way):
    """Two nets that keep running averages: those of the first say nothing of the second."""
    x, y = torch.randn(40, 4, generator=torch.Generator().manual_seed(1)), torch.arange(40) % 3
    ends = []
    for shift in (0.0, 3.0):
        model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        for _ in range(50):
            model(x + shift)  # the running averages follow the data
        ends.append(model.eval())
    own = {
        policy: [flatlab.Objective(model, (x, y), batch_norm=policy) for model in ends]
        for policy in ("batch", "recompute", "frozen")
    }
    for policy in ("batch", "recompute"):
        first, second = own[policy]
        assert WAYS[way](first, first.x, second.x) == (first.value(first.x), second.value(second.x))
    first, second = own["frozen"]
    assert first.value(second.x) != pytest.approx(second.value(second.x), rel=0.01)
    with pytest.raises(ValueError, match="never trained and has no running averages of its own, .*='recompute' or"):
        WAYS[way](first, first.x, second.x)


def test_frozen_averages_are_no_matter_around_one_net_or_without_batch_norm():
    f = objective(batch_norm="frozen")
    assert flatlab.plane(f, f.x, flatlab.directions(f.model.requires_grad_()), (0, 1)).loss[0][0] == f.value(f.x)
    f = flatlab.Objective(net(), (torch.eye(4), torch.arange(4) % 3), batch_norm="frozen")
    assert flatlab.line(f, f.x, -f.x, (0, 1)).loss == (f.value(f.x), f.value(-f.x))


def test_a_curve_over_a_list_of_batches():
    inputs, targets = torch.eye(4), torch.arange(4) % 3
    f = flatlab.Objective(net(), [(inputs, targets)] * 2)
    whole = flatlab.Objective(net(), (inputs.repeat(2, 1), targets.repeat(2)))
    with pytest.raises(ValueError, match="pass batch=None"):
        flatlab.connect(f, f.x, -f.x)
    first, second = (flatlab.connect(each, f.x, -f.x, batch=None, steps=3) for each in (f, whole))
    torch.testing.assert_close(first.middle, second.middle)


# Distances and angles


@pytest.mark.parametrize(
    "power, dtype",
    [(0, torch.float32), (-120, torch.float32), (120, torch.float32), (-900, torch.float64), (900, torch.float64)],
)
def test_the_triangle_of_3_4_5_at_any_size(power, dtype):
    scale = 2.0**power
    x0, a, b = scale * torch.tensor([[1, 1, 1], [1, 4, 1], [5, 1, 1]], dtype=dtype)
    found = flatlab.triangle(x0, a, b)
    assert (found.a, found.b, found.ab) == pytest.approx((3 * scale, 4 * scale, 5 * scale), rel=1e-15)
    assert found.degrees == pytest.approx(90, rel=1e-15)
    assert float(found) == found.ratio == pytest.approx(0.75)


def test_the_triangle_of_float32_points_is_that_of_their_numbers():
    x0, a, b = A, A + 1e-3 * B, 1e3 * B
    found = flatlab.triangle(x0, a, b)
    sides = [math.dist(one.tolist(), other.tolist()) for one, other in ((a, x0), (b, x0), (a, b))]
    assert (found.a, found.b, found.ab) == pytest.approx(sides, rel=1e-14)
    p, q, r = sides
    assert math.cos(math.radians(found.degrees)) == pytest.approx((p * p + q * q - r * r) / (2 * p * q), abs=1e-9)


@pytest.mark.parametrize("degrees", [1e-7, 1e-3, 60, 179.999, 180 - 1e-7, 180])
def test_an_angle_near_0_or_180_is_accurate(degrees):
    """The arc cosine of the cosine would give 0 for 1e-7 degrees; here the error is a few roundings."""
    angle = math.radians(degrees)
    points = torch.tensor([[0, 0], [1, 0], [5 * math.cos(angle), 5 * math.sin(angle)]], dtype=torch.float64)
    assert flatlab.triangle(*points).degrees == pytest.approx(degrees, rel=1e-13)


# Refusals, and what is left behind


LINEAR = nn.Linear(4, 3)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda f: flatlab.line(f, A, B[:1]), "one size"),
        (lambda f: flatlab.line(f, A, B, []), "one or more"),
        (lambda f: flatlab.arc(f, A, B.double()), "one size, type"),
        (lambda f: flatlab.line(f, A, B, [0, math.nan]), "finite numbers"),
        (lambda f: flatlab.plane(f, A), "give either"),
        (lambda f: flatlab.plane(f, A, [A, B], through=[A, B]), "give either"),
        (lambda f: flatlab.plane(f, A, B[None]), "these are 1"),
        (lambda f: flatlab.plane(f, A, torch.stack([A, B, A])), "these are 3"),
        (lambda f: flatlab.plane(f, A, [A, B[:1]]), "one size"),
        (lambda f: flatlab.plane(f, A, [1, 2]), "takes a point, a vector"),
        (lambda f: flatlab.plane(f, A[None], [A[None], B[None]]), "must be vectors"),
        (lambda f: flatlab.plane(f, A, [A, B], (), ()), "one or more"),
        (lambda f: flatlab.plane(f, A, [A, B], (0, 1), ()), "one or more"),
        (lambda f: flatlab.plane(f, A, [A, B], (1, 2)).rise(), "have 0 among"),
        (lambda f: flatlab.connect(f, A, A.clone(), batch=None), "same point"),
        (lambda f: flatlab.connect(f, A, B[:1], batch=None), "one size"),
        (lambda f: flatlab.connect(f, A, B / 0, batch=None), "finite points"),
        (lambda f: flatlab.connect(f, A, B), "batch=None"),
        (lambda f: flatlab.connect(f, A, B, batch=0), "batch is 0: choose 1 or more"),
        (lambda f: flatlab.connect(f, A, B, batch=None, steps=0), "steps is 0"),
        (lambda f: flatlab.connect(f, A, B, batch=None, lr=math.nan), "lr is nan"),
        (lambda f: flatlab.connect(f, A, B, batch=None, alphas=()), "one or more"),
        (lambda f: flatlab.directions(LINEAR, 0), "count is 0: choose 1 or more"),
        (lambda f: flatlab.directions(LINEAR, normalise="weight"), "choose one of filter, layer, None"),
        (lambda f: flatlab.directions("F1"), "must be an nn.Module"),
        (lambda f: flatlab.directions(copy.deepcopy(LINEAR).requires_grad_(False)), "requires_grad"),
        (lambda f: flatlab.directions(LINEAR, 5), "ask for fewer"),
        (lambda f: flatlab.directions(nn.BatchNorm1d(3)), "ask for fewer"),
        (lambda f: flatlab.triangle(A, A.clone(), B), "no two of them equal"),
        (lambda f: flatlab.triangle(A, B, A.clone()), "no two of them equal"),
        (lambda f: flatlab.triangle(A, B, B.clone()), "no two of them equal"),
        (lambda f: flatlab.triangle(A, B, A / 0), "finite"),
        (lambda f: flatlab.triangle(A, B, A[:3]), "one size"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(call, words):
    f = Named(lambda z: z @ z)
    with pytest.raises(ValueError, match=words) as refusal:
        call(f)
    assert str(refusal.value).count(". ") == 0 and "\n" not in str(refusal.value)


def test_a_curve_that_runs_away_is_no_result():
    with pytest.raises(FloatingPointError, match="pass an lr below"):
        flatlab.connect(Named(lambda z: torch.sqrt(z).sum()), A.abs(), -B.abs(), batch=None, steps=3)


@pytest.mark.parametrize("fails", [False, True])
def test_model_points_and_random_numbers_are_left_as_they_were(fails):
    """Bit for bit: parameters, buffers, gradients, modes, requires_grad, the global random state; after an
    exception too."""
    model = net(batch_norm=True).train()
    model[0].bias.requires_grad_(False)
    model[2].weight.grad = torch.ones(3, 8)
    armed = []

    def loss(outputs, targets):
        if armed and armed.pop() == 0:
            raise RuntimeError("the loss fails")
        return cross_entropy(outputs, targets)

    f = flatlab.Objective(model, (torch.randn(40, 4), torch.arange(40) % 3), loss=loss)
    a, b = f.x.clone().requires_grad_(), f.x.flip(0)
    kept = [tensor.clone() for tensor in (a, b, *model.state_dict().values())]
    value, state = f.value(f.x), torch.get_rng_state()
    for measure in (
        lambda: flatlab.line(f, a, b),
        lambda: flatlab.plane(f, a, flatlab.directions(model), (0, 1)),
        lambda: flatlab.plane(f, a, through=(b, -b), alphas=(0, 1)),
        lambda: flatlab.connect(f, a, b, steps=4, batch=8),
        lambda: flatlab.triangle(a, b, -b),
    ):
        armed[:] = [0, 1, 1] if fails else []  # the third evaluation fails
        try:
            measure()
            assert not fails or len(armed) == 3  # the triangle evaluates nothing
        except RuntimeError:
            assert fails
    armed.clear()
    assert all(torch.equal(now, then) for now, then in zip((a, b, *model.state_dict().values()), kept))
    assert torch.equal(torch.get_rng_state(), state) and f.value(f.x) == value
    assert model.training and model[1].training and a.grad is None
    assert [p.requires_grad for p in model.parameters()] == [True, False, True, True, True, True]
    assert torch.equal(model[2].weight.grad, torch.ones(3, 8)) and model[0].weight.grad is None
