"""How one batch becomes one step.

An update is a function of the training problem and a batch. It leaves the problem's point x where the step ends, and returns the
batch's loss and number of correct answers as tensors on the device, so that nothing waits for the device within an epoch.
"""


def plain(problem, inputs, targets):
    """x <- the optimizer's step along g_B(x) = grad 1/|B| sum_{i in B} loss_i(x). Keskar et al. 2017, equation (2)."""
    loss, correct = problem.gradient(inputs, targets)
    problem.optimizer.step()
    return loss, correct


UPDATES = {"plain": plain}
