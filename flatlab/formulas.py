"""Layers whose fast kernels cannot be differentiated as often as a measurement needs, computed by their formulas."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType, SimpleNamespace
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrizations

FUSED_LAYERS = (nn.RNNBase, nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerEncoder)


def by_formula(model: nn.Module) -> None:
    """Change the layers of a model (a copy of the user's) that would give no derivative, or a wrong one.

    Parameters
    ----------
    model : nn.Module
        It is changed in place.

    Notes
    -----
    Recurrent layers: cuDNN's have no gradient in evaluation mode; neither they nor oneDNN's have the others.
    torch's transformer: without a gradient it takes a kernel without a forward derivative, and with zeros for padded
    rows, so the value and the gradient would be of two functions.
    weight_norm: torch's kernel takes |v| for a constant in the second derivative, which is then not even symmetric.
    Embeddings: a sparse gradient cannot become a part of one vector, one scaled by frequency is none, and a max_norm
    changes the weights where they lie.
    """
    for module in model.modules():
        if isinstance(module, FUSED_LAYERS):
            module.forward = MethodType(_plainly, module)  # type: ignore[method-assign]
        elif isinstance(module, parametrizations._WeightNorm):
            module.forward = MethodType(_weight_norm, module)  # type: ignore[method-assign]
        elif isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
            module.sparse = module.scale_grad_by_freq = False
            if module.max_norm is not None:
                module.forward = MethodType(_shortened, module)  # type: ignore[method-assign]


def _plainly(module: nn.Module, *arguments: Any, **named: Any) -> Any:
    with _plain_kernels():
        return type(module).forward(module, *arguments, **named)


@contextmanager
def _plain_kernels() -> Iterator[None]:
    backends = torch.backends
    before = backends.cudnn.enabled, backends.mkldnn.enabled, backends.mha.get_fastpath_enabled()
    backends.cudnn.enabled = backends.mkldnn.enabled = False  # type: ignore[assignment]
    backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        backends.cudnn.enabled, backends.mkldnn.enabled = before[:2]
        backends.mha.set_fastpath_enabled(before[2])


def _weight_norm(module: nn.Module, g: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return v * (g / torch.norm_except_dim(v, 2, module.dim))  # type: ignore[arg-type]


def _shortened(module: Any, *arguments: Any, **named: Any) -> torch.Tensor:
    """The embedding with each row of its weights at most max_norm long."""
    lengths = torch.linalg.vector_norm(module.weight, module.norm_type, dim=1, keepdim=True)
    scale = torch.where(lengths > module.max_norm, module.max_norm / (lengths + 1e-7), torch.ones_like(lengths))
    layer = SimpleNamespace(**{**vars(module), "weight": module.weight * scale, "max_norm": None})
    return type(module).forward(layer, *arguments, **named)
