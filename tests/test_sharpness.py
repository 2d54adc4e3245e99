"""Adaptive and average sharpness: closed forms first, then what a user relies on."""

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

import flatlab
from flatlab.measure.region import Region


class Quadratic:
    """f(z) = 1/2 sum a_i z_i^2, as one group of rows."""

    batch_norm, rows = "batch", 1

    def __init__(self, a, x):
        self.a, self.x, self.size = a, x, len(x)

    def value(self, z):
        return 0.5 * (self.a * z.square()).sum().item()

    def gradient(self, z):
        return self.value(z), self.a * z


def quadratic(n=300, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Quadratic(
        torch.rand(n, generator=generator, dtype=torch.float64),
        torch.randn(n, generator=generator, dtype=torch.float64),
    )


def classifier(batch_norm=False, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(5, 8), *[nn.BatchNorm1d(8)] * batch_norm, nn.ReLU(), nn.Linear(8, 3))
        return net, (torch.randn(60, 5), torch.randint(0, 3, (60,)))


def test_adaptive_sharpness_in_the_max_norm_is_the_far_vertexs():
    """max of 1/2 a (x + d)^2 over |d| <= rho |x| is 1/2 a x^2 (1 + rho)^2."""
    f = quadratic()
    found = flatlab.adaptive_sharpness(f, rho=0.2)
    assert found.value == pytest.approx(f.value(f.x) * (1.2**2 - 1), rel=1e-12)
    assert math.isnan(found.stderr) and "rho 0.2, norm inf" in str(found) and float(found) == found.value


@pytest.mark.parametrize("method", ["lbfgs", "apgd", "vertex", "best"])
def test_adaptive_sharpness_of_a_linear_function_in_the_two_norm(method):
    """max of g.(x + d) - g.x over ||d / |x||| <= rho is rho ||g |x|||."""
    g, x = torch.randn(2, 50, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    f = Quadratic(g, x)
    f.value, f.gradient = lambda z: (g @ z).item(), lambda z: ((g @ z).item(), g)
    found = flatlab.adaptive_sharpness(f, rho=0.3, norm=2, method=method)
    assert found.value == pytest.approx(0.3 * (g * x).norm().item(), rel=1e-9)


def test_adaptive_sharpness_in_the_two_norm_finds_the_top_eigenvector():
    """From a minimum, max of 1/2 d.H d over ||d / |x||| <= rho is rho^2 / 2 times the largest eigenvalue of |x| H
    |x|."""
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(20, generator=generator, dtype=torch.float64)
    a = torch.linspace(1, 10, 20, dtype=torch.float64)
    f = Quadratic(a, x)
    f.value = lambda z: 0.5 * (a * (z - x).square()).sum().item()
    f.gradient = lambda z: (f.value(z), a * (z - x))
    found = flatlab.adaptive_sharpness(f, rho=0.1, norm=2, steps=100)
    assert found.value == pytest.approx(0.005 * (a * x.square()).max().item(), rel=1e-6)


def test_groups_are_maximised_one_by_one_and_averaged():
    """In one dimension the maximum over an interval is at an end: by hand for every group of two rows."""
    inputs = torch.arange(1.0, 9.0, dtype=torch.float64)[:, None]
    targets = inputs * torch.tensor([[2.0], [-2.0]]).repeat(4, 1)  # the groups pull either way
    net = nn.Linear(1, 1, bias=False).double()
    with torch.no_grad():
        net.weight.fill_(0.3)
    f = flatlab.Objective(net, (inputs, targets), loss=mse_loss)
    found = flatlab.adaptive_sharpness(f, rho=0.5, group=2, seed=4)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(4)).view(4, 2)

    def loss(weight, rows):
        return (weight * inputs[rows] - targets[rows]).square().mean().item()

    rises = [max(loss(0.15, rows), loss(0.45, rows)) - loss(0.3, rows) for rows in order]
    assert found.rises == pytest.approx(rises)
    assert found.value == pytest.approx(sum(rises) / 4)
    assert found.stderr == pytest.approx(torch.tensor(rises).std().item() / 2)
    assert found.value > 1.1 * flatlab.adaptive_sharpness(f, rho=0.5).value  # one direction must serve all rows there


def test_unit_logits_make_the_scale_of_the_last_layer_irrelevant():
    net, split = classifier()
    with torch.no_grad():
        net[2].bias.zero_()
    values = {}
    for scale in (1.0, 5.0):
        with torch.no_grad():
            net[2].weight *= scale
        for unit in (False, True):
            f = flatlab.Objective(net, split)
            loss = f.loss
            values[scale, unit] = flatlab.adaptive_sharpness(f, rho=0.01, group=20, normalise_logits=unit).value
            assert f.loss is loss
    assert values[1.0, True] == pytest.approx(values[5.0, True], rel=1e-3)
    assert values[5.0, False] > 2 * values[1.0, False]


class UnitLogits(nn.Module):
    """What the source wraps a network in."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, inputs):
        logits = self.net(inputs)
        logits = logits - logits.mean(-1, keepdim=True)
        return logits / logits.norm(dim=-1, keepdim=True).clamp_min(1e-10)


@pytest.mark.parametrize("bias", [0, 30])
def test_unit_logits_are_the_sources(bias):
    """A bias that all classes share is no part of what the network says."""
    net, split = classifier()
    with torch.no_grad():
        net[2].bias += bias
    found = flatlab.adaptive_sharpness(flatlab.Objective(net, split), rho=0.01, group=20, normalise_logits=True)
    wrapped = flatlab.adaptive_sharpness(flatlab.Objective(UnitLogits(net), split), rho=0.01, group=20)
    assert found.value == pytest.approx(wrapped.value, rel=1e-6) and found.value > 1e-3


def test_unit_logits_of_an_image_are_those_of_its_pixels():
    """cross_entropy has the classes of N x C x H x W outputs in the second dimension."""
    inputs, targets = torch.randn(6, 2, 4, 4, generator=torch.Generator().manual_seed(0)), torch.arange(96) % 3
    torch.manual_seed(0)  # a start whose sharpness is not so small that rounding shows beside it
    net, linear = nn.Conv2d(2, 3, 1), nn.Linear(2, 3)
    image = flatlab.Objective(net, (inputs, targets.view(6, 4, 4)))
    with torch.no_grad():
        linear.weight.copy_(net.weight.flatten(1))
        linear.bias.copy_(net.bias)
    pixels = flatlab.Objective(linear, (inputs.movedim(1, -1).reshape(-1, 2), targets))
    found = [flatlab.adaptive_sharpness(f, rho=0.1, normalise_logits=True).value for f in (image, pixels)]
    assert found[0] == pytest.approx(found[1], rel=1e-4)


@pytest.mark.parametrize("net", [nn.Linear(5, 1), nn.Sequential(nn.Linear(5, 1), nn.Flatten(0))])
def test_a_single_logit_has_no_length(net):
    f = flatlab.Objective(net, (torch.randn(60, 5), torch.randn(60, *[1] * isinstance(net, nn.Linear))), loss=mse_loss)
    with pytest.raises(ValueError, match="normalise_logits takes"):
        flatlab.adaptive_sharpness(f, normalise_logits=True)


@pytest.mark.parametrize("norm", ["inf", 2])
@pytest.mark.parametrize("method", ["lbfgs", "apgd", "vertex"])
def test_weights_that_are_zero_stay_zero(norm, method):
    f = quadratic()
    f.x[::3] = 0
    region = Region(f.x, 0.1 * f.x.abs(), norm=float(norm))
    found = flatlab.maximise(f, region, method=method)
    assert (found.x[::3] == 0).all() and math.isfinite(found.value) and found.value > f.value(f.x)
    f.x.zero_()
    assert flatlab.adaptive_sharpness(f, norm=norm, method=method).value == 0
    assert flatlab.average_sharpness(f).value == 0


@pytest.mark.parametrize("method", ["scipy", "scipy-scaled"])
def test_scipy_too_keeps_zero_weights(method):
    f = quadratic()
    f.x[::3] = 0
    found = flatlab.adaptive_sharpness(f, rho=0.2, method=method)
    assert found.value == pytest.approx(f.value(f.x) * 0.44, rel=1e-2)  # 20 iterations do not quite arrive


def test_average_sharpness_of_a_quadratic():
    """E 1/2 a (x + rho x e)^2 - 1/2 a x^2 = rho^2 / 2 a x^2, and rho^2 / 2 a when the noise is the same for all."""
    f = quadratic()
    f.x.mul_(3)
    for adaptive, exact in ((True, 0.02 * (f.a * f.x.square()).sum().item()), (False, 0.02 * f.a.sum().item())):
        found = flatlab.average_sharpness(f, rho=0.2, adaptive=adaptive, samples=400)
        assert abs(found.value - exact) < 3 * found.stderr
        assert 0 < found.stderr < 0.25 * exact and found.samples == 400


def test_the_interval_covers_95_times_in_100():
    f = quadratic(40)
    exact = 0.02 * (f.a * f.x.square()).sum().item()
    found = [flatlab.average_sharpness(f, rho=0.2, samples=50, seed=seed) for seed in range(400)]
    covered = sum(abs(e.value - exact) < 1.96 * e.stderr for e in found) / len(found)
    assert 0.91 < covered < 0.98  # 0.95 within three standard errors; 50 samples make it a little less


def test_results_repeat_and_the_seed_counts():
    f = flatlab.Objective(*classifier())
    for measure in (
        lambda seed: flatlab.adaptive_sharpness(f, rho=0.05, group=20, seed=seed).value,
        lambda seed: flatlab.average_sharpness(f, samples=5, seed=seed).value,
        lambda seed: flatlab.sharpness(f, subspace=5, starts=3, seed=seed).percent,
    ):
        assert measure(1) == measure(1) != measure(2)


def measures(f):
    return (
        lambda: flatlab.sharpness(f, starts=2),
        lambda: flatlab.sharpness(f, subspace=5),
        lambda: flatlab.adaptive_sharpness(f, group=20, normalise_logits=True),
        lambda: flatlab.adaptive_sharpness(f, norm=2),
        lambda: flatlab.average_sharpness(f, samples=3),
    )


@pytest.mark.parametrize("fails", [False, True])
def test_a_measurement_changes_nothing_of_the_users(fails):
    """Parameters, buffers, gradients, modes, requires_grad, the objective's own point and the global RNG: bit for
    bit."""
    net, split = classifier(batch_norm=True)
    net[2].eval()
    net[0].bias.requires_grad_(False)
    cross_entropy(net(split[0]), split[1]).backward()
    calls, measuring = [], []

    def loss(outputs, targets):
        calls.append(1)
        if fails and measuring and len(calls) > 8:
            raise RuntimeError("in the middle")
        return cross_entropy(outputs, targets)

    def state(f):
        grads = [p.grad.clone() for p in net.parameters() if p.grad is not None]
        return [*map(torch.clone, net.state_dict().values()), *grads, f.x.clone(), torch.get_rng_state()], [
            *(m.training for m in net.modules()),
            *(p.requires_grad for p in net.parameters()),
            *(m.training for m in f.model.modules()),
            f.loss,
        ]

    f = flatlab.Objective(net, split, loss=loss)
    measuring.append(True)
    for measure in measures(f):
        del calls[:]
        before = state(f)
        if fails:
            with pytest.raises(RuntimeError, match="in the middle"):
                measure()
                measure(), measure(), measure()
        else:
            measure()
        after = state(f)
        assert (
            all(torch.equal(one, other) for one, other in zip(before[0], after[0], strict=True))
            and before[1] == after[1]
        )


def test_refusals_say_what_to_do():
    f = flatlab.Objective(*classifier())
    for message, call in {
        "rho is 0: .* above 0": lambda: flatlab.adaptive_sharpness(f, rho=0),
        "rho is nan": lambda: flatlab.average_sharpness(f, rho=math.nan),
        "norm is 1: choose one of 2, inf": lambda: flatlab.adaptive_sharpness(f, norm=1),
        "group is 61: choose 1 to 60": lambda: flatlab.adaptive_sharpness(f, group=61),
        "samples is 1": lambda: flatlab.average_sharpness(f, samples=1),
        "method 'scipy' knows boxes only": lambda: flatlab.adaptive_sharpness(f, norm=2, method="scipy"),
    }.items():
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(FloatingPointError, match="where the loss is finite"):
        flatlab.average_sharpness(f, f.x * 1e30)  # whose outputs overflow
