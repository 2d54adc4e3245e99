"""Any nn.Module, any (x, y), any loss.

The oracle for f and its gradient is the user's own loop, for a product the difference of two gradients. Whatever is
measured, the user's model and the generators are found as they were left.
"""

import copy
import dataclasses
import pickle
import random
import weakref
from typing import NamedTuple

import numpy
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, Dataset, TensorDataset

import flatlab
from flatlab.hessian import PRODUCT_METHODS

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"))]
ROWS, WORDS = 24, 7


def rows(*shape):
    return torch.randn(ROWS, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def classes(*shape, count=3):
    return torch.randint(0, count, (ROWS, *shape), generator=torch.Generator().manual_seed(1))


def words():
    return torch.randint(0, WORDS, (ROWS, 5), generator=torch.Generator().manual_seed(2))


def word_loss(outputs, targets):
    return F.cross_entropy(outputs.flatten(0, 1), targets.flatten())


def mlp(*middle, out=3):
    return nn.Sequential(nn.Linear(6, 8), *(middle or [nn.Tanh()]), nn.Linear(8, out))


class Tied(nn.Module):
    """The embedding is the head."""

    def __init__(self):
        super().__init__()
        self.embedding, self.middle, self.head = (
            nn.Embedding(WORDS, 6),
            nn.Linear(6, 6),
            nn.Linear(6, WORDS, bias=False),
        )
        self.head.weight = self.embedding.weight

    def forward(self, x):
        return self.head(self.middle(self.embedding(x)).tanh())


class Encoder(nn.Module):
    """torch's own transformer; where told so, the word 0 is padding."""

    def __init__(self, padded=False):
        super().__init__()
        self.padded, self.embedding, self.head = padded, nn.Embedding(WORDS, 4), nn.Linear(4, WORDS)
        self.body = nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8, batch_first=True, activation="gelu"), 1)

    def forward(self, x):
        return self.head(self.body(self.embedding(x), src_key_padding_mask=x == 0 if self.padded else None))


class Attention(nn.Module):
    """Causal attention by torch's fused kernel."""

    def __init__(self):
        super().__init__()
        self.embedding, self.qkv, self.head = nn.Embedding(WORDS, 4), nn.Linear(4, 12), nn.Linear(4, WORDS)

    def forward(self, x):
        q, k, v = self.qkv(self.embedding(x)).unflatten(-1, (3, 2, 2)).permute(2, 0, 3, 1, 4)
        return self.head(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.embedding, self.body, self.head = nn.Embedding(WORDS, 4), kind(4, 5, batch_first=True), nn.Linear(5, WORDS)

    def forward(self, x):
        return self.head(self.body(self.embedding(x))[0])


class Sparse(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.head = nn.Embedding(WORDS, 4, sparse=True), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.embedding(x).mean(1).tanh())


class Heads(nn.Module):
    """Two answers, as a dict or as a tuple."""

    def __init__(self, kind):
        super().__init__()
        self.kind, self.body, self.which, self.size = kind, nn.Linear(6, 8), nn.Linear(8, 3), nn.Linear(8, 1)

    def forward(self, x):
        h = self.body(x).tanh()
        answers = {"which": self.which(h), "size": self.size(h)}
        return answers if self.kind is dict else tuple(answers.values())


def heads_loss(outputs, targets):
    which, size = outputs.values() if isinstance(outputs, dict) else outputs
    return F.cross_entropy(which, targets) + (size[:, 0] - targets).square().mean()


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.unused, self.used = nn.Linear(2, 2), mlp()

    def forward(self, x):
        return self.used(x)


def half_frozen():
    net = mlp()
    net[0].requires_grad_(False)
    return net


def hooked():
    net = mlp()
    net[0].register_forward_hook(lambda module, arguments, outputs: 2 * outputs)
    net[0].register_buffer("kept", torch.ones(3))
    return net


IMAGES = rows(3, 5, 5)
NETS = {
    "half frozen": (half_frozen, rows(6), classes(), F.cross_entropy),
    "tied": (Tied, words(), words().flip(0), word_loss),
    "unused layer": (Unused, rows(6), classes(), F.cross_entropy),
    "regression": (lambda: mlp(out=1), rows(6), rows(6)[:, :1].square(), F.mse_loss),
    "binary": (lambda: mlp(out=1), rows(6), (classes(1) > 0).double(), F.binary_cross_entropy_with_logits),
    "transformer": (Encoder, words(), words().flip(0), word_loss),
    "padded transformer": (lambda: Encoder(True), words(), words().flip(0), word_loss),
    "fused attention": (Attention, words(), words().flip(0), word_loss),
    "GRU": (lambda: Recurrent(nn.GRU), words(), words().flip(0), word_loss),
    "LSTM": (lambda: Recurrent(nn.LSTM), words(), words().flip(0), word_loss),
    "sparse embedding": (Sparse, words(), classes(), F.cross_entropy),
    "dropout": (lambda: mlp(nn.Tanh(), nn.Dropout(0.5)), rows(6), classes(), F.cross_entropy),
    "hook and buffer": (hooked, rows(6), classes(), F.cross_entropy),
    "GroupNorm": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.Tanh(), nn.Flatten(), nn.Linear(36, 3)),
        IMAGES,
        classes(),
        F.cross_entropy,
    ),
    "LayerNorm": (lambda: mlp(nn.LayerNorm(8), nn.GELU()), rows(6), classes(), F.cross_entropy),
    "InstanceNorm": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3),
            nn.InstanceNorm2d(4, affine=True, track_running_stats=True),
            nn.Tanh(),
            nn.Flatten(),
            nn.Linear(36, 3),
        ),
        IMAGES,
        classes(),
        F.cross_entropy,
    ),
    "weight_norm": (
        lambda: nn.Sequential(parametrizations.weight_norm(nn.Linear(6, 8)), nn.Tanh(), nn.Linear(8, 3)),
        rows(6),
        classes(),
        F.cross_entropy,
    ),
    "spectral_norm": (
        lambda: nn.Sequential(parametrizations.spectral_norm(nn.Linear(6, 8)), nn.Tanh(), nn.Linear(8, 3)),
        rows(6),
        classes(),
        F.cross_entropy,
    ),
    "dict": (lambda: Heads(dict), rows(6), classes(), heads_loss),
    "tuple": (lambda: Heads(tuple), rows(6), classes(), heads_loss),
}


def make(name, device="cpu", dtype=torch.float64):
    """(net in training mode, (inputs, targets), loss)."""
    build, inputs, targets, loss = NETS[name]
    torch.manual_seed(0)
    return build().to(device, dtype).train(), (inputs.to(device), targets.to(device)), loss


class unchanged:
    """Bit for bit the same at the end: parameters, gradients, requires_grad, buffers, modes, hooks, every generator."""

    def __init__(self, net):
        self.net = net
        for number, p in enumerate(net.parameters()):
            p.grad = torch.full_like(p, number) if number % 2 else None  # as after a step of the user's

    def state(self):
        parts = [(p, p.grad, p.requires_grad) for p in self.net.parameters()] + list(self.net.buffers())
        parts += [(m.training, len(m._forward_hooks), len(m._forward_pre_hooks)) for m in self.net.modules()]
        parts += [torch.get_rng_state(), random.getstate(), numpy.random.get_state()[1].tolist()]
        parts += [
            torch.is_grad_enabled(),
            torch.backends.cudnn.enabled,
            torch.backends.mkldnn.enabled,
            torch.backends.mha.get_fastpath_enabled(),
        ]
        return copy.deepcopy(parts + ([torch.cuda.get_rng_state()] if torch.cuda.is_available() else []))

    def __enter__(self):
        self.before = self.state()

    def __exit__(self, *error):
        assert same(self.before, self.state())


def same(one, other):
    if torch.is_tensor(one):
        return torch.equal(one, other)
    if isinstance(one, (tuple, list)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", NETS)
def test_the_value_and_the_gradient_are_those_of_the_users_own_loop(name, device):
    net, (inputs, targets), loss = make(name, device)
    with unchanged(net):
        f = flatlab.Objective(net, (inputs, targets), loss=loss)
        value, gradient = f.gradient(f.x)
        path = flatlab.line(f, f.x, -f.x, (0, 1))  # by value, without a graph
    own = copy.deepcopy(net).eval()
    own.zero_grad()
    with torch.backends.cudnn.flags(enabled=device == "cpu"):  # cuDNN's recurrent layers have none in eval
        theirs = loss(own(inputs), targets)
        theirs.backward()
    assert value == pytest.approx(theirs.item(), rel=1e-12) and path.loss[0] == pytest.approx(value, rel=1e-12)
    grads = [torch.zeros_like(p) if p.grad is None else p.grad.to_dense() for p in own.parameters() if p.requires_grad]
    torch.testing.assert_close(gradient, torch.cat([g.flatten() for g in grads]), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", NETS)
def test_products_are_differences_of_gradients_by_every_method(name, device):
    """(g(x + h v) - g(x - h v)) / 2h = H v + O(h^2), with h = 1e-4 in float64: 1e-5 of its length."""
    net, split, loss = make(name, device)
    whole, parts = flatlab.Objective(net, split, loss=loss), flatlab.Objective(net, split, loss=loss, chunk=7)
    v = torch.linspace(-1, 1, whole.size, dtype=torch.float64, device=device)
    exact = (whole.gradient(whole.x + 1e-4 * v)[1] - whole.gradient(whole.x - 1e-4 * v)[1]) / 2e-4
    with unchanged(net):
        for f, method in (whole, "graph"), (whole, "reverse"), (parts, "reverse"), (parts, "forward"):
            try:
                product = f.hessian(method=method) @ v
            except RuntimeError as error:  # torch has gaps here; ours to say so
                assert method == "forward" and "take method='reverse'" in str(error)
                assert name == "regression" or device == "cuda"
                continue
            assert (product - exact).norm() < 1e-5 * exact.norm(), method
        if device == "cpu":
            u, G = v.flip(0), parts.gauss_newton()
            assert u @ (G @ v) == pytest.approx((v @ (G @ u)).item(), rel=1e-8) and v @ (G @ v) >= 0


@pytest.mark.parametrize("name", ["tied", "transformer", "GRU", "dict", "weight_norm"])
def test_the_whole_instrument_on_a_net_that_is_not_ours(name):
    net, split, loss = make(name)
    with unchanged(net):
        f = flatlab.Objective(net, split, loss=loss)
        H = f.hessian()
        dense = torch.stack([H @ column for column in torch.eye(f.size, dtype=torch.float64)], 1)
        torch.testing.assert_close(dense, dense.T, rtol=1e-9, atol=1e-12)
        true = torch.linalg.eigvalsh(dense)
        found = flatlab.eigenvalues(f.hessian(), 2, tol=1e-6)
        estimate = flatlab.trace(f.hessian(), tol=0.05)
        density = flatlab.density(f.hessian(), steps=16)
        phi = flatlab.sharpness(f)
    assert found.converged
    torch.testing.assert_close(found.values, true[[-1, -2]], rtol=1e-6, atol=0)
    assert abs(estimate.value - true.sum()) < 5 * estimate.stderr
    assert torch.trapezoid(density.density, density.grid) == pytest.approx(1, abs=1e-3)
    assert 0 < phi.percent and phi.peak == pytest.approx(f.value(phi.maximum.x), rel=1e-12)


@pytest.mark.parametrize("name", ["dropout", "transformer", "LSTM"])
def test_an_exception_leaves_everything_as_it_was(name):
    net, split, loss = make(name)
    calls = 0

    def counted(outputs, targets):
        nonlocal calls
        calls += 1
        if calls == stop:
            raise KeyboardInterrupt
        return loss(outputs, targets)

    for stop in (2, 5, 8):
        calls = 0
        with unchanged(net), pytest.raises(KeyboardInterrupt):
            f = flatlab.Objective(net, split, loss=counted)
            flatlab.eigenvalues(f.hessian(method="reverse"))
    layer = next(m for m in net.modules() if isinstance(m, (nn.Linear, nn.LSTM, nn.TransformerEncoder)))
    handle = layer.register_forward_hook(lambda *_: 1 / 0)  # the user's own mistake, in a layer
    with unchanged(net), pytest.raises(ZeroDivisionError):
        flatlab.Objective(net, split, loss=loss)
    handle.remove()


def test_a_frozen_part_is_a_constant_of_f():
    net, split, loss = make("half frozen")
    f = flatlab.Objective(net, split, loss=loss)
    assert f.names == ["2.weight", "2.bias"] and f.size == 27
    net[0].requires_grad_(True)
    everything, v = flatlab.Objective(net, split, loss=loss), torch.linspace(-1, 1, 27, dtype=torch.float64)
    torch.testing.assert_close(f.gradient(f.x)[1], everything.gradient(everything.x)[1][-27:])
    torch.testing.assert_close(f.hessian() @ v, everything.hessian(names=f.names) @ v)


def test_tied_weights_are_counted_once():
    net, split, loss = make("tied")
    f = flatlab.Objective(net, split, loss=loss)
    assert f.size == WORDS * 6 + 6 * 6 + 6 and "head.weight" not in f.names


def test_an_unused_layer_has_no_slope_and_no_curvature():
    net, split, loss = make("unused layer")
    f = flatlab.Objective(net, split, loss=loss)
    assert not f.gradient(f.x)[1][:6].any() and not (f.hessian() @ torch.ones_like(f.x))[:6].any()


def test_where_nothing_has_a_gradient_a_sentence_says_so():
    net, split, _ = make("half frozen")
    f = flatlab.Objective(net, split, loss=lambda outputs, targets: (outputs.argmax(1) != targets).double().mean())
    assert 0 < f.value(f.x) < 1  # a line may be drawn of it
    with pytest.raises(ValueError, match="the loss has no gradient: .* argmax"):
        f.gradient(f.x)
    with pytest.raises(ValueError, match="no parameter with requires_grad"):
        flatlab.Objective(net.requires_grad_(False), split)


@pytest.mark.parametrize("name", ["tied", "LSTM", "regression"])
def test_float32_is_float64_rounded_and_half_precision_is_refused(name):
    (single, split, loss), (double, _, _) = make(name, dtype=torch.float32), make(name)
    single.load_state_dict(double.state_dict())
    f, g = flatlab.Objective(single, split, loss=loss), flatlab.Objective(double, split, loss=loss)
    assert f.x.dtype == torch.float32 and g.x.dtype == torch.float64
    assert f.value(f.x) == pytest.approx(g.value(g.x), rel=1e-6)
    for one, other in ((f.gradient(f.x)[1], g.gradient(g.x)[1]), (f.hessian() @ f.x, g.hessian() @ g.x)):
        assert one.dtype == torch.float32 and (one - other).norm() < 1e-5 * other.norm()
    for dtype in (torch.bfloat16, torch.float16):
        with pytest.raises(ValueError, match=f"parameters of type {dtype}: .* float32 or float64"):
            flatlab.Objective(single.to(dtype), split, loss=loss)


@pytest.mark.parametrize("name", ["half frozen", "transformer", "regression", "dict"])
def test_a_sum_over_the_rows_is_its_mean_times_their_number(name):
    net, split, loss = make(name)
    mean, total = (
        flatlab.Objective(net, split, loss=part, reduction=reduction, chunk=7)
        for part, reduction in ((loss, "mean"), (lambda o, y: len(y) * loss(o, y), "sum"))
    )
    (a, slope), (b, other), v = mean.gradient(mean.x), total.gradient(mean.x), torch.linspace(-1, 1, mean.size).double()
    assert a == pytest.approx(b, rel=1e-12) and total.value(mean.x) == pytest.approx(a, rel=1e-12)
    torch.testing.assert_close(other, slope, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(total.hessian() @ v, mean.hessian() @ v, rtol=1e-10, atol=1e-12)
    for part, reduction in ((loss, "sum"), (lambda o, y: len(y) * loss(o, y), "mean")):
        with pytest.raises(ValueError, match="the loss is a .* over the rows, but reduction is"):
            flatlab.Objective(net, split, loss=part, reduction=reduction)


def batches(split, sizes=(5, 11, 1, 7)):
    return list(zip(*(part.split(sizes) for part in split)))


class Made:
    """Batches made at every reading; .most is how many of them lived at once."""

    def __init__(self, split):
        self.split, self.alive, self.most = split, 0, 0

    def __iter__(self):
        for inputs, targets in batches(self.split, (1,) * ROWS):
            inputs = inputs.clone()
            self.alive += 1
            self.most = max(self.most, self.alive)
            weakref.finalize(inputs, self.gone)
            yield inputs, targets
            del inputs

    def gone(self):
        self.alive -= 1


@pytest.mark.parametrize("name", ["dropout", "transformer", "dict"])
def test_batches_of_any_kind_give_the_answer_of_the_tensors(name):
    net, split, loss = make(name)
    whole = flatlab.Objective(net, split, loss=loss)
    v, made, phi = torch.linspace(-1, 1, whole.size).double(), Made(split), float(flatlab.sharpness(whole))
    loader = DataLoader(TensorDataset(*split), batch_size=7)
    with unchanged(net):
        for data in (batches(split), loader, made):
            f = flatlab.Objective(net, data, loss=loss)
            assert f.rows == ROWS
            for a, b in zip((*f.gradient(f.x), f.hessian() @ v), (*whole.gradient(whole.x), whole.hessian() @ v)):
                torch.testing.assert_close(torch.as_tensor(a), torch.as_tensor(b), rtol=1e-6, atol=1e-9)
            assert float(flatlab.sharpness(f)) == pytest.approx(phi, rel=1e-6)
    assert made.most <= 2, "the one in use and the one being made"


class Noisy(Dataset):
    """Augmentation: another answer at every reading."""

    def __len__(self):
        return ROWS

    def __getitem__(self, row):
        return rows(6)[row] + torch.randn(6), classes()[row]


class NoisyFromTheStart:
    """Noise drawn when the reading begins, as a loader's workers get their seed."""

    def __iter__(self):
        return iter([(rows(6) + torch.randn(6), classes())])


def test_data_that_are_not_the_same_at_every_reading_are_refused():
    net, split, _ = make("half frozen")
    with unchanged(net):
        for data in (
            DataLoader(TensorDataset(*split), batch_size=7, shuffle=True),
            DataLoader(Noisy(), batch_size=8),
            DataLoader(TensorDataset(*split), batch_size=7, shuffle=True, generator=torch.Generator()),
            NoisyFromTheStart(),
        ):
            with pytest.raises(ValueError, match=r"batches differ from one reading to the next: .*shuffle=False"):
                flatlab.Objective(net, data)
        for data in (iter(batches(split)), (pair for pair in batches(split))):
            with pytest.raises(ValueError, match="not an iterator, which is empty after one reading"):
                flatlab.Objective(net, data)


@pytest.mark.parametrize(
    "data, sentence",
    [
        ((rows(6).numpy(), classes().numpy()), "turn arrays into tensors"),
        (rows(6), "the data must be two tensors"),
        ({"inputs": rows(6)}, "the data must be two tensors"),
        ([(rows(6), classes(), classes())], "take apart what is more than two"),
        ([(rows(6), classes()[:4])], "24 inputs and 4 targets"),
        (TensorDataset(rows(6), classes()), "a list or a DataLoader"),
        ([], "hold no rows"),
    ],
)
def test_what_are_no_pairs_of_tensors_is_refused_in_a_sentence(data, sentence):
    with pytest.raises(ValueError, match=sentence):
        flatlab.Objective(make("half frozen")[0], data)


class Once:
    """Hands out one iterator, which is empty after the first reading."""

    def __init__(self, pairs):
        self.pairs = iter(pairs)

    def __iter__(self):
        return self.pairs


class Fewer:
    """Each reading but the first ends early."""

    def __init__(self, pairs):
        self.pairs, self.readings = pairs, 0

    def __iter__(self):
        self.readings += 1
        return iter(self.pairs if self.readings == 1 else self.pairs[:2])


def test_rows_that_are_there_once_only_are_refused_and_so_is_a_batch_of_none():
    net, split, _ = make("half frozen")
    with pytest.raises(ValueError, match="24 rows at the first reading and 0 at another: .* read again and again"):
        flatlab.Objective(net, Once(batches(split)))
    f = flatlab.Objective(net, Fewer(batches(split)))
    for measure in (f.value, f.gradient, lambda: f.hessian() @ f.x):
        with pytest.raises(ValueError, match="24 rows at the first reading and 16 at another"):
            measure()
    with pytest.raises(ValueError, match="a batch has no rows, .*: leave it out"):
        flatlab.Objective(net, [*batches(split), (split[0][:0], split[1][:0])])


def test_data_that_were_computed_by_another_network_are_constants():
    net, (x, y), loss = make("regression")
    encoder = nn.Linear(6, 6).double()
    plain = flatlab.Objective(net, (encoder(x).detach(), y), loss=loss)
    parameter = nn.Parameter(encoder(x).detach())
    for data in ((encoder(x), y), (parameter, y), batches((encoder(x), y))):
        f = flatlab.Objective(net, data, loss=loss)
        assert f.value() == pytest.approx(plain.value(), rel=1e-12)
        torch.testing.assert_close(f.gradient()[1], plain.gradient()[1])
        torch.testing.assert_close(f.hessian() @ f.x, plain.hessian() @ f.x)
    copy.deepcopy(flatlab.Objective(net, (encoder(x), y), loss=loss))
    assert parameter.grad is None and all(p.grad is None for p in encoder.parameters())


def test_a_net_that_keeps_what_it_computed_cannot_be_copied_and_is_told_so():
    net, split, loss = make("hook and buffer")
    net[0].register_forward_hook(lambda module, arguments, outputs: setattr(module, "seen", outputs))
    loss(net(split[0]), split[1])
    with pytest.raises(ValueError, match=r"keeps a tensor that was computed .*detach\(\)"):
        flatlab.Objective(net, split)


def test_outputs_that_are_not_one_vector_a_row_have_a_loss_and_no_accuracy():
    for name in ("dict", "tuple", "regression"):
        net, split, loss = make(name)
        f = flatlab.Objective(net, split, loss=loss)
        assert f.accuracy(f.x) is None and f.value(f.x) > 0
    net, split, loss = make("transformer")  # a vector a word: the share of right words
    f = flatlab.Objective(net, split, loss=loss)
    right = (copy.deepcopy(net).eval()(split[0]).argmax(-1) == split[1]).double().mean()
    assert f.accuracy(f.x) == pytest.approx(100 * right.item())


# networks in another coat


@pytest.mark.parametrize(
    "wrap",
    [
        nn.DataParallel,
        lambda net: torch.compile(net, backend="eager"),
        lambda net: nn.DataParallel(torch.compile(net, backend="eager")),
        lambda net: net.compile(backend="eager") or net,
        lambda net: nn.Sequential(torch.compile(net[0], backend="eager"), nn.DataParallel(net[1]), net[2]),
    ],
    ids=["DataParallel", "compile", "both", "compile in place", "parts"],
)
def test_wrappers_are_taken_off(wrap):
    net, split = mlp().double(), (rows(6), classes())
    plain, wrapped = flatlab.Objective(net, split), wrap(copy.deepcopy(net))
    f = flatlab.Objective(wrapped, split)
    assert f.names == plain.names and f.gradient(f.x)[0] == plain.gradient(f.x)[0]
    assert torch.equal(f.hessian() @ f.x, plain.hessian() @ f.x)
    assert not any(module._compiled_call_impl for module in f.model.modules())
    wrapped(split[0])  # and is as it was


def test_what_cannot_be_taken_off_is_refused_in_a_sentence():
    net, split, _ = make("half frozen")
    for scripted in (torch.jit.script(net), torch.jit.trace(net, split[0]), nn.Sequential(torch.jit.script(net))):
        with pytest.raises(ValueError, match="TorchScript .*: measure the nn.Module that it was made from"):
            flatlab.Objective(scripted, split)
    with pytest.raises(ValueError, match="layers without a size yet: run it once"):
        flatlab.Objective(nn.Sequential(nn.LazyLinear(3)), split)


class Checkpointed(nn.Module):
    """Recomputes a part with its own weight, and one that only adds it."""

    def __init__(self, reentrant, whole):
        super().__init__()
        self.body, self.shift, self.reentrant, self.whole = mlp(), nn.Parameter(torch.ones(8)), reentrant, whole

    def part(self, h):
        h = (h + self.shift).tanh()
        return self.body[2](h) if self.whole else h

    def forward(self, x):
        h = self.body[0](x)
        h = self.part(h) if self.reentrant is None else checkpoint(self.part, h, use_reentrant=self.reentrant)
        return h if self.whole else self.body[2](h)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("reentrant", [False, True])
def test_recomputed_activations_are_right_or_refused(reentrant, whole):
    split, made = (rows(6), classes()), []
    for kind in (reentrant, None):
        torch.manual_seed(0)
        made.append(flatlab.Objective(Checkpointed(kind, whole).double(), split))
    f, plain = made
    x = 1.5 * f.x
    assert f.value(x) == plain.value(x)
    ways = [lambda f: f.gradient(x)[1], lambda f: f.gauss_newton(x) @ x]
    refused = 0
    for measure in ways + [lambda f, method=method: f.hessian(x, method=method) @ x for method in PRODUCT_METHODS]:
        f.value(-x)
        try:
            found = measure(f)
        except (ValueError, RuntimeError) as error:
            refused += 1
            assert "turn it off for measuring" in str(error) or "method='reverse'" in str(error)
        else:
            torch.testing.assert_close(found, measure(plain), rtol=1e-12, atol=1e-14)
    assert refused == {(False, False): 2, (False, True): 4, (True, False): 5, (True, True): 5}[reentrant, whole]


class Behind(nn.Module):
    """Has no gradient by the parameters of its first layer, though it has by those of its second."""

    def __init__(self, how):
        super().__init__()
        self.first, self.unused, self.second, self.how = nn.Linear(6, 8), nn.Linear(2, 2), nn.Linear(8, 3), how

    def forward(self, x):
        return self.second(self.how(self.first, x).tanh())


def under_no_grad(layer, x):
    with torch.no_grad():
        return layer(x)


HIDES = {
    "checkpoint": lambda layer, x: checkpoint(layer, x, use_reentrant=True),
    "no_grad": under_no_grad,
    "detach": lambda layer, x: layer(x).detach(),
    "data": lambda layer, x: F.linear(x, layer.weight.data, layer.bias.data),
}


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("hide", HIDES)
def test_a_parameter_that_the_loss_moves_with_and_has_no_gradient_by_is_refused(hide):
    torch.manual_seed(0)
    net = Behind(HIDES[hide]).double()
    f = flatlab.Objective(net, (rows(6), classes()))
    assert f.value(1.5 * f.x) != f.value()  # a value is measured
    measures = [
        f.gradient,
        f.hessian,
        f.gauss_newton,
        lambda: flatlab.sharpness(f),
        lambda: flatlab.noise_scale(f, small=2, big=4),
    ]
    for measure in measures:
        with pytest.raises(ValueError, match="the loss moves with first.weight and has no gradient by it, .*no_grad"):
            measure()
    net.first.requires_grad_(False)
    plain = flatlab.Objective(
        Behind(lambda layer, x: layer(x)).double(), (rows(6), classes())
    )  # also one with unused ones
    for measured in (flatlab.Objective(net, (rows(6), classes())), plain):
        assert measured.gradient()[1].abs().sum() > 0


def test_the_gradient_of_an_operator_is_refused_where_its_products_are():
    f = flatlab.Objective(Checkpointed(False, True).double(), (rows(6), classes()))
    for measure in (lambda: flatlab.eigenvalues(f.hessian(), 1), lambda: f.hessian(f.x).gradient()):
        with pytest.raises(ValueError, match="turn it off for measuring"):
            measure()


class Detached(nn.Linear):
    def forward(self, x):
        return super().forward(x).detach()


@pytest.mark.parametrize("method", PRODUCT_METHODS[:2])
def test_where_nothing_has_a_gradient_neither_curvature_nor_training_is_torchs_own_error(method):
    split = rows(6).float(), classes()
    f = flatlab.Objective(Detached(6, 3), split)
    with pytest.raises(ValueError, match="the loss has no gradient: .* detach"):
        f.hessian(method=method) @ f.x
    data = flatlab.Data("rows", 3, flatlab.Split(*split), flatlab.Split(*split))
    with pytest.raises(ValueError, match="the loss has no gradient: .* detach"):
        flatlab.train(Detached(6, 3), data, batch_size=12, epochs=1, progress=False)


def test_complex_parameters_are_refused_with_what_helps():
    class Turned(nn.Module):
        def __init__(self, kept):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1, dtype=torch.float64))  # so that kept begins at an odd place of x
            self.kept = nn.Parameter(kept)

        def forward(self, x):
            turn = self.kept if self.kept.is_complex() else torch.complex(self.kept[..., 0], self.kept[..., 1])
            return (x.to(turn.dtype) @ turn).abs() * self.scale

    turn = torch.randn(6, 3, dtype=torch.complex128)
    with pytest.raises(ValueError, match=r"complex parameters, .*torch.complex\(w\[..., 0\], w\[..., 1\]\)"):
        flatlab.Objective(Turned(turn), (rows(6), classes()))
    f = flatlab.Objective(Turned(torch.view_as_real(turn)), (rows(6), classes()))
    assert f.value(f.x) == pytest.approx(F.cross_entropy((rows(6).to(turn.dtype) @ turn).abs(), classes()).item())
    assert (f.hessian() @ f.x).isfinite().all()


class Physical(nn.Module):
    """u and its derivative by the input, as an equation of physics needs them."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))

    def forward(self, x):
        x.requires_grad_()
        u = self.body(x)
        return torch.cat([u, torch.autograd.grad(u.sum(), x, create_graph=True)[0]], 1)


def slope_and_value(outputs, targets):
    return F.mse_loss(outputs[:, 1:], targets) + F.mse_loss(outputs[:, :1], targets.square())


class Handed(nn.Module):
    """Hands its inputs on, so that the loss can take the derivative."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))

    def forward(self, x):
        x.requires_grad_()
        return x, self.body(x)


def slope_by_the_loss(outputs, targets):
    x, u = outputs
    return F.mse_loss(torch.autograd.grad(u.sum(), x, create_graph=True)[0], targets)


@pytest.mark.parametrize("kind, loss", [(Physical, slope_and_value), (Handed, slope_by_the_loss)])
def test_a_gradient_by_the_inputs_has_its_graph(kind, loss):
    torch.manual_seed(0)
    net, x, y = kind().double(), rows(1), rows(1).cos()
    with unchanged(net):
        f, parts = (flatlab.Objective(net, (x, y), loss=loss, chunk=chunk) for chunk in (ROWS, 7))
    assert not x.requires_grad
    own = copy.deepcopy(net)
    theirs = loss(own(x.clone()), y)
    theirs.backward()
    value, gradient = f.gradient(f.x)
    assert value == f.value(f.x) == pytest.approx(theirs.item(), rel=1e-12)
    slope = torch.cat([torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in own.parameters()])
    torch.testing.assert_close(gradient, slope, rtol=1e-10, atol=1e-12)
    v = torch.linspace(-1, 1, f.size, dtype=torch.float64)
    exact = (f.gradient(f.x + 1e-5 * v)[1] - f.gradient(f.x - 1e-5 * v)[1]) / 2e-5
    torch.testing.assert_close(f.hessian() @ v, exact, rtol=1e-6, atol=1e-8)
    assert parts.value(f.x) == pytest.approx(value, rel=1e-12)
    torch.testing.assert_close(parts.hessian() @ v, exact, rtol=1e-6, atol=1e-8)
    assert flatlab.sharpness(f).percent > 0
    for product in (lambda: f.hessian(method="forward") @ v, lambda: f.gauss_newton() @ v):
        with pytest.raises((ValueError, RuntimeError), match="take .*method='reverse'"):
            product()


@dataclasses.dataclass
class Answer:
    logits: torch.Tensor
    size: torch.Tensor
    kind: str = "an answer"


class Named(NamedTuple):
    logits: torch.Tensor
    size: torch.Tensor


class Plain:
    def __init__(self, logits, size):
        self.logits, self.size, self.where = logits, size, {"best": logits.argmax(1)}


class Answering(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind, self.body = kind, mlp(out=4)

    def forward(self, x):
        h = self.body(x)
        return self.kind(h[:, :3], h[:, 3:])


@pytest.mark.parametrize("kind", [Answer, Named, Plain])
def test_objects_as_outputs(kind):
    """The Gauss-Newton matrix of a tuple is the oracle: there torch's own transforms are at home."""

    def loss(outputs, targets):
        return F.cross_entropy(outputs.logits, targets) + (outputs.size[:, 0] - targets).square().mean()

    def plain(outputs, targets):
        return F.cross_entropy(outputs[0], targets) + (outputs[1][:, 0] - targets).square().mean()

    torch.manual_seed(0)
    net, split = Answering(kind).double(), (rows(6), classes())
    f = flatlab.Objective(net, split, loss=loss, chunk=7)
    net.kind = lambda *parts: parts
    g = flatlab.Objective(net, split, loss=plain, chunk=7)
    v = torch.linspace(-1, 1, f.size, dtype=torch.float64)
    assert f.gradient(f.x)[0] == g.gradient(f.x)[0]
    assert torch.equal(f.gauss_newton() @ v, g.gauss_newton() @ v)
    for method in ("reverse", "forward"):
        assert torch.equal(f.hessian(method=method) @ v, g.hessian(method=method) @ v)


class Fifty(nn.Module):
    """Made for batches of 12 rows, no more and no fewer."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.lstm, self.head = nn.LSTM(6, 5, batch_first=True), nn.Linear(5, 3)

    def forward(self, x):
        if self.kind == "view":
            return self.head(x.view(12, 6)[:, :5])
        state = torch.zeros(1, 12, 5, dtype=x.dtype)
        return self.head(self.lstm(x[:, None], (state, state))[0][:, -1])


@pytest.mark.parametrize("kind", ["view", "state"])
def test_a_net_that_was_made_for_some_number_of_rows(kind):
    torch.manual_seed(0)
    net, (x, y) = Fifty(kind).double(), (rows(6), classes())
    batches = list(zip(x.split(12), y.split(12)))
    for data, options in ((batches, {}), ((x, y), {"chunk": 12})):
        f = flatlab.Objective(net, data, **options)
        expected = sum(F.cross_entropy(net(a), b).item() for a, b in batches) / 2
        assert f.value(f.x) == pytest.approx(expected, rel=1e-12)
        assert flatlab.sharpness(f).percent > 0


def test_real_targets_are_taken_in_the_networks_type():
    """Some versions of torch have losses that refuse two types, and others have not: so it is asked what they get."""
    types = set()

    def loss(outputs, targets):
        types.add((outputs.dtype, targets.dtype))
        return F.mse_loss(outputs, targets)

    for dtype, other in ((torch.float32, torch.float64), (torch.float64, torch.float32)):
        torch.manual_seed(0)
        f = flatlab.Objective(mlp(out=1).to(dtype), (rows(6).to(other), rows(1).to(other)), loss=loss)
        value, gradient = f.gradient(f.x)
        assert gradient.dtype == (f.hessian() @ f.x).dtype == dtype and value == f.value(f.x)
    assert types == {(torch.float32, torch.float32), (torch.float64, torch.float64)}


def test_a_copy_of_an_objective_is_one_of_its_own():
    f = flatlab.Objective(mlp().double(), (rows(6), classes()))
    for other in (copy.deepcopy(f), pickle.loads(pickle.dumps(f))):
        other.model[0].weight.data.zero_()
        for x in (f.x, 2 * f.x):
            assert other.value(x) == f.value(x) and torch.equal(other.gradient(x)[1], f.gradient(x)[1])


def test_a_weight_is_shortened_as_a_function_and_not_where_it_lies():
    """torch's max_norm changes the weights; the gradient here is that of the value."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Embedding(WORDS, 4, max_norm=0.7, scale_grad_by_freq=True), nn.Flatten(), nn.Linear(20, 3))
    net, words_, y = net.double(), words(), classes()
    f = flatlab.Objective(net, (words_, y))
    x, v = 2 * f.x, torch.linspace(-1, 1, f.size, dtype=torch.float64)
    slope = (f.value(x + 1e-6 * v) - f.value(x - 1e-6 * v)) / 2e-6
    assert (f.gradient(x)[1] @ v).item() == pytest.approx(slope, rel=1e-6)
    exact = (f.gradient(x + 1e-5 * v)[1] - f.gradient(x - 1e-5 * v)[1]) / 2e-5
    torch.testing.assert_close(f.hessian(x) @ v, exact, rtol=1e-6, atol=1e-8)
    assert f.value(f.x) == pytest.approx(F.cross_entropy(net(words_), y).item(), rel=1e-6)


@pytest.mark.parametrize(
    "call, sentence",
    [
        (lambda f: flatlab.Objective(mlp, (rows(6), classes())), "takes an nn.Module, or a name .*; this is"),
        (
            lambda f: flatlab.Objective(mlp(), (rows(6), classes()), loss="mse"),
            "loss is a function of .*; this is 'mse'",
        ),
        (lambda f: flatlab.Objective("mlp", flatlab.load("digits", device="cpu")), "pass data.train or data.test"),
        (lambda f: flatlab.Objective(mlp(), (torch.ones(()), torch.ones(()))), "0 inputs and 0 targets"),
        (
            lambda f: flatlab.Objective(mlp(), (rows(6).float(), classes()), loss=lambda o, y: o.sum().item()),
            "must be one number.* is float, no tensor",
        ),
        (lambda f: f.value(1e-3), "a point of this objective is a vector like f.x"),
        (lambda f: f.gradient(f.x.tolist()), "a point of this objective is a vector like f.x"),
    ],
)
def test_slips_are_answered_in_a_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call(flatlab.Objective(mlp(), (rows(6).float(), classes())))
