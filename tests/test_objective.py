"""f(x) against closed forms, one-chunk answers and torch's own modules; and the promise that the user's model is left
alone."""

import copy
import math
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy

import flatlab


def classification(rows=50, features=6, classes=3, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, features, generator=generator, dtype=dtype)
    return x, torch.randint(0, classes, (rows,), generator=generator)


def softmax_net(dtype=torch.float32):
    torch.manual_seed(0)
    return nn.Linear(6, 3, bias=False).to(dtype)


def test_linear_regression_has_its_closed_form():
    """f = 1/N |X w - y|^2 has gradient 2/N X^T (X w - y)."""
    torch.manual_seed(0)
    x, y = torch.randn(40, 5, dtype=torch.float64), torch.randn(40, 1, dtype=torch.float64)
    f = flatlab.Objective(nn.Linear(5, 1, bias=False).double(), (x, y), loss=nn.functional.mse_loss, chunk=7)
    w = torch.randn(5, dtype=torch.float64)
    residual = x @ w - y[:, 0]
    value, gradient = f.gradient(w)
    assert value == pytest.approx(residual.square().mean().item(), rel=1e-12)
    assert f.value(w) == pytest.approx(value, rel=1e-14)
    torch.testing.assert_close(gradient, 2 / 40 * x.T @ residual, rtol=1e-12, atol=1e-12)


def test_softmax_regression_has_its_closed_form():
    """The gradient of the mean cross entropy in W is 1/N (softmax(W X) - onehot)^T X."""
    x, y = classification(dtype=torch.float64)
    f = flatlab.Objective(softmax_net(torch.float64), (x, y), chunk=11)
    w = f.x.view(3, 6)
    error = (x @ w.T).softmax(1) - nn.functional.one_hot(y, 3)
    torch.testing.assert_close(f.gradient(f.x)[1], (error.T @ x / len(y)).flatten(), rtol=1e-12, atol=1e-14)
    assert f.accuracy(f.x) == 100 * ((x @ w.T).argmax(1) == y).double().mean().item()


def test_a_row_whose_outputs_are_nan_is_not_right():
    """Also where its target is the class at which argmax meets the nan."""
    net, x = nn.Linear(2, 3, bias=False), torch.eye(2)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[math.nan, 0.0], [0.0, 1.0], [0.0, 0.0]]))
    assert flatlab.Objective(net, (x, torch.tensor([0, 0]))).accuracy() == 0


def test_without_a_point_it_is_evaluated_at_its_own():
    """As every measurement is."""
    f = flatlab.Objective(softmax_net(), classification())
    assert (f.value(), f.accuracy()) == f.loss_and_accuracy() == f.loss_and_accuracy(f.x)
    for found, expected in zip(f.gradient(), f.gradient(f.x)):
        assert torch.equal(torch.as_tensor(found), torch.as_tensor(expected))


@settings(deadline=None, max_examples=25)
@given(rows=st.integers(1, 40), chunk=st.integers(1, 45))
def test_chunks_of_any_size_give_the_one_chunk_answer(rows, chunk):
    split = classification(rows)
    whole, parts = (flatlab.Objective(softmax_net(), split, chunk=c) for c in (rows, chunk))
    for a, b in zip(whole.gradient(whole.x), parts.gradient(whole.x)):
        torch.testing.assert_close(torch.as_tensor(a), torch.as_tensor(b), rtol=1e-6, atol=1e-6)  # float32 sums
    assert whole.accuracy(whole.x) == pytest.approx(parts.accuracy(whole.x))


def batch_norm_net(averages=True):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, 8),
        nn.BatchNorm1d(8, track_running_stats=averages),
        nn.ReLU(),
        nn.Linear(8, 8),
        nn.BatchNorm1d(8, track_running_stats=averages),
        nn.ReLU(),
        nn.Linear(8, 3),
    )


def test_batch_norm_policies_are_what_torch_does_by_hand():
    x, y = classification()
    net = batch_norm_net()
    for part in x.split(10):
        net.train()(part)  # gives the running averages some values
    f = {policy: flatlab.Objective(net, (x, y), batch_norm=policy) for policy in ("batch", "frozen", "recompute")}
    with torch.no_grad():
        frozen = cross_entropy(copy.deepcopy(net).eval()(x), y).item()
        batch = cross_entropy(copy.deepcopy(net).train()(x), y).item()
    assert f["frozen"].value(f["frozen"].x) == pytest.approx(frozen, rel=1e-6)
    assert f["batch"].value(f["batch"].x) == pytest.approx(batch, rel=1e-6)
    assert f["recompute"].value(f["recompute"].x) == pytest.approx(batch, rel=1e-6)  # one chunk: the pool is the batch
    assert abs(frozen - batch) > 0.01  # or the test would prove nothing


@pytest.mark.parametrize("chunk", [7, 13, 49])
def test_recomputed_statistics_do_not_depend_on_the_chunk(chunk):
    split = classification()
    whole, parts = (flatlab.Objective(batch_norm_net(), split, batch_norm="recompute", chunk=c) for c in (50, chunk))
    assert parts.value(whole.x) == pytest.approx(whole.value(whole.x), rel=1e-5)
    batch = flatlab.Objective(batch_norm_net(), split, batch_norm="batch", chunk=chunk)
    assert abs(batch.value(whole.x) - whole.value(whole.x)) > 1e-3  # while batch statistics do


def test_the_gradient_refuses_recomputed_statistics_in_chunks():
    f = flatlab.Objective(batch_norm_net(), classification(), batch_norm="recompute", chunk=10)
    with pytest.raises(ValueError, match="chunk=50"):
        f.gradient(f.x)


def test_a_gradient_leaves_the_losses_own_parameters_alone():
    scale = torch.ones(3, requires_grad=True)
    f = flatlab.Objective(
        softmax_net(), classification(), loss=lambda outputs, targets: cross_entropy(scale * outputs, targets)
    )
    assert f.gradient(f.x)[1].any() and scale.grad is None


def test_a_weight_that_two_layers_share_counts_once_and_moves_both():
    """f = mean of w^2 x over one weight w in two layers: its gradient is 2 w times the mean of x."""
    net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)).double()
    net[1].weight = net[0].weight
    x = torch.linspace(1, 2, 5, dtype=torch.float64)[:, None]
    f = flatlab.Objective(net, (x, x), loss=lambda outputs, targets: outputs.mean())
    value, gradient = f.gradient(torch.tensor([3.0], dtype=torch.float64))
    assert (
        f.size == 1
        and (value, gradient.item()) == pytest.approx((9 * 1.5, 6 * 1.5))
        and f.value(2 * f.x / f.x) == pytest.approx(4 * 1.5)
    )


def test_shared_and_unused_and_frozen_parameters():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = self.b = nn.Linear(6, 6)  # one layer under two names
            self.unused, self.fixed = nn.Linear(2, 2), nn.Linear(6, 3)
            self.fixed.requires_grad_(False)

        def forward(self, x):
            return self.fixed(self.b(self.a(x)))

    torch.manual_seed(0)
    net, split = Net().double(), classification(dtype=torch.float64)
    f = flatlab.Objective(net, split)
    assert f.size == 42 + 6
    gradient = f.gradient(f.x)[1]
    cross_entropy(net(split[0]), split[1]).backward()
    torch.testing.assert_close(gradient[:42], torch.cat([p.grad.flatten() for p in net.a.parameters()]))
    assert not gradient[42:].any()


def fingerprint(model):
    return (
        [(n, p.clone(), p.requires_grad, p.grad) for n, p in model.named_parameters()],
        [(n, b.clone()) for n, b in model.named_buffers()],
        [m.training for m in model.modules()],
    )


@pytest.mark.parametrize("policy", ["batch", "frozen", "recompute"])
@pytest.mark.parametrize("late", [False, True])
def test_a_measurement_leaves_the_users_model_and_generator_bit_identical(policy, late):
    net = batch_norm_net().train()
    net[0].bias.requires_grad_(False)
    before, generator = fingerprint(net), torch.random.get_rng_state()
    calls, fail, made = [], False, 0

    def loss(outputs, targets):
        calls.append(1)
        if fail and len(calls) > made + 4:
            raise RuntimeError("stop here")
        return cross_entropy(outputs, targets)

    f = flatlab.Objective(net, classification(), batch_norm=policy, loss=loss)
    fail, made = late, len(calls)
    try:
        f.value(f.x), f.gradient(f.x), flatlab.sharpness(f)
        if policy == "frozen":  # a path between two nets has no running averages: a refusal leaves no trace either
            with pytest.raises(ValueError, match="between two nets"):
                flatlab.line(f, f.x, -f.x)
        else:
            flatlab.line(f, f.x, -f.x)
        assert not fail
    except RuntimeError:
        assert fail
    after = fingerprint(net)
    for (_, a, ra, ga), (_, b, rb, gb) in zip(before[0], after[0]):
        assert torch.equal(a, b) and ra == rb and ga is gb is None
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(before[1], after[1])) and before[2] == after[2]
    assert torch.equal(generator, torch.random.get_rng_state())


def test_refusals_say_what_to_do():
    split = classification()
    net = softmax_net()
    for message, make in {
        "batch_norm is 'eval'": lambda: flatlab.Objective(net, split, batch_norm="eval"),
        "chunk is 0": lambda: flatlab.Objective(net, split, chunk=0),
        "50 inputs and 9 targets": lambda: flatlab.Objective(net, (split[0], split[1][:9])),
        "no parameter with requires_grad": lambda: flatlab.Objective(nn.ReLU(), split),
        "needs running averages": lambda: flatlab.Objective(batch_norm_net(False), split, batch_norm="frozen"),
        "one number, its mean": lambda: flatlab.Objective(net, split, loss=nn.CrossEntropyLoss(reduction="none")),
        "two different losses": lambda: flatlab.Objective(Noisy(), split),
        "vector of 18": lambda: flatlab.Objective(net, split).value(torch.zeros(17)),
    }.items():
        with pytest.raises(ValueError, match=message):
            make()


class Noisy(nn.Module):
    """Dropout that eval() does not turn off."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x):
        return self.layer(nn.functional.dropout(x, 0.5, training=True))


class Greedy(nn.Module):
    """A net for which the memory is used up by more rows than so many."""

    def __init__(self, most, *parts):
        super().__init__()
        self.most, self.parts = most, nn.Sequential(*parts)

    def forward(self, x):
        if len(x) > self.most:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore lines")
        return self.parts(x)


def greedy(most, *more, **options):
    torch.manual_seed(0)
    parts = nn.Linear(6, 5), *more, nn.Tanh(), nn.Linear(5, 3)
    return flatlab.Objective(Greedy(most, *parts).double(), classification(200, dtype=torch.float64), **options)


def without_any_memory(f):
    f.model.most = 0
    return f


MEASUREMENTS = {
    "value": lambda f: torch.tensor(f.value(f.x)),
    "gradient": lambda f: f.gradient(f.x)[1],
    "accuracy": lambda f: torch.tensor(f.accuracy(f.x)),
    "graph": lambda f: f.hessian() @ torch.ones_like(f.x),
    "forward": lambda f: f.hessian(method="forward") @ torch.ones_like(f.x),
    "gauss-newton": lambda f: f.gauss_newton() @ torch.ones_like(f.x),
    "its gradient": lambda f: f.hessian().gradient(),
    "eigenvalues": lambda f: flatlab.eigenvalues(f.hessian(), 2).values,
    "sharpness": lambda f: torch.tensor(float(flatlab.sharpness(f))),
}


@pytest.mark.parametrize("measure", MEASUREMENTS.values(), ids=MEASUREMENTS)
def test_where_the_memory_is_used_up_the_chunks_are_halved_and_the_answer_stays(measure):
    f = greedy(64)
    with pytest.warns(
        UserWarning, match=r"used up by 200 rows at once \(OutOfMemoryError: CUDA out .* 2 GiB\.\): .*chunk=100 says"
    ) as told:
        found = measure(f)
    assert f.chunk == 50
    assert sum("is used up" in str(one.message) for one in told) == 2, "200, 100, 50: each said once"
    torch.testing.assert_close(found, measure(greedy(200)), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(
    "make, advice",
    [
        (lambda: greedy(64, nn.BatchNorm1d(5)), "pass chunk=100 if that is what you want .* part of the function"),
        (lambda: without_any_memory(greedy(200)), "this network needs another device"),
        (
            lambda: flatlab.Objective(Greedy(64, nn.Linear(6, 3)), [classification(100), classification(90)]),
            "pass batches of fewer rows",
        ),
    ],
)
def test_where_they_cannot_be_halved_one_sentence_says_why(make, advice):
    f = make()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(torch.cuda.OutOfMemoryError, match=advice):
            f.gradient(f.x)
