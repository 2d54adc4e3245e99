"""Wrappers around a network that change how it is run and not what it computes."""

import copy

import torch
from torch import nn

from flatlab.measure import door
from flatlab.measure.memory import is_used_up

_AROUND = {"DataParallel": "module", "DistributedDataParallel": "module", "OptimizedModule": "_orig_mod"}


def unwrapped(net: nn.Module) -> nn.Module:
    """Take DataParallel and torch.compile off the network; what lies deeper is for `unwrap_parts`.

    Raises
    ------
    ValueError
        For what cannot be taken off, TorchScript, and for parameters that are spread over processes, have no values or
        are complex.
    """
    while inner := _inner(net):
        net = inner
    if any(isinstance(module, torch.jit.ScriptModule) for module in net.modules()):
        raise ValueError(
            "a TorchScript network cannot be moved to a point: measure the nn.Module that it was made from."
        )
    for module in net.modules():
        if type(module).__name__ == "FullyShardedDataParallel":
            raise ValueError(
                "the network's parameters are spread over processes (FSDP): pass a whole copy of it, "
                "loaded from its full state_dict."
            )
        if isinstance(module, nn.modules.lazy.LazyModuleMixin) and module.has_uninitialized_params():
            raise ValueError("the network has layers without a size yet: run it once on some inputs before passing it.")
    if any(parameter.is_complex() for parameter in net.parameters()):
        raise ValueError(
            "the network has complex parameters, and x is a vector of real numbers: hold the real and the imaginary "
            "part as one real parameter w, by torch.view_as_real, and let the forward take "
            "torch.complex(w[..., 0], w[..., 1])."
        )
    if any(parameter.is_meta for parameter in net.parameters()):
        raise ValueError(
            "the network lies on the device 'meta', where its parameters have no values: make it on another, or "
            "net.to_empty(device='cpu') and load its parameters."
        )
    return net


def copied(net: nn.Module) -> nn.Module:
    """Copy a network, without what is around it and with nothing shared.

    Raises
    ------
    ValueError
        When it cannot be copied, or a wrapper cannot be taken off.
    """
    net = unwrapped(net)
    try:
        return copy.deepcopy(net)
    except NotImplementedError as error:  # of torch, which calls it a RuntimeError
        raise ValueError(
            f"the network cannot be copied ({door.reason(error)}): keep a sparse tensor as .to_sparse_coo() or "
            ".to_dense(), because torch copies none that is compressed."
        ) from error
    except RuntimeError as error:
        if is_used_up(error):
            raise
        raise ValueError(
            "the network cannot be copied, because it keeps a tensor that was computed from its parameters: let its "
            "forward and its hooks keep tensor.detach(), take weight_norm from torch.nn.utils.parametrizations, and "
            "make pruning permanent by torch.nn.utils.prune.remove."
        ) from error
    except Exception as error:  # what a user keeps in a network may raise anything
        if is_used_up(error):
            raise
        raise ValueError(
            f"the network cannot be copied ({door.reason(error)}): let it keep "
            "no modules, locks or open files, or give its class a __deepcopy__."
        ) from error


def unwrap_parts(net: nn.Module) -> None:
    """Take the same wrappers off the parts of a network, in place."""
    for module in list(net.modules()):
        if module._compiled_call_impl is not None:  # by net.compile()
            module._compiled_call_impl = None
        for name, part in list(module.named_children()):
            if _inner(part):
                setattr(module, name, unwrapped(part))


def _inner(module: nn.Module) -> nn.Module | None:
    name = _AROUND.get(type(module).__name__)
    return getattr(module, name) if name else None
