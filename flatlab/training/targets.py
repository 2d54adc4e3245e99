"""What a network's outputs are compared with in training: the targets of cross-entropy."""

import torch
from torch import Tensor

from flatlab.data import Split

IGNORED = -100  # a target that torch's cross-entropy leaves out


def as_trained(split: Split, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The inputs and targets of a split in the types that training takes: numbers in the parameters' type, classes in
    int64. Raises ValueError for complex targets."""
    if split.y.is_complex():
        raise ValueError(
            f"the targets are {split.y.dtype}, but cross-entropy takes the numbers of the classes, or a probability "
            "for each: pass one of these."
        )
    inputs = split.x.to(dtype) if split.x.is_floating_point() else split.x
    return inputs, split.y.to(dtype if split.y.is_floating_point() else torch.int64)


def check_targets(outputs: object, targets: Tensor, rows: int) -> None:
    """Refuse targets that cross-entropy cannot compare with outputs for `rows` rows, or that would not be trained
    on."""
    taken = f"{targets.dtype} of shape {(rows, *targets.shape[1:])}"
    if not torch.is_tensor(outputs) or not outputs.is_floating_point() or outputs.dim() < 2:
        raise ValueError(
            "training minimises the cross-entropy of a network's outputs, a tensor of rows x classes, and this "
            "network's are "
            f"{tuple(outputs.shape) if torch.is_tensor(outputs) else 'a ' + type(outputs).__name__}: return such a "
            "tensor alone."
        )
    shape, classes = tuple(outputs.shape), outputs.shape[1]
    fitting = shape if targets.is_floating_point() else (shape[0], *shape[2:])
    if (rows, *targets.shape[1:]) != fitting or classes < 2:
        raise ValueError(
            f"training minimises cross-entropy, and outputs of shape {shape} do not fit targets in {taken}: give two "
            "outputs or "
            "more, one for each class, and as targets the numbers of the classes, or a probability for each."
        )
    if not targets.is_floating_point():
        wrong = targets[(targets >= classes) | (targets < 0) & (targets != IGNORED)]
        if len(wrong):
            raise ValueError(
                f"a target is {wrong[0].item()}, but the network has outputs for {classes} classes: targets are 0 to "
                f"{classes - 1}, or {IGNORED} for what is left out."
            )


def right_answers(outputs: Tensor, targets: Tensor) -> Tensor:
    """How many targets have the largest output, which is along the second dimension; 0 where they are probabilities."""
    if targets.is_floating_point():
        return torch.zeros((), dtype=torch.int64, device=outputs.device)
    return (outputs.argmax(1) == targets).sum()
