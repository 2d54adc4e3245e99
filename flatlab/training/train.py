"""Training: from a network, data and a recipe to two points, x0 where it started and x where it ended.

All parameters are views of one flat tensor: x costs nothing to read. Autograd hands their gradients over as they are,
and one fused optimizer call steps them all. The data lie on the device and a batch is a row of a permutation. The
random numbers of an epoch depend on the seed and the epoch alone, so a run that was killed resumes from its last whole
epoch as if nothing had happened.
"""

import contextlib
import dataclasses
import difflib
import functools
import hashlib
import inspect
import numbers
import os
import platform
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from flatlab import data as datasets
from flatlab import files, version
from flatlab.data import Data
from flatlab.fingerprints import digest, fingerprint
from flatlab.generators import undisturbed
from flatlab.identity import Source
from flatlab.measure import door, memory
from flatlab.measure.arithmetic import own_arithmetic
from flatlab.nets import NetName, build
from flatlab.training import checkpoint as checkpoints
from flatlab.training import store as stores
from flatlab.training.checkpoint import Checkpoint
from flatlab.training.recipe import Changes, Recipe
from flatlab.training.run import HISTORY, Run
from flatlab.training.trainer import Trainer, batch_sizes, load_point
from flatlab.training.updates import UPDATE_RULES
from flatlab.version import __version__
from flatlab.wrappers import copied, unwrap_parts

# What only names or keeps a run: its data are known by their content, whatever code has loaded them.
KEEPING = (checkpoints, datasets, files, stores, version)
SOURCE = Source((sys.modules[__name__],), without=KEEPING)


def train(
    net: NetName | nn.Module,
    data: Data,
    recipe: Recipe | None = None,
    *,
    seed: int = 0,
    x0: Tensor | None = None,
    keep: Iterable[int] = (),
    store: stores.Store | str | os.PathLike | None = None,
    progress: bool = True,
    **changes: Unpack[Changes],
) -> Run:
    """Train a network by mini-batches and return a `Run`.

    Parameters
    ----------
    net : str or nn.Module
        A name ("F1" ...), initialised from `seed`, or a module, which starts where it is and is left as it is.
    data : Data
        What it is trained on, and tested on after each epoch.
    recipe : Recipe, optional
        How to train; the paper's way if left out.
    seed : int
        Decides initialisation, batches and dropout; the same seed gives small and large batch the same x0.
    x0 : Tensor, optional
        Another starting point, of shape (n,).
    keep : iterable of int
        Epochs whose points are kept in `Run.points`; 0 is the start.
    store : Store or path, optional
        A run that it holds is read, a half-finished one resumed with a note, and the run kept. When it is interrupted,
        or stopped by an error, at most the epoch under way is lost; when the process is killed, at most `Store.every`
        seconds more. Without a store nothing is kept. A run is known by the network's code and state, and by the
        variables of the environment whose names stand in that code; what a network computes at x0 is compared as well.
        A variable that is read in training alone, under a name made at run time, is not seen. A resumed run goes on
        with the buffers, and with the numbers and words that the network's modules keep as attributes, as they were.
    progress : bool
        Show a progress bar.
    **changes
        Fields of the recipe by name, e.g. batch_size=0.10.

    Returns
    -------
    Run
        On the CPU the same arguments give the same bits, also after a resume. No global random state is changed.

    Raises
    ------
    ValueError
        For arguments that do not fit.
    FloatingPointError
        When the loss is no longer finite.
    OSError
        When the store cannot be read or written, before the first step where that can be known.
    torch.OutOfMemoryError
        When the device's memory does not suffice: the sentence says what to do.

    Notes
    -----
        x_{k+1} = x_k - step(g_k),    g_k = 1/|B_k| sum_{i in B_k} grad f_i(x_k)

    Under torchrun (or any initialised torch.distributed group) each worker takes its share of every batch and the
    gradients are summed: the same x as one process, except that BatchNorm's statistics are each worker's own (ghost
    batches), and so are dropout, augmentation and noise on the inputs. Rank 0 writes.

    Source: Keskar et al. 2017, equation (2) and section 2.2. Explained in the chapter
    [The puzzle](https://flatlab.github.io/flatlab/book/puzzle.html).
    """
    _check_arguments(net, data, recipe, seed, x0, keep, store, changes)
    recipe, keep = dataclasses.replace(recipe or Recipe(), **changes), tuple(keep)
    return memory.within(
        lambda: _train(net, data, recipe, seed, x0, keep, store, progress),
        lambda reason: _too_much(data, recipe, reason),
    )


def _train(net, data, recipe, seed, x0, keep, store, progress):
    with _own_settings(data.train.x.device, recipe):
        trainer = Trainer(_start(net, data, recipe, seed, x0), data, recipe)
        _check(trainer, keep)
        run = _empty_run(net, trainer, seed)
        identity = functools.partial(_identity, net, trainer.model, data, recipe, seed, run.x0, trainer.workers)
        checkpoint = Checkpoint(store, identity, SOURCE, trainer, keep)
        if finished := checkpoint.finished(run):
            return finished
        run = checkpoint.resumed(run)
        left = range(len(run.history["epoch"]) + 1, recipe.epochs + 1)
        if left:
            trainer.prepare()
        began = time.perf_counter() - (run.history["seconds"] or [0.0])[-1]
        with checkpoint, _bar(run, progress) as bar:
            for epoch in left:
                _train_epoch(trainer, run, epoch, began)
                checkpoint.keep_epoch(run, epoch)
                _show(bar, run)
            return checkpoint.keep_run(run)


def _too_much(data, recipe, reason):
    """What to do where the device's memory does not suffice."""
    rows, ways = recipe.rows(len(data.train.y)), ["a smaller network", "another device"]
    if recipe.update == "ghost":
        ways = ["a smaller strength", *ways]
    elif rows > 1:
        parts = f"update='ghost', which takes a batch's gradient in parts of strength={-(-rows // 4)} rows"
        ways = [f"a batch_size below {rows}", *([parts] if recipe.update == "plain" else []), *ways]
    return (
        f"the memory of {data.train.x.device} does not suffice for training ({reason}): take {', '.join(ways[:-1])} or "
        f"{ways[-1]}."
    )


def _check_arguments(net, data, recipe, seed, x0, keep, store, changes):
    """Refuse what is of another kind than it should be."""
    door.instance(net, (str, nn.Module), "train takes a network: a name such as 'mlp', or an nn.Module")
    door.instance(
        data,
        Data,
        "train takes its data as a Data: flatlab.load('mnist1d'), or from tensors of your own "
        "flatlab.Data('mine', classes, flatlab.Split(x, y), flatlab.Split(test_x, test_y))",
    )
    door.instance(recipe, (Recipe, type(None)), "a recipe is a flatlab.Recipe, or its fields by name, as batch_size=32")
    door.instance(x0, (Tensor, type(None)), "x0 is a point, a vector such as run.x")
    door.instance(keep, Iterable, "keep is a list of epochs, such as [0, 5]")
    door.instance(store, (stores.Store, str, os.PathLike, type(None)), "a store is a flatlab.Store or a directory")
    door.seed(seed)
    known = [*inspect.signature(train).parameters, *(field.name for field in dataclasses.fields(Recipe))]
    for name in changes.keys() - set(known):
        letters = "".join(word[:1] for word in name.split("_"))  # learning_rate is lr
        near = letters if letters in known else difflib.get_close_matches(name, known, 1, 0.0)[0]
        raise TypeError(f"train has no argument {name!r}, and a recipe no such field: did you mean {near!r}?")


def _start(net, data, recipe, seed, x0):
    """The network where training starts, on the data's device."""
    if isinstance(net, str):
        model = build(net, data, seed=seed)
    else:
        _refuse_hooks(net)
        _refuse_expanded(net)
        model = copied(net).to(data.train.x.device)
        unwrap_parts(model)
    if x0 is not None:
        load_point(model, x0, {})
    if not recipe.sync_batch_norm:
        return model
    if data.train.x.device.type != "cuda":
        raise ValueError("sync_batch_norm needs CUDA devices: torch has it for no other.")
    return nn.SyncBatchNorm.convert_sync_batchnorm(model)


def _refuse_hooks(net):
    """Refuse hooks on parameters, because a copy of the network has none of them."""
    for name, parameter in net.named_parameters():
        if parameter._backward_hooks or getattr(parameter, "_post_accumulate_grad_hooks", None):
            raise ValueError(
                f"the parameter {name} has a hook on its gradient, which train does not call: freeze it by "
                "requires_grad_(False), or let a layer of the network change the gradient."
            )


def _refuse_expanded(net):
    """Refuse buffers whose numbers share a place, because no buffer of another point can be copied into them."""
    for name, buffer in net.named_buffers():
        if buffer.layout == torch.strided and any(
            size > 1 and step == 0 for size, step in zip(buffer.shape, buffer.stride())
        ):
            raise ValueError(
                f"the network's buffer {name} is expanded, so that several of its numbers lie in one place and cannot "
                "be written: keep its .clone()."
            )


def _check(trainer, keep):
    """Refuse batches that the network or the workers cannot take, and epochs that there are not."""
    recipe, count = trainer.recipe, len(trainer.data.train.y)
    rows = recipe.rows(count)
    if rows == 1 and any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in trainer.model.modules()):
        raise ValueError(
            "batch_size is 1, and BatchNorm has nothing to normalise in a single row: take 2 or more, or a net "
            "without it."
        )
    if trainer.workers > 1 and (
        recipe.update in ("ghost", "sampled_noise") or min(batch_sizes(count, rows)) < 2 * trainer.workers
    ):
        raise ValueError(
            f"each of {trainer.workers} workers needs two rows of every batch, and its share is a ghost batch "
            "already: take "
            "a larger batch that leaves no short last one, and another update than 'ghost' and 'sampled_noise'."
        )
    if not all(isinstance(epoch, numbers.Integral) and 0 <= epoch <= recipe.epochs for epoch in keep):
        raise ValueError(f"keep is {keep}: the epochs are 0 to {recipe.epochs}.")


def _empty_run(net, trainer, seed):
    """The run before its first epoch: x is still x0."""
    x0, data, recipe = trainer.point.clone(), trainer.data, trainer.recipe
    facts = {
        "net": net if isinstance(net, str) else type(trainer.model).__name__,
        "data": data.name,
        "rows": recipe.rows(len(data.train.y)),
        "parameters": x0.numel(),
        "seed": seed,
        "recipe": dataclasses.asdict(recipe),
        **provenance(x0.device),
    }
    return Run(x0, x0, {column: [] for column in HISTORY}, recipe, seed, facts, {}, {}, trainer.model)


def _train_epoch(trainer, run, epoch, began):
    """Train one epoch and add it to the run's history. The history's seconds are those since `began`."""
    recipe, count = trainer.recipe, len(trainer.data.train.y)
    rows = recipe.rows(count, epoch)
    train_loss, train_accuracy = trainer.epoch(rows, recipe.rate(epoch), _epoch_seed(run.seed, epoch))
    if not train_loss < float("inf"):
        advice = trainer.not_finite() or f"lower lr, which is {recipe.lr}"
        raise FloatingPointError(f"the training loss is {train_loss} in epoch {epoch}: {advice}.")
    test_loss, test_accuracy = trainer.test()
    entry = {
        "epoch": epoch,
        "train_loss": train_loss,
        "train_accuracy": train_accuracy,
        "test_loss": test_loss,
        "test_accuracy": test_accuracy,
        "distance": (trainer.point - run.x0).norm().item(),
        "seconds": time.perf_counter() - began,
        "updates": len(batch_sizes(count, rows)) + sum(run.history["updates"][-1:]),
    }
    for column, value in entry.items():
        run.history[column].append(value)


def _bar(run, show):
    """The run's progress bar, which begins where the run is resumed and says so."""
    label, done = f"{run.facts['net']} {run.facts['data']} batch {run.facts['rows']}", len(run.history["epoch"])
    bar = progress_bar(run.recipe.epochs, "epoch", label, show, done)
    if done and not bar.disable:
        bar.write(f"{label}: resumes after epoch {done} of {run.recipe.epochs}", file=sys.stderr)
    return bar


def _show(bar, run):
    bar.update()
    bar.set_postfix_str(" ".join(run.accuracies(1)))


@contextlib.contextmanager
def _own_settings(device, recipe):
    """Whatever the caller has set changes no number within; the settings, and the generators of the host and the
    device, are afterwards as they were before."""
    settings = own_arithmetic(device, tf32=recipe.precision != "float32")
    with undisturbed(device, settings), torch.enable_grad():
        yield


def provenance(device: str | torch.device) -> dict[str, str]:
    """Where a result comes from: versions, the device's name and the processor's."""
    device = torch.device(device)
    return {
        "flatlab": __version__,
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
        "processor": processor(),
        "semantics": SOURCE.hash,
    }


@functools.cache
def processor() -> str:
    """The processor's name, as Linux or else Python has it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):  # not Linux, or an ARM
        return platform.processor() or platform.machine()


def _epoch_seed(seed, epoch):
    return int.from_bytes(hashlib.sha256(f"{seed}/{epoch}".encode()).digest()[:7], "big")


def _identity(net, model, data, recipe, seed, x0, workers):
    """Everything that decides how a run comes out."""
    x = [p for p in model.parameters() if p.requires_grad]
    return {
        "net": net if isinstance(net, str) else None,
        "made": fingerprint(model, UPDATE_RULES[recipe.update], without=x)[0],
        "data": data.digest,
        "recipe": dataclasses.asdict(recipe),
        "seed": seed,
        "x0": digest(x0),
        "workers": workers,
        "source": SOURCE.hash,
    }


def progress_bar(total: int, unit: str, label: str, show: bool, done: int = 0) -> Any:
    """A progress bar with an estimate of the time left."""
    from tqdm.auto import tqdm  # here: it looks for a notebook, which takes time at import

    options = {} if show else {"disable": True}  # else left to tqdm, which obeys TQDM_DISABLE
    return tqdm(total=total, initial=done, desc=label, unit=unit, leave=False, **options)
