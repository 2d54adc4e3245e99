"""Right answers: where a network's outputs are scores of classes, and which of them are counted."""

import torch


def class_dimension(outputs: object, targets: torch.Tensor) -> int | None:
    """The dimension of the outputs along which the classes lie, or None where the targets are not classes of them.

    It is the last one (a vector of scores for each target, as for the words of a text), or the second, as torch has it
    for images: N x C x H x W scores for N x H x W targets. A single score is not one for each class.
    """
    if not torch.is_tensor(outputs) or not outputs.is_floating_point() or targets.is_floating_point():
        return None
    fitting = [
        dimension
        for dimension in {outputs.dim() - 1, 1}
        if outputs.dim() > 1
        and outputs.shape[dimension] > 1
        and outputs.shape[:dimension] + outputs.shape[dimension + 1 :] == targets.shape
    ]
    return fitting[0] if len(fitting) == 1 else None


class Answers:
    """Counts right answers, chunk by chunk, without waiting for the device.

    Parameters
    ----------
    dimension : int or None
        Where the classes lie in the outputs; None where there are none.
    ignored : tuple of int
        Targets that the loss ignores, as padding; negative ones are none in any case.
    """

    def __init__(self, dimension: int | None, ignored: tuple[int, ...]) -> None:
        self.dimension, self.ignored = dimension, ignored
        self.counts: list[torch.Tensor] = []  # of each chunk: right ones, those that count, those that are no class

    def add(self, outputs: torch.Tensor, targets: torch.Tensor) -> None:
        """Count a chunk's."""
        if self.dimension is None:
            return
        counted = targets >= 0
        for target in self.ignored:
            counted = counted & (targets != target)
        right = (outputs.argmax(self.dimension) == targets) & ~outputs.isnan().any(self.dimension)  # argmax takes a nan
        beyond = targets >= outputs.shape[self.dimension]
        self.counts.append(torch.stack([right & counted, counted, beyond & counted]).flatten(1).sum(1))

    def percent(self) -> float | None:
        """The share of right answers; None where nothing was counted or a target is no class."""
        if not self.counts:
            return None
        right, counted, beyond = torch.stack(self.counts).sum(0).tolist()
        return 100 * right / counted if counted and not beyond else None
