"""The gradient's noise against closed forms of linear regression, BackPACK, and what its standard errors promise.

f = 1/N sum_i (x_i w - y_i)^2:      g_i = 2 (x_i w - y_i) x_i,      H = 2/N X^T X
"""

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

import flatlab
from flatlab import gradient_variance, hessian_noise_scale, noise_scale, signal_to_noise
from flatlab.measure import noise


def objective(x, y, **options):
    """Linear regression in float64, at the point of ones."""
    net = nn.Linear(x.shape[1], 1, bias=False).double()
    nn.init.ones_(net.weight)
    return flatlab.Objective(net, (torch.as_tensor(x), torch.as_tensor(y)), **({"loss": mse_loss} | options))


def regression(rows=60, features=3, seed=0, **options):
    random = np.random.default_rng(seed)
    return objective(random.normal(size=(rows, features)), random.normal(size=(rows, 1)), **options)


def by_hand(f):
    """tr(S), B_simple and B_noise, in numpy."""
    x, y = f.inputs.numpy(), f.targets.numpy()
    each = 2 * (x.sum(1, keepdims=True) - y) * x
    full, hessian = each.mean(0), 2 / len(x) * x.T @ x
    covariance = np.cov(each.T, bias=True)
    return (
        covariance.trace(),
        covariance.trace() / (full @ full),
        (hessian @ covariance).trace() / (full @ hessian @ full),
    )


class ByFormula:
    """The same objective by its formulas, without a network: a simulation asks for it 30,000 times."""

    batch_norm = "frozen"

    def __init__(self, inputs, targets):
        self.inputs, self.targets, self.rows = inputs, targets, len(inputs)
        self.x = torch.ones(inputs.shape[1], dtype=inputs.dtype)

    def subset(self, rows):
        return ByFormula(self.inputs[rows], self.targets[rows])

    def gradient(self, w):
        residual = self.inputs @ w - self.targets[:, 0]
        return None, 2 / self.rows * (residual @ self.inputs)

    def hessian(self, w):
        return 2 / self.rows * self.inputs.T @ self.inputs


def summed(outputs, targets):
    return mse_loss(outputs, targets, reduction="sum")


# closed forms


@settings(deadline=None, max_examples=10)
@given(data=st.data(), rows=st.integers(3, 12), chunk=st.integers(1, 15), reduction=st.sampled_from(["mean", "sum"]))
def test_orthogonal_rows_have_one_answer_whatever_is_drawn(data, rows, chunk, reduction):
    """With X = I and every residual 1, |g_m - G|^2 = 4 (1/m - 1/N) and |G|^2 = 4/N for every batch of m rows, and
    H = 2/N I. So every draw gives B_simple = B_noise = N - 1, exactly, and the signal to noise m/(N - m)."""
    f = objective(
        np.eye(rows),
        np.zeros((rows, 1)),
        chunk=chunk,
        reduction=reduction,
        loss={"mean": mse_loss, "sum": summed}[reduction],
    )
    small = data.draw(st.integers(1, rows - 1))
    big = data.draw(st.integers(small + 1, rows))
    for estimate, truth in (
        (noise_scale(f, small=small, big=big, samples=2), rows - 1),
        (hessian_noise_scale(f, batch_size=small, samples=2), rows - 1),
        (signal_to_noise(f, batch_sizes=[small], samples=2)[0], small / (rows - small)),
        (gradient_variance(f), 4 * (1 - 1 / rows)),
    ):
        assert float(estimate) == pytest.approx(truth, rel=1e-9)  # rounding, times at most N/(big - small)
        assert estimate.stderr < 1e-9 * truth


@pytest.mark.parametrize("options", [{}, {"chunk": 7}, {"loss": summed, "reduction": "sum"}])
def test_the_variance_over_all_rows_is_that_of_linear_regression(options):
    f = regression(**options)
    variance = gradient_variance(f)
    full = f.gradient(f.x)[1]
    assert variance.value == pytest.approx(by_hand(f)[0], rel=1e-12) and variance.stderr == 0
    assert variance.value / (full @ full).item() == pytest.approx(by_hand(f)[1], rel=1e-12)
    assert variance.samples == 60


def test_the_variance_does_not_depend_on_how_many_rows_are_held(monkeypatch):
    f = regression()
    whole = gradient_variance(f)
    monkeypatch.setitem(noise.GRADIENTS_HELD, "cpu", 12)  # 4 rows of 3 parameters
    assert gradient_variance(f).value == pytest.approx(whole.value, rel=1e-12)


@pytest.mark.parametrize("chunk", [5000, 13])
def test_batches_of_one_against_all_rows_are_exact(chunk):
    f = regression(chunk=chunk)
    scale = noise_scale(f, small=1, big=60, samples=2)
    assert scale.value == pytest.approx(by_hand(f)[1], rel=1e-10) and scale.stderr < 1e-10


def test_two_rows_have_one_hessian_noise_scale():
    """g_1 - G = -(g_2 - G), so either row gives d^T H d, which is tr(H S)."""
    f = regression(rows=2)
    scale = hessian_noise_scale(f, batch_size=1, samples=2)
    assert scale.value == pytest.approx(by_hand(f)[2], rel=1e-12) and scale.stderr < 1e-12 * scale.value
    assert abs(by_hand(f)[2] / by_hand(f)[1] - 1) > 0.1  # or it could be the other noise scale


@pytest.mark.parametrize("batch_size", [1, 8, 59])
def test_the_hessian_noise_scale_is_the_same_for_every_batch_size(batch_size):
    f = regression()
    scale = hessian_noise_scale(f, batch_size=batch_size, samples=300)
    assert scale.value == pytest.approx(by_hand(f)[2], abs=4 * scale.stderr) and scale.stderr < 0.2 * scale.value


@pytest.mark.parametrize("small, big", [(1, 2), (4, 30), (7, 40), (16, 59), (16, 60)])  # 40 = 5 x 7 + 5
def test_two_batch_sizes_agree_with_all_rows(small, big):
    f = regression(rows=60, seed=1)
    scale = noise_scale(f, small=small, big=big, samples=300 if big == 2 else 60)
    assert scale.value == pytest.approx(by_hand(f)[1], abs=4 * scale.stderr) and scale.stderr < 0.25 * scale.value


def test_the_mean_of_a_batch_is_measured_for_a_mean_and_for_a_sum():
    mean, total = regression(), regression(loss=summed, reduction="sum")
    for measure in (
        lambda f: noise_scale(f, small=4, big=30, samples=5),
        lambda f: hessian_noise_scale(f, batch_size=4, samples=5),
        lambda f: signal_to_noise(f, batch_sizes=[4], samples=5)[0],
        lambda f: gradient_variance(f, samples=20),
    ):
        assert measure(mean).value == pytest.approx(measure(total).value, rel=1e-10)


def test_signal_to_noise_meets_its_closed_form():
    f = regression(rows=400)
    scale = by_hand(f)[1]
    sizes = [1, 4, 20, 100, 399]
    for m, ratio in zip(sizes, signal_to_noise(f, batch_sizes=sizes, samples=300)):
        closed = m / scale * 399 / (400 - m)
        assert ratio.value == pytest.approx(closed, abs=4 * ratio.stderr) and ratio.stderr < 0.2 * closed
        if m <= 20:
            assert closed == pytest.approx(m / scale, rel=0.06)  # m |G|^2 / tr(S): m is far below N


# an independent library


def test_backpack_finds_the_same_variance():
    backpack, extensions = (pytest.importorskip(name) for name in ("backpack", "backpack.extensions"))
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(48, 4)).double()
    x, y = torch.randn(20, 1, 6, 6, dtype=torch.float64), torch.arange(20) % 4
    f = flatlab.Objective(net, (x, y), chunk=9)
    loss = backpack.extend(nn.CrossEntropyLoss())
    with backpack.backpack(extensions.BatchGrad()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, about their hooks
        loss(backpack.extend(net)(x), y).backward()  # each row's share of the mean: g_i / N
    each = 20 * torch.cat([p.grad_batch.flatten(1) for p in net.parameters()], 1)
    theirs = (each - each.mean(0)).square().sum(1).mean().item()
    assert gradient_variance(f).value == pytest.approx(theirs, rel=1e-10)


# standard errors


@pytest.mark.parametrize("measure", ["noise_scale", "hessian_noise_scale", "signal_to_noise", "gradient_variance"])
def test_the_interval_covers_95_times_in_100(measure):
    """The share of 200 intervals has a standard deviation of 1.5 %. The bounds are 2 of them above 95 % and 4 below,
    since 30 skew samples, whose standard deviation is itself estimated, cover a little less."""
    f = regression(rows=120, features=10, seed=3)
    trace, simple, hessian = by_hand(f)
    formula = ByFormula(f.inputs, f.targets)
    truth, estimate = {
        "noise_scale": (simple, lambda seed: noise_scale(formula, small=12, big=24, samples=30, seed=seed)),
        "hessian_noise_scale": (
            hessian,
            lambda seed: hessian_noise_scale(formula, batch_size=16, samples=30, seed=seed),
        ),
        "signal_to_noise": (
            16 / simple * 119 / 104,
            lambda seed: signal_to_noise(formula, batch_sizes=[16], samples=30, seed=seed)[0],
        ),
        "gradient_variance": (trace, lambda seed: gradient_variance(f, samples=80, seed=seed)),
    }[measure]
    estimates = [estimate(seed) for seed in range(200)]
    values, errors = (np.array([getattr(e, name) for e in estimates]) for name in ("value", "stderr"))
    assert 0.89 <= (abs(values - truth) <= 1.96 * errors).mean() <= 0.98
    assert values.mean() == pytest.approx(truth, rel=0.03)  # a ratio of 30 samples has a little bias
    assert errors.mean() == pytest.approx(values.std(), rel=0.15)


def test_a_negative_signal_is_said_and_not_clamped():
    random = np.random.default_rng(0)
    x, y = random.normal(size=(60, 3)), random.normal(size=(60, 1))
    f = objective(x, y)
    minimum = torch.as_tensor(np.linalg.lstsq(x, y, rcond=None)[0][:, 0])
    with pytest.warns(RuntimeWarning, match="may be zero"):
        values = [noise_scale(f, minimum, small=5, big=20, samples=10, seed=seed).value for seed in range(10)]
    assert min(values) < 0 < max(values)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        noise_scale(f, small=2, big=20, samples=30)  # nothing to say where G is long


def test_a_gradient_along_which_the_loss_bends_down_is_said():
    f = regression(loss=lambda outputs, targets: -mse_loss(outputs, targets))
    with pytest.warns(RuntimeWarning, match="does not bend up"):
        assert hessian_noise_scale(f, samples=3).value == pytest.approx(
            hessian_noise_scale(regression(), samples=3).value, rel=1e-10
        )


# any network


def batch_norm_net():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3)).double()
    net(torch.randn(50, 6, dtype=torch.float64) + 1)  # gives the running averages some values
    return net


def classification(rows=24):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(rows, 6, generator=generator, dtype=torch.float64), torch.arange(rows) % 3


@pytest.mark.parametrize("policy", ["batch", "recompute"])
def test_a_row_has_no_gradient_under_batch_statistics(policy):
    f = flatlab.Objective(batch_norm_net(), classification(), batch_norm=policy)
    for refused in (
        lambda: gradient_variance(f),
        lambda: noise_scale(f, small=1, big=8),
        lambda: hessian_noise_scale(f, batch_size=1),
        lambda: signal_to_noise(f, batch_sizes=[8, 1]),
    ):
        with pytest.raises(ValueError, match="batch_norm='frozen'"):
            refused()
    assert noise_scale(f, small=4, big=24, samples=4).value > 0  # batches have one


class Branches(nn.Module):
    """vmap refuses a branch that depends on the numbers, also one that is never taken."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 3).double()

    def forward(self, x):
        return self.layer(2 * x if x.sum().item() > 1e9 else x)


@pytest.mark.parametrize("net", [batch_norm_net, Branches])
def test_per_example_gradients_are_those_of_single_rows(net):
    f = flatlab.Objective(net(), classification(), batch_norm="frozen")
    each = torch.stack([f.subset([row]).gradient(f.x)[1] for row in range(f.rows)])
    torch.testing.assert_close(noise._per_example(f, f.x, f.inputs, f.targets), each, rtol=1e-10, atol=1e-12)


def test_data_in_batches_has_a_variance_and_no_draws():
    x, y = classification()
    net = nn.Linear(6, 3).double()
    whole, parts = flatlab.Objective(net, (x, y)), flatlab.Objective(net, list(zip(x.split(7), y.split(7))))
    assert gradient_variance(parts).value == pytest.approx(gradient_variance(whole).value, rel=1e-12)
    for refused in (
        lambda: noise_scale(parts, small=2, big=8),
        lambda: hessian_noise_scale(parts, batch_size=2),
        lambda: signal_to_noise(parts, batch_sizes=[2]),
        lambda: gradient_variance(parts, samples=4),
    ):
        with pytest.raises(ValueError, match="list of batches"):
            refused()


def test_refusals_say_what_to_do():
    f = regression()
    for message, refused in {
        "1 <= small < big <= 60": lambda: noise_scale(f, small=8, big=8),
        "big is 61": lambda: noise_scale(f, small=8, big=61),
        "small is 0": lambda: noise_scale(f, small=0, big=8),
        "samples is 1: choose 2 or more": lambda: noise_scale(f, small=2, big=8, samples=1),
        "batch_sizes is 60: choose 1 to 59": lambda: signal_to_noise(f, batch_sizes=[4, 60]),
        "batch_sizes is empty": lambda: signal_to_noise(f, batch_sizes=[]),
        "batch_size is 60": lambda: hessian_noise_scale(f, batch_size=60),
        "samples is 61": lambda: gradient_variance(f, samples=61),
        "samples is 1": lambda: gradient_variance(f, samples=1),
        "shape \\(4,\\)": lambda: gradient_variance(f, torch.ones(4)),
    }.items():
        with pytest.raises(ValueError, match=message):
            refused()
    far = torch.full((3,), 1e200, dtype=torch.float64)  # |g|^2 overflows
    for refused in (lambda: noise_scale(f, far, small=2, big=8), lambda: gradient_variance(f, far)):
        with pytest.raises(FloatingPointError, match="not finite"):
            refused()


@pytest.mark.parametrize("policy", ["batch", "frozen"])
@pytest.mark.parametrize("fail", [False, True])
def test_the_model_and_the_generator_stay_bit_identical_and_a_seed_repeats(policy, fail):
    net = batch_norm_net().train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    generator, left = torch.random.get_rng_state(), [math.inf]

    def loss(outputs, targets):
        left[0] -= 1
        if left[0] < 0:
            raise KeyError("stop here")
        return cross_entropy(outputs, targets)

    f = flatlab.Objective(net, classification(), batch_norm=policy, loss=loss)
    x = f.x.clone()
    left[0] = 3 if fail else math.inf  # evaluations, after those of the checks at the door

    def measure(seed):
        return (
            noise_scale(f, small=4, big=12, samples=3, seed=seed),
            hessian_noise_scale(f, batch_size=4, samples=3, seed=seed),
            signal_to_noise(f, batch_sizes=[4], samples=3, seed=seed),
            policy == "frozen" and gradient_variance(f),
        )

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            first, second, other = measure(0), measure(0), measure(1)
        assert not fail and first == second and first[0] != other[0]
    except KeyError:
        assert fail
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in net.parameters())
    assert all(m.training for m in net.modules())
    assert torch.equal(f.x, x) and torch.equal(generator, torch.random.get_rng_state())
