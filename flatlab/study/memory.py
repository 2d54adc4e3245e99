"""One memory of measurements: what was measured before is read from the store, as a finished run is.

A measurement is known by all that decides it: what it was measured on, the source of what measures, the version of
torch and the device.
"""

import copy
import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from flatlab import objective
from flatlab.fingerprints import digest, fingerprint
from flatlab.identity import Source, content_key
from flatlab.measure import sharpness as measuring
from flatlab.measure.maximise import Maximum, usual_starts
from flatlab.measure.sharpness import Sharpness, sharpness
from flatlab.training.store import Store
from flatlab.training.train import KEEPING, provenance

SHARPNESS = Source((objective, measuring), without=KEEPING)


Parts = tuple[dict[str, Tensor], dict[str, Any]]  # a measurement's tensors, and the rest of it as JSON can hold it


def remembered(
    store: Store,
    name: str,
    made_from: Any,
    source: Source,
    measure: Callable[[], Parts],
    device: str | torch.device = "cpu",
) -> Parts:
    """(tensors, values) of a measurement: read from a store, or measured and kept there.

    Parameters
    ----------
    store
        Where it is looked for, and kept.
    name
        What is measured.
    made_from
        What decides it beside the code, the version of torch and the device (anything JSON can hold).
    source
        What measures.
    measure
        Called where the store has nothing. What it raises is raised.
    device
        Where the tensors go.

    Raises
    ------
    OSError
        As the store does.
    """
    here = {part: provenance(device)[part] for part in ("torch", "device")}
    key = content_key({"measured": name, "from": made_from, "source": source.hash, **here})
    if found := store.get(key, device=device):
        tensors, facts = found
        return tensors, facts["values"]
    tensors, values = measure()
    store.put(key, tensors, {"experiment": name, "values": values, "source": source.facts})
    return tensors, values


def kept_sharpness(store: Store | None = None) -> Callable[..., Sharpness]:
    """`flatlab.sharpness` with a memory: a function of the same arguments and with the same result.

    It raises what `sharpness` raises, and OSError as the store does.

    Parameters
    ----------
    store
        Where results are kept; None: the standard one.

    Returns
    -------
    callable
        Takes what `sharpness` takes.

    Notes
    -----
    Where not all that decides a measurement can be told, because the rows come from a loader, f is no `Objective` or an
    object in the network or the loss cannot be looked into, it is measured anew and nothing is kept. Explained in the
    chapter [Measuring sharpness](https://flatlab.github.io/flatlab/book/measuring_sharpness.html).
    """
    store = Store() if store is None else store

    def measure(f, x=None, eps=1e-3, **options):
        if not (known := _known(f)):
            return sharpness(f, x, eps, **options)
        x = f.x if x is None else x
        chosen = inspect.signature(sharpness).bind_partial(eps=float(eps), **options)
        chosen.apply_defaults()
        chosen = chosen.arguments
        if chosen["starts"] is None:
            chosen["starts"] = usual_starts(chosen["eps"], chosen["method"])
        seed = chosen["seed"]
        if chosen["subspace"] is None and chosen["starts"] == 1:
            del chosen["seed"]  # nothing is drawn

        def parts():
            values = dataclasses.asdict(sharpness(f, x, eps, **options))
            return {"x": values["maximum"].pop("x")}, values

        made_from = {"arguments": chosen, "f": known, "point": digest(x)}
        tensors, values = remembered(store, "sharpness", made_from, SHARPNESS, parts, x.device)
        maximum = {**values["maximum"], **tensors, "history": tuple(values["maximum"]["history"])}
        return Sharpness(**{**values, "seed": seed, "maximum": Maximum(**maximum)})

    return measure


def _known(f):
    """All that decides f(x) beside x, or None where it cannot be told."""
    if type(f) is not objective.Objective or f.data.batches is not None:
        return None
    model = copy.deepcopy(f.model)
    if f.batch_norm != "frozen":  # else no average counts, and an evaluation may leave some
        for norm in model.modules():
            if isinstance(norm, nn.modules.batchnorm._BatchNorm):
                norm.running_mean = norm.running_var = None
    x = [parameter for name, parameter in model.named_parameters() if name in f.names]
    told, whole = fingerprint(model, f.loss, without=x)
    return whole and {
        "net": told,
        "x": f.names,
        "rows": [digest(f.inputs), digest(f.targets)],
        "batch_norm": f.batch_norm,
        "chunk": f.chunk,
        "reduction": f.reduction,
    }
