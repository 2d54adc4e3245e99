"""A trainer: a model whose parameters are views of one flat point, with its gradient, optimizer and data."""

import copy
import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, distributed, nn
from torch.nn.functional import cross_entropy

from flatlab.data import Data, Split
from flatlab.generators import seed_host
from flatlab.hessian import NO_GRADIENT
from flatlab.measure import door
from flatlab.measure.memory import UsedUp, is_used_up
from flatlab.objective import Objective
from flatlab.refusals import UNFIT
from flatlab.training.augmentation import augmented
from flatlab.training.capture import captured, warm_up
from flatlab.training.recipe import Recipe
from flatlab.training.targets import IGNORED, as_trained, check_targets, right_answers
from flatlab.training.updates import STRENGTHS, UPDATE_RULES, ghosts

TORCH_OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "sgd": torch.optim.SGD,
    "adagrad": torch.optim.Adagrad,
    "rmsprop": torch.optim.RMSprop,
    "rprop": torch.optim.Rprop,
}
FUSED_STEPS = {
    "cpu": ("adam", "sgd", "adagrad"),
    "cuda": ("adam", "sgd"),
}  # where an optimizer steps a tensor in one kernel


class Trainer:
    """Trains a model, whose parameters become views of `point`.

    Parameters
    ----------
    model : nn.Module
        The network, on the data's device, which is changed as it is trained. Parts of it that are in evaluation mode
        stay so; a network that is so as a whole is put into training mode.
    data : Data
        The training split is trained on, the test split is only measured.
    recipe : Recipe
        How to train.

    Attributes
    ----------
    point : Tensor
        x, the parameters with requires_grad, of shape (n,).
    optimizer : torch.optim.Optimizer
        Steps the parameters along their gradients.
    strength : float or None
        The number of the recipe's update.
    rank, workers : int
        Which one of how many processes this is.

    Raises
    ------
    ValueError
        When no parameter that is not empty has requires_grad, or they are not all float32 or all float64.
    """

    def __init__(self, model: nn.Module, data: Data, recipe: Recipe) -> None:
        trainable = _trainable(model)
        if not any(p.numel() for p in trainable):
            raise ValueError(
                "the network has no parameter with requires_grad, or only empty ones: there is nothing to train."
            )
        types = {str(p.dtype) for p in trainable}
        if types not in ({"torch.float32"}, {"torch.float64"}):
            raise ValueError(
                f"the network has parameters of type {', '.join(sorted(types))}: train it in one type, float32 or "
                "float64, as "
                "net.float(); precision='bf16' makes its products coarser."
            )
        if not any(module.training for module in model.modules()):
            model.train()
        self.model, self.data, self.recipe = model, data, recipe
        self.inputs, self.targets = as_trained(data.train, trainable[0].dtype)
        self.take_step = UPDATE_RULES[recipe.update]
        strength = STRENGTHS.get(recipe.update) if recipe.strength is None else recipe.strength
        self.strength: float = strength  # type: ignore[assignment]  # an update that reads it has one
        together = distributed.is_initialized()
        self.rank, self.workers = (distributed.get_rank(), distributed.get_world_size()) if together else (0, 1)
        self.point = torch.cat([p.detach().flatten() for p in trainable])
        self.loss = torch.zeros((), dtype=torch.float64, device=self.point.device)  # sums over the epoch so far
        self.correct = torch.zeros((), dtype=torch.int64, device=self.point.device)
        self.answers = 0 if self.targets.is_floating_point() else int((self.targets != IGNORED).sum())  # in an epoch
        self._flat: Tensor | None = None
        self.captured: dict[int, Callable[[Tensor], None]] = {}  # rows -> a faster step on that many
        self.parameters = trainable
        for parameter, x in zip(trainable, _views(self.point, trainable)):
            parameter.data = x
        self.places = [p.data_ptr() for p in trainable]
        for module in model.modules():
            if isinstance(module, nn.RNNBase):  # it would move the parameters into a vector of its own
                module.flatten_parameters = _leave  # type: ignore[method-assign]
        self.optimizer = _optimizer(trainable, recipe)

    @property
    def grad(self) -> Tensor:
        """The gradient as one flat vector, of shape (n,). Once it was asked for, the parameters' gradients are views of
        it; until then they are as autograd has handed them over, which saves a pass over them."""
        if self._flat is None:
            parts = [torch.zeros_like(p) if p.grad is None else p.grad.to_dense() for p in self.parameters]
            self._flat = torch.cat([part.flatten() for part in parts])
            for parameter, part in zip(self.parameters, _views(self._flat, self.parameters)):
                parameter.grad = part
        return self._flat

    def outputs(self, inputs: Tensor) -> Tensor:
        """What the network makes of inputs, which stay as they are also where its forward works in place, because most
        updates look at them twice."""
        return self.model(inputs if self.recipe.update == "plain" else inputs.clone())

    def gradient(
        self, inputs: Tensor, targets: Tensor, penalty: Callable[[Tensor], Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Take the gradient of the batch's mean loss, plus penalty(outputs) and l1 ||x||_1; return the loss and the
        number of correct answers. With several workers the batch is this worker's share, and the gradient that of all
        shares."""
        self._flat = None
        for parameter in self.parameters:
            parameter.grad = None
        with torch.autocast(self.point.device.type, torch.bfloat16, enabled=self.recipe.precision == "bf16"):
            outputs = self.outputs(inputs)
        outputs = outputs.float() if self.recipe.precision == "bf16" else outputs
        loss = cross_entropy(outputs, targets)
        if not loss.requires_grad:
            raise ValueError(NO_GRADIENT)
        (loss if penalty is None else loss + penalty(outputs)).backward()
        if any(p.grad is None or p.grad.is_sparse for p in self.parameters):
            self.grad  # noqa: B018  no optimizer takes such a gradient in one kernel: it becomes zeros, or dense
        if self.workers > 1:
            self.grad.mul_(len(targets) / self.rows)
            distributed.all_reduce(self.grad)
        if self.recipe.l1:
            self.grad.add_(self.point.sign(), alpha=self.recipe.l1)
        return loss.detach(), right_answers(outputs.detach(), targets)

    def prepare(self) -> None:
        """Do what only the first epoch would, so that it is no part of any time: see that outputs and targets fit, make
        the loss on the test split, and on a GPU let its libraries start, and capture a step or take one for nothing.

        Raises ValueError when the outputs are not scores of the targets' classes.
        """
        self._check_outputs()
        if self.point.is_cuda:
            self.test()
        else:
            self._measured  # noqa: B018
        rows = self.recipe.rows(len(self.data.train.y))
        if self._capturable():
            self.captured[rows] = captured(self, rows)
        elif self.point.is_cuda:
            warm_up(self, rows)

    def step(self, batch: Tensor) -> None:
        """One step on the rows whose numbers are in `batch`, of which each worker takes its share."""
        self.rows, share = len(batch), batch.tensor_split(self.workers)[self.rank]
        inputs = self.inputs[share]
        if self.recipe.augmentation:
            inputs = augmented(inputs, self.recipe.augmentation)
        loss, correct = self.take_step(self, inputs, self.targets[share])
        self.loss += loss * len(share)
        self.correct += correct

    def epoch(self, rows: int, lr: float, seed: int) -> tuple[float, float | None]:
        """Pass over the training set once, in the random order of a seed; return its mean loss and accuracy in percent,
        which is None where the targets are not classes."""
        set_seed(seed, self.point.device)
        count = len(self.targets)
        order = torch.randperm(count, device=self.point.device)
        if self.rank:  # dropout and noise differ from worker to worker, the order not
            set_seed(seed + self.rank, self.point.device)
        self.optimizer.param_groups[0]["lr"] = lr
        self.loss.zero_()
        self.correct.zero_()
        for batch in order.split(batch_sizes(count, rows)):
            self.captured.get(len(batch), self.step)(batch)
        if [p.data_ptr() for p in _trainable(self.model)] != self.places:
            raise ValueError(
                "the network's forward gives a parameter new memory (param.data = ..., or a new Parameter), so that "
                "it is not "
                "trained: let it change parameters in place, under torch.no_grad()."
            )
        if self.workers > 1:
            for total in (self.loss, self.correct):
                distributed.all_reduce(total)
        return self.loss.item() / count, 100 * self.correct.item() / self.answers if self.answers else None

    def not_finite(self) -> str | None:
        """What to do about the first row of the training data that is not finite, if there is one."""
        for name, part in (("inputs", self.inputs), ("targets", self.targets)):
            if part.is_floating_point() and not part.isfinite().all():
                row = (~part.reshape(len(part), -1).isfinite().all(1)).byte().argmax().item()
                return f"row {row} of the training {name} is not finite, so mend or leave out such rows"
        return None

    def _check_outputs(self):
        """Refuse outputs and targets that cross-entropy cannot compare; on a GPU a wrong target would end the
        process."""
        modes = {module: module.training for module in self.model.modules()}
        buffers = {name: buffer.clone() for name, buffer in self.model.named_buffers()}
        rows = self.recipe.rows(len(self.targets))
        if self.recipe.update == "ghost":  # no more than it takes at once
            rows = -(-rows // ghosts(rows, self.strength))
        inputs = self.inputs[:rows].clone()
        try:
            with torch.no_grad():
                outputs = self.model.eval()(inputs)
        except UNFIT as error:
            if is_used_up(error):
                raise
            raise ValueError(
                f"the network does not run on the training inputs, {inputs.dtype} of shape {tuple(inputs.shape)} "
                f"({door.reason(error)})."
            ) from error
        finally:
            for module, mode in modes.items():
                module.training = mode
            load_point(self.model, None, buffers)
        for split in (self.data.train, self.data.test):
            check_targets(outputs, as_trained(split, self.point.dtype)[1], rows)

    def _capturable(self):
        """A graph holds one batch size, one learning rate and no communication."""
        return (
            self.point.is_cuda
            and self.recipe.optimizer in ("adam", "sgd")
            and self.workers == 1
            and self.recipe.growth == 1
            and self.recipe.decay == 0
            and self.recipe.warm_up == 0
        )

    def test(self) -> tuple[float, float | None]:
        """(loss, accuracy in percent) on the test split, by running averages if the net keeps them."""
        load_point(self._measured.model, None, dict(self.model.named_buffers()))
        try:
            return self._measured.loss_and_accuracy(self.point)
        except UsedUp as error:  # the same in this function's terms: train has no chunk
            reason = str(error)
        raise UsedUp(
            "the memory does not suffice for the test split, which is measured after each epoch: give the Data fewer "
            "test rows, or build the network with running_averages=True, so that its BatchNorm takes them in parts "
            f"({reason.partition(': ')[0]})."
        )

    @functools.cached_property
    def _measured(self):
        """The loss on the test split of a copy of the network: made once, since that takes longer than a small
        epoch."""
        averages = any(getattr(m, "running_mean", None) is not None for m in self.model.modules())
        test = Split(*as_trained(self.data.test, self.point.dtype))
        return Objective(self.model, test, batch_norm="frozen" if averages else "batch")

    def network(self) -> nn.Module:
        """A copy of the network as it is now."""
        model = copy.deepcopy(self.model)
        for module in model.modules():
            if isinstance(module, nn.RNNBase):
                del module.flatten_parameters  # the class's own is back
        return model

    def state(self) -> dict[str, Tensor]:
        """All that the next epoch depends on, as named tensors."""
        states = enumerate(map(self.optimizer.state.get, self.parameters))
        optimizer = {f"optimizer.{i}.{k}": v for i, s in states for k, v in (s or {}).items() if torch.is_tensor(v)}
        return {"x": self.point, **optimizer, **{f"buffer.{k}": v for k, v in self.model.named_buffers()}}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Go back to a state."""
        load_point(self.model, None, part_of(tensors, "buffer."))
        self.point.copy_(tensors["x"])
        for i, parameter in enumerate(self.parameters):
            self.optimizer.state[parameter].update(part_of(tensors, f"optimizer.{i}."))


def _leave() -> None:
    """Instead of RNNBase.flatten_parameters: the parameters stay views of the one flat point."""


def set_seed(seed: int, device: torch.device) -> None:
    """Seed the global generators of the host, Python's and numpy's among them, and torch's of one device."""
    seed_host(seed)
    if device.type == "cuda":
        torch.cuda.set_rng_state(torch.Generator(device).manual_seed(seed).get_state(), device)


def load_point(model: nn.Module, x: Tensor | None, buffers: dict[str, Tensor]) -> None:
    """Copy a point, if there is one, and buffers by name into a model."""
    trainable = _trainable(model)
    if x is not None:
        size = sum(p.numel() for p in trainable)
        if x.shape != (size,):
            raise ValueError(f"x0 has shape {tuple(x.shape)}, but this network's points have shape ({size},).")
        if not x.isfinite().all():
            raise ValueError("x0 is not finite: a run starts at a point of finite numbers.")
        with torch.no_grad():
            for parameter, part in zip(trainable, _views(x, trainable)):
                parameter.copy_(part)
    for name, buffer in model.named_buffers():
        if name in buffers:
            buffer.copy_(buffers[name])


def batch_sizes(count: int, rows: int) -> list[int]:
    """The sizes of the batches of one epoch. A single last row joins the batch before it: BatchNorm could not normalise
    it."""
    sizes = [rows] * (count // rows) + [count % rows] * (count % rows > 0)
    if len(sizes) > 1 and sizes[-1] == 1 and rows > 1:
        sizes[-2:] = [rows + 1]
    return sizes


def part_of(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose name begins with a prefix, under the rest of their name."""
    return {name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)}


def _optimizer(parameters: list[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    """torch's optimizer of a recipe."""
    options: dict = {"lr": recipe.lr}
    if recipe.optimizer != "rprop":
        options["weight_decay"] = recipe.weight_decay
    if recipe.optimizer == "sgd":
        options["momentum"] = recipe.momentum
    if recipe.optimizer in FUSED_STEPS[parameters[0].device.type]:
        options["fused"] = True
    if recipe.optimizer == "adam" and parameters[0].is_cuda:
        options["capturable"] = True
    return TORCH_OPTIMIZERS[recipe.optimizer](parameters, **options)


def _trainable(model: nn.Module) -> list[nn.Parameter]:
    return [p for p in model.parameters() if p.requires_grad]


def _views(vector: Tensor, parameters: Sequence[Tensor]) -> list[Tensor]:
    """The parts of a flat vector in the shapes of parameters."""
    parts = vector.split([p.numel() for p in parameters])
    return [part.view(p.shape) for part, p in zip(parts, parameters)]
