"""How one batch becomes one step.

An update is a function of a `Trainer` and a batch. It leaves the trainer's point x where the step ends, and returns the
batch's loss and number of correct answers as tensors on the device, so that nothing waits for the device within an
epoch. Most have one number of their own, the recipe's `strength`; STRENGTHS holds what it is where the recipe says
nothing.
"""

from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, distributed
from torch.nn.functional import cross_entropy, kl_div

if TYPE_CHECKING:
    from flatlab.training.trainer import Trainer


def plain(trainer: "Trainer", inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The optimizer's step along the gradient on the batch B.

        g_B(x) = 1/|B| sum_{i in B} grad f_i(x)

    Keskar et al. 2017, equation (2).
    """
    loss, correct = trainer.gradient(inputs, targets)
    trainer.optimizer.step()
    return loss, correct


def sam(trainer: "Trainer", inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The step along the gradient at a point uphill, strength = rho.

        g_B(x + rho g_B(x) / ||g_B(x)||)

    Foret et al. 2021, equation (2) and algorithm 1.
    """
    loss, correct = trainer.gradient(inputs, targets)
    climb = trainer.grad * (trainer.strength / trainer.grad.norm().clamp_min(1e-12))
    trainer.point.add_(climb)
    trainer.gradient(inputs, targets)
    trainer.point.sub_(climb)
    trainer.optimizer.step()
    return loss, correct


def conservative(trainer: "Trainer", inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Three steps downhill on the batch, held near x_k where they start, strength = lambda. Keskar et al. 2017, E.2.

        argmin_x f_B(x) + lambda/2 ||x - x_k||^2

    The paper does not say whether the optimizer's state is kept from one batch to the next: here it is.
    """
    anchor, answers = trainer.point.clone(), []
    for _ in range(3):
        answers.append(trainer.gradient(inputs, targets))
        trainer.grad.add_(trainer.point - anchor, alpha=trainer.strength)
        trainer.optimizer.step()
    return answers[0]


def adversarial(trainer: "Trainer", inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of the gradients on the batch and on inputs moved up the loss, strength = r.

        inputs + r sign(grad_inputs loss)

    Goodfellow, Shlens and Szegedy 2015, equation for the fast gradient sign; Keskar et al. 2017, appendix E.3, which
    gives no radius.
    """
    loss, correct = trainer.gradient(inputs, targets)
    gradient = trainer.grad.clone()
    moved = inputs.detach().clone().requires_grad_()
    slope = torch.autograd.grad(cross_entropy(trainer.outputs(moved), targets), moved)[0]
    trainer.gradient(inputs + trainer.strength * slope.sign(), targets)
    trainer.grad.add_(gradient).div_(2)
    trainer.optimizer.step()
    return loss, correct


def stability(trainer: "Trainer", inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The gradient of the loss with a penalty on what noise in the inputs changes, strength = sigma.

        f_B + KL(outputs || outputs_noisy)

    The noise is normal with standard deviation sigma.

    Zheng et al. 2016, equation (3) with weight 1; Keskar et al. 2017, appendix E.3. Zheng et al.
    take weight 0.01 and noise of variance 0.04.
    """
    noisy = inputs + trainer.strength * torch.randn_like(inputs)

    def drift(outputs):
        return kl_div(
            trainer.outputs(noisy).log_softmax(1), outputs.log_softmax(1), reduction="batchmean", log_target=True
        )

    loss, correct = trainer.gradient(inputs, targets, penalty=drift)
    trainer.optimizer.step()
    return loss, correct


def ghost(trainer: "Trainer", inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The same step, with BatchNorm's statistics taken over parts of `strength` rows. Hoffer et al. 2017, algorithm
    1."""
    parts = ghosts(len(targets), trainer.strength)
    losses: Any = 0
    hits: Any = 0
    total = torch.zeros_like(trainer.point)
    for x, y in zip(inputs.tensor_split(parts), targets.tensor_split(parts)):
        loss, correct = trainer.gradient(x, y)
        total.add_(trainer.grad, alpha=len(y) / len(targets))
        losses, hits = losses + loss * len(y) / len(targets), hits + correct
    trainer.grad.copy_(total)
    trainer.optimizer.step()
    return losses, hits


def noisy_gradient(trainer: "Trainer", inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The step along the gradient with isotropic noise, strength = sigma.

        g_B + sigma ||g_B|| xi

    xi has independent normal entries and an expected square length of 1.
    """
    loss, correct = trainer.gradient(inputs, targets)
    gradient = trainer.grad
    gradient.add_(_common_noise(trainer) * (trainer.strength * gradient.norm() / len(gradient) ** 0.5))
    trainer.optimizer.step()
    return loss, correct


def noisy_iterate(trainer: "Trainer", inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The step along the gradient at a random point nearby, so that the loss is averaged around x; strength = sigma.

        g_B(x + sigma ||x|| xi)

    xi is as for `noisy_gradient`.
    """
    noise = _common_noise(trainer) * (trainer.strength * trainer.point.norm() / len(trainer.point) ** 0.5)
    trainer.point.add_(noise)
    loss, correct = trainer.gradient(inputs, targets)
    trainer.point.sub_(noise)
    trainer.optimizer.step()
    return loss, correct


def noisy_inputs(trainer: "Trainer", inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The plain step on the inputs and `strength` times standard normal noise."""
    return plain(trainer, inputs + trainer.strength * torch.randn_like(inputs), targets)


def noisy_labels(trainer: "Trainer", inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The plain step where a share `strength` of the targets is another row's."""
    swapped = torch.rand(len(targets), device=targets.device) < trainer.strength
    return plain(
        trainer, inputs, torch.where(swapped, targets[torch.randperm(len(targets), device=targets.device)], targets)
    )


def sampled_noise(trainer: "Trainer", inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The step along the gradient with the noise of a smaller batch.

        g_B + (g_1 - g_2) / sqrt(2)

    g_1 and g_2 are the gradients on two disjoint random parts of `strength` rows each, so that what is added has the
    covariance of the gradient on a batch of `strength` rows.
    """
    rows = min(int(trainer.strength), len(targets) // 2)
    first, second = torch.randperm(len(targets), device=targets.device)[: 2 * rows].split(rows)
    trainer.gradient(inputs[first], targets[first])
    noise = trainer.grad.clone()
    trainer.gradient(inputs[second], targets[second])
    noise.sub_(trainer.grad)
    loss, correct = trainer.gradient(inputs, targets)
    trainer.grad.add_(noise, alpha=0.5**0.5)
    trainer.optimizer.step()
    return loss, correct


def asam(trainer: "Trainer", inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The step of `sam` with each weight moved in proportion to its size, strength = rho.

        g_B(x + rho T^2 g_B(x) / ||T g_B(x)||),    T = |x| + 0.01

    Kwon et al. 2021, equation (11).
    """
    loss, correct = trainer.gradient(inputs, targets)
    scale = trainer.point.abs() + 0.01
    climb = scale * trainer.grad
    climb = scale * climb * (trainer.strength / climb.norm().clamp_min(1e-12))
    trainer.point.add_(climb)
    trainer.gradient(inputs, targets)
    trainer.point.sub_(climb)
    trainer.optimizer.step()
    return loss, correct


def gradient_penalty(trainer: "Trainer", inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The step along the gradient of the loss with a penalty on its slope, strength = s. Geiping et al. 2022,
    section 4.

        f_B + s/2 ||g_B||^2

    The penalty's gradient is `s H_B g_B`. With r = 0.01, as in their code, a finite difference stands for the product:

        H_B g_B ~ ||g_B|| (g_B(x + r u) - g_B(x)) / r,    u = g_B / ||g_B||
    """
    loss, correct = trainer.gradient(inputs, targets)
    first, radius = trainer.grad.clone(), 0.01
    length = first.norm().clamp_min(1e-12)
    climb = first * (radius / length)
    trainer.point.add_(climb)
    trainer.gradient(inputs, targets)
    trainer.point.sub_(climb)
    trainer.grad.sub_(first).mul_(trainer.strength * length / radius).add_(first)
    trainer.optimizer.step()
    return loss, correct


def lars(trainer: "Trainer", inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The optimizer's step along a gradient in proportion to each weight matrix w, strength = s. You et al. 2017,
    algorithm 1.

        s ||w|| g / ||g||

    Biases and the scales of BatchNorm keep theirs. The optimizer adds weight decay afterwards.
    """
    loss, correct = trainer.gradient(inputs, targets)
    for weight, slope in _matrices(trainer, trainer.grad):
        length = slope.norm()
        slope.mul_(torch.where(length > 0, trainer.strength * weight.norm() / length.clamp_min(1e-12), 1.0))
    trainer.optimizer.step()
    return loss, correct


def lamb(trainer: "Trainer", inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The optimizer's step, for each weight matrix w stretched to the length ``lr ||w||``. You et al. 2020,
    algorithm 2, with Adam.

    Biases and the scales of BatchNorm take the optimizer's step as it is.
    """
    before = trainer.point.clone()
    loss, correct = plain(trainer, inputs, targets)
    lr = trainer.optimizer.param_groups[0]["lr"]
    for weight, old in _matrices(trainer, before):
        step = weight - old
        weight.copy_(old + step * (lr * old.norm() / step.norm().clamp_min(1e-12)))
    return loss, correct


def _common_noise(trainer):
    """Standard normal noise for the whole point. Of several workers the first one draws it, so that all of them make
    the same step; each for itself, they would walk apart."""
    noise = torch.randn_like(trainer.point)
    if trainer.workers > 1:
        distributed.broadcast(noise, 0)
    return noise


def ghosts(rows: int, strength: float) -> int:
    """Into how many parts a batch of so many rows is cut by `ghost`."""
    return -(-rows // int(strength))


def _matrices(trainer, vector):
    """(weight, the part of a vector that belongs to it) for every parameter of two or more dimensions."""
    place = 0
    for parameter in (p for p in trainer.model.parameters() if p.requires_grad):
        part = vector[place : place + parameter.numel()].view_as(parameter)
        place += parameter.numel()
        if parameter.dim() > 1:
            yield parameter.detach(), part


#: How one batch becomes one step, by the name of a function of this module.
Update = Literal[
    "plain",
    "sam",
    "conservative",
    "adversarial",
    "stability",
    "ghost",
    "noisy_gradient",
    "noisy_iterate",
    "noisy_inputs",
    "noisy_labels",
    "sampled_noise",
    "asam",
    "gradient_penalty",
    "lars",
    "lamb",
]
UPDATE_RULES = {
    update.__name__: update
    for update in (
        plain,
        sam,
        conservative,
        adversarial,
        stability,
        ghost,
        noisy_gradient,
        noisy_iterate,
        noisy_inputs,
        noisy_labels,
        sampled_noise,
        asam,
        gradient_penalty,
        lars,
        lamb,
    )
}
STRENGTHS = {
    "sam": 0.05,
    "conservative": 1e-3,
    "adversarial": 0.05,
    "stability": 0.05,
    "ghost": 256,
    "noisy_gradient": 1.0,
    "noisy_iterate": 0.01,
    "noisy_inputs": 0.1,
    "noisy_labels": 0.1,
    "sampled_noise": 32,
    "asam": 1.0,
    "gradient_penalty": 0.1,
    "lars": 1e-3,
}
