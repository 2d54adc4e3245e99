"""How one batch becomes one step.

An update is a function of the training problem and a batch. It leaves the problem's point x where the step ends, and returns the
batch's loss and number of correct answers as tensors on the device, so that nothing waits for the device within an epoch. Most have
one number of their own, the recipe's `strength`; STRENGTHS holds what it is where the recipe says nothing.
"""

import torch
from torch.nn.functional import cross_entropy, kl_div


def plain(problem, inputs, targets):
    """x <- the optimizer's step along g_B(x) = grad 1/|B| sum_{i in B} loss_i(x). Keskar et al. 2017, equation (2)."""
    loss, correct = problem.gradient(inputs, targets)
    problem.optimizer.step()
    return loss, correct


def sam(problem, inputs, targets):
    """The step along g_B(x + rho g_B(x) / ||g_B(x)||), strength = rho. Foret et al. 2021, equation (2) and algorithm 1."""
    gradient = problem.point.grad
    loss, correct = problem.gradient(inputs, targets)
    climb = gradient * (problem.strength / gradient.norm().clamp_min(1e-12))
    problem.point.data.add_(climb)
    problem.gradient(inputs, targets)
    problem.point.data.sub_(climb)
    problem.optimizer.step()
    return loss, correct


def conservative(problem, inputs, targets):
    """Three steps towards argmin_x f_B(x) + lambda/2 ||x - x_k||^2, strength = lambda. Keskar et al. 2017, appendix E.2.

    The paper does not say whether the optimizer's state is kept from one batch to the next: here it is.
    """
    anchor, first = problem.point.detach().clone(), None
    for _ in range(3):
        found = problem.gradient(inputs, targets)
        first = first or found
        problem.point.grad.add_(problem.point.detach() - anchor, alpha=problem.strength)
        problem.optimizer.step()
    return first


def adversarial(problem, inputs, targets):
    """The mean of the gradients on the batch and on inputs moved by radius * sign(grad_inputs loss), strength = radius.

    Goodfellow et al. 2015, equation for the fast gradient sign; Keskar et al. 2017, appendix E.3, which gives no radius.
    """
    loss, correct = problem.gradient(inputs, targets)
    gradient = problem.point.grad.clone()
    moved = inputs.detach().clone().requires_grad_()
    slope = torch.autograd.grad(cross_entropy(problem.model(moved), targets), moved)[0]
    problem.gradient(inputs + problem.strength * slope.sign(), targets)
    problem.point.grad.add_(gradient).div_(2)
    problem.optimizer.step()
    return loss, correct


def stability(problem, inputs, targets):
    """The gradient of f_B + KL(outputs || outputs of inputs + noise), strength = standard deviation of the noise.

    Zheng et al. 2016, equation (3) with weight 1; Keskar et al. 2017, appendix E.3.
    """
    noisy = inputs + problem.strength * torch.randn_like(inputs)

    def drift(outputs):
        return kl_div(
            problem.model(noisy).log_softmax(1), outputs.log_softmax(1), reduction="batchmean", log_target=True
        )

    loss, correct = problem.gradient(inputs, targets, penalty=drift)
    problem.optimizer.step()
    return loss, correct


def ghost(problem, inputs, targets):
    """The same step, with BatchNorm's statistics taken over parts of `strength` rows. Hoffer et al. 2017, algorithm 1."""
    parts = -(-len(targets) // int(problem.strength))
    total, losses, hits = torch.zeros_like(problem.point), 0, 0
    for x, y in zip(inputs.tensor_split(parts), targets.tensor_split(parts)):
        loss, correct = problem.gradient(x, y)
        total.add_(problem.point.grad, alpha=len(y) / len(targets))
        losses, hits = losses + loss * len(y) / len(targets), hits + correct
    problem.point.grad.copy_(total)
    problem.optimizer.step()
    return losses, hits


def noisy_gradient(problem, inputs, targets):
    """The step along g_B + strength ||g_B|| xi, with xi of independent normal entries and expected square length 1."""
    loss, correct = problem.gradient(inputs, targets)
    gradient = problem.point.grad
    gradient.add_(torch.randn_like(gradient) * (problem.strength * gradient.norm() / len(gradient) ** 0.5))
    problem.optimizer.step()
    return loss, correct


def noisy_iterate(problem, inputs, targets):
    """The step along g_B(x + strength ||x|| xi), xi as for `noisy_gradient`: the loss averaged over a ball around x."""
    noise = torch.randn_like(problem.point) * (
        problem.strength * problem.point.detach().norm() / len(problem.point) ** 0.5
    )
    problem.point.data.add_(noise)
    loss, correct = problem.gradient(inputs, targets)
    problem.point.data.sub_(noise)
    problem.optimizer.step()
    return loss, correct


def noisy_inputs(problem, inputs, targets):
    """The plain step on inputs + strength times standard normal noise."""
    return plain(problem, inputs + problem.strength * torch.randn_like(inputs), targets)


def noisy_labels(problem, inputs, targets):
    """The plain step where a share `strength` of the targets is another row's."""
    swapped = torch.rand(len(targets), device=targets.device) < problem.strength
    return plain(
        problem, inputs, torch.where(swapped, targets[torch.randperm(len(targets), device=targets.device)], targets)
    )


UPDATES = {
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
}
