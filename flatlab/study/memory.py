"""Sharpness that was measured before is read from the store, as a finished run is."""

import dataclasses
import hashlib
import inspect

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from flatlab.measure.maximise import Maximum
from flatlab.measure.sharpness import Sharpness, sharpness
from flatlab.training.store import MEASURING, Store, content_key

# Layers whose printed form says all that decides what they compute, beside their parameters and buffers.
PLAIN = (
    nn.Sequential,
    nn.Flatten,
    nn.Linear,
    nn.Conv2d,
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.MaxPool2d,
    nn.Dropout,
    nn.ReLU,
)


def kept_sharpness(store=None):
    """`flatlab.sharpness` with a memory: a function of the same arguments and with the same result.

    store   a `Store`; default: the standard one

    A measurement is known by all that decides it: the net, the rows, the BatchNorm policy, the chunks, the point, the arguments, and
    the source of the modules that measure. Where not all of it can be told, because the loss is not torch's cross entropy, a layer
    is not one of torch's plain ones or the rows come from a loader, it is measured anew and nothing is kept.

    Raises what `sharpness` raises, and OSError as the store does. Explained in the chapter
    [Measuring sharpness](https://flatlab.github.io/flatlab/book/measuring_sharpness.html).
    """
    store = Store() if store is None else store

    def measure(f, x=None, eps=1e-3, **options):
        x = f.x if x is None else x
        known = _known(f)
        if not known:
            return sharpness(f, x, eps, **options)
        chosen = inspect.signature(sharpness).bind_partial(eps=float(eps), **options)
        chosen.apply_defaults()
        chosen = chosen.arguments
        seed = chosen["seed"]
        if chosen["subspace"] is None and chosen["starts"] == 1:
            del chosen["seed"]  # nothing is drawn
        key = content_key(
            {
                "sharpness": chosen,
                "f": known,
                "point": _digest(x),
                "measuring": MEASURING,
                "torch": torch.__version__,
                "device": x.device.type,
            }
        )
        if found := store.get(key, device=x.device):
            tensors, facts = found
            maximum = {**facts["values"].pop("maximum"), "x": tensors["x"]}
            maximum["history"] = tuple(maximum["history"])
            return Sharpness(**{**facts["values"], "seed": seed}, maximum=Maximum(**maximum))
        result = sharpness(f, x, eps, **options)
        values = dataclasses.asdict(result)
        store.put(key, {"x": values["maximum"].pop("x")}, {"experiment": "sharpness", "values": values})
        return result

    return measure


def _known(f):
    """All that decides f(x) beside x, or None."""
    layers = list(f.model.modules())
    hooked = any(layer._forward_hooks or layer._forward_pre_hooks for layer in layers)
    if (
        f.loss is not cross_entropy
        or f._batches is not None
        or hooked
        or not all(type(layer) in PLAIN for layer in layers)
    ):
        return None
    state = (
        f.model.state_dict() if f.batch_norm == "frozen" else dict(f.model.named_parameters())
    )  # else no average counts
    state = {name: _digest(tensor) for name, tensor in state.items() if name not in f.names}
    return {
        "net": str(f.model),
        "x": f.names,
        "state": state,
        "rows": [_digest(f.inputs), _digest(f.targets)],
        "batch_norm": f.batch_norm,
        "chunk": f.chunk,
        "reduction": f.reduction,
    }


def _digest(tensor):
    """The hash of a tensor's type, shape and bits."""
    array = tensor.detach().cpu().contiguous().numpy()
    return hashlib.sha256(f"{array.dtype} {array.shape}".encode() + array.tobytes()).hexdigest()[:24]
