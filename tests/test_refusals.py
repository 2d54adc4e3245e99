"""What an `Objective` refuses, or gets right, because whoever measures trusts that f is a function of x alone and a
mean over rows.

The oracle is the user's own loop over all rows at once.
"""

import collections
import copy
import dataclasses
import functools
import random
import types

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parameters_to_vector
from torch.utils.data import DataLoader, TensorDataset

import flatlab

ROWS, WORDS = 200, 6


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def rows(*shape):
    return torch.randn(ROWS, *shape, dtype=torch.float64, generator=generator())


def labels(count=3):
    return torch.randint(0, count, (ROWS,), generator=generator(1))


def net(out=3, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, out)).double()


class Tagger(nn.Module):
    """A class for each word; the word 0 is padding."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.body, self.head = nn.Embedding(WORDS, 4), nn.GRU(4, 5, batch_first=True), nn.Linear(5, 4)

    def forward(self, x):
        return self.head(self.body(self.embedding(x))[0])


def padded():
    """Sentences of 1 to 7 words, the short ones first, and their tags; 0 stands for no word and -100 for no tag."""
    words = torch.randint(1, WORDS, (ROWS, 7), generator=generator(2))
    tags = (words + words.roll(1, 1)) % 4
    none = torch.arange(7) >= torch.linspace(1, 7, ROWS).long()[:, None]
    return words.masked_fill(none, 0), tags.masked_fill(none, -100)


def tag_loss(outputs, targets):
    return F.cross_entropy(outputs.flatten(0, 1), targets.flatten())


def in_order(labels):
    """Rows sorted by class, so that the first hundred have one class."""
    return torch.cat([torch.zeros(ROWS - 60, dtype=torch.long), torch.ones(30).long(), torch.full((30,), 2)])


def contrast(outputs, targets):
    """NT-Xent between neighbours: every row against all others of its batch."""
    z = F.normalize(outputs, dim=1)
    alike = (z @ z.T / 0.5).fill_diagonal_(-1e9)
    return F.cross_entropy(alike, torch.arange(len(z)) ^ 1)


def dice(outputs, targets):
    p = outputs.sigmoid()[:, 0]
    return 1 - (2 * (p * targets).sum() + 1) / (p.sum() + targets.sum() + 1)


def masked(outputs, targets):
    value, mask = targets[:, :1], targets[:, 1:]
    return ((outputs - value).square() * mask).sum() / mask.sum()


def per_object(outputs, targets):
    """As detectors do: a sum over the boxes, divided by their number."""
    return ((outputs - 1).square() * (targets > 0)).sum() / (targets > 0).sum().clamp_min(1)


WEIGHTS = torch.tensor([1.0, 10.0, 0.1], dtype=torch.float64)
NOT_MEANS = {
    "padding": (lambda: Tagger().double(), padded(), tag_loss),
    "class weights": (net, (rows(6), labels()), nn.CrossEntropyLoss(weight=WEIGHTS)),
    "class weights, rows sorted": (net, (rows(6), in_order(labels())), nn.CrossEntropyLoss(weight=WEIGHTS)),
    "contrast": (net, (rows(6), labels()), contrast),
    "dice": (lambda: net(1), (rows(6), (labels() > 0).double()), dice),
    "mask": (lambda: net(1), (rows(6), torch.stack([rows(1)[:, 0], (torch.arange(ROWS) > 150).double()], 1)), masked),
    "objects": (lambda: net(4), (rows(6), (torch.arange(ROWS) % 5)[:, None] - torch.arange(4)), per_object),
    "largest row": (net, (rows(6), labels()), lambda o, y: F.cross_entropy(o, y, reduction="none").max()),
    "root of a mean": (lambda: net(1), (rows(6), rows(1)), lambda o, y: F.mse_loss(o, y).sqrt()),
}


@pytest.mark.parametrize("name", NOT_MEANS)
def test_a_loss_that_is_no_mean_over_the_rows_is_whole_or_refused(name):
    make, (x, y), loss = NOT_MEANS[name]
    whole = flatlab.Objective(make(), (x, y), loss=loss)
    own = make()
    theirs = loss(own(x), y)
    theirs.backward()
    value, gradient = whole.gradient(whole.x)
    assert value == pytest.approx(theirs.item(), rel=1e-12)
    torch.testing.assert_close(
        gradient, parameters_to_vector([p.grad for p in own.parameters()]), rtol=1e-9, atol=1e-12
    )
    batches = list(zip(x.split(50), y.split(50)))
    for data, options in (((x, y), {"chunk": 50}), (batches, {}), (DataLoader(TensorDataset(x, y), batch_size=20), {})):
        with pytest.raises(ValueError, match=r"not a mean over the rows.*pass chunk=200"):
            flatlab.Objective(make(), data, loss=loss, **options)
    with pytest.raises(ValueError, match="some of the rows are another function"):
        whole.subset([0, 1])
    with pytest.raises(ValueError, match="some of the rows are another function"):
        flatlab.noise_scale(whole, small=10, big=100, samples=2)


MEANS = {
    "cross entropy": (net, (rows(6), in_order(labels())), F.cross_entropy, "mean"),
    "weights, as a sum": (
        net,
        (rows(6), in_order(labels())),
        nn.CrossEntropyLoss(weight=WEIGHTS, reduction="sum"),
        "sum",
    ),
    "words": (lambda: Tagger().double(), (padded()[0], (padded()[0] + 1) % 4), tag_loss, "mean"),
    "padding, as a sum": (
        lambda: Tagger().double(),
        padded(),
        lambda o, y: F.cross_entropy(o.flatten(0, 1), y.flatten(), reduction="sum"),
        "sum",
    ),
    "regression": (lambda: net(1), (rows(6), rows(1)), F.mse_loss, "mean"),
    "a loss below zero": (lambda: net(1), (rows(6), rows(1)), lambda o, y: (o * y).mean(), "mean"),
    "Huber": (lambda: net(1), (rows(6), 100 * rows(1)), F.huber_loss, "mean"),
    "label smoothing": (net, (rows(6), labels()), nn.CrossEntropyLoss(label_smoothing=0.1), "mean"),
    "zero weights": (lambda: zeros(net()), (rows(6), labels()), F.cross_entropy, "mean"),
}


def zeros(model):
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    return model


@pytest.mark.parametrize("name", MEANS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_mean_or_a_sum_over_the_rows_is_taken_in_any_chunks(name, dtype):
    make, (x, y), loss, reduction = MEANS[name]
    if isinstance(loss, nn.Module):
        loss = copy.deepcopy(loss).to(dtype)
    x, y = (part.to(dtype) if part.is_floating_point() else part for part in (x, y))
    whole, parts = (
        flatlab.Objective(make().to(dtype), (x, y), loss=loss, reduction=reduction, chunk=chunk) for chunk in (ROWS, 17)
    )
    assert parts.value(whole.x) == pytest.approx(whole.value(whole.x), rel=1e-5 if dtype == torch.float32 else 1e-12)
    parts.subset([3, 4, 5]).value(whole.x)


SMALL_TERMS = {
    "entropy of the mean": lambda o: -0.5 * torch.special.entr(o.softmax(1).mean(0)).sum(),
    "variance over the batch": lambda o: 0.1 * o.var(0).sum(),
}


@pytest.mark.parametrize("term", SMALL_TERMS)
def test_a_small_term_that_is_no_mean_is_seen_in_float32(term):
    def loss(outputs, targets):
        return F.cross_entropy(outputs, targets) + SMALL_TERMS[term](outputs)

    x, y = rows(6).float(), labels()
    with pytest.raises(ValueError, match="not a mean over the rows.*pass chunk=200"):
        flatlab.Objective(net().float(), (x, y), loss=loss, chunk=50)
    whole = flatlab.Objective(net().float(), (x, y), loss=loss)
    assert whole.value(whole.x) == pytest.approx(loss(net().float()(x), y).item(), rel=1e-6) and not whole.additive


def test_one_class_among_many_that_weighs_more_is_seen():
    torch.manual_seed(0)
    model, x, y = nn.Linear(6, 1000), torch.randn(3000, 6), (torch.arange(3000) % 1000).sort().values
    weight = torch.ones(1000)
    weight[517] = 300
    with pytest.raises(ValueError, match="not a mean over the rows"):
        flatlab.Objective(model, (x, y), loss=nn.CrossEntropyLoss(weight=weight), chunk=500)
    with pytest.raises(ValueError, match="some of the rows are another function"):
        flatlab.Objective(model, (x, y), loss=nn.CrossEntropyLoss(weight=weight)).subset([0])
    assert flatlab.Objective(model, (x, y), loss=nn.CrossEntropyLoss(weight=torch.ones(1000)), chunk=500).additive


@dataclasses.dataclass(slots=True)
class Slots:
    logits: torch.Tensor


@pytest.mark.parametrize("kind", ["slots", "deque", "mapping", "function"])
def test_a_loss_over_outputs_of_any_form_is_seen_to_be_no_mean(kind):
    form, logits = {
        "slots": (Slots, lambda o: o.logits),
        "deque": (lambda o: collections.deque([o]), lambda o: o[0]),
        "mapping": (lambda o: types.MappingProxyType({"logits": o}), lambda o: o["logits"]),
        "function": (lambda o: lambda: o, lambda o: o()),
    }[kind]

    class Formed(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net()

        def forward(self, x):
            return form(self.net(x))

    def weighted(outputs, targets):
        return F.cross_entropy(logits(outputs), targets, weight=WEIGHTS)

    with pytest.raises(ValueError, match="not a mean over the rows"):
        flatlab.Objective(Formed(), (rows(6), labels()), loss=weighted, chunk=50)
    f = flatlab.Objective(Formed(), (rows(6), labels()), loss=lambda o, y: F.cross_entropy(logits(o), y), chunk=50)
    assert f.value(f.x) == pytest.approx(F.cross_entropy(net()(rows(6)), labels()).item())


def test_class_weights_are_seen_where_all_losses_are_alike():
    with pytest.raises(ValueError, match="not a mean over the rows"):
        flatlab.Objective(
            zeros(net()), (rows(6), in_order(labels())), loss=nn.CrossEntropyLoss(weight=WEIGHTS), chunk=50
        )


class Centred(nn.Module):
    """Takes the mean of the batch off each row."""

    def __init__(self):
        super().__init__()
        self.body = net()

    def forward(self, x):
        return self.body(x - x.mean(0))


def test_outputs_that_depend_on_other_rows_are_whole_or_refused():
    x, y = rows(6) + 3, labels()
    f = flatlab.Objective(Centred(), (x, y))
    assert f.value(f.x) == pytest.approx(F.cross_entropy(Centred()(x), y).item(), rel=1e-12)
    with pytest.raises(ValueError, match=r"depend on the other rows of its batch.*pass chunk=200"):
        flatlab.Objective(Centred(), (x, y), chunk=50)
    normed = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)).double()
    for policy in ("batch", "frozen", "recompute"):  # which is said, and what it does to chunks too
        flatlab.Objective(normed, (x, y), batch_norm=policy, chunk=50)


# accuracy


class Fixed(nn.Module):
    """Its outputs are given; one parameter moves nothing."""

    def __init__(self, outputs):
        super().__init__()
        self.register_buffer("given", outputs)
        self.still = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return self.given[x] + 0 * self.still


def accuracy(outputs, targets, loss, **options):
    f = flatlab.Objective(Fixed(outputs.float()), (torch.arange(len(targets)), targets), loss=loss, **options)
    return f.accuracy(f.x)


def scores(targets, classes, dimension):
    """Scores whose largest is at the target."""
    return 3 * F.one_hot(targets.clamp(0, classes - 1), classes).movedim(-1, dimension) + torch.rand(
        targets.shape + (1,), generator=generator()
    ).movedim(-1, dimension)


def test_one_logit_has_no_largest():
    """Nor where the loss has no slope, which tells what are scores."""
    y = labels(2)
    right = (2 * y - 1).float()[:, None]
    for outputs in (right, -right, right[:, 0]):
        assert accuracy(outputs, y, lambda o, y: F.binary_cross_entropy_with_logits(o.flatten(), y.float())) is None
    assert accuracy(right, 0 * y, lambda o, y: ((o[:, 0] > 0) != y).double().mean()) is None


def test_counts_are_no_classes():
    counts = torch.poisson(torch.full((ROWS,), 4.0), generator=generator()).long()
    assert accuracy(torch.ones(ROWS, 1), counts, lambda o, y: F.poisson_nll_loss(o[:, 0], y)) is None
    assert accuracy(torch.ones(ROWS, 2), counts, lambda o, y: F.poisson_nll_loss(o[:, 0], y) + o[:, 1].mean()) is None
    assert accuracy(torch.ones(ROWS, 2), counts, lambda o, y: (o.argmax(1) - y).abs().double().mean()) is None


VECTORS = {
    "a mean and a variance": lambda o, y: F.gaussian_nll_loss(o[:, 0], y.double(), o[:, 1].exp()),
    "a variance and a mean": lambda o, y: F.gaussian_nll_loss(o[:, 1], y.double(), o[:, 0].exp()),
    "a correlation": lambda o, y: -torch.corrcoef(torch.stack([o[:, 0], y.double()]))[0, 1],
    "a place among the other rows": lambda o, y: ((o @ o.T - (y[:, None] == y).double()) ** 2).mean(),
}
SCORES = {
    "cross-entropy": F.cross_entropy,
    "smoothed": functools.partial(F.cross_entropy, label_smoothing=0.2),
    "weighted": lambda o, y: F.cross_entropy(o, y, weight=torch.tensor([1.0, 9.0], dtype=o.dtype)),
    "margin": F.multi_margin_loss,
    "squares": lambda o, y: F.mse_loss(o, F.one_hot(y, 2).to(o.dtype)),
    "focal": lambda o, y: (
        (F.cross_entropy(o, y, reduction="none") * (1 - o.softmax(1).gather(1, y[:, None])) ** 2).diagonal().mean()
    ),
    "of probabilities": lambda o, y: F.nll_loss(o.softmax(1).log(), y),
}


@pytest.mark.parametrize("name", [*VECTORS, *SCORES])
def test_only_scores_of_the_classes_have_an_accuracy(name):
    y = labels(2)
    outputs = torch.randn(ROWS, 2, generator=generator())
    expected = None if name in VECTORS else 100 * (outputs.argmax(1) == y).double().mean().item()
    assert accuracy(outputs, y, {**VECTORS, **SCORES}[name]) == pytest.approx(expected)


@pytest.mark.parametrize("shape, dimension", [((), 1), ((7,), 2), ((4, 5), 1), ((4, 5), 3)])
def test_the_share_of_right_answers_wherever_the_classes_lie(shape, dimension):
    """A vector of scores, one for each word, or for each pixel as torch has it, or last."""
    y = torch.randint(0, 3, (ROWS, *shape), generator=generator())
    outputs = scores(y, 3, dimension)
    wrong = torch.rand(y.shape, generator=generator(1)) < 0.25
    y = torch.where(wrong, (y + 1) % 3, y)

    def loss(o, y):
        return F.cross_entropy(o if dimension == 1 else o.movedim(-1, 1), y)

    found = accuracy(outputs, y, loss, chunk=33)
    assert found == pytest.approx(100 * (1 - wrong.double().mean().item()), abs=1e-9)


@pytest.mark.parametrize("nothing", [-100, -1, 0, 2])
@pytest.mark.parametrize("form", ["module", "partial", "closure", "mask"])
def test_ignored_targets_are_in_neither_count(nothing, form):
    y = torch.randint(0, 3, (ROWS, 7), generator=generator())
    outputs, away = scores((y + 1) % 3, 3, 2), torch.rand(y.shape, generator=generator(1)) < 0.4
    y = torch.where(away, torch.tensor(nothing), y)
    right = torch.rand(ROWS, generator=generator(2)) < 0.5
    outputs[right] = scores(y, 3, 2)[right]
    counted = y != nothing
    expected = 100 * ((outputs.argmax(-1) == y) & counted).sum().item() / counted.sum().item()
    losses = {
        "module": nn.CrossEntropyLoss(ignore_index=nothing),
        "partial": functools.partial(F.cross_entropy, ignore_index=nothing),
        "closure": lambda o, y: F.cross_entropy(o, y, ignore_index=nothing),
        "mask": lambda o, y: (
            (F.cross_entropy(o, y.clamp_min(0), reduction="none") * (y != nothing)).sum() / (y != nothing).sum()
        ),
    }
    assert accuracy(outputs, y, lambda o, y: losses[form](o.transpose(1, 2), y)) == pytest.approx(expected, abs=1e-9)


# something besides x


def test_a_loss_that_looks_at_the_networks_parameters_is_refused():
    model, split = net(), (rows(6), labels())
    captured, theta = model[0].weight, parameters_to_vector(model.parameters())

    @torch.no_grad()
    def size():
        return sum(p.square().sum() for p in model.parameters())

    for penalty in (
        lambda: sum(p.square().sum() for p in model.parameters()),
        lambda: captured.abs().sum(),
        lambda: theta.square().sum(),
        lambda: parameters_to_vector(model.parameters()).norm(),
        size,
        lambda: model[2].weight.detach().square().sum(),
        lambda: model(split[0][:2]).square().mean(),
    ):
        with pytest.raises(ValueError, match="the loss looks at the parameters of the network that you passed"):
            flatlab.Objective(model, split, loss=lambda o, y, penalty=penalty: F.cross_entropy(o, y) + 0.01 * penalty())


def test_a_penalty_that_moves_with_x_is_right():
    class Penalised(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = net()

        def forward(self, x):
            return self.body(x), sum(p.square().sum() for p in self.body.parameters())

    f = flatlab.Objective(Penalised(), (rows(6), labels()), loss=lambda o, y: F.cross_entropy(o[0], y) + 0.01 * o[1])
    plain = flatlab.Objective(net(), (rows(6), labels()))
    for x in (f.x, 2 * f.x):
        assert f.value(x) == pytest.approx(plain.value(x) + 0.01 * x.square().sum().item(), rel=1e-12)


def test_a_teacher_of_its_own_is_a_constant():
    teacher = net(seed=1)
    f = flatlab.Objective(net(), (rows(6), rows(6)), loss=lambda o, y: F.mse_loss(o, teacher(y)), chunk=50)
    assert f.gradient(f.x)[1].any() and all(p.grad is None for p in teacher.parameters())


class Averaging(nn.Module):
    """Keeps an average of what it saw, as an attribute."""

    def __init__(self, rate=0.1):
        super().__init__()
        self.body, self.mean, self.rate = net(), 0.0, rate

    def forward(self, x):
        self.mean = (1 - self.rate) * self.mean + self.rate * x.mean(0)
        return self.body(x - self.mean)


class Cached(nn.Module):
    """Computes the norm of its weights once."""

    def __init__(self):
        super().__init__()
        self.body, self.norm = net(), None

    def forward(self, x):
        if self.norm is None:
            self.norm = self.body[0].weight.detach().norm()
        return self.body(x) / self.norm


class Counting(nn.Module):
    """Counts its evaluations, in Python or in a buffer, and is another network at every so manieth."""

    def __init__(self, period, buffer=False, factor=2):
        super().__init__()
        self.body, self.period, self.factor = net(), period, factor
        if buffer:
            self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        else:
            self.seen = 0

    def forward(self, x):
        self.seen += 1
        return self.body(x) * (self.factor if self.seen % self.period == 0 else 1)


class OnlyWithoutAGraph(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = net()

    def forward(self, x):
        return self.body(x) * (1 if torch.is_grad_enabled() else 2)


class Hidden(nn.Module):
    """Its first layer is in a plain list."""

    def __init__(self):
        super().__init__()
        self.first, self.last = [nn.Linear(6, 8).double()], nn.Linear(8, 3).double()

    def forward(self, x):
        return self.last(self.first[0](x).tanh())


def looking_back():
    """A hook that holds the network itself, of which a copy is measured."""
    model = net()
    model[2].register_forward_hook(lambda layer, arguments, outputs: outputs / model[2].weight.norm())
    return model


@pytest.mark.parametrize(
    "make, sentence",
    [
        (Averaging, "two different losses .*keeps statistics"),
        (lambda: Averaging(1e-3), "two different losses .*keeps statistics"),
        (lambda: Counting(8), "two different losses .*keeps statistics"),
        (lambda: Counting(50, buffer=True), "two different losses .*keeps statistics"),
        (Cached, "keeps something from one evaluation to the next"),
        (OnlyWithoutAGraph, "two different losses"),
        (Hidden, "parameters that are not among its own .*nn.ModuleList"),
        (looking_back, "parameters that are not among its own .*no hook or closure"),
    ],
)
def test_a_network_that_is_no_function_of_its_parameters_is_refused(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        flatlab.Objective(make(), (rows(6) + 1, labels()))


def test_a_network_that_counts_and_does_not_look_at_it_is_measured():
    f, plain = (flatlab.Objective(made, (rows(6), labels())) for made in (Counting(8, factor=1), net()))
    assert f.value(f.x) == plain.value(f.x)


# rows that cannot be


def test_a_chunk_of_one_row_has_no_variance():
    """Which torch says only when it is evaluated."""
    x, y = rows(6), labels()
    normed = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)).double()
    batches = list(zip(x.split(ROWS - 1), y.split(ROWS - 1)))
    for policy in ("batch", "recompute"):
        for data, chunk in (((x, y), 1), (batches, 5000)):
            with pytest.raises(ValueError, match="a chunk has a single row, .* or batch_norm='frozen'"):
                flatlab.Objective(normed, data, batch_norm=policy, chunk=chunk)
    f = flatlab.Objective(normed, batches, batch_norm="frozen")
    assert f.value(f.x) > 0
    images = nn.Sequential(nn.Unflatten(1, (1, 6)), nn.BatchNorm1d(1), nn.Flatten(), nn.Linear(6, 3)).double()
    f = flatlab.Objective(images, (x, y), chunk=1)
    assert f.value(f.x) > 0


@pytest.mark.parametrize("place", [3, 111, 199])
@pytest.mark.parametrize("number, name", [(float("nan"), "nan"), (float("inf"), "an infinite number")])
def test_numbers_that_are_not_finite_are_named_with_their_row(place, number, name):
    x, y, real = rows(6), labels(), rows(1)
    x[place, 2] = number
    sentence = f"the inputs are not finite: row {place} holds {name}"
    for data in ((x, y), list(zip(x.split(40), y.split(40)))):
        with pytest.raises(ValueError, match=sentence):
            flatlab.Objective(nn.Linear(6, 3).double(), data)
    real[place] = number
    with pytest.raises(ValueError, match=f"the targets are not finite: row {place} holds {name}"):
        flatlab.Objective(net(1), (rows(6), real), loss=F.mse_loss)


def test_a_network_that_copes_with_missing_numbers_is_measured():
    class Filled(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = net()

        def forward(self, x):
            return self.body(x.nan_to_num(0))

    x = rows(6)
    x[::7, 1] = float("nan")
    for data in ((x, labels()), list(zip(x.split(50), labels().split(50)))):
        f = flatlab.Objective(Filled(), data)
        assert f.value(f.x) == pytest.approx(F.cross_entropy(net()(x.nan_to_num(0)), labels()).item(), rel=1e-12)


# the user's own tensors


class Drawing(nn.Module):
    """It draws at every call, as networks with layers that are dropped in training do, and refuses to use it."""

    def __init__(self, sigma=0.0):
        super().__init__()
        self.net, self.sigma = net(), sigma

    def forward(self, x):
        drawn = torch.rand([]) + np.random.rand() + random.random()
        return self.net(x + self.sigma * drawn)


def generator_states():
    return [random.getstate(), *map(str, np.random.get_state()[1:3]), torch.get_rng_state().tolist()]


def test_what_a_network_draws_moves_no_generator():
    quiet, noisy = Drawing(), Drawing(sigma=1.0)
    before = generator_states()
    f = flatlab.Objective(quiet, (rows(6), labels()))
    for measure in (f.value, f.gradient, f.hessian, lambda x: f.hessian(x) @ x, lambda x: flatlab.sharpness(f, x)):
        measure(f.x)
        assert generator_states() == before
    with pytest.raises(ValueError, match="two different losses for the same rows"):
        flatlab.Objective(noisy, (rows(6), labels()))
    assert generator_states() == before


class InPlace(nn.Module):
    """Normalises its inputs where they lie, by what its last layer allows."""

    def __init__(self, out=3):
        super().__init__()
        self.body = net(out)

    def forward(self, x):
        return self.body(x.sub_(0.5).div_(2.0))


def blunt(outputs, targets):
    """A loss that writes into what it is given."""
    outputs.mul_(0.5)
    return F.cross_entropy(outputs, targets.clamp_(0, 2))


@pytest.mark.parametrize("lists", [False, True])
def test_data_are_left_as_they_are(lists):
    x, y = rows(6), torch.randint(-1, 4, (ROWS,), generator=generator())
    before = x.clone(), y.clone()
    data = list(zip(x.split(50), y.split(50))) if lists else (x, y)
    f = flatlab.Objective(InPlace(), data, loss=blunt)
    one = flatlab.Objective(InPlace(), (x.clone(), y.clone()), loss=blunt)
    assert f.value(f.x) == pytest.approx(one.value(f.x), rel=1e-12)
    f.gradient(f.x), f.accuracy(f.x), f.hessian(method="reverse") @ f.x, f.gauss_newton() @ f.x
    flatlab.sharpness(f), flatlab.line(f, f.x, -f.x, (0, 0.5, 1))
    if not lists:
        flatlab.gradient_variance(f), flatlab.noise_scale(f, small=10, big=50, samples=2)
    with pytest.raises(ValueError, match="not a mean"):
        flatlab.Objective(InPlace(), data, loss=lambda o, y: blunt(o, y).sqrt(), chunk=50)
        flatlab.Objective(InPlace(), data, loss=lambda o, y: blunt(o, y).sqrt())
    with pytest.raises(ValueError, match="the loss cannot be had from these outputs"):
        flatlab.Objective(InPlace(2), data, loss=blunt)
    assert torch.equal(x, before[0]) and torch.equal(y, before[1])


def test_a_point_is_left_as_it_is_by_a_layer_that_changes_its_weights():
    """An embedding with max_norm shortens its rows where they lie."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(WORDS, 4, max_norm=0.5), nn.Flatten(), nn.Linear(28, 3)).double()
    words, y = padded()[0], labels()
    f = flatlab.Objective(model, (words, y))
    x = 3 * f.x
    before = x.clone(), f.x.clone()
    f.value(x), f.gradient(x), f.hessian(x) @ x, f.gauss_newton(x) @ x, f.outputs(x.clone(), words)
    assert torch.equal(x, before[0]) and torch.equal(f.x, before[1])


def linear(features=6, classes=3):
    torch.manual_seed(0)
    return nn.Linear(features, classes)


X, Y = torch.randn(60, 6, generator=generator()), torch.randint(0, 3, (60,), generator=generator())


@pytest.mark.parametrize(
    "net, data, loss, sentence",
    [
        (
            linear(),
            (X.long(), Y),
            F.cross_entropy,
            r"the network does not run on these inputs, torch.int64 of shape \(60, 6\)",
        ),
        (
            linear(),
            (X, Y + 5),
            F.cross_entropy,
            r"the loss cannot be had .* targets, .* from 5 to 7 \(IndexError: Target",
        ),
        (linear(), (X, Y - 2), F.cross_entropy, r"targets, torch.int64 of shape \(60,\) from -2 to 0 \(IndexError"),
        (
            linear(),
            (X, Y.float()),
            F.cross_entropy,
            r"targets, torch.float32 of shape \(60,\) from 0 to 2 \(RuntimeError",
        ),
        (linear(5), (X, Y), F.cross_entropy, "the network does not run on these inputs"),
        (linear(6, 1), (X, Y.float()), F.mse_loss, r"shape \(60\) and the outputs \(60, 1\).* all pairs of rows"),
        (linear(6, 1), (X, Y.float()), F.l1_loss, r"pass targets of the outputs' shape"),
        (linear(), (X.to_sparse(), Y), F.cross_entropy, r"the inputs are torch.sparse_coo.* pass .to_dense\(\)"),
        (
            nn.Linear(6, 3, device="meta"),
            (X, Y),
            F.cross_entropy,
            "on the device 'meta', where its parameters have no values",
        ),
    ],
)
def test_a_first_mistake_is_answered_in_a_sentence(net, data, loss, sentence):
    with pytest.raises(ValueError, match=sentence):
        flatlab.Objective(net, data, loss=loss)


def test_a_loss_without_a_second_derivative_says_so_and_keeps_its_sharpness():
    def ctc(outputs, targets):
        lengths = torch.full((len(targets),), 4), torch.ones(len(targets), dtype=torch.long)
        return F.ctc_loss(outputs.log_softmax(-1).transpose(0, 1), targets[:, None].clamp(1, 2), *lengths)

    f = flatlab.Objective(nn.Sequential(nn.Linear(6, 12), nn.Unflatten(1, (4, 3))), (X, Y), loss=ctc)
    assert float(flatlab.sharpness(f)) > 0
    with pytest.raises(ValueError, match="has no second derivative in torch"):
        f.hessian() @ f.x
