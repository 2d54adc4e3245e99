"""Each update against its formula written out in float64, by plain gradient descent so that a step is a gradient."""

import copy
import typing

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, kl_div

import flatlab
from flatlab.training.augmentation import augmented
from flatlab.training.recipe import OPTIMIZERS, Changes
from flatlab.training.trainer import TORCH_OPTIMIZERS, Trainer
from flatlab.training.updates import STRENGTHS, UPDATE_RULES, Update

LR = 0.1


@pytest.fixture(scope="module")
def data():
    data = flatlab.load("mnist1d", device="cpu").subset(60)
    return flatlab.Data(data.name, 10, *(flatlab.Split(part.x.double(), part.y) for part in (data.train, data.test)))


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(40, 12), nn.Tanh(), nn.Linear(12, 10)).double()


def flat(net):
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def gradient(net, x, y, loss=cross_entropy):
    parts = torch.autograd.grad(loss(net(x), y), list(net.parameters()))
    return torch.cat([part.flatten() for part in parts])


def at(net, point):
    moved = copy.deepcopy(net)
    nn.utils.vector_to_parameters(point.clone(), moved.parameters())
    return moved


def one_step(net, data, update, seed=0, **changes):
    """The point after one step on all rows, in the order 0, 1, 2, ..., and the step's loss."""
    recipe = flatlab.Recipe(batch_size=60, optimizer="sgd", lr=LR, update=update, **changes)
    trainer = Trainer(copy.deepcopy(net), data, recipe)
    torch.manual_seed(seed)
    trainer.step(torch.arange(60))
    return trainer.point.detach(), trainer.loss.item() / 60


def test_sam_steps_along_the_gradient_of_the_climbed_point(net, data):
    x, y = data.train.x, data.train.y
    g = gradient(net, x, y)
    expected = flat(net) - LR * gradient(at(net, flat(net) + 0.3 * g / g.norm()), x, y)
    torch.testing.assert_close(one_step(net, data, "sam", strength=0.3)[0], expected, rtol=0, atol=1e-12)


def test_conservative_takes_three_steps_of_the_anchored_loss(net, data):
    x, y, anchor = data.train.x, data.train.y, flat(net)
    point = anchor
    for _ in range(3):
        point = point - LR * (gradient(at(net, point), x, y) + 0.5 * (point - anchor))
    torch.testing.assert_close(one_step(net, data, "conservative", strength=0.5)[0], point, rtol=0, atol=1e-12)


def test_adversarial_averages_clean_and_attacked_gradients(net, data):
    x, y = data.train.x.clone().requires_grad_(), data.train.y
    slope = torch.autograd.grad(cross_entropy(net(x), y), x)[0]
    attacked = data.train.x + 0.1 * slope.sign()
    assert cross_entropy(net(attacked), y) > cross_entropy(net(x), y)
    expected = flat(net) - LR * (gradient(net, data.train.x, y) + gradient(net, attacked, y)) / 2
    point, loss = one_step(net, data, "adversarial", strength=0.1)
    torch.testing.assert_close(point, expected, rtol=0, atol=1e-12)
    assert loss == pytest.approx(cross_entropy(net(x), y).item())


def test_stability_adds_the_divergence_under_noise(net, data):
    x, y = data.train.x, data.train.y
    torch.manual_seed(0)
    noisy = x + 0.2 * torch.randn_like(x)

    def loss(outputs, y):
        return cross_entropy(outputs, y) + kl_div(
            net(noisy).log_softmax(1), outputs.log_softmax(1), reduction="batchmean", log_target=True
        )

    expected = flat(net) - LR * gradient(net, x, y, loss)
    torch.testing.assert_close(one_step(net, data, "stability", strength=0.2)[0], expected, rtol=0, atol=1e-12)


def test_ghost_batches_change_nothing_but_batch_norm(net, data):
    plain, loss = one_step(net, data, "plain")
    for rows in (7, 60, 100):
        point, ghostly = one_step(net, data, "ghost", strength=rows)
        torch.testing.assert_close(point, plain, rtol=0, atol=1e-12)
        assert ghostly == pytest.approx(loss)
    normed = flatlab.build("mlp", data).double()
    x, y = data.train.x, data.train.y
    expected = flat(normed) - LR * sum(gradient(normed.train(), a, b) for a, b in zip(x.split(20), y.split(20))) / 3
    torch.testing.assert_close(one_step(normed, data, "ghost", strength=20)[0], expected, rtol=0, atol=1e-12)


def test_noise_in_the_gradient_has_mean_zero_and_its_length(net, data):
    """The mean over 100 seeds lies within five standard errors of the plain step; xi has expected length 1."""
    plain = one_step(net, data, "plain")[0]
    steps = torch.stack([one_step(net, data, "noisy_gradient", seed, strength=0.5)[0] - plain for seed in range(100)])
    assert steps.mean(0).norm() < 5 * steps.norm(dim=1).mean() / 10
    assert steps.norm(dim=1).mean() == pytest.approx(
        LR * 0.5 * gradient(net, data.train.x, data.train.y).norm().item(), rel=0.02
    )


def test_noise_in_the_iterate_moves_where_the_gradient_is_taken_and_not_where_the_step_begins(net, data):
    torch.manual_seed(0)
    noise = torch.randn_like(flat(net)) * (0.1 * flat(net).norm() / len(flat(net)) ** 0.5)
    expected = flat(net) - LR * gradient(at(net, flat(net) + noise), data.train.x, data.train.y)
    torch.testing.assert_close(one_step(net, data, "noisy_iterate", strength=0.1)[0], expected, rtol=0, atol=1e-12)


def test_noisy_inputs_and_labels_are_the_plain_step_on_other_data(net, data):
    x, y = data.train.x, data.train.y
    torch.manual_seed(0)
    expected = flat(net) - LR * gradient(net, x + 0.3 * torch.randn_like(x), y)
    torch.testing.assert_close(one_step(net, data, "noisy_inputs", strength=0.3)[0], expected, rtol=0, atol=1e-12)
    torch.manual_seed(0)
    swapped = torch.rand(60) < 0.5
    labels = torch.where(swapped, y[torch.randperm(60)], y)
    assert 10 < (labels != y).sum() < 45
    expected = flat(net) - LR * gradient(net, x, labels)
    torch.testing.assert_close(one_step(net, data, "noisy_labels", strength=0.5)[0], expected, rtol=0, atol=1e-12)


def test_l1_pulls_every_coordinate_towards_zero(net, data):
    plain = one_step(net, data, "plain")[0]
    torch.testing.assert_close(
        one_step(net, data, "plain", l1=0.01)[0], plain - LR * 0.01 * flat(net).sign(), rtol=0, atol=1e-12
    )


def test_every_choice_is_written_down_for_type_checkers():
    assert typing.get_args(Update) == tuple(UPDATE_RULES) and set(OPTIMIZERS) == set(TORCH_OPTIMIZERS)
    assert typing.get_type_hints(Changes) == typing.get_type_hints(flatlab.Recipe)


def test_asam_climbs_further_along_long_weights(net, data):
    x, y, point = data.train.x, data.train.y, flat(net)
    scale, g = point.abs() + 0.01, gradient(net, x, y)
    climb = 0.3 * scale**2 * g / (scale * g).norm()
    assert (climb / scale).norm() == pytest.approx(0.3)  # the ball of its definition
    expected = point - LR * gradient(at(net, point + climb), x, y)
    torch.testing.assert_close(one_step(net, data, "asam", strength=0.3)[0], expected, rtol=0, atol=1e-12)


def test_the_gradient_penalty_adds_hessian_times_gradient(net, data):
    """The finite difference of radius 0.01 has an error of its order, relative to the product."""
    x, y, point = data.train.x, data.train.y, flat(net)
    g = gradient(net, x, y)
    product = torch.autograd.functional.hvp(
        lambda p: cross_entropy(torch.func.functional_call(net, named(net, p), (x,)), y), point, g
    )[1]
    added = (point - one_step(net, data, "gradient_penalty", strength=0.5)[0]) / LR - g
    assert (added - 0.5 * product).norm() < 0.02 * (0.5 * product).norm()


def named(net, point):
    parts = point.split([p.numel() for p in net.parameters()])
    return {name: part.view_as(p) for (name, p), part in zip(net.named_parameters(), parts)}


def test_lars_gives_each_matrix_a_step_in_proportion_to_its_length(net, data):
    x, y = data.train.x, data.train.y
    point = one_step(net, data, "lars", strength=0.02)[0]
    slopes = torch.autograd.grad(cross_entropy(net(x), y), list(net.parameters()))
    for moved, old, g in zip(at(net, point).parameters(), net.parameters(), slopes):
        expected = old - LR * (0.02 * old.norm() * g / g.norm() if old.dim() > 1 else g)
        torch.testing.assert_close(moved, expected, rtol=0, atol=1e-12)


def test_lamb_gives_adams_direction_the_length_of_the_matrix(net, data):
    """Adam's first step is lr times the gradient's signs."""
    recipe = flatlab.Recipe(batch_size=60, lr=0.01, update="lamb")
    trainer = Trainer(copy.deepcopy(net), data, recipe)
    trainer.step(torch.arange(60))
    slopes = torch.autograd.grad(cross_entropy(net(data.train.x), data.train.y), list(net.parameters()))
    for moved, old, g in zip(at(net, trainer.point.detach()).parameters(), net.parameters(), slopes):
        length = old.norm() / g.numel() ** 0.5 if old.dim() > 1 else 1.0
        torch.testing.assert_close(moved, old - 0.01 * length * g.sign(), rtol=1e-3, atol=1e-6)


def test_sampled_noise_has_the_covariance_of_a_small_batchs_gradient(net, data):
    """The mean squared length of what is added is tr(S) (1/m - 1/N) N/(N - 1) times 1 + m/(N - m), for parts drawn
    without replacement."""
    x, y, m = data.train.x, data.train.y, 6
    whole = gradient(net, x, y)
    own = torch.stack([gradient(net, x[k : k + 1], y[k : k + 1]) for k in range(60)])
    variance = (own - whole).square().sum(1).mean().item()
    plain = one_step(net, data, "plain")[0]
    added = torch.stack([one_step(net, data, "sampled_noise", seed, strength=m)[0] - plain for seed in range(200)]) / LR
    expected = variance / m * 60 / 59  # half of the variance of a difference whose parts exclude each other
    assert added.square().sum(1).mean().item() == pytest.approx(expected, rel=0.15)
    assert added.mean(0).norm() < 5 * (expected / 200) ** 0.5


def test_every_update_with_a_strength_has_a_default():
    assert set(UPDATE_RULES) == set(STRENGTHS) | {"plain", "lamb"}


def run(net, data, **changes):
    return flatlab.train(
        net, data, **{"batch_size": 10, "epochs": 4, "optimizer": "sgd", "lr": LR, "progress": False, **changes}
    )


def test_a_growing_batch_makes_fewer_updates_each_epoch(net, data):
    """10, 20, 40 and 60 rows of 60: 6, 3, 2 and 1 updates."""
    assert run(net, data, growth=2.0).history["updates"] == [6, 9, 11, 12]


def test_a_batch_grows_no_further_than_it_is_told(net, data):
    """10, 20, 30 and 30 rows of 60: 6, 3, 2 and 2 updates."""
    for most in (30, 0.5):
        assert run(net, data, growth=2.0, grow_to=most).history["updates"] == [6, 9, 11, 13]


def test_a_rate_warms_up_in_equal_steps(net, data):
    recipe = flatlab.Recipe(lr=0.3, warm_up=2)
    assert [recipe.rate(epoch) for epoch in (1, 2, 3, 4)] == pytest.approx([0.1, 0.2, 0.3, 0.3])
    points = run(net, data, batch_size=60, epochs=1, warm_up=3, keep=(0, 1)).points
    expected = points[0] - LR / 4 * gradient(at(net, points[0]), data.train.x, data.train.y)
    torch.testing.assert_close(points[1], expected, rtol=1e-9, atol=1e-12)


def test_a_decaying_rate_is_the_rate_over_one_plus_decay_times_the_epochs_behind(net, data):
    """One epoch of full batches each: the step's length over the gradient's is the rate."""
    points = run(net, data, batch_size=60, epochs=3, decay=0.5, keep=(0, 1, 2, 3)).points
    for epoch in (1, 2, 3):
        step = points[epoch] - points[epoch - 1]
        g = gradient(at(net, points[epoch - 1]), data.train.x, data.train.y)
        torch.testing.assert_close(step, -LR / (1 + 0.5 * (epoch - 1)) * g, rtol=1e-9, atol=1e-12)


def test_kept_points_are_the_ends_of_shorter_runs_also_after_a_resume(net, data, tmp_path):
    kept = run(net, data, keep=(0, 2), store=tmp_path)
    assert torch.equal(kept.points[0], kept.x0) and torch.equal(kept.points[2], run(net, data, epochs=2).x)
    assert list(kept.points) == [0, 2]
    more = run(net, data, keep=(3,), store=tmp_path)  # trained again, and the old points are not lost
    assert list(more.points) == [3] and torch.equal(more.x, kept.x)
    (file,) = tmp_path.iterdir()
    written = file.stat().st_mtime_ns
    assert torch.equal(run(net, data, keep=(0, 2, 3), store=tmp_path).points[2], kept.points[2])
    assert file.stat().st_mtime_ns == written
    with pytest.raises(ValueError, match="the epochs are 0 to 4"):
        run(net, data, keep=(5,))


def test_augmented_images_are_turned_and_moved_no_further_than_the_paper_says():
    """A single bright point near the middle: it moves by at most 0.2 of the size, and a turn of 10 degrees moves it
    little."""
    images = torch.zeros(200, 1, 33, 33)
    images[:, :, 16, 16] = 1
    torch.manual_seed(0)
    moved = augmented(images)
    assert moved.shape == images.shape
    place = torch.stack(
        [
            (moved.flatten(1) * torch.arange(33).repeat_interleave(33)).sum(1),
            (moved.flatten(1) * torch.arange(33).repeat(33)).sum(1),
        ]
    )
    away = (place / moved.flatten(1).sum(1) - 16).abs()
    assert away.max() <= 0.2 * 33 + 1 and away.max() > 5 and away.mean() == pytest.approx(3.3, abs=0.5)


def test_half_of_the_augmented_images_are_reflected():
    images = torch.zeros(400, 1, 32, 32)
    images[:, :, :, :16] = 1  # bright on the left
    torch.manual_seed(0)
    right = (augmented(images)[:, 0, :, 16:].mean((1, 2)) > 0.5).float().mean()
    assert 0.4 < right < 0.6


def test_augmentation_copies_nothing_from_the_host(monkeypatch):
    """A CUDA graph could not hold it."""
    monkeypatch.setattr(torch, "tensor", None)
    for shape in ((3, 1, 8, 8), (3, 40)):
        assert augmented(torch.rand(shape)).shape == shape


def test_signals_are_moved_round_by_a_fifth_at_most_and_stretched_by_a_tenth():
    signals = torch.zeros(500, 40)
    signals[:, 3] = 1
    torch.manual_seed(0)
    moved = augmented(signals)
    heights, places = moved.max(1)
    shifts = (places - 3 + 20) % 40 - 20
    assert (moved.count_nonzero(1) == 1).all() and shifts.abs().max() == 8 and set(shifts.tolist()) == set(range(-8, 9))
    assert 0.9 <= heights.min() < 0.91 and 1.09 < heights.max() <= 1.1


def test_the_strength_of_augmentation_multiplies_how_far_rows_are_moved():
    signals, images = torch.zeros(500, 40), torch.zeros(500, 1, 33, 33)
    signals[:, 3] = images[:, :, 16, 16] = 1
    torch.manual_seed(0)
    heights, places = augmented(signals, 0.5).max(1)
    assert ((places - 3 + 20) % 40 - 20).abs().max() == 4
    assert 0.95 <= heights.min() < 0.955 and 1.045 < heights.max() <= 1.05
    columns = augmented(images, 0.5).sum((1, 2))
    away = ((columns * torch.arange(33)).sum(1) / columns.sum(1) - 16).abs()
    assert 2.5 < away.max() <= 0.1 * 33 + 0.5


def test_only_images_and_signals_are_augmented():
    with pytest.raises(ValueError, match="augmentation is for images .* and signals"):
        augmented(torch.zeros(2, 3, 4))


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"strength": 0.1}, "plain and lamb have none"),
        ({"update": "sam", "strength": -1.0}, "must be above 0"),
        ({"growth": 0.5}, "growth is 1 or more"),
        ({"decay": -1.0}, "the others 0 or more"),
        ({"warm_up": -1}, "the others 0 or more"),
        ({"grow_to": 5}, "grow_to is for a growth above 1"),
        ({"update": "lamb", "strength": 1.0}, "plain and lamb have none"),
        ({"update": "magic"}, "choose one of plain, sam"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        flatlab.Recipe(**changes)
