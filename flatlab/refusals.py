"""What cannot be measured is refused here, when an `Objective` is made, in a sentence that says why and what to do.

Whoever measures trusts that f is a function of x and of nothing else, and a mean over the rows. A few rows, spread over
the data, show where it is not.
"""

import copy
import math
import re
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from flatlab.accuracy import class_dimension
from flatlab.generators import have_drawn, host_states, undisturbed
from flatlab.measure import door
from flatlab.measure.memory import is_used_up
from flatlab.outputs import picked, replaced, tensors

if TYPE_CHECKING:
    from flatlab.objective import Objective

TIMES = 100  # evaluations of a network that counts them, among which a difference must show
CELLS = 2**22  # most numbers in the outputs for rows of every class
UNFIT = (RuntimeError, ValueError, TypeError, LookupError, AssertionError)  # of what was made for one number of rows


def check(f: "Objective", net: nn.Module | None) -> None:
    """Refuse what cannot be measured, and note in f what its measurements depend on.

    Parameters
    ----------
    f : Objective
        Complete except for what is noted here: whether values need a graph, whether the loss is a mean over the rows,
        where the classes lie and which targets the loss ignores.
    net : nn.Module, optional
        The user's own network, of which f has a copy.
    """
    with undisturbed(f.x.device):
        _check(f, net)


def _check(f: "Objective", net: nn.Module | None) -> None:
    fresh = _with_same_parameters(f.model)
    f.needs_graph, f.draws, f.additive, f.classes, f.ignored, f.cut = False, False, True, None, (), None
    f.load(f.x)
    _check_reading(f)
    inputs, targets, numbers = f.data.sample()
    inputs, targets = f.placed(inputs), f.placed(targets)
    try:
        f.needs_graph = _needs_graph(f, inputs, targets)
    except UNFIT as unfit:
        if is_used_up(unfit):
            raise
        inputs, targets, _ = next(f.chunks())
        numbers = torch.arange(len(targets), device="cpu")
        try:
            f.needs_graph = _needs_graph(f, inputs, targets)
        except UNFIT as error:
            if is_used_up(error):
                raise
            if isinstance(error, ValueError):
                _check_single_rows(f, inputs)
            raise ValueError(what_fails(f, inputs, targets, error)) from error
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        loss = _loss(f, f.model, inputs, targets)
    _check_shapes(said)
    if not torch.is_tensor(loss) or loss.shape != ():
        raise ValueError(
            "the loss of a batch must be one number, its mean or sum over the rows, but it "
            + (f"has shape {tuple(loss.shape)}" if torch.is_tensor(loss) else f"is {type(loss).__name__}, no tensor")
            + ": use reduction='mean' or 'sum' in the loss, and say which."
        )
    _check_finite(loss, inputs, targets, numbers)
    _check_single_rows(f, inputs)
    moved = _moved(f)
    f.load(moved)
    if not _loss(f, f.model, inputs, targets).isfinite():
        f.load(f.x)
    _check_repeats(f, fresh, inputs, targets)
    _check_closed(f, net, inputs, targets)
    f.cut = _cut(f, inputs, targets)
    f.additive = _check_mean(f, inputs, targets)
    _note_classes(f, inputs, targets)


def _check_shapes(said: list[warnings.WarningMessage]) -> None:
    """Refuse a column beside a row, which torch's losses compare in all pairs of rows, with a warning."""
    for warning in said:
        if "Using a target size" in str(warning.message):
            shapes = re.findall(r"torch\.Size\(\[([\d, ]*)\]\)", str(warning.message))
            raise ValueError(
                f"the targets have the shape ({shapes[0]}) and the outputs ({shapes[-1]}), which the loss compares "
                "in all pairs of rows: pass targets of the outputs' shape, such as targets[:, None]."
            )
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


def what_fails(f: "Objective", inputs: torch.Tensor, targets: torch.Tensor, error: Exception) -> str:
    """Say whether the network or the loss fails, with what it was given."""
    reason = door.reason(error)
    try:
        outputs = _outputs(f, f.model, inputs, graph=True)
    except UNFIT:
        return f"the network does not run on these inputs, {_told(inputs)} ({reason})."
    made = ", ".join(map(_told, tensors(outputs))) or f"a {type(outputs).__name__}"
    return f"the loss cannot be had from these outputs, {made}, and targets, {_told(targets)} ({reason})."


def _told(tensor: torch.Tensor) -> str:
    """The type, the shape and the range of a tensor."""
    told = f"{tensor.dtype} of shape {tuple(tensor.shape)}"
    if tensor.is_complex() or not tensor.numel():
        return told
    numbers = tensor.cpu().double()  # no other type has a minimum for every type, and not every device has this one
    return f"{told} from {numbers.min().item():.4g} to {numbers.max().item():.4g}"


def _with_same_parameters(model: nn.Module) -> nn.Module:
    """The network before it was ever run, with the same parameters, which move with f's."""
    return copy.deepcopy(model, {id(parameter): parameter for parameter in model.parameters()})


def _check_reading(f: "Objective") -> None:
    """Batches are the same at every reading."""
    if f.data.batches is None:
        return
    first, again = next(iter(f.data)), None
    torch.rand((), device="cpu")  # a generator that has gone on must make no difference
    again = next(iter(f.data))
    if not all(one.shape == other.shape and _equal(one, other, 0) for one, other in zip(first, again)):
        raise ValueError(
            "the batches differ from one reading to the next: read the same rows in the same order "
            "(shuffle=False, no augmentation)."
        )


def _moved(f: "Objective") -> torch.Tensor:
    """A point beside x, where no parameter is zero for all rows alike."""
    generator = torch.Generator(f.x.device).manual_seed(0)
    noise = torch.randn(f.size, generator=generator, device=f.x.device, dtype=f.x.dtype)
    sizes = [part.square().mean().sqrt() for part in f.x.split(f.sizes)]
    return torch.cat(
        [
            part + noise * torch.where(size > 0, size / 4, torch.full_like(size, 0.1))
            for part, noise, size in zip(f.x.split(f.sizes), noise.split(f.sizes), sizes)
        ]
    )


def _outputs(f: "Objective", model: nn.Module, inputs: torch.Tensor, graph: bool | None = None) -> Any:
    with torch.set_grad_enabled(f.needs_graph if graph is None else graph):
        return model(inputs.clone())


def _loss(
    f: "Objective", model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor, graph: bool | None = None
) -> Any:
    with torch.set_grad_enabled(f.needs_graph if graph is None else graph):
        loss = f.loss(model(inputs.clone()), targets.clone())
    return loss.detach() if torch.is_tensor(loss) else loss


def _needs_graph(f: "Objective", inputs: torch.Tensor, targets: torch.Tensor) -> bool:
    """Whether the network or the loss takes a gradient by its inputs, which needs a graph for a mere value too."""
    try:
        _loss(f, f.model, inputs, targets, graph=False)
        return False
    except RuntimeError as error:
        if "grad" not in str(error):
            raise
        _loss(f, f.model, inputs, targets, graph=True)
        return True


def _check_finite(loss: torch.Tensor, inputs: torch.Tensor, targets: torch.Tensor, numbers: torch.Tensor) -> None:
    if loss.isfinite():
        return
    for name, part in (("inputs", inputs), ("targets", targets)):
        if part.is_floating_point() and not part.isfinite().all():
            where = (~part.reshape(len(part), -1).isfinite().all(1)).byte().argmax()
            row = part[where]
            kind = "nan" if row.isnan().any() else "an infinite number"
            raise ValueError(
                f"the {name} are not finite: row {int(numbers[where])} holds {kind}, and the loss is {loss.item()}: "
                "mend or leave out such rows."
            )


def _check_single_rows(f: "Objective", inputs: torch.Tensor) -> None:
    """BatchNorm by a chunk's own statistics takes no chunk of a single row, except where the row is an image."""
    least = f.rows // f.count if f.data.batches is None else min(f.data.sizes)
    if least > 1 or not f.norms or f.batch_norm == "frozen":
        return
    try:
        _outputs(f, f.model, inputs[:1])
    except ValueError as error:
        raise ValueError(
            "a chunk has a single row, which has no variance for BatchNorm to divide by: take larger chunks, batches "
            "that do not leave one row for the last, or batch_norm='frozen'."
        ) from error


def _check_repeats(f: "Objective", fresh: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> None:
    """The same rows give the same loss again, after other rows, with a graph, and in a network that was never run."""
    states, kept = (host_states(), _device_state(f)), _kept(f.model)
    first = _loss(f, f.model, inputs, targets)
    f.draws = have_drawn(states[0]) or not torch.equal(states[1], _device_state(f))
    torch.rand((), device=inputs.device)  # a generator that has gone on must make no difference
    other = torch.arange(len(targets), device=targets.device) // 2
    _loss(f, f.model, inputs[other], targets[other])
    with_graph = _loss(f, f.model, inputs, targets, graph=True)
    times = 1 if _kept(f.model) == kept else TIMES
    again = [_loss(f, f.model, inputs, targets) for _ in range(times)]
    if not all(_equal(first, loss) for loss in (with_graph, *again)):
        raise ValueError(
            "the network gives two different losses for the same rows in evaluation mode: make it deterministic "
            "(dropout, noise or sampling is still on, or its forward keeps statistics) before measuring it."
        )
    if not _equal(first, _loss(f, fresh, inputs, targets)):
        raise ValueError(
            "the network keeps something from one evaluation to the next, so its loss is not a function of its "
            "parameters: let its forward compute anew what depends on them or on the rows."
        )


def _kept(model: nn.Module) -> list:
    """The numbers that a network keeps in Python and the versions of its buffers, which an evaluation that counts
    changes."""
    numbers = [
        value for module in model.modules() for value in vars(module).values() if isinstance(value, (int, float))
    ]
    return numbers + [(id(buffer), buffer._version) for buffer in model.buffers()]


def _device_state(f: "Objective") -> torch.Tensor:
    return torch.cuda.get_rng_state(f.x.device) if f.x.is_cuda else torch.empty(0, device="cpu")


def _equal(one: torch.Tensor, other: torch.Tensor, tolerance: float = 1e-5) -> bool:
    return torch.allclose(one, other, rtol=tolerance, atol=0, equal_nan=one.is_floating_point())


def _check_closed(f: "Objective", net: nn.Module | None, inputs: torch.Tensor, targets: torch.Tensor) -> None:
    """Neither the network nor the loss looks at parameters that do not move with x."""
    own = [] if net is None else [p for p in net.parameters() if p.requires_grad]
    reading = _Reading(own)
    with torch.enable_grad():
        with reading:
            outputs = f.model(inputs.clone())
        of_net = _leaves(tensors(outputs))
        if reading.seen or any(isinstance(leaf, nn.Parameter) for leaf in of_net):
            raise ValueError(
                "the network uses parameters that are not among its own and so not part of x: register every layer "
                "(nn.ModuleList in the place of a list), and let no hook or closure hold the network itself."
            )
        try:
            with reading:
                loss = f.loss(replaced(outputs, lambda tensor: tensor.detach().clone()), targets.clone())
        except RuntimeError as error:  # a loss that takes gradients by the inputs, which these outputs do not know
            if is_used_up(error):
                raise
            return
        if reading.seen or {id(leaf) for leaf in _leaves([loss])} & {id(p) for p in own}:
            raise ValueError(
                "the loss looks at the parameters of the network that you passed, which do not move with x: let it "
                "look at the outputs only (a penalty on the parameters can be one of the network's outputs)."
            )


def _cut(f: "Objective", inputs: torch.Tensor, targets: torch.Tensor) -> str | None:
    """The first parameter that the loss moves with while it has no gradient by it, though by others: torch would take
    it for one that is not used."""
    try:
        with torch.enable_grad():
            for parameter in f._parameters:
                parameter.requires_grad_()
            loss = f.loss(f.model(inputs.clone()), targets.clone())
            found = torch.autograd.grad(loss, f._parameters, allow_unused=True) if loss.requires_grad else ()
    except RuntimeError as error:  # said where a gradient is asked for
        if is_used_up(error):
            raise
        return None
    finally:
        for parameter in f._parameters:
            parameter.requires_grad_(False)
    if not (without := [place for place, slope in enumerate(found) if slope is None]):
        return None
    here, generator = f._point.clone(), torch.Generator(f.x.device).manual_seed(0)
    noise = torch.randn(f.size, generator=generator, device=f.x.device, dtype=f.x.dtype)

    def moves(places: list[int]) -> bool:
        point = here.clone()
        for place in places:
            point.split(f.sizes)[place].add_(noise.split(f.sizes)[place])
        f.load(point)
        return not _equal(loss.detach(), _loss(f, f.model, inputs, targets))

    name = next((f.names[place] for place in without if moves([place])), None) if moves(without) else None
    f.load(here)
    return name


class _Reading(TorchDispatchMode):
    """Notes whether an operation reads one of some parameters."""

    def __init__(self, parameters: Iterable[torch.Tensor]) -> None:
        super().__init__()
        self.places, self.seen = {_place(p) for p in parameters} - {0}, False

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        named = named or {}
        self.seen |= any(_place(tensor) in self.places for tensor in tensors([list(arguments), named]))
        return function(*arguments, **named)


def _place(tensor: torch.Tensor) -> int:
    """Where a tensor's numbers begin; 0 for a kind of tensor that has no such place."""
    try:
        return tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):
        return 0


def _leaves(ends: list[torch.Tensor]) -> list[torch.Tensor]:
    """The tensors that a gradient of these would be with respect to."""
    found, seen = [], set()
    nodes = [end.grad_fn for end in ends if end.grad_fn is not None]
    while nodes:
        node = nodes.pop()
        if node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.append(node.variable)
        nodes += [before for before, _ in node.next_functions if before is not None]
    return found


def _check_mean(f: "Objective", inputs: torch.Tensor, targets: torch.Tensor) -> bool:
    """Whether f is the same however the rows are cut into chunks; refused where they are cut."""
    count = len(targets)
    outputs = replaced(_outputs(f, f.model, inputs), torch.Tensor.detach)
    places = torch.arange(count, device=targets.device)
    rows = _Rows(f, inputs, outputs, targets)
    whole, twice = (rows.loss(torch.cat([places] * times)) for times in (1, 2))
    if whole is None:
        return True
    ratio = math.nan if twice is None else (twice / whole).item()  # 1 for a mean, 2 for a sum
    if abs(ratio - {"mean": 2, "sum": 1}[f.reduction]) < 1e-3:
        said = {"mean": "sum", "sum": "mean"}[f.reduction]
        raise ValueError(
            f"the loss is a {said} over the rows, but reduction is {f.reduction!r}: pass reduction={said!r}."
        )
    first = 2 * round(count / 6) or 1  # about a third, and pairs of rows stay together
    by_size = targets.reshape(count, -1).sum(1).argsort()
    cuts = [(order[:first], order[first:]) for order in (places, by_size)]
    cuts = [cut for cut in cuts if all(map(len, cut))]
    if not all(rows.adds_up(*cut) for cut in cuts) or not _kinds_add_up(f, inputs, outputs, targets):
        if f.count > 1:
            raise ValueError(
                f"the loss is not a {f.reduction} over the rows, as with class weights, ignored targets or pairs of "
                f"rows, so it cannot be put together from {f.count} chunks: pass chunk={f.rows} for all rows at once, "
                "or a loss that is a sum over the rows with reduction='sum'."
            )
        return False
    if not (f.batch_norm != "frozen" and f.norms) and not all(_alike(f, outputs, inputs, cut) for cut in cuts[:1]):
        if f.count > 1:
            raise ValueError(
                "the network's outputs for a row depend on the other rows of its batch, so f cannot be put together "
                f"from {f.count} chunks: pass chunk={f.rows} for all rows at once."
            )
        return False
    return True


class _Rows:
    """The loss of some of a few rows, in float64 where the loss can be had so, since small terms are seen better."""

    def __init__(self, f: "Objective", inputs: torch.Tensor, outputs: Any, targets: torch.Tensor) -> None:
        self.f, self.inputs = f, inputs
        self.all, self.tolerance = torch.arange(len(targets), device=targets.device), torch.finfo(f.x.dtype).eps ** 0.5
        self.outputs, self.targets = replaced(outputs, _in_float64), _in_float64(targets)
        loss = self.loss(self.all)
        if loss is None or loss.dtype != torch.float64 or not loss.isfinite():
            self.outputs, self.targets = outputs, targets
        else:
            self.tolerance = min(self.tolerance, 1e-6)

    def loss(self, rows: torch.Tensor) -> torch.Tensor | None:
        """None where it cannot be told, as of outputs that are not one for each row."""
        try:
            with torch.set_grad_enabled(self.f.needs_graph):
                if tensors(self.outputs):
                    part = replaced(picked(self.outputs, rows, len(self.targets)), torch.clone)
                else:  # they are hidden in an object: what the network makes of these rows alone
                    part = _outputs(self.f, self.f.model, self.inputs[rows])
                return self.f.loss(part, self.targets[rows].clone()).detach()
        except UNFIT as error:
            if is_used_up(error):
                raise
            return None

    def adds_up(self, *cut: torch.Tensor) -> bool:
        """Whether the parts' losses, weighted, are the whole's: to half the digits, since the sums are in another
        order."""
        losses = [self.loss(rows) for rows in (*cut, self.all)]
        if any(loss is None for loss in losses):
            return True
        mean = self.f.reduction == "mean"
        *sums, total = [
            (len(rows) if mean else 1) * loss.double()  # type: ignore[union-attr]
            for rows, loss in zip((*cut, self.all), losses)
        ]
        return bool((sum(sums) - total).abs() <= self.tolerance * (sum(part.abs() for part in sums) + total.abs()))


def _in_float64(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


def _kinds_add_up(f: "Objective", inputs: torch.Tensor, outputs: Any, targets: torch.Tensor) -> bool:
    """The same for rows with every class as a target, where the sample cannot hold them all: a single one may weigh
    more than the others."""
    if f.data.batches is not None or targets.dim() != 1 or targets.is_floating_point() or not torch.is_tensor(outputs):
        return True
    kinds = f.targets.unique()
    most = CELLS // max(1, outputs[:1].numel())
    if len(kinds) <= len(targets.unique()) or most < 2:
        return True
    kinds = f.placed(kinds[torch.linspace(0, len(kinds) - 1, min(len(kinds), most)).round().long().to(kinds.device)])
    where = torch.arange(len(kinds), device=targets.device)
    rows = _Rows(f, inputs, outputs[where % len(targets)], kinds)
    loss = rows.loss(rows.all)
    first = 2 * round(len(kinds) / 6)
    return loss is None or not loss.isfinite() or rows.adds_up(where[:first], where[first:])


def _alike(f: "Objective", outputs: Any, inputs: torch.Tensor, cut: tuple[torch.Tensor, torch.Tensor]) -> bool:
    """Whether a part of the rows alone has the outputs that it has among all."""
    for rows in cut:
        try:
            alone = tensors(_outputs(f, f.model, inputs[rows]))
        except UNFIT as error:
            if is_used_up(error):
                raise
            return True
        among = tensors(picked(outputs, rows, len(inputs)))
        for one, other in zip(alone, among):
            if one.shape != other.shape:
                return False
            near = torch.finfo(f.x.dtype).eps ** 0.5 * other.double().abs().max() if other.numel() else 0
            if ((one.detach().double() - other.double()).abs() > near).any():
                return False
    return True


def _note_classes(f: "Objective", inputs: torch.Tensor, targets: torch.Tensor) -> None:
    """Where the classes lie in the outputs, and which targets the loss ignores: the scores there do not change it."""
    outputs = _outputs(f, f.model, inputs)
    f.single, f.classes, f.ignored = torch.is_tensor(outputs), class_dimension(outputs, targets), ()
    if f.classes is None:
        return
    loss, slope = _slope(f, outputs, targets)
    if slope is None:
        return
    if not _are_scores(f, outputs, targets):
        f.classes = None
        return
    still = (slope == 0).all(f.classes)
    for target in targets[still].unique()[:32].tolist():
        where = targets == target
        if target < 0 or not still[where].all():
            continue
        turned = torch.where(where.unsqueeze(f.classes), outputs.roll(1, f.classes), outputs).detach()
        with torch.set_grad_enabled(f.needs_graph):
            if torch.equal(f.loss(turned, targets.clone()).detach(), loss.detach()):
                f.ignored += (target,)


def _slope(f: "Objective", outputs: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The loss of outputs, and its gradient by them if it has one."""
    with torch.enable_grad():
        scores = outputs.detach().clone().requires_grad_()
        loss = f.loss(scores.clone(), targets.clone())
        return loss, torch.autograd.grad(loss, scores, allow_unused=True)[0] if loss.requires_grad else None


def _are_scores(f: "Objective", outputs: torch.Tensor, targets: torch.Tensor) -> bool:
    """Whether outputs are scores of the targets' classes, and no mean with its variance, or vectors that are compared
    with one another: of equal scores, the target's lowers the loss fastest."""
    classes: int = f.classes  # type: ignore[assignment]
    _, slope = _slope(f, torch.full_like(outputs, 1 / outputs.shape[classes]), targets)
    if slope is None or not slope.isfinite().all():
        return False
    place = targets.long().clamp(0, outputs.shape[classes] - 1).unsqueeze(classes)
    of_target, near = slope.gather(classes, place).squeeze(classes), 1e-5 * slope.abs().max()
    counted = (targets >= 0) & (targets < outputs.shape[classes])
    least, most = slope.amin(classes) + near, slope.amax(classes).clamp_max(0) - near
    return bool((of_target <= least)[counted].all() and (of_target < most)[counted].any())
