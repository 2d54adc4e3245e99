"""Products with the second derivative: closed forms and dense matrices first, because autograd checked against itself
shares its faults; then curvlinops and PyHessian, then properties."""

import copy
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy

import flatlab

METHODS = ("graph", "reverse", "forward")


def data(rows=60, features=6, classes=3, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, features, generator=generator, dtype=dtype)
    return x, torch.randint(0, classes, (rows,), generator=generator)


def tanh_net(dtype=torch.float64):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).to(dtype)


def dense(operator):
    """The operator's whole matrix, a column a product."""
    return torch.stack([operator @ column for column in torch.eye(operator.size, dtype=operator.x.dtype)], 1)


@pytest.mark.parametrize("method", METHODS)
def test_the_hessian_of_linear_regression_has_its_closed_form(method):
    """f = 1/N |X w - y|^2 has H = 2/N X^T X, and here the Gauss-Newton matrix is the Hessian."""
    x = data()[0]
    y = torch.randn(60, 1, dtype=torch.float64)
    f = flatlab.Objective(
        nn.Linear(6, 1, bias=False).double(), (x, y), loss=lambda outputs, y: (outputs - y).square().mean()
    )
    torch.testing.assert_close(dense(f.hessian(method=method)), 2 / 60 * x.T @ x, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(dense(f.gauss_newton()), 2 / 60 * x.T @ x, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("method", METHODS)
def test_the_hessian_of_softmax_regression_has_its_closed_form(method):
    """H = 1/N sum_i (diag(p_i) - p_i p_i^T) kron x_i x_i^T, with p = softmax(W x); the outputs are linear in W, so G =
    H."""
    x, y = data()
    f = flatlab.Objective(nn.Linear(6, 3, bias=False).double(), (x, y))
    p = (x @ f.x.view(3, 6).T).softmax(1)
    bend = torch.diag_embed(p) - p[:, :, None] * p[:, None]
    expected = torch.einsum("iab,ic,id->acbd", bend, x, x).reshape(18, 18) / 60
    torch.testing.assert_close(dense(f.hessian(method=method)), expected, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(dense(f.gauss_newton()), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("method", METHODS)
def test_a_nets_hessian_is_the_dense_one(method):
    x, y = data()
    f = flatlab.Objective(tanh_net(), (x, y))
    expected = torch.func.hessian(lambda point: cross_entropy(f.outputs(point, x), y))(f.x)
    torch.testing.assert_close(dense(f.hessian(method=method)), expected, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("method", METHODS)
def test_an_operator_knows_the_gradient_on_its_own_parameters(method):
    f = flatlab.Objective(tanh_net(), data())
    torch.testing.assert_close(f.hessian(method=method).gradient(), f.gradient(f.x)[1], rtol=1e-12, atol=1e-15)
    operator = f.hessian(names=["0.weight"], method=method)
    torch.testing.assert_close(operator.gradient(), f.gradient(f.x)[1][:48], rtol=1e-12, atol=1e-15)
    assert operator.products == 0 and (operator @ operator.gradient()).shape == (48,)


def test_a_product_is_the_difference_of_two_gradients():
    """(g(x + h v) - g(x - h v)) / 2h = H v + O(h^2): with h = 1e-5 in float64 it is met to about 1e-9."""
    f = flatlab.Objective(tanh_net(), data())
    v = torch.randn(f.size, dtype=torch.float64)
    difference = (f.gradient(f.x + 1e-5 * v)[1] - f.gradient(f.x - 1e-5 * v)[1]) / 2e-5
    torch.testing.assert_close(f.hessian() @ v, difference, rtol=1e-6, atol=1e-8)


def test_products_agree_with_curvlinops_and_pyhessian():
    """Both weight unequal batches rightly. Float32 sums in another order: 1e-5."""
    from curvlinops import GGNLinearOperator, HessianLinearOperator
    from pyhessian import hessian

    x, y = data(dtype=torch.float32)
    net, batches = tanh_net(torch.float32), [(x[:17], y[:17]), (x[17:], y[17:])]
    f = flatlab.Objective(net, batches)
    assert f.hessian().method == "reverse"
    v = torch.randn(f.size)
    params = list(net.parameters())
    for ours, theirs in ((f.hessian(), HessianLinearOperator), (f.gauss_newton(), GGNLinearOperator)):
        operator = theirs(net, nn.CrossEntropyLoss(), params, batches)
        torch.testing.assert_close(ours @ v, operator @ v, rtol=1e-4, atol=1e-5)
    parts = [part.view(shape) for part, shape in zip(v.split(f.sizes), f.shapes)]
    _, product = hessian(net, nn.CrossEntropyLoss(), dataloader=batches, cuda=False).dataloader_hv_product(parts)
    torch.testing.assert_close(f.hessian() @ v, torch.cat([part.flatten() for part in product]), rtol=1e-4, atol=1e-5)


@settings(deadline=None, max_examples=25)
@given(rows=st.integers(2, 40), chunk=st.integers(1, 45), method=st.sampled_from(["reverse", "forward"]))
def test_chunks_of_any_size_give_the_one_chunk_product(rows, chunk, method):
    split = data(rows)
    whole, parts = (flatlab.Objective(tanh_net(), split, chunk=c) for c in (rows, chunk))
    v = torch.linspace(-1, 1, whole.size, dtype=torch.float64)
    torch.testing.assert_close(parts.hessian(method=method) @ v, whole.hessian() @ v, rtol=1e-6, atol=1e-12)
    torch.testing.assert_close(parts.gauss_newton() @ v, whole.gauss_newton() @ v, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("make", [lambda f: f.hessian(), lambda f: f.gauss_newton(names=["2.weight"])])
def test_a_matrix_is_multiplied_column_by_column(make):
    operator = make(flatlab.Objective(tanh_net(), data(), chunk=20))
    assert operator.shape == (operator.size, operator.size)
    assert (operator.dtype, operator.device) == (torch.float64, torch.device("cpu"))
    columns = torch.randn(operator.size, 3, dtype=torch.float64)
    product = operator @ columns
    assert operator.products == 3
    assert torch.equal(product, torch.stack([operator @ column for column in columns.T], 1))


def test_a_layer_is_a_block_of_the_whole():
    f = flatlab.Objective(tanh_net(), data())
    block = f.hessian(names=["2.weight", "2.bias"])
    assert block.size == 27
    torch.testing.assert_close(dense(block), dense(f.hessian())[-27:, -27:], rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(
        dense(f.gauss_newton(names=["0.bias"])), dense(f.gauss_newton())[48:56, 48:56], rtol=1e-12, atol=1e-14
    )


def test_the_gauss_newton_matrix_is_positive_semidefinite_where_the_hessian_is_not():
    f = flatlab.Objective(tanh_net(), data())
    assert torch.linalg.eigvalsh(dense(f.hessian())).min() < -1e-3
    assert torch.linalg.eigvalsh(dense(f.gauss_newton())).min() > -1e-12


def test_the_sum_over_the_rows_gives_the_same_hessian_as_their_mean():
    v = torch.ones(83, dtype=torch.float64)
    mean, total = (
        flatlab.Objective(
            tanh_net(), data(), chunk=13, reduction=reduction, loss=nn.CrossEntropyLoss(reduction=reduction)
        )
        for reduction in ("mean", "sum")
    )
    torch.testing.assert_close(total.hessian() @ v, mean.hessian() @ v, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(total.gauss_newton() @ v, mean.gauss_newton() @ v, rtol=1e-12, atol=1e-14)


def test_a_loss_that_is_linear_in_the_parameters_has_no_curvature():
    x, y = data()
    f = flatlab.Objective(nn.Linear(6, 3).double(), (x, y), loss=lambda outputs, targets: outputs.mean())
    for method in METHODS:
        assert not (f.hessian(method=method) @ torch.ones_like(f.x)).any()


class NoForward(torch.autograd.Function):
    """The square, as a user would write it without a forward derivative."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x * x

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, gradient):
        return 2 * ctx.saved_tensors[0] * gradient


def test_a_layer_without_a_forward_derivative_is_named_with_the_way_out():
    class Square(nn.Module):
        def forward(self, x):
            return NoForward.apply(x)

    f = flatlab.Objective(nn.Sequential(nn.Linear(6, 3), Square()).double(), data())
    with pytest.raises(RuntimeError, match="no forward derivative in this version of torch .*: take method='reverse'"):
        f.hessian(method="forward") @ f.x
    assert (f.hessian(method="reverse") @ f.x).norm() > 0


def test_the_operator_says_how_it_makes_its_products_and_how_many_it_made():
    one, many = flatlab.Objective(tanh_net(), data()), flatlab.Objective(tanh_net(), data(), chunk=20)
    assert (one.hessian().method, many.hessian().method) == ("graph", "reverse")
    operator = many.hessian()
    for _ in range(3):
        operator @ many.x
    assert operator.products == 3


@pytest.mark.parametrize(
    "call, sentence",
    [
        (lambda f: f.hessian(method="magic"), "method is 'magic': choose one of graph, reverse, forward"),
        (lambda f: f.hessian(method="graph"), "60 rows, and they come in 3 chunks: take 'reverse'"),
        (lambda f: f.hessian(names=["3.weight"]), "no parameter is called '3.weight': choose among 0.weight, 0.bias"),
        (lambda f: f.hessian(names=[]), "no parameter is named"),
        (lambda f: f.hessian(names="0.weight"), r"names is '0.weight': pass a list of names, as \['0.weight'\]"),
        (
            lambda f: f.hessian() @ torch.ones(3, dtype=torch.float64),
            r"vectors of shape \(83,\) and matrices of shape \(83, k\), but this one has \(3,\)",
        ),
        (lambda f: f.hessian() @ torch.ones(3, 83, dtype=torch.float64), r"but this one has \(3, 83\)"),
        (lambda f: f.hessian() @ 2.0, "but this is a float"),
        (lambda f: f.hessian() @ f.x.numpy(), "but this is a ndarray"),
        (lambda f: f.hessian() @ torch.ones(83), r"takes torch.float64 on cpu, but these are torch.float32 on cpu"),
        (lambda f: f.hessian(torch.ones(3)), "a point of this objective is a vector of 83"),
        (lambda f: f.gauss_newton(names=["bias"]), "no parameter is called 'bias'"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call(flatlab.Objective(tanh_net(), data(), chunk=20))


def test_pooled_statistics_have_no_second_derivative_chunk_by_chunk():
    net = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)).double()
    with pytest.raises(ValueError, match="pass chunk=60"):
        flatlab.Objective(net, data(), batch_norm="recompute", chunk=20).hessian()
    v = torch.ones(sum(p.numel() for p in net.parameters()), dtype=torch.float64)
    one, batch = (flatlab.Objective(net, data(), batch_norm=policy) for policy in ("recompute", "batch"))
    torch.testing.assert_close(one.hessian() @ v, batch.hessian() @ v)


@pytest.mark.parametrize("method", METHODS)
def test_products_leave_the_model_and_the_generators_as_they_were(method):
    """Also when the loss raises in the middle."""
    calls, made = 0, -3

    def loss(outputs, targets):
        nonlocal calls
        calls += 1
        if calls == made + 3:
            raise RuntimeError("the disk of a user")
        return cross_entropy(outputs, targets)

    net = tanh_net().train()
    before, random = copy.deepcopy(net.state_dict()), torch.get_rng_state()
    f = flatlab.Objective(net, data(), loss=loss)
    made = calls
    with pytest.raises(RuntimeError, match="the disk"):
        for _ in range(6):
            f.hessian(method=method) @ f.x
    assert net.training and all(p.requires_grad and p.grad is None for p in net.parameters())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)


def test_an_error_without_a_message_is_named(monkeypatch):
    def silent(*_):
        raise RuntimeError

    f = flatlab.Objective(nn.Linear(3, 2), (torch.eye(3), torch.arange(3) % 2))
    monkeypatch.setattr("flatlab.hessian.jvp", silent)
    with pytest.raises(RuntimeError, match=r"no forward derivative .* \(RuntimeError\): take method='reverse'"):
        f.hessian(method="forward") @ f.x
    monkeypatch.setattr("flatlab.hessian.GaussNewton._share", silent)
    with pytest.raises(RuntimeError, match=r"cannot be transformed .* \(RuntimeError\): take f\.hessian"):
        f.gauss_newton() @ f.x


def test_an_operator_that_was_used_is_copied_and_pickled():
    """It keeps a graph, which can be neither."""
    f = flatlab.Objective(tanh_net(), data())
    operator = f.hessian()
    product = operator @ f.x
    for other in (copy.deepcopy(operator), pickle.loads(pickle.dumps(operator))):
        assert torch.equal(other @ f.x, product)
    assert torch.equal(operator @ f.x, product)
