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
DATA = flatlab.Split(torch.randn(20, 4, generator=torch.Generator().manual_seed(1)), torch.arange(20) % 3)
WEIGHTED = flatlab.Objective(NET, (DATA.x, DATA.y), loss=nn.CrossEntropyLoss(weight=torch.tensor([1.0, 9.0, 0.1])))


class MadeForTen(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        return self.layer(x.view(10, 4))


MADE_FOR_TEN = flatlab.Objective(MadeForTen(), (DATA.x, DATA.y), chunk=10)


class WithoutNumbers(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(4, 0))

    def forward(self, x):
        return torch.cat([x[:, :3], x @ self.weight], 1)


def keeping(thing):
    net = nn.Linear(4, 3)
    net.kept = thing
    return net


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
    "f.value": lambda x: F.value(x),
    "f.accuracy": lambda x: F.accuracy(x),
    "f.gradient": lambda x: F.gradient(x)[1].norm().item(),
    "f.hessian": lambda x: flatlab.eigenvalues(F.hessian(x), max_products=4),
    "f.hessian, by torch.func": lambda x: (F.hessian(x, method="forward") @ B).norm().item(),
    "f.gauss_newton": lambda x: flatlab.trace(F.gauss_newton(x), sketch=1, max_products=4).value,
    "train": lambda x: flatlab.train(
        NET, flatlab.Data("d", 3, DATA, DATA), x0=x, batch_size=10, epochs=1, progress=False
    ).history["test_loss"][-1],
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
    "none of them negative, infinite or NaN: one": lambda: Region(A, A.abs() + math.inf),
    "negative, infinite or NaN: one for each direction": lambda: Region(A, A * math.nan),
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
    "eps is '1e-3': .* above 0": lambda: flatlab.sharpness(F, eps="1e-3"),
    "tol is 'x': it is a relative error": lambda: flatlab.eigenvalues(F.hessian(), tol="x"),
    "tol is -1: it is a relative error": lambda: flatlab.eigenvalues(F.hessian(), tol=-1),
    "tol is nan: it is a relative error": lambda: flatlab.trace(F.hessian(), tol=math.nan),
    "sigma is -1: it is the width of the smoothing and must be a number above 0": lambda: flatlab.density(
        torch.eye(3), sigma=-1
    ),
    "sigma is 0: .* above 0": lambda: flatlab.density(torch.eye(3), sigma=0),
    "sigma is nan: .* above 0": lambda: flatlab.density(torch.eye(3), sigma=math.nan),
    "sigma is inf: .* above 0": lambda: flatlab.density(torch.eye(3), sigma=math.inf),
    "max_products is '9': choose a whole number": lambda: flatlab.trace(F.hessian(), max_products="9"),
    "in float32 or float64, but this one is of type torch.int64": lambda: flatlab.eigenvalues(torch.ones(3, 3).long()),
    "in float32 or float64, but this one is of type torch.bfloat16": lambda: flatlab.trace(torch.eye(3).bfloat16()),
    "point of this objective is a vector like f.x or run.x; this is a Sequential": lambda: F.value(NET),
    "point of this objective is .*; this is an OrderedDict": lambda: F.gradient(NET.state_dict()),
    "as flatlab.load.*flatlab.Split.inputs, targets.; this is a tuple": lambda: flatlab.Objective(
        "mlp", (DATA.x, DATA.y)
    ),
    "as flatlab.load.*flatlab.Split.inputs, targets.; this is 'mnist1d'": lambda: flatlab.build("mlp", "mnist1d"),
    "the test split of a Data has no rows": lambda: flatlab.Data("d", 3, DATA, flatlab.Split(DATA.x[:0], DATA.y[:0])),
    "the train split of a Data has no rows": lambda: flatlab.Data("d", 3, flatlab.Split(DATA.x[:0], DATA.y[:0]), DATA),
    "made for data that have rows, and these have none": lambda: flatlab.build(
        "mlp", flatlab.Split(DATA.x[:0], DATA.y[:0])
    ),
    "no parameter with requires_grad, or only empty ones: there is no x to measure": lambda: flatlab.Objective(
        WithoutNumbers(), (DATA.x, DATA.y)
    ),
    "no parameter with requires_grad, or only empty ones: there is nothing to train": lambda: flatlab.train(
        WithoutNumbers(), flatlab.Data("d", 3, DATA, DATA), batch_size=10, epochs=1, progress=False
    ),
    "a chunk has a single row, .*, or batch_norm='frozen'": lambda: flatlab.Objective(
        "mlp", flatlab.Split(DATA.x[:1], DATA.y[:1])
    ),
    "seed is 'a': choose a whole number": lambda: flatlab.build("mlp", DATA, seed="a"),
    "seed is 'b': choose a whole number": lambda: DATA.subset(2, seed="b"),
    "a split needs a target for each row, .* rows and 5 targets: pass as many": lambda: flatlab.Split(A, A[:5]),
    "split's x is a tensor, as torch.as_tensor .*; this is a ndarray": lambda: flatlab.Split(A.numpy(), A),
    "split's y has rows, and this is torch.sparse_coo": lambda: flatlab.Split(A, A.to_sparse()),
    "test split of a Data is a flatlab.Split.inputs, targets.; this is a tuple": lambda: flatlab.Data(
        "d", 2, DATA, (A, A)
    ),
    "a plane takes two directions, .* in a list or a tuple; this is 3": lambda: flatlab.plane(F, A, 3),
    "splits lie on cpu and meta: move them to one": lambda: flatlab.Data(
        "d", 3, DATA, flatlab.Split(DATA.x, DATA.y.to("meta"))
    ),
    "here a target or an input is one number: .*DataLoader": lambda: flatlab.Objective(NET, list(zip(DATA.x, DATA.y))),
    "a store takes a directory and a number of seconds, not 5 and": lambda: flatlab.Store(5),
    "a store takes a directory and a number of seconds, not 'runs' and 'x'": lambda: flatlab.Store("runs", every="x"),
    "a number of seconds, not 'runs' and -1": lambda: flatlab.Store("runs", every=-1),
    "a number of seconds, not 'runs' and nan": lambda: flatlab.Store("runs", every=math.nan),
    "a number of seconds, not 'runs' and True": lambda: flatlab.Store("runs", every=True),
    "a directory's name has no NUL character": lambda: flatlab.Store("runs\0"),
    "the device 'meta', .*: make it on another": lambda: flatlab.train(
        nn.Linear(4, 3, device="meta"), flatlab.Data("d", 3, DATA, DATA)
    ),
    "buffer kept is expanded, .* cannot be written: keep its .clone()": lambda: flatlab.train(
        keeping(nn.Buffer(torch.ones(1).expand(3))), flatlab.Data("d", 3, DATA, DATA), epochs=1, batch_size=10
    ),
    "targets are torch.uint16, .* cannot put in order: pass targets.long()": lambda: flatlab.Objective(
        NET, (DATA.x, DATA.y.to(torch.uint16))
    ),
    "targets are torch.uint64, .* cannot put in order: pass targets.long()": lambda: flatlab.Objective(
        NET, [(DATA.x, DATA.y.to(torch.uint64))]
    ),
    "targets are torch.complex64, .* cannot put in order: pass torch.view_as_real": lambda: flatlab.Objective(
        NET, (DATA.x, DATA.y.to(torch.complex64)), loss=lambda outputs, targets: (outputs[:, 0] - targets).abs().mean()
    ),
    "targets are torch.complex64, but cross-entropy takes .*: pass one of these": lambda: flatlab.train(
        NET,
        flatlab.Data("d", 3, flatlab.Split(DATA.x, DATA.y.to(torch.complex64)), DATA),
        epochs=1,
        batch_size=10,
        progress=False,
    ),
    r"does not run on these inputs, torch.uint32 of shape .20, 4. from 0 to 3": lambda: flatlab.Objective(
        NET, (DATA.x.abs().to(torch.uint32), DATA.y)
    ),
    "cannot be copied .NotImplementedError: .*SparseCsr.*: keep a sparse tensor as": lambda: flatlab.Objective(
        keeping(nn.Buffer(torch.eye(3).to_sparse_csr())), (DATA.x, DATA.y)
    ),
    "cannot be copied .NotImplementedError: .*Sparse.*: keep .* as .to_sparse_coo.. or .to_dense": lambda: (
        flatlab.train(
            keeping([torch.eye(3).to_sparse_csc()]), flatlab.Data("d", 3, DATA, DATA), epochs=1, batch_size=10
        )
    ),
    "cannot be copied .TypeError: cannot pickle 'module' object.: let it keep no modules": lambda: flatlab.Objective(
        keeping(math), (DATA.x, DATA.y)
    ),
    r"a row has no gradient .* does not take one row alone \(RuntimeError": lambda: flatlab.gradient_variance(
        MADE_FOR_TEN
    ),
    r"does not run on these inputs, torch.float32 of shape \(2, 4\).*\.": lambda: flatlab.noise_scale(
        MADE_FOR_TEN, small=2, big=8, samples=2
    ),
    "not a mean over the rows, .* a row has no gradient of its own": lambda: flatlab.gradient_variance(WEIGHTED),
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


@pytest.mark.parametrize("name", ["noise_scale", "signal_to_noise", "hessian_noise_scale", "gradient_variance"])
def test_a_single_row_has_no_noise_to_measure(name):
    with pytest.raises(ValueError, match=f"^{name} takes two rows or more, because .*, and this objective has one.$"):
        OF_A_FUNCTION[name](F.subset([0]))


@pytest.mark.parametrize("number", [math.nan, math.inf])
@pytest.mark.parametrize("name", [name for name in OF_A_POINT if not name.startswith("f.")])
def test_no_measurement_takes_a_point_that_a_diverged_run_has_left(name, number):
    x = A.clone()
    x[3] = number
    with pytest.raises(ValueError, match="not finite"):
        OF_A_POINT[name](x)


def test_directions_around_a_diverged_network_are_refused():
    net = nn.Linear(4, 3)
    with torch.no_grad():
        net.weight[1, 2] = math.nan
    with pytest.raises(ValueError, match="parameters are not finite"):
        flatlab.directions(net)
    assert flatlab.directions(net, normalise=None).isfinite().all()  # nothing of the network's


@pytest.mark.parametrize("name", ["eigenvalues", "trace", "density"])
@pytest.mark.parametrize("thing", [F, NET, 3.0, None], ids=lambda thing: type(thing).__name__)
def test_what_is_no_operator_is_sent_to_the_hessian(name, thing):
    with pytest.raises(ValueError, match=rf"^{name} takes an operator, .*: pass f.hessian\(x\) or f.gauss_newton\(x\)"):
        getattr(flatlab, name)(thing)


ANSWERS = {
    "Run": lambda: flatlab.train(NET, flatlab.Data("d", 3, DATA, DATA), batch_size=10, epochs=1, progress=False),
    "Region": lambda: flatlab.box(F),
    "Maximum": lambda: flatlab.maximise(F, flatlab.box(F), steps=2),
    "Sharpness": lambda: flatlab.sharpness(F, steps=2),
    "Eigen": lambda: flatlab.eigenvalues(torch.eye(3)),
    "Density": lambda: flatlab.density(torch.eye(3)),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_two_answers_that_hold_tensors_can_be_compared_and_are_two(kind):
    """torch has no single answer to whether two tensors are equal."""
    one, other = ANSWERS[kind](), ANSWERS[kind]()
    assert type(one).__name__ == kind
    assert one != other and len({one, other, one}) == 2 and [other, one].index(one) == 1


def test_an_operator_is_square():
    door.operator(torch.eye(3), "trace")
    with pytest.raises(ValueError, match=r"shape \(n, n\), and this one has \(2, 3\)"):
        door.operator(torch.ones(2, 3), "trace")


@pytest.mark.parametrize("rows", [[], [20], [-1], [1.5], 5, DATA.y == 7], ids=str)
def test_rows_are_picked_by_their_numbers(rows):
    """A number with a point was cut to a whole one, a mask of no rows made an objective of none."""
    with pytest.raises(ValueError, match="rows are picked by their numbers, .* from 0 to 19 .* or by a mask"):
        F.subset(rows)
    assert F.subset(DATA.y == 1).value(A) == F.subset((DATA.y == 1).nonzero()[:, 0].int()).value(A)
