"""The networks are those of the paper's code: sizes exactly, layers in order, initialisation as Keras's, no side
effects."""

import itertools

import pytest
import torch
from torch import nn

import flatlab
from flatlab.nets import NETS
from flatlab.study import paper


def images(channels, side, classes, rows=4):
    split = flatlab.Split(torch.rand(rows, channels, side, side), torch.arange(rows) % classes)
    return flatlab.Data("made", classes, split, split)


DATA = {
    "F1": images(1, 28, 10),
    "F2": flatlab.Data("made", 1973, *[flatlab.Split(torch.rand(4, 360), torch.arange(4))] * 2),
    "C1": images(3, 32, 10),
    "C2": images(3, 32, 10),
    "C3": images(3, 32, 100),
    "C4": images(3, 32, 100),
}


@pytest.mark.parametrize("name", DATA)
def test_parameter_count_is_the_papers(name):
    net = flatlab.build(name, DATA[name])
    assert sum(p.numel() for p in net.parameters()) == paper.NETWORKS[name].parameters
    assert net(DATA[name].train.x).shape == (4, DATA[name].classes)


def test_the_pools_halve_the_image_as_keras_same_pooling_does():
    net = flatlab.build("C1", DATA["C1"])
    sides, x = [], DATA["C1"].train.x
    for layer in net:
        x = layer(x)
        if isinstance(layer, nn.MaxPool2d):
            sides.append(x.shape[-1])
    assert sides == [16, 8]


def test_no_dropout_stands_right_before_a_pool_and_the_rates_are_the_codes():
    layers = list(flatlab.build("C2", DATA["C2"]))
    assert not any(isinstance(a, nn.Dropout) and isinstance(b, nn.MaxPool2d) for a, b in itertools.pairwise(layers))
    assert [m.p for m in layers if isinstance(m, nn.Dropout)] == [0.3, 0.4] + [0.4, 0.4] * 3 + [0.5, 0.5]


@pytest.mark.parametrize("name", ["C2", "C4"])
def test_the_small_one_is_a_quarter_as_wide_and_has_no_dropout(name):
    whole = [layer for layer in flatlab.build(name, DATA[name]) if not isinstance(layer, nn.Dropout)]
    small = list(flatlab.build(f"small-{name}", DATA[name]))
    assert list(map(type, small)) == list(map(type, whole))
    widths = [[len(layer.bias) for layer in layers if hasattr(layer, "bias")] for layers in (whole, small)]
    assert widths[1] == [width // 4 for width in widths[0][:-1]] + [DATA[name].classes]


def test_weights_are_glorot_uniform_and_biases_zero():
    net = flatlab.build("F1", DATA["F1"])
    layer = net[1]  # 784 -> 512
    bound = (6 / (784 + 512)) ** 0.5  # uniform on [-bound, bound]: std = bound / sqrt 3
    assert layer.weight.abs().max() <= bound
    assert layer.weight.std().item() == pytest.approx(
        bound / 3**0.5, rel=0.01
    )  # 401,408 draws: relative error about 1e-3
    assert all(not m.bias.any() for m in net if isinstance(m, nn.Linear))


def test_batch_norm_has_batch_statistics_only_unless_asked():
    norms = [m for m in flatlab.build("F1", DATA["F1"]) if isinstance(m, nn.BatchNorm1d)]
    assert len(norms) == 5 and all(m.running_mean is None and m.eps == 1e-5 for m in norms)
    assert all(
        m.running_mean is not None
        for m in flatlab.build("F1", DATA["F1"], running_averages=True)
        if isinstance(m, nn.BatchNorm1d)
    )


def test_the_seed_alone_decides_and_the_global_generator_is_left_alone():
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    a = flatlab.build("mlp", DATA["F1"], seed=3)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    b, c = flatlab.build("mlp", DATA["F1"], seed=3), flatlab.build("mlp", DATA["F1"], seed=4)
    assert torch.equal(a[1].weight, b[1].weight) and not torch.equal(a[1].weight, c[1].weight)


def test_refusals_say_what_to_do():
    with pytest.raises(ValueError, match=r"no net 'f1'.*nearest: F1"):
        flatlab.build("f1", DATA["F1"])
    with pytest.raises(ValueError, match="needs images"):
        flatlab.build("C1", DATA["F2"])
    with pytest.raises(ValueError, match="32 x 32"):
        flatlab.build("C2", DATA["F1"])
    with pytest.raises(ValueError, match="12 x 12"):
        flatlab.build("lenet", images(1, 8, 10))


@pytest.mark.parametrize("side", [12, 28, 32])
def test_lenet_takes_small_and_large_images(side):
    data = images(1, side, 10)
    assert flatlab.build("lenet", data)(data.train.x).shape == (4, 10)


def test_every_name_builds():
    for name in NETS:
        assert isinstance(flatlab.build(name, DATA["C1"]), nn.Module)


def test_the_small_mlp_is_a_quarter_as_wide():
    mlp, small = (flatlab.build(name, DATA["F1"]) for name in ("mlp", "small-mlp"))
    widths = [[layer.out_features for layer in net if isinstance(layer, nn.Linear)] for net in (mlp, small)]
    assert widths == [[256] * 4 + [10], [64] * 4 + [10]] and list(map(type, mlp)) == list(map(type, small))
