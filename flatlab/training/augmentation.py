"""Images and signals changed at random, anew in every batch."""

import math

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample


def augmented(inputs: Tensor, strength: float = 1.0) -> Tensor:
    """Each image reflected at random, turned by up to 10 degrees and moved by up to 0.2 of its size, where the border
    is repeated; each signal moved round by up to 0.2 of its length and stretched in height by up to a tenth.

    The strength multiplies all of these but the reflection, which is not a matter of more or less. Random numbers are
    torch's global ones. Source: Keskar et al. 2017, appendix E.1, for images.
    """
    if inputs.dim() == 4:
        return _moved_images(inputs, strength)
    if inputs.dim() == 2:
        return _moved_signals(inputs, strength)
    raise ValueError(
        "augmentation is for images (channels x height x width) and signals (of one dimension), but each input has "
        "shape "
        f"{tuple(inputs.shape[1:])}."
    )


def _moved_signals(signals: Tensor, strength: float) -> Tensor:
    count, length = signals.shape
    most = round(0.2 * strength * length)
    shift = torch.randint(-most, most + 1, (count, 1), device=signals.device)
    height = 1 - 0.1 * strength + 0.2 * strength * torch.rand(count, 1, device=signals.device, dtype=signals.dtype)
    places = (torch.arange(length, device=signals.device) - shift) % length
    return height * signals.gather(1, places)


def _moved_images(images: Tensor, strength: float) -> Tensor:
    turn, right, down = 2 * torch.rand(3, len(images), device=images.device, dtype=images.dtype) - 1
    # Times numbers, not a tensor of them: a CUDA graph cannot hold the copy of one from the host.
    angle, right, down = math.radians(10) * strength * turn, 0.4 * strength * right, 0.4 * strength * down
    mirror = torch.where(torch.rand(len(images), device=images.device) < 0.5, -1.0, 1.0).to(images)
    rows = [
        torch.stack([mirror * angle.cos(), -angle.sin(), right], 1),
        torch.stack([mirror * angle.sin(), angle.cos(), down], 1),
    ]
    grid = affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return grid_sample(images, grid, padding_mode="border", align_corners=False)
