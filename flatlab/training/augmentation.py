"""Images changed at random, anew in every batch."""

import math

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample


def augmented(images: Tensor) -> Tensor:
    """Each image reflected at random, turned by up to 10 degrees and moved by up to 0.2 of its size; the border is repeated.

    Random numbers are torch's global ones. Source: Keskar et al. 2017, appendix E.1.
    """
    if images.dim() != 4:
        raise ValueError(
            f"augmentation is for images (channels x height x width), but each input has shape {tuple(images.shape[1:])}."
        )
    angle, right, down = (2 * torch.rand(3, len(images), device=images.device, dtype=images.dtype) - 1) * torch.tensor(
        [[math.radians(10)], [0.4], [0.4]], device=images.device, dtype=images.dtype
    )
    mirror = torch.where(torch.rand(len(images), device=images.device) < 0.5, -1.0, 1.0).to(images)
    rows = [
        torch.stack([mirror * angle.cos(), -angle.sin(), right], 1),
        torch.stack([mirror * angle.sin(), angle.cos(), down], 1),
    ]
    grid = affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return grid_sample(images, grid, padding_mode="border", align_corners=False)
