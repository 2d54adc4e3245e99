"""Eigenvalues, traces and densities: operators whose spectrum is known first, then dense Hessians in float64, then
curvlinops and PyHessian, then coverage and properties."""

import math

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import flatlab
from flatlab.measure.lanczos import Lanczos
from flatlab.measure.operators import Symmetric
from tests.test_hessian import data, dense, tanh_net


class Diagonal:
    """An operator whose eigenvalues are given."""

    method = "diagonal"

    def __init__(self, values):
        self.values, self.dtype, self.device = values, values.dtype, values.device
        self.size, self.shape = len(values), (len(values), len(values))

    def __matmul__(self, v):
        return self.values * v


def spectrum(count=300, dtype=torch.float64):
    """A bulk in [0, 1] and three values apart, the kind a trained net has."""
    return torch.cat([torch.linspace(0, 1, count - 3, dtype=dtype), torch.tensor([-0.5, 4.0, 7.0], dtype=dtype)])


# eigenvalues


def test_the_eigenpairs_of_a_known_operator():
    found = flatlab.eigenvalues(Diagonal(spectrum()), 2, tol=1e-6)
    torch.testing.assert_close(found.values, torch.tensor([7.0, 4.0], dtype=torch.float64), rtol=1e-10, atol=0)
    assert found.vectors.shape == (300, 2)
    assert found.vectors[-1, 0].abs() == pytest.approx(1, abs=1e-5) and found.vectors[-2, 1].abs() == pytest.approx(
        1, abs=1e-5
    )
    assert found.converged and float(found) == found.values[0]
    smallest = flatlab.eigenvalues(Diagonal(spectrum()), which="smallest", tol=1e-6)
    assert float(smallest) == pytest.approx(-0.5, rel=1e-10)


def test_a_gradient_helps_the_search_for_eigenvalues_and_cannot_mislead_it():
    """Along the largest eigenvector, along one that is not asked for, zero, or not finite: the value is the same."""

    class WithGradient(Diagonal):
        def gradient(self):
            return self.slope

    plain, products = flatlab.eigenvalues(Diagonal(spectrum()), tol=1e-6), {}
    for place in (-1, 5, None, math.nan):
        operator = WithGradient(spectrum())
        operator.slope = torch.zeros_like(operator.values)
        if place in (-1, 5):
            operator.slope[place] = 1e-9
        elif place is not None:
            operator.slope += math.nan
        found = flatlab.eigenvalues(operator, tol=1e-6)
        torch.testing.assert_close(found.values, plain.values, rtol=1e-10, atol=0)
        products[place] = found.products
    assert products[-1] < plain.products == products[None]


def test_the_eigenvalues_of_linear_regression_are_those_of_its_moment_matrix():
    """The first two are apart; the residual bounds the distance to an eigenvalue of any symmetric matrix."""
    x = data(rows=400, features=20)[0] * torch.linspace(1, 3, 20, dtype=torch.float64)
    f = flatlab.Objective(
        nn.Linear(20, 1, bias=False).double(), (x, x[:, :1]), loss=lambda o, y: (o - y).square().mean()
    )
    found = flatlab.eigenvalues(f.hessian(), 3, tol=1e-8)
    torch.testing.assert_close(found.values, torch.linalg.eigvalsh(2 / 400 * x.T @ x).flip(0)[:3], rtol=1e-10, atol=0)


@pytest.mark.parametrize("which", ["largest", "smallest"])
def test_the_eigenvalues_are_those_of_the_dense_hessian(which):
    operator = flatlab.Objective(tanh_net(), data()).hessian()
    expected = torch.linalg.eigvalsh(dense(operator))
    found = flatlab.eigenvalues(operator, 4, which=which, tol=1e-8)
    torch.testing.assert_close(
        found.values, expected.flip(0)[:4] if which == "largest" else expected[:4], rtol=1e-10, atol=1e-12
    )
    assert found.method == "graph"


def test_the_top_eigenvalue_agrees_with_curvlinops_and_pyhessian():
    """PyHessian stops when the Rayleigh quotient changes little, which is early: its tolerance is 1e-6 here and ours
    1e-4 of it."""
    from curvlinops import HessianLinearOperator
    from pyhessian import hessian
    from scipy.sparse.linalg import eigsh

    x, y = data(dtype=torch.float32)
    net = tanh_net(torch.float32)
    ours = float(flatlab.eigenvalues(flatlab.Objective(net, (x, y)).hessian(), tol=1e-4))
    operator = HessianLinearOperator(net, nn.CrossEntropyLoss(), list(net.parameters()), [(x, y)])
    assert ours == pytest.approx(eigsh(operator.to_scipy(), k=1, which="LA")[0][0], rel=1e-5)
    torch.manual_seed(0)
    theirs = hessian(net, nn.CrossEntropyLoss(), data=(x, y), cuda=False).eigenvalues(maxIter=500, tol=1e-7)[0][0]
    assert ours == pytest.approx(theirs, rel=1e-4)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), k=st.integers(1, 4), size=st.integers(4, 30))
def test_the_residual_is_the_true_one_and_bounds_the_error(seed, k, size):
    a = torch.randn(size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)

    class Matrix(Diagonal):
        def __matmul__(self, v):
            return (a + a.T) @ v

    found = flatlab.eigenvalues(Matrix(torch.ones(size, dtype=torch.float64)), k, tol=0.2)
    truth = torch.linalg.eigvalsh(a + a.T)
    for value, vector, residual in zip(found.values, found.vectors.T, found.residuals):
        assert ((a + a.T) @ vector - value * vector).norm().item() == pytest.approx(residual.item(), abs=1e-8)
        assert (truth - value).abs().min() <= residual + 1e-9


def test_no_eigenvalue_is_found_twice_in_200_products():
    """Lanczos without reorthogonalisation finds the outer ones again and again after some forty products, in float32
    above all."""
    values = spectrum(2000, torch.float32)
    found = flatlab.eigenvalues(Diagonal(values), 8, tol=0.0, max_products=200)
    assert found.products == 200 and not found.converged
    assert found.values[0].item() == pytest.approx(7, rel=1e-5) and found.values[1].item() == pytest.approx(4, rel=1e-5)
    assert (found.values[2:] < 1 + 1e-5).all()
    lanczos = Lanczos(Symmetric(Diagonal(values), "test"), torch.Generator().manual_seed(0))
    for _ in range(200):
        lanczos.step()
    q = lanczos.basis[:200].double()
    assert (q @ q.T - torch.eye(200, dtype=torch.float64)).abs().max() < 1e-5


def test_an_operator_of_few_distinct_eigenvalues_is_exhausted_not_stuck():
    values = torch.tensor([2.0, 2.0, 2.0, 5.0, 0.0], dtype=torch.float64)
    found = flatlab.eigenvalues(Diagonal(values), 5)
    torch.testing.assert_close(found.values, values.sort(descending=True).values, atol=1e-12, rtol=0)
    zero = flatlab.eigenvalues(Diagonal(torch.zeros(9)), 2)
    assert not zero.values.any() and zero.converged


@pytest.mark.parametrize("scale", [1e-30, 1e-25, 1e25, 1e38])
def test_what_squares_cannot_hold_is_found_all_the_same(scale):
    matrix = scale * torch.diag(torch.tensor([3.0, 2.0, 1.0]))
    found = flatlab.eigenvalues(matrix, 2)
    assert found.converged
    torch.testing.assert_close(found.values / scale, torch.tensor([3.0, 2.0], dtype=torch.float64), rtol=1e-5, atol=0)


def test_a_multiple_of_the_operator_takes_as_many_products():
    """The stopping rule is relative."""
    products = {flatlab.eigenvalues(Diagonal(scale * spectrum()), tol=1e-4).products for scale in (1e-8, 1, 1e8)}
    assert len(products) == 1


def test_the_top_eigenvalue_of_a_layer():
    f = flatlab.Objective(tanh_net(), data())
    expected = torch.linalg.eigvalsh(dense(f.hessian())[-27:, -27:]).max()
    assert float(flatlab.eigenvalues(f.hessian(names=["2.weight", "2.bias"]), tol=1e-6)) == pytest.approx(
        expected.item(), rel=1e-8
    )


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        ({"k": 0}, "k is 0: choose 1 to 300, as an operator of that size has eigenvalues"),
        ({"k": 301}, "k is 301"),
        ({"which": "LA"}, "which is 'LA': choose one of largest, smallest"),
        ({"k": 5, "max_products": 4}, "max_products is 4: .* finding 5 eigenvalues takes as many products"),
    ],
)
def test_eigenvalues_that_cannot_be_are_refused(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        flatlab.eigenvalues(Diagonal(spectrum()), **arguments)


def test_a_hessian_that_is_not_finite_is_refused():
    with pytest.raises(FloatingPointError, match="not finite"):
        flatlab.eigenvalues(Diagonal(torch.full((9,), math.nan)))


# repeated eigenvalues


def symmetric(values, seed=0):
    """A dense matrix with these eigenvalues, in no basis in particular."""
    generator = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(len(values), len(values), dtype=values.dtype, generator=generator))[0]
    return basis * values @ basis.T


def test_softmax_regression_at_zero_weights_has_its_eigenvalues_as_often_as_they_are():
    """H = (1/C) (I - 1 1^T / C) kron X^T X / N: each eigenvalue of X^T X / N is there C - 1 times over C."""
    x, _ = data(rows=300, features=8)
    y = torch.arange(300) % 5
    net = nn.Linear(8, 5, bias=False).double()
    nn.init.zeros_(net.weight)
    f = flatlab.Objective(net, (x, y))
    values = torch.linalg.eigvalsh(x.T @ x / 300).flip(0) / 5
    for k in (2, 3, 4, 6, 10):
        found = flatlab.eigenvalues(f.hessian(), k)
        assert found.converged
        torch.testing.assert_close(found.values, values.repeat_interleave(4)[:k], rtol=1e-5, atol=0)
        assert (found.vectors.T @ found.vectors - torch.eye(k, dtype=torch.float64)).abs().max() < 1e-6
        product = f.hessian() @ found.vectors - found.vectors * found.values
        torch.testing.assert_close(product.norm(dim=0), found.residuals, rtol=1e-3, atol=1e-9)


@settings(deadline=None, max_examples=40)
@given(
    times=st.lists(st.integers(1, 4), min_size=2, max_size=5),
    k=st.integers(2, 6),
    which=st.sampled_from(["largest", "smallest"]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 1000),
)
def test_repeated_eigenvalues_are_found_as_often_as_they_are_or_the_search_has_not_converged(
    times, k, which, dtype, seed
):
    """Above a bulk in [0, 1] and below it, with their multiplicities; tol is 1e-3 and float32 has seven digits."""
    apart = torch.cat([torch.full((count,), 2.0 + place) for place, count in enumerate(times)])
    values = torch.cat([torch.linspace(0, 1, 60), apart, -apart]).double()
    found = flatlab.eigenvalues(symmetric(values, seed).to(dtype), k, which=which, seed=seed)
    expected = values.sort(descending=which == "largest").values[:k]
    if found.converged:
        torch.testing.assert_close(found.values, expected, rtol=2e-3, atol=1e-6)
    assert found.converged or found.products == 200


def test_where_the_products_do_not_suffice_for_a_second_start_the_search_has_not_converged():
    values = torch.cat([torch.linspace(0, 1, 200), torch.tensor([5.0, 5.0, 4.0])]).double()
    alone = flatlab.eigenvalues(symmetric(values), max_products=200)
    assert alone.converged and float(alone) == pytest.approx(5, rel=1e-6)  # one is one, however often it is there
    first = next(
        p
        for p in range(2, 200)
        if float(flatlab.eigenvalues(symmetric(values), 2, max_products=p).residuals.max()) < 4e-3
    )
    short, enough = (flatlab.eigenvalues(symmetric(values), 2, max_products=count) for count in (first, 200))
    assert not short.converged and short.values[1] == pytest.approx(4, rel=1e-4)
    assert enough.converged
    torch.testing.assert_close(enough.values, torch.tensor([5.0, 5.0], dtype=torch.float64), rtol=1e-5, atol=0)


@pytest.mark.parametrize("sign, which", [(1, "largest"), (-1, "smallest"), (-1, "largest"), (1, "smallest")])
@pytest.mark.parametrize("times", [(2,), (3,), (2, 3), (1, 3, 1, 2)])
def test_eigenvalues_that_are_there_two_or_three_times(sign, which, times):
    """Of a diagonal operator and of a dense matrix; a value is there as often as it is counted, and no more often."""
    apart = torch.cat([torch.full((count,), 3.0 + place) for place, count in enumerate(times)])
    values = sign * torch.cat([torch.linspace(0.1, 1, 50), apart]).double()
    expected = values.sort(descending=which == "largest").values
    for operator in (Diagonal(values), symmetric(values)):
        for k in (2, 3, len(apart), len(apart) + 1):
            found = flatlab.eigenvalues(operator, k, which=which)
            assert found.converged
            torch.testing.assert_close(found.values, expected[:k], rtol=1e-5, atol=0)


def test_all_eigenvalues_of_an_operator_and_those_of_one_that_has_a_single_value():
    values = torch.tensor([2.0, 2.0, 2.0, 5.0, 0.0, -1.0, -1.0], dtype=torch.float64)
    for k in range(1, 8):
        for which in ("largest", "smallest"):
            found = flatlab.eigenvalues(symmetric(values), k, which=which)
            expected = values.sort(descending=which == "largest").values[:k]
            assert found.converged and found.products <= 10
            torch.testing.assert_close(found.values, expected, atol=1e-12, rtol=0)
    for scale in (1.0, -3.0):
        for k in (1, 2, 3, 20):
            found = flatlab.eigenvalues(Diagonal(torch.full((20,), scale)), k)
            assert found.converged and found.products == k
            torch.testing.assert_close(found.values, torch.full((k,), scale).double(), rtol=1e-6, atol=0)


def test_few_further_products_tell_that_nothing_was_missed():
    """With values well apart: fewer than the search itself took, and none where one eigenvalue is asked for."""
    values = torch.cat([torch.linspace(0, 1, 300), torch.tensor([9.0, 7.0, 5.0, 4.0])]).double()
    several, one = (flatlab.eigenvalues(Rotated(values), k) for k in (4, 1))
    assert several.converged and several.products < 32 and one.products < 12


@pytest.mark.parametrize("seed", range(20))
def test_an_operator_of_size_one(seed):
    """The last bias of a binary net: its second derivative is the mean of p (1 - p)."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    x, y = data()
    f = flatlab.Objective(net, (x, (y > 0).double()[:, None]), loss=nn.functional.binary_cross_entropy_with_logits)
    p = net(x).sigmoid()
    expected = (p * (1 - p)).mean().item()
    block = f.hessian(names=["2.bias"])
    for found in (flatlab.eigenvalues(block, seed=seed), flatlab.trace(block, seed=seed)):
        assert float(found) == pytest.approx(expected, rel=1e-10)
    spread = flatlab.density(block, seed=seed)
    assert spread.nodes.unique() == pytest.approx(expected, rel=1e-10)
    pair = f.hessian(names=["2.bias", "0.bias"])
    assert flatlab.eigenvalues(pair, 5, seed=seed).converged


@pytest.mark.parametrize("measure", [flatlab.eigenvalues, flatlab.trace, flatlab.density])
def test_products_that_are_not_finite_are_refused_by_every_measurement(measure):
    with pytest.raises(FloatingPointError, match="product is not finite"):
        measure(Diagonal(torch.cat([spectrum(30), torch.tensor([math.inf])])))


# operators of others


def others():
    """The same Hessian, in all the forms in which people have one."""
    from curvlinops import HessianLinearOperator
    from scipy.sparse import csr_array
    from scipy.sparse.linalg import aslinearoperator

    x, y = data()
    net = tanh_net()
    ours = flatlab.Objective(net, (x, y)).hessian()
    matrix = dense(ours)
    matrix = (matrix + matrix.T) / 2
    return matrix, {
        "to_scipy": ours.to_scipy(),
        "curvlinops": HessianLinearOperator(net, nn.CrossEntropyLoss(), list(net.parameters()), [(x, y)]),
        "curvlinops for scipy": HessianLinearOperator(
            net, nn.CrossEntropyLoss(), list(net.parameters()), [(x, y)]
        ).to_scipy(),
        "scipy": aslinearoperator(matrix.numpy()),
        "sparse": csr_array(matrix.numpy()),
        "tensor": matrix,
        "array": matrix.numpy(),
        "float32": matrix.float(),
    }


def test_operators_of_others_have_the_same_spectrum():
    matrix, operators = others()
    values = torch.linalg.eigvalsh(matrix).flip(0)
    for name, operator in operators.items():
        rtol = 1e-5 if name == "float32" else 1e-8
        for which, expected in (("largest", values[:2]), ("smallest", values.flip(0)[:2])):
            found = flatlab.eigenvalues(operator, 2, which=which, tol=1e-6)
            torch.testing.assert_close(found.values, expected, rtol=rtol, atol=1e-7, msg=lambda m: f"{name}: {m}")
        estimate = flatlab.trace(operator, tol=0.05)
        assert abs(estimate.value - values.sum()) < 5 * estimate.stderr
        spread = flatlab.density(operator, steps=16, probes=8)
        mean, error = (
            (spread.weights * spread.nodes).sum(1).mean(),
            (spread.weights * spread.nodes).sum(1).std() / 8**0.5,
        )
        assert abs(mean - values.mean()) < 5 * error


def test_scipys_solvers_work_on_ours():
    from scipy.sparse.linalg import eigsh, lobpcg

    for operator in (f := flatlab.Objective(tanh_net(), data())).hessian(), f.gauss_newton():
        values = torch.linalg.eigvalsh(dense(operator)).numpy()
        theirs = operator.to_scipy()
        assert theirs.shape == operator.shape == (83, 83) and theirs.dtype == numpy.float64
        numpy.testing.assert_allclose(eigsh(theirs, 3, which="LA")[0], values[-3:], rtol=1e-10)
        start = numpy.random.default_rng(0).standard_normal((83, 3))
        found = lobpcg(theirs, start, tol=1e-8, maxiter=200)[0]
        numpy.testing.assert_allclose(sorted(found), values[-3:], rtol=1e-6)
    assert flatlab.Objective(tanh_net(torch.float32), data(dtype=torch.float32)).hessian().to_scipy().dtype == "float32"


def test_an_operator_that_tells_only_its_size_and_a_vector_is_taken():
    class Small:
        size, x = 3, torch.zeros(3)

        def __matmul__(self, v):
            return torch.tensor([1.0, 2.0, 5.0]) * v

    found = flatlab.eigenvalues(Small())
    assert float(found) == pytest.approx(5) and found.method == "Small"


@pytest.mark.parametrize("measure", [flatlab.eigenvalues, flatlab.trace, flatlab.density])
def test_what_is_no_operator_is_refused_with_the_way_to_one(measure):
    f = flatlab.Objective(tanh_net(), data())
    for thing in (f, tanh_net(), 3.0):
        with pytest.raises(ValueError, match=r"takes an operator.*pass f.hessian\(x\) or f.gauss_newton\(x\)"):
            measure(thing)
    for thing, sentence in (
        (torch.ones(3), r"shape \(n, n\), and this one has \(3,\)"),
        (torch.ones(3, 4), r"shape \(n, n\), and this one has \(3, 4\)"),
        (numpy.eye(3) * 1j, "takes a real operator, but this one is of type complex128"),
    ):
        with pytest.raises(ValueError, match=sentence):
            measure(thing)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_operator_that_is_not_symmetric_is_refused(dtype):
    """And its symmetric part is not, in any form or scale."""
    from scipy.sparse.linalg import aslinearoperator

    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(40, 40, generator=generator, dtype=dtype)
    even = (matrix + matrix.T) / 2
    for scale in (1e-6, 1, 1e6):
        for wrong in (matrix, even + 0.02 * (matrix - even), torch.triu(matrix)):
            for operator in (scale * wrong, (scale * wrong).numpy(), aslinearoperator((scale * wrong).numpy())):
                for measure in (flatlab.eigenvalues, flatlab.density):
                    with pytest.raises(ValueError, match=r"not symmetric: u . A v is .* pass a symmetric one"):
                        measure(operator)
        flatlab.eigenvalues(scale * even, 2), flatlab.density(scale * even, steps=5)


# trace


def test_the_trace_of_an_operator_of_low_rank_is_exact():
    values = torch.zeros(200, dtype=torch.float64)
    values[:5] = torch.tensor([9.0, 7.0, 5.0, -3.0, 1.0])
    found = flatlab.trace(Diagonal(values))
    assert found.value == pytest.approx(19, rel=1e-10) and found.stderr < 1e-9


def test_the_trace_is_that_of_the_dense_hessian_within_its_error():
    operator = flatlab.Objective(tanh_net(), data()).hessian()
    found = flatlab.trace(operator)
    assert found.value == pytest.approx(torch.trace(dense(operator)).item(), abs=4 * found.stderr)
    assert found.stderr <= 0.02 * found.value or found.samples >= 280


class Rotated(Diagonal):
    """The same eigenvalues in a basis that random signs do not see through."""

    def __init__(self, values):
        super().__init__(values)
        generator = torch.Generator().manual_seed(0)
        self.basis = torch.linalg.qr(torch.randn(self.size, self.size, dtype=values.dtype, generator=generator))[0]

    def __matmul__(self, v):
        return self.basis @ (self.values * (self.basis.T @ v))


def test_the_interval_of_the_trace_covers_it_95_times_in_100():
    """200 repetitions of a fixed 40 samples: the count of covers lies within 3.2 binomial standard deviations of 190,
    or the normal interval is a little narrow, by the 40 samples (94.3 % is expected)."""
    operator = Rotated(spectrum(80))
    truth = operator.values.sum().item()
    found = [flatlab.trace(operator, tol=0.0, max_products=60, seed=seed) for seed in range(200)]
    covered = sum(abs(estimate.value - truth) <= 1.96 * estimate.stderr for estimate in found)
    assert 179 <= covered <= 198


def test_what_cannot_be_sampled_is_refused():
    with pytest.raises(ValueError, match="max_products is 21: a sketch of 10 takes 20"):
        flatlab.trace(Diagonal(spectrum()), max_products=21)
    with pytest.raises(ValueError, match="probes is 0: choose 1 or more"):
        flatlab.density(Diagonal(spectrum()), probes=0)


# density


def test_the_density_of_a_known_operator():
    """Half of the eigenvalues at 0 and half at 1: two bells of area 1/2."""
    values = torch.cat([torch.zeros(150), torch.ones(150)]).double()
    found = flatlab.density(Rotated(values), steps=10, probes=8, sigma=0.02)
    assert torch.trapezoid(found.density, found.grid).item() == pytest.approx(1, abs=1e-3)
    below = found.grid < 0.5
    assert torch.trapezoid(found.density[below], found.grid[below]).item() == pytest.approx(0.5, abs=0.05)
    assert found.density[(found.grid - 0.5).abs() < 0.3].max() < 1e-6
    torch.testing.assert_close(found.weights.sum(1), torch.ones(8, dtype=torch.float64))


def test_the_moments_of_the_density_are_those_of_the_dense_hessian():
    """The weights are a probe's: the mean and the mean square of the eigenvalues are met within four standard
    errors."""
    operator = flatlab.Objective(tanh_net(), data()).hessian()
    eigenvalues = torch.linalg.eigvalsh(dense(operator))
    found = flatlab.density(operator, steps=30, probes=30)
    for power in (1, 2):
        moments = (found.weights * found.nodes**power).sum(1)
        stderr = moments.std() / math.sqrt(30)
        assert (moments.mean() - (eigenvalues**power).mean()).abs() < 4 * stderr


def test_the_density_agrees_with_curvlinops():
    """Both smooth by a Gaussian of the same width; 40 probes each leave errors of a few percent of the peak."""
    from curvlinops import HessianLinearOperator
    from curvlinops.papyan2020traces.spectrum import lanczos_approximate_spectrum

    x, y = data(dtype=torch.float32)
    net = tanh_net(torch.float32)
    ours = flatlab.density(flatlab.Objective(net, (x, y)).hessian(), steps=20, probes=40)
    operator = HessianLinearOperator(net, nn.CrossEntropyLoss(), list(net.parameters()), [(x, y)])
    low, high = (
        float(flatlab.eigenvalues(flatlab.Objective(net, (x, y)).hessian(), which="smallest")),
        ours.nodes.max().item(),
    )
    numpy.random.seed(0)
    grid, theirs = lanczos_approximate_spectrum(operator, 20, num_points=400, num_repeats=40, boundaries=(low, high))
    grid, theirs = grid.numpy(), theirs.numpy()
    where = numpy.interp(grid, ours.grid, ours.density)
    assert abs(numpy.cumsum(where - theirs) * (grid[1] - grid[0])).max() < 0.1


def test_the_standard_error_of_the_density_is_over_the_probes():
    found = flatlab.density(Rotated(spectrum(60)), steps=20, probes=5)
    kernel = (
        torch.exp(-0.5 * ((found.grid - found.nodes[..., None]) / found.sigma) ** 2)
        / found.sigma
        / math.sqrt(2 * math.pi)
    )
    each = (found.weights[..., None] * kernel).sum(1)
    torch.testing.assert_close(found.stderr, each.std(0) / math.sqrt(5))
    assert flatlab.density(Rotated(spectrum(60)), steps=20, probes=1).stderr.isnan().all()


def test_sampling_leaves_the_global_generator_alone():
    random = torch.get_rng_state()
    operator = Diagonal(spectrum(50))
    flatlab.eigenvalues(operator), flatlab.trace(operator), flatlab.density(operator)
    assert torch.equal(torch.get_rng_state(), random)


def test_the_same_seed_gives_the_same_bits():
    operator = flatlab.Objective(tanh_net(), data()).hessian()
    for measure in (
        lambda seed: flatlab.eigenvalues(operator, seed=seed).vectors,
        lambda seed: flatlab.trace(operator, seed=seed).value,
        lambda seed: flatlab.density(operator, seed=seed).nodes,
    ):
        first, again, other = (torch.as_tensor(measure(seed)) for seed in (0, 0, 1))
        assert torch.equal(first, again) and not torch.equal(first, other)
