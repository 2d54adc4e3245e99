"""Training: from a network, data and a recipe to two points, x0 where it started and x where it ended.

All parameters are views of one flat tensor: x costs nothing to read, and one fused optimizer call steps it. The data lie on the
device and a batch is a row of a permutation. The random numbers of an epoch depend on the seed and the epoch alone, so a run that
was killed goes on from its last whole epoch as if nothing had happened.
"""

import contextlib
import copy
import dataclasses
import hashlib
import inspect
import time
from dataclasses import dataclass

import torch
from torch import nn

from flatlab.nets import build
from flatlab.training import store as stores
from flatlab.training.trainer import OPTIMIZERS, Problem, batch_sizes, load_point, part_of
from flatlab.training.updates import UPDATES
from flatlab.version import __version__

PRECISIONS = ("float32", "tf32", "bf16")
HISTORY = ("epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "distance", "seconds", "updates")


@dataclass(frozen=True)
class Recipe:
    """How to train. The defaults are the paper's: Adam as Keras sets it, small batch, 100 epochs.

    batch_size      an int is a number of rows, a float a fraction of the training set (0.10 is the paper's large batch)
    optimizer       "adam", "sgd", "adagrad", "rmsprop", "rprop"; momentum is for "sgd" only
    update          how a batch becomes a step, a name in `flatlab.training.updates`; strength is its one number, None its default there
    growth          the batch grows by this factor every epoch, up to the whole training set (dynamic sampling)
    decay           the learning rate of epoch k is lr / (1 + decay (k - 1))
    l1              adds l1 ||x||_1 to the loss; weight_decay w adds w/2 ||x||^2
    sync_batch_norm with several workers: BatchNorm over all workers' rows instead of each worker's own (CUDA only)
    augmentation    images are reflected, turned and moved at random (appendix E.1)
    precision       "float32", "tf32" (CUDA), "bf16" (autocast); measuring is never in bf16

    Raises ValueError when a value makes no sense. Source: Keskar et al. 2017, section 2.2, and its released code.
    """

    batch_size: int | float = 256
    epochs: int = 100
    optimizer: str = "adam"
    lr: float = 1e-3
    momentum: float = 0.0
    weight_decay: float = 0.0
    update: str = "plain"
    strength: float | None = None
    growth: float = 1.0
    decay: float = 0.0
    l1: float = 0.0
    augmentation: bool = False
    sync_batch_norm: bool = False
    precision: str = "float32"

    def __post_init__(self):
        for field, known in (("optimizer", OPTIMIZERS), ("update", UPDATES), ("precision", PRECISIONS)):
            if getattr(self, field) not in known:
                raise ValueError(f"{field} is {getattr(self, field)!r}: choose one of {', '.join(known)}.")
        if not self.batch_size > 0 or isinstance(self.batch_size, float) and self.batch_size > 1:
            raise ValueError(
                f"batch_size is {self.batch_size!r}: give a number of rows (an int, 1 or more) or a fraction "
                "of the training set (a float, above 0 and at most 1.0)."
            )
        if self.epochs < 0 or not self.lr > 0:
            raise ValueError(
                f"epochs is {self.epochs} and lr is {self.lr}: epochs cannot be negative and lr must be above 0."
            )
        if self.strength is not None and (self.update == "plain" or not self.strength > 0):
            raise ValueError(
                f"strength is {self.strength} and update is {self.update!r}: it must be above 0, and plain has none."
            )
        if self.growth < 1 or self.decay < 0 or self.l1 < 0:
            raise ValueError(
                f"growth is {self.growth}, decay {self.decay} and l1 {self.l1}: growth is 1 or more, the others 0 or more."
            )
        if self.weight_decay and self.optimizer == "rprop":
            raise ValueError("rprop looks at signs only and has no weight_decay: leave it at 0.")
        if self.momentum and self.optimizer != "sgd":
            raise ValueError(f"momentum is for optimizer='sgd', and this one is {self.optimizer!r}: leave it at 0.")

    def rows(self, count):
        """The batch size in rows, for a training set of `count` rows."""
        rows = max(1, round(self.batch_size * count)) if isinstance(self.batch_size, float) else self.batch_size
        if rows > count:
            raise ValueError(f"batch_size is {rows}, but the training set has only {count} rows: take a smaller batch.")
        return rows


@dataclass(frozen=True)
class Run:
    """What training gives back.

    .x0, .x     the first and the last point, each of shape (n,)
    .history    lists with one entry an epoch: epoch, train_loss, train_accuracy (averages over the epoch's own steps, dropout
                on, as in Fig. 2), test_loss, test_accuracy, distance (||x - x0||), seconds, updates (both since the start)
    .facts      where it comes from: versions, device, data, semantics
    .points     epoch -> the point after it, for the epochs that `train` was told to keep; 0 is x0
    Accuracies are in percent.
    """

    x0: torch.Tensor
    x: torch.Tensor
    history: dict
    recipe: Recipe
    seed: int
    facts: dict
    buffers: dict
    points: dict
    net: nn.Module = dataclasses.field(repr=False)

    def __repr__(self):
        end = {name: values[-1] for name, values in self.history.items()} if self.history["epoch"] else None
        tail = f", train {end['train_accuracy']:.2f} %, test {end['test_accuracy']:.2f} %" if end else ""
        return (
            f"Run({self.facts['net']} on {self.facts['data']}, batch {self.facts['rows']}, seed {self.seed}, "
            f"{len(self.history['epoch'])} epochs{tail})"
        )

    def model(self):
        """A copy of the network at x, in evaluation mode."""
        model = copy.deepcopy(self.net).eval()
        load_point(model, self.x, self.buffers)
        return model


def train(net, data, recipe=None, *, seed=0, x0=None, keep=(), store=None, progress=True, **changes):
    """Train a network by mini-batches and return a `Run`.

        x_{k+1} = x_k - step(1/|B_k| sum_{i in B_k} grad f_i(x_k))

    net         a name ("F1" ...), initialised from `seed`, or an nn.Module, which starts where it is and is left as it is
    data        a `Data`
    recipe      a `Recipe`; `changes` are its fields by name, e.g. batch_size=0.10
    seed        decides initialisation, batches and dropout; the same seed gives small and large batch the same x0
    x0          another starting point, shape (n,)
    keep        epochs whose points are kept in Run.points
    store       a `Store` or a directory: a run it holds is read, a half-finished one resumed, each epoch kept.
                None keeps nothing
    progress    show a progress bar

    On the CPU the same arguments give the same bits, also across a resume. No global random state is changed.
    Under torchrun (or any initialised torch.distributed group) each worker takes its share of every batch and the gradients are
    summed: the same x as one process, but that BatchNorm's statistics are each worker's own (ghost batches). Rank 0 writes.
    Raises ValueError for arguments that do not fit, FloatingPointError when the loss is no longer finite.

    Source: Keskar et al. 2017, equation (2) and section 2.2. Explained in the chapter
    [The puzzle](https://flatlab.github.io/flatlab/book/puzzle.html).
    """
    recipe = dataclasses.replace(recipe or Recipe(), **changes)
    model = build(net, data, seed=seed) if isinstance(net, str) else copy.deepcopy(net).to(data.train.x.device)
    if x0 is not None:
        load_point(model, x0, {})
    if recipe.sync_batch_norm:
        if data.train.x.device.type != "cuda":
            raise ValueError("sync_batch_norm needs CUDA devices: torch has it for no other.")
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    problem = Problem(model, data, recipe)
    rows = recipe.rows(len(data.train.y))
    if rows == 1 and any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules()):
        raise ValueError(
            "batch_size is 1, and BatchNorm has nothing to normalise in a single row: take 2 or more, or a net without it."
        )
    if problem.workers > 1 and (
        recipe.update == "ghost" or min(batch_sizes(len(data.train.y), rows)) < 2 * problem.workers
    ):
        raise ValueError(
            f"each of {problem.workers} workers needs two rows of every batch, and its share is a ghost batch already: take "
            "a larger batch that leaves no short last one, and another update than 'ghost'."
        )
    name = net if isinstance(net, str) else type(net).__name__
    start, history = problem.point.detach().clone(), {key: [] for key in HISTORY}
    wanted, points = tuple(keep), {}
    if not all(0 <= epoch <= recipe.epochs for epoch in keep):
        raise ValueError(f"keep is {tuple(keep)}: the epochs are 0 to {recipe.epochs}.")
    facts = {
        "net": name,
        "data": data.name,
        "rows": rows,
        "parameters": start.numel(),
        "seed": seed,
        "recipe": dataclasses.asdict(recipe),
        **provenance(start.device),
    }

    if store is not None:
        store = store if isinstance(store, stores.Store) else stores.Store(store)
        key = stores.content_key(_identity(net, model, data, recipe, seed, start, problem.workers))
        for partial in (False, True):
            found = store.get(key, partial, start.device)
            if not found:
                continue
            tensors, saved = found
            points = {int(epoch): point for epoch, point in part_of(tensors, "point.").items()}
            # A run that went past an epoch without keeping its point is trained again, for those it kept as well.
            reached = [epoch for epoch in keep if epoch <= len(saved["history"]["epoch"])]
            if not all(epoch in points for epoch in reached):
                keep, points = (*keep, *points), {}
                continue
            history = saved["history"]
            if not partial:
                return Run(
                    tensors["x0"],
                    tensors["x"],
                    history,
                    recipe,
                    seed,
                    saved["facts"],
                    part_of(tensors, "buffer."),
                    {epoch: points[epoch] for epoch in wanted},
                    model,
                )
            problem.restore(tensors)

    if 0 in keep:
        points[0] = start.clone()  # a file holds no tensor twice
    with (
        progress_bar(
            recipe.epochs, "epoch", f"{name} {data.name} batch {rows}", progress, len(history["epoch"])
        ) as bar,
        torch.random.fork_rng(devices=[start.device] if start.is_cuda else []),
        _arithmetic(recipe.precision),
    ):
        began = time.perf_counter() - (history["seconds"][-1] if history["seconds"] else 0.0)
        for epoch in range(len(history["epoch"]) + 1, recipe.epochs + 1):
            size = min(len(data.train.y), round(rows * recipe.growth ** (epoch - 1)))
            loss, accuracy = problem.epoch(size, recipe.lr / (1 + recipe.decay * (epoch - 1)), _epoch_seed(seed, epoch))
            if not loss < float("inf"):
                raise FloatingPointError(
                    f"the training loss is {loss} in epoch {epoch}: lower lr, which is {recipe.lr}."
                )
            test_loss, test_accuracy = problem.test()
            updates = len(batch_sizes(len(data.train.y), size)) + (history["updates"][-1] if epoch > 1 else 0)
            entry = (
                epoch,
                loss,
                accuracy,
                test_loss,
                test_accuracy,
                (problem.point.detach() - start).norm().item(),
                time.perf_counter() - began,
                updates,
            )
            for column, value in zip(HISTORY, entry):
                history[column].append(value)
            if epoch in keep:
                points[epoch] = problem.point.detach().clone()
            bar.update()
            bar.set_postfix_str(f"train {accuracy:.1f} % test {test_accuracy:.1f} %")
            if store is not None and epoch < recipe.epochs and problem.rank == 0:
                store.put(
                    key, {**_named(points), **problem.state()}, {"history": history, "facts": facts}, partial=True
                )

    x, buffers = problem.point.detach().clone(), {k: v.clone() for k, v in model.named_buffers()}
    if store is not None and problem.rank == 0:
        tensors = {"x0": start, "x": x, **{f"buffer.{k}": v for k, v in buffers.items()}, **_named(points)}
        store.put(key, tensors, {"history": history, "facts": facts})
        store.remove(key, partial=True)
    points = {epoch: points[epoch] for epoch in wanted}
    return Run(start, x, history, recipe, seed, facts, buffers, points, copy.deepcopy(model))


def provenance(device):
    """Where a result comes from: versions and the device's name."""
    device = torch.device(device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    return {"flatlab": __version__, "torch": torch.__version__, "device": name, "semantics": stores.SEMANTICS}


def _named(points):
    return {f"point.{epoch}": point for epoch, point in points.items()}


def _epoch_seed(seed, epoch):
    return int.from_bytes(hashlib.sha256(f"{seed}/{epoch}".encode()).digest()[:7], "big")


def _identity(net, model, data, recipe, seed, x0, workers):
    """Everything that decides how a run comes out."""
    if isinstance(net, str):
        architecture = net
    else:
        kinds = {type(m) for m in model.modules() if not type(m).__module__.startswith("torch.")}
        try:
            architecture = [repr(model), sorted(inspect.getsource(kind) for kind in kinds)]
        except (OSError, TypeError) as error:
            raise ValueError(
                "a store needs the source of the network's classes to tell one network from another, and "
                f"cannot read it ({error}): define them in a file or a notebook cell, or pass store=None."
            ) from error
    point = hashlib.sha256(x0.cpu().numpy().tobytes()).hexdigest()
    return {
        "net": architecture,
        "data": data.digest,
        "recipe": dataclasses.asdict(recipe),
        "seed": seed,
        "x0": point,
        "workers": workers,
        "dtype": str(x0.dtype),
        "semantics": stores.SEMANTICS,
    }


@contextlib.contextmanager
def _arithmetic(precision):
    """float32 products in float32, or in TF32 where the recipe says so; the user's settings come back afterwards."""
    backends = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [backend.allow_tf32 for backend in backends]
    try:
        for backend in backends:
            backend.allow_tf32 = precision != "float32"
        yield
    finally:
        for backend, allowed in zip(backends, before):
            backend.allow_tf32 = allowed


def progress_bar(total, unit, label, show, done=0):
    """A progress bar with an estimate of the time left."""
    from tqdm.auto import tqdm  # here: it looks for a notebook, which takes time at import

    options = {} if show else {"disable": True}  # else left to tqdm, which obeys TQDM_DISABLE
    return tqdm(total=total, initial=done, desc=label, unit=unit, leave=False, **options)
