"""What Lab 4 asks of a student's functions.

A network without BatchNorm is here the list of its parameters, [W1, b1, W2, b2, ...], as `model.parameters()` gives
them: a layer puts out relu(W h + b), the last one W h + b.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence

import torch

from flatlab.checks.answer import (
    Student,
    Wrong,
    check,
    kind,
    match,
    normals,
    numbers,
    printed,
    seeded,
    table,
    unchanged,
)

Parameters = list[torch.Tensor]


def parameters(answer: object, like: Sequence[torch.Tensor]) -> Parameters:
    """The answer as a network of the shapes of another, in float64."""
    meaning = f"a network: a list of {len(like)} tensors, [W1, b1, W2, b2, ...]"
    if answer is None:
        raise Wrong("it returns nothing (None): end it with `return` and the list.")
    if not isinstance(answer, (list, tuple)):
        raise Wrong(f"it returns {kind(answer)}, and should return {meaning}.")
    if any(isinstance(one, (list, tuple)) for one in answer):
        raise Wrong(f"it returns a list of lists, and should return {meaning}.")
    if any(one is None for one in answer):
        raise Wrong(f"it returns a list that holds nothing (None), and should return {meaning}.")
    if len(answer) != len(like):
        raise Wrong(f"it returns a list of {len(answer)} things, and should return {meaning}.")
    names = [f"as {'Wb'[place % 2]}{place // 2 + 1} one tensor" for place in range(len(like))]
    return [numbers(one, part.shape, name) for one, part, name in zip(answer, like, names)]


def joined(network: Iterable[torch.Tensor]) -> torch.Tensor:
    """All parameters of a network as one vector."""
    return torch.cat([part.double().flatten() for part in network])


def network(widths: Sequence[int], seed: int) -> Parameters:
    """Random parameters of a network with these widths, the inputs first and the outputs last. The weights of a unit
    sum to 0 and its bias is positive, so that few units are always off."""
    drawn = []
    for place, (before, after) in enumerate(itertools.pairwise(widths)):
        weight = normals(after, before, seed=seed + 2 * place)
        drawn += [weight - weight.mean(1, keepdim=True), 0.5 + normals(after, seed=seed + 2 * place + 1).abs()]
    return drawn


def outputs(network: Sequence[torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
    """What a network puts out, in float64."""
    h = inputs.double()
    for place in range(0, len(network), 2):
        h = h @ network[place].double().T + network[place + 1].double()
        if place < len(network) - 2:
            h = h.relu()
    return h


def kept(network: Sequence[torch.Tensor]) -> tuple[Parameters, Parameters]:
    """The tensors of a network, and their values."""
    return list(network), [part.clone() for part in network]


def unchanged_network(name: str, network: Sequence[torch.Tensor], before: tuple[Parameters, Parameters]) -> None:
    """Refuse a function that has put other tensors into its argument, or changed one of them in place."""
    tensors, values = before
    unchanged(name, joined(tensors), joined(values))
    if len(network) != len(tensors) or any(one is not other for one, other in zip(network, tensors)):
        raise Wrong(
            f"it puts other tensors into the list {name}, so the next experiment starts elsewhere: make a new list, "
            f"list({name})."
        )


# A picture


@check
def unit_direction(student: Student) -> None:
    """unit_direction(weight, seed): a random direction for one parameter, each filter as long as the weight's own."""
    meaning = "a tensor of the weight's shape"
    rows, columns = 6, 40
    weight = normals(rows, columns, seed=61) * torch.logspace(-1, 0.7, rows)[:, None]
    before = weight.clone()
    found = table(student(weight, 3), weight.shape, meaning)
    unchanged("weight", weight, before)
    refuse_other_lengths(found, weight.double())
    refuse_no_draw(found, weight.double())
    again, other = (table(student(weight, seed), weight.shape, meaning) for seed in (3, 4))
    seeded("another direction", torch.allclose(found, again), not torch.allclose(found, other))
    bias = normals(7, seed=62)
    if numbers(student(bias, 3), (7,), meaning).any():
        raise Wrong(
            "a parameter of one dimension (a bias, or a scale of BatchNorm) stays where it is: return zeros for it."
        )
    kernel = normals(5, 3, 4, 2, seed=63)
    refuse_other_filters(table(student(kernel, 3), kernel.shape, meaning), kernel.double())


def refuse_other_lengths(found: torch.Tensor, weight: torch.Tensor) -> None:
    """A hint if the rows of a direction are not as long as the weight's."""
    rows, columns = weight.shape
    lengths, own = found.norm(dim=1), weight.norm(dim=1)
    draw = columns**0.5  # how long a draw is, about
    cases = (
        (found.norm(), torch.zeros(()), "it is zero: draw normal numbers and give each filter its length."),
        (lengths, torch.ones(rows), "each filter's part has length 1: it should be as long as that filter itself."),
        (
            found.norm(),
            torch.ones(()),
            "the whole direction has length 1: each filter's part is as long as the filter.",
        ),
        (
            found.norm(dim=0),
            weight.norm(dim=0),
            "you took the columns: a filter is what feeds one unit, a row of the weight.",
        ),
        (found.norm(), weight.norm(), "you normalised the tensor as a whole: do it filter by filter, row by row."),
        (lengths, own.square(), "the lengths are squared: take the root of the sum of squares."),
        (lengths, 1 / own, "the filter's length divides, and should multiply: long filters get long parts."),
    )
    if torch.allclose(lengths, own, rtol=1e-3):
        return
    for value, other, hint in cases:
        if torch.allclose(value, other.double(), rtol=1e-3, atol=1e-9):
            raise Wrong(hint)
    if ((lengths / draw - 1).abs() < 0.5).all():
        raise Wrong("the draw is not normalised: each filter's part should be as long as the filter.")
    if ((lengths / own / draw - 1).abs() < 0.5).all():
        raise Wrong("you multiplied by the filter's length, and did not divide by the draw's own length before.")
    if torch.allclose(lengths / own, (lengths / own).mean().expand(rows), rtol=1e-3):
        raise Wrong("the rows have the right ratios of lengths and a wrong common factor: |d| = |w| for each row.")
    raise Wrong("the part of a filter is not as long as that filter: d = |w| g / |g| for each row.")


def refuse_other_filters(found: torch.Tensor, kernel: torch.Tensor) -> None:
    """A hint if the direction of a convolution's weight takes something else for a filter."""
    lengths, own = (one.flatten(1).norm(dim=1) for one in (found, kernel))
    columns, whose = (one.norm(dim=1) for one in (found, kernel))
    if not torch.allclose(lengths, own, rtol=1e-3) or torch.allclose(columns, whose, rtol=1e-3):
        raise Wrong(
            "right for a matrix. A filter of a convolution is everything behind the first index, of three dimensions: "
            "use flatten(1), or take the norm over all of them."
        )


def refuse_no_draw(found: torch.Tensor, weight: torch.Tensor) -> None:
    """A hint if a direction of the right lengths is not normally distributed on each row."""
    units, own = (torch.nn.functional.normalize(rows, dim=1) for rows in (found, weight))
    if ((units * own).sum(1).abs() > 0.9).any():
        raise Wrong(
            "it points along the filters themselves: the direction is drawn, only its lengths are the weight's."
        )
    if ((units[1:] @ units[0]).abs() > 0.9).any():
        raise Wrong("two filters have the same draw: each has one of its own.")
    if (units > 0).double().mean() > 0.75:
        raise Wrong("almost all numbers are positive: draw normal numbers (randn), of which half are negative.")


class Grid:
    """A function of a point whose values tell where it was evaluated."""

    def __init__(self, slope: torch.Tensor) -> None:
        self.slope = slope

    def at(self, y: torch.Tensor) -> float:
        """f(y) = slope y + cubes."""
        return float(self.slope.double() @ y.double() + 0.1 * y.double().pow(3).sum())

    def value(self, y: torch.Tensor) -> float:
        """f(y)."""
        return self.at(y.detach().cpu())

    def loss_and_accuracy(self, y: torch.Tensor) -> tuple[float, float]:
        """f(y), and something that is not asked for."""
        return self.value(y), 50.0


@check
def plane(student: Student) -> None:
    """plane(f, x, d1, d2, alphas, betas): `f(x + alpha d1 + beta d2)` for each alpha (a row) and beta (a column)."""
    f, (x, d1, d2) = Grid(normals(6, seed=64)), normals(3, 6, seed=65)
    alphas, betas = [-0.8, 0.0, 0.3, 1.0], [-0.5, 0.0, 0.9]
    values = [one.clone() for one in (x, d1, d2)]
    answer = student(f, x, d1, d2, list(alphas), list(betas))
    for name, one, before in zip(("x", "d1", "d2"), (x, d1, d2), values):
        unchanged(name, one, before)

    def each(point: Callable[[float, float], torch.Tensor]) -> torch.Tensor:
        return torch.tensor([[f.at(point(alpha, beta)) for beta in betas] for alpha in alphas], dtype=torch.float64)

    right = each(lambda alpha, beta: x + alpha * d1 + beta * d2)
    shape, turned = (len(alphas), len(betas)), (len(betas), len(alphas))
    meaning = f"one row for each of {shape[0]} alphas, with one loss for each of {shape[1]} betas"
    if getattr(answer, "shape", None) == turned or (
        isinstance(answer, (list, tuple))
        and len(answer) == turned[0]
        and all(getattr(row, "__len__", lambda: 0)() == turned[1] for row in answer)
    ):
        match(
            table(answer, turned, meaning).T,
            right,
            [
                (
                    each(lambda alpha, beta: x + alpha * d2 + beta * d1),
                    "axes and directions are exchanged: a row belongs to an alpha, and alpha goes along d1.",
                )
            ],
            "the axes are exchanged, and these are not the losses at x + alpha d1 + beta d2.",
        )
        raise Wrong("the axes are exchanged: a row belongs to an alpha, a column to a beta.")
    match(
        table(answer, shape, meaning),
        right,
        [
            (each(lambda alpha, beta: x + alpha * d2 + beta * d1), "d1 and d2 are exchanged: alpha goes along d1."),
            (
                each(lambda alpha, beta: alpha * d1 + beta * d2),
                "the grid does not go through x: alpha = beta = 0 is x.",
            ),
            (right - f.at(x), "the loss at x is subtracted: asked for is the loss itself."),
            (each(lambda alpha, beta: x + alpha * d1 + beta * d1), "both axes go along d1: beta goes along d2."),
            (each(lambda alpha, beta: x + alpha * d1), "beta does not enter: every row is constant."),
            (
                each(lambda alpha, beta: x - alpha * d1 - beta * d2),
                "it walks the other way: plus alpha d1, plus beta d2.",
            ),
            (
                each(lambda alpha, beta: (1 - alpha - beta) * x + alpha * d1 + beta * d2),
                "this is the plane through three points: d1 and d2 are directions, which are added to x.",
            ),
            (
                each(lambda alpha, beta: x + alphas.index(alpha) * d1 + betas.index(beta) * d2),
                "you used the numbers of the rows and columns: take the alphas and the betas themselves.",
            ),
            (
                torch.tensor(
                    [
                        [
                            f.at(x + d1 * (2 * k / (shape[0] - 1) - 1) + d2 * (2 * j / (shape[1] - 1) - 1))
                            for j in range(3)
                        ]
                        for k in range(4)
                    ]
                ),
                "you made a grid of your own: take the alphas and the betas that are given.",
            ),
        ],
        "these are not the losses at x + alpha d1 + beta d2.",
    )


# One function, written down in two ways


@check
def rescale(student: Student) -> None:
    """rescale(network, layer, c): the same function, the weight and the bias of a hidden layer c times as large."""
    widths, seeds = (5, 4, 6, 3, 2), (70, 90, 110)
    problems = [(network(widths, seed), layer, c) for seed, (layer, c) in zip(seeds, ((0, 4.0), (1, 0.3), (1, 7.0)))]
    found = []
    for given, layer, c in problems:
        before = kept(given)
        answer = parameters(student(given, layer, c), given)
        unchanged_network("network", given, before)
        found.append(joined(answer))

    def each(factors: Callable[[int, float], dict[int, float]]) -> torch.Tensor:
        """The networks, where a law says which tensors are multiplied by what."""
        made = []
        for given, layer, c in problems:
            by = {(2 * layer + offset) % len(given): factor for offset, factor in factors(layer, c).items()}
            made += [part * by.get(place, 1.0) for place, part in enumerate(given)]
        return joined(made)

    match(
        torch.cat(found),
        each(lambda layer, c: {0: c, 1: c, 2: 1 / c}),
        [
            (
                each(lambda layer, c: {0: c, 2: 1 / c}),
                "the bias of the layer is left: relu(c W h + b) is not c relu(W h + b).",
            ),
            (
                each(lambda layer, c: {0: c, 1: c, 2: 1 / c, 3: 1 / c}),
                "the next layer's bias is divided too: it is added after the factor is gone, so it stays.",
            ),
            (
                each(lambda layer, c: {0: c, 2: 1 / c, 3: 1 / c}),
                "the wrong bias is changed: it is the layer's own that grows, and the next one's stays.",
            ),
            (
                each(lambda layer, c: {0: c, 1: c} | {len(given) - 2 - 2 * layer: 1 / c}),
                "you divided the last layer: undo the factor in the next one.",
            ),
            (
                each(lambda layer, c: {0: 1 / c, 1: 1 / c, 2: c}),
                "the factors are exchanged: multiply the layer by c, and divide the next one by c.",
            ),
            (
                each(lambda layer, c: {0: c, 1: c}),
                "nothing undoes the factor: divide the weight of the next layer by c.",
            ),
            (
                each(lambda layer, c: {0: c, 1: c, 2: c}),
                "the next layer is multiplied too: there the factor is undone.",
            ),
            (
                each(lambda layer, c: {-layer: c, 1 - layer: c, 2 - layer: 1 / c}),
                "layers count in pairs: the weight of layer k stands at 2 k of the list, its bias at 2 k + 1.",
            ),
            (
                each(lambda layer, c: {-2: c, -1: c, 0: 1 / c}),
                "one layer too early: layers count from 0, so layer 0 has W1.",
            ),
            (
                each(lambda layer, c: {2: c, 3: c, 4: 1 / c}),
                "one layer too late: layers count from 0, so layer 0 has W1.",
            ),
            (
                each(lambda layer, c: dict.fromkeys(range(8), c)),
                "everything is multiplied: only W and b of the layer are, and the next W is divided.",
            ),
            (each(lambda layer, c: {}), "nothing is changed: multiply the layer's weight and bias by c."),
        ],
        "this is not the list with W and b of the layer times c, and the next layer's W over c.",
    )


@check
def match_units(student: Student) -> None:
    """match_units(a, b): the network b with its hidden units in the order of a's."""
    widths = (7, 5, 4, 3)
    a = network(widths, 130)
    near = [part + 0.03 * noise for part, noise in zip(a, network(widths, 150))]
    orders = [torch.tensor([2, 0, 4, 1, 3]), torch.tensor([3, 0, 1, 2])]
    b = reordered(near, orders)
    before = [kept(one) for one in (a, b)]
    answer = parameters(student(a, b), b)
    for name, one, values in zip("ab", (a, b), before):
        unchanged_network(name, one, values)
    back = [order.argsort() for order in orders]
    stale = at_once(a, b)

    def all_of(orders: list[list[torch.Tensor]], hint: str, **left: bool) -> list[tuple[torch.Tensor, str]]:
        return [(joined(reordered(b, one, **left)), hint) for one in orders]

    match(
        joined(answer),
        joined(near),
        [
            *all_of([back], "the biases stay behind: a unit's bias goes with it.", biases=False),
            *all_of([back, *stale], "the next layer still reads the old order: its columns follow.", incoming=False),
            *all_of(
                [back, *stale],
                "only the rows move: the unit's bias goes with it, and the next layer's columns follow.",
                incoming=False,
                biases=False,
            ),
            *all_of(
                layer_by_layer(a, b, lambda likeness: best_order(-likeness)),
                "the assignment is the worst one: it minimises the likeness, or maximises the distance.",
            ),
            *all_of(
                [orders, *layer_by_layer(a, b, lambda likeness: best_order(likeness).argsort())],
                "the order is turned round: row i of the result is b's unit that fits a's unit i.",
            ),
            (joined(b), "nothing moved: this is b."),
            (joined(a), "this is a: take the units of b, in the order of a's."),
            (joined(reordered(a, orders)), "you moved the units of a: move those of b."),
            *all_of(
                [[back[0]]], "only the first layer is matched: go on with the next one, whose columns have followed."
            ),
            *all_of(
                stale,
                "from the second layer on the units are compared in b's old order: let its columns follow before.",
            ),
        ],
        "this is not b with each hidden unit at the place of the unit of a that it resembles.",
    )


def reordered(
    network: Sequence[torch.Tensor], orders: Sequence[torch.Tensor], incoming: bool = True, biases: bool = True
) -> Parameters:
    """The network with the units of each hidden layer in another order: row i becomes the old row order[i]."""
    new = [part.clone() for part in network]
    for layer, order in enumerate(orders):
        new[2 * layer] = new[2 * layer][order]
        if biases:
            new[2 * layer + 1] = new[2 * layer + 1][order]
        if incoming:
            new[2 * layer + 2] = new[2 * layer + 2][:, order]
    return new


def best_order(likeness: torch.Tensor) -> torch.Tensor:
    """The order with the largest sum of likeness[i, order[i]], by trying all."""
    return torch.tensor(
        max(
            itertools.permutations(range(len(likeness))),
            key=lambda order: float(sum(likeness[i, j] for i, j in enumerate(order))),
        )
    )


LIKENESSES = 6  # that `likenesses` tries


def likenesses(a: Sequence[torch.Tensor], b: Sequence[torch.Tensor], layer: int) -> list[torch.Tensor]:
    """The ways to say how alike two units of a layer are: with their biases or without, as they are or at length 1."""
    weights = [one[2 * layer] for one in (a, b)]
    whole = [torch.cat([one[2 * layer], one[2 * layer + 1][:, None]], 1) for one in (a, b)]
    ways = [weights, whole, *([torch.nn.functional.normalize(one, dim=1) for one in way] for way in (weights, whole))]
    return [one @ other.T for one, other in ways] + [-torch.cdist(one, other) for one, other in ways]


def layer_by_layer(
    a: Sequence[torch.Tensor], b: Sequence[torch.Tensor], order: Callable[[torch.Tensor], torch.Tensor]
) -> list[list[torch.Tensor]]:
    """What each likeness makes of b: the orders of its hidden layers, each taken from the likeness by this rule."""
    found = []
    for way in range(LIKENESSES):
        first = order(likenesses(a, b, 0)[way])
        found.append([first, order(likenesses(a, reordered(b, [first]), 1)[way])])
    return found


def at_once(a: Sequence[torch.Tensor], b: Sequence[torch.Tensor]) -> list[list[torch.Tensor]]:
    """The orders where the second layer's columns have not followed the first."""
    return [[best_order(likenesses(a, b, layer)[way]) for layer in (0, 1)] for way in range(LIKENESSES)]


# A way around the hill


@check
def curve_point(student: Student) -> None:
    """curve_point(a, c, b, t): the point `(1 - t)^2 a + 2 t (1 - t) c + t^2 b` of the curve."""
    a, c, b = normals(3, 5, seed=170)
    values = [one.clone() for one in (a, c, b)]
    times = [0.0, 0.2, 0.7, 1.0]
    found = torch.cat([numbers(student(a, c, b, t), (5,), "a point, a tensor of a's shape") for t in times])
    for name, one, before in zip("acb", (a, c, b), values):
        unchanged(name, one, before)

    def each(point: Callable[[float], torch.Tensor]) -> torch.Tensor:
        return torch.cat([point(t).double() for t in times])

    match(
        found,
        each(lambda t: bezier(a, c, b, t)),
        [
            (each(lambda t: bezier(b, c, a, t)), "it runs from b to a: t = 0 is a."),
            (
                each(lambda t: (1 - t) ** 2 * a + t * (1 - t) * c + t**2 * b),
                "the 2 before t (1 - t) is missing: the three weights sum to 1.",
            ),
            (
                each(lambda t: (1 - t) * a + 2 * t * (1 - t) * c + t * b),
                "a and b have no squares: their weights are (1 - t)^2 and t^2.",
            ),
            (each(lambda t: (1 - t) * a + t * b), "this is the line from a to b: c does not enter."),
            (
                each(lambda t: (1 - 2 * t) * a + 2 * t * c if t < 0.5 else (2 - 2 * t) * c + (2 * t - 1) * b),
                "this goes straight to c and straight on to b: the curve is smooth, with three weights.",
            ),
            (each(lambda t: bezier(a, b, c, t)), "c and b are exchanged: look at the order of the arguments."),
            (each(lambda t: (1 - t) ** 2 * a + 2 * t * (1 - t) * c - t**2 * b), "the weight of b has the wrong sign."),
        ],
        "this is not (1-t)^2 a + 2 t (1-t) c + t^2 b.",
    )


def bezier(a: torch.Tensor, c: torch.Tensor, b: torch.Tensor, t: float) -> torch.Tensor:
    """The curve's point at t."""
    return (1 - t) ** 2 * a + 2 * t * (1 - t) * c + t**2 * b


class Trough:
    """f(y) = 1/2 sum_i k_i (y_i - m_i)^2 without a slope along the first coordinate, which writes down where its
    gradient is asked for.

    From a with first coordinate 0 to b with 1, over a middle with 1/2, the first coordinate of a curve's point is t.
    """

    def __init__(self, n: int, seed: int) -> None:
        self.curvature, self.middle = 0.5 + normals(n, seed=seed).abs(), normals(n, seed=seed + 1)
        self.curvature[0] = 0
        self.asked: list[torch.Tensor] = []

    def value(self, y: torch.Tensor) -> float:
        """f(y)."""
        return float(0.5 * (self.curvature * (y.detach().cpu() - self.middle).square()).sum())

    def at(self, y: torch.Tensor) -> torch.Tensor:
        """The gradient at y, not written down."""
        return self.curvature.double() * (y - self.middle.double())

    def gradient(self, y: torch.Tensor) -> tuple[float, torch.Tensor]:
        """f(y) and the gradient at y."""
        y = y.detach().cpu()
        self.asked.append(y.double())
        return self.value(y), self.curvature * (y - self.middle)

    def ends(self, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Two points, whose first coordinates are 0 and 1."""
        a, b = 2 * normals(2, len(self.middle), seed=seed)
        a[0], b[0] = 0, 1
        return a, b


def middle(
    points: Sequence[torch.Tensor],
    f: Trough,
    a: torch.Tensor,
    b: torch.Tensor,
    lr: float,
    factor: Callable[[float], float],
) -> list[torch.Tensor]:
    """The middles c before each step and after the last, where the gradient was taken at these points."""
    found = [((a + b) / 2).double()]
    for y in points:
        found.append(found[-1] - lr * factor(float(y[0])) * f.at(y))
    return found


@check
def learn_middle(student: Student) -> None:
    """learn_middle(f, a, b, lr, steps, seed): the middle of a curve from a to b after so many steps of descent."""
    lr, steps = 0.2, 30
    f = Trough(6, 180)
    a, b = f.ends(183)
    values = a.clone(), b.clone()

    def run(seed: int) -> tuple[torch.Tensor, list[torch.Tensor]]:
        f.asked = []
        answer = numbers(student(f, a, b, lr, steps, seed), (6,), "the middle c, a tensor of a's shape")
        return answer, f.asked

    answer, points = run(3)
    unchanged("a", a, values[0])
    unchanged("b", b, values[1])
    if not points:
        raise Wrong("it never asks for a gradient: use f.gradient(y), which returns two things.")
    if len(points) != steps:
        raise Wrong(f"asked for {steps} steps, it takes {len(points)}: a step is one gradient.")
    if abs(float(answer[0]) - 0.5) > 1e-3:
        raise Wrong("c starts half way, at (a + b) / 2, and where the loss has no slope it stays there.")
    times = [float(y[0]) for y in points]
    refuse_bad_times(times)
    rules = {
        "right": lambda t: 2 * t * (1 - t),
        "the chain rule is missing: where c moves by 1, the curve's point moves by 2 t (1 - t).": lambda t: 1.0,
        "the 2 of the factor 2 t (1 - t) is missing.": lambda t: t * (1 - t),
        "it walks uphill: descent subtracts the gradient.": lambda t: -2 * t * (1 - t),
        "you divided by 2 t (1 - t): multiply by it.": lambda t: 0.5 / max(t * (1 - t), 1e-12),
    }
    ways = {hint: middle(points, f, a, b, lr, factor) for hint, factor in rules.items()}
    right = ways.pop("right")
    match(
        answer,
        right[-1],
        [
            *((found[-1], hint) for hint, found in ways.items()),
            (right[-2], "it returns the middle before the last step."),
            (right[0], "it returns the middle before the first step: c does not move."),
            (sum(right[1:]) / steps, "it returns a mean of the middles: return the last one."),
        ],
        "the middle is not where these gradients lead: c <- c - lr 2 t (1 - t) g, with g at the point t of the curve.",
    )
    for t, c, y in zip(times, right, points):
        if not torch.allclose(y, bezier(a.double(), c, b.double(), t), rtol=1e-3, atol=1e-3):
            raise Wrong("the gradient is not taken on the curve with the newest c: use curve_point(a, c, b, t).")
    again, other = ([float(y[0]) for y in run(seed)[1]] for seed in (3, 4))
    seeded("other t", again == times, other != times)


def refuse_bad_times(times: Sequence[float]) -> None:
    """A hint if the t of the steps were not drawn from 0 to 1."""
    if max(times) - min(times) < 1e-6:
        if abs(times[0] - 0.5) < 1e-6:
            raise Wrong(
                "every gradient is taken at c or at t = 1/2: draw a t in each step, and take the curve's point."
            )
        raise Wrong("every step has the same t: draw a new one in each step, from one generator.")
    if min(times) < -1e-6 or max(times) > 1 + 1e-6:
        raise Wrong("there is a t below 0 or above 1: t is uniform from 0 to 1, torch.rand.")
    if max(times) - min(times) < 0.6 or not 0.3 < sum(times) / len(times) < 0.7:
        raise Wrong("the t do not spread from 0 to 1: torch.rand draws uniformly.")


# BatchNorm on the way

ON_THE_WAY = ("frozen", "mixed", "recomputed")


@check
def norm_statistics(student: Student) -> None:
    """norm_statistics(inputs, first, second, alpha, policy): the mean and the variance by which a layer normalises."""
    inputs = normals(12, 4, seed=190) * 2 + 1
    first, second = (torch.stack([normals(4, seed=seed), 0.2 + normals(4, seed=seed + 1).abs()]) for seed in (191, 193))
    alphas = (-0.5, 0.3, 1.6)
    values = [one.clone() for one in (inputs, first, second)]
    meaning = "the means and the variances, two rows of one number for each input"
    found = [
        table(student(inputs, first, second, alpha, policy), (2, 4), meaning)
        for policy in ON_THE_WAY
        for alpha in alphas
    ]
    for name, one, before in zip(("inputs", "first", "second"), (inputs, first, second), values):
        unchanged(name, one, before)
    x, left, right = (one.double() for one in (inputs, first, second))

    def mix(alpha: float) -> torch.Tensor:
        return (1 - alpha) * left + alpha * right

    def each(
        frozen: Callable[[float], torch.Tensor] = lambda alpha: left,
        mixed: Callable[[float], torch.Tensor] = lambda alpha: mix(min(max(alpha, 0.0), 1.0)),
        recomputed: Callable[[float], torch.Tensor] = lambda alpha: torch.stack([x.mean(0), x.var(0, correction=0)]),
    ) -> torch.Tensor:
        return torch.stack([law(alpha) for law in (frozen, mixed, recomputed) for alpha in alphas])

    def between(alpha: float) -> torch.Tensor:
        return mix(min(max(alpha, 0.0), 1.0))

    def roots(alpha: float) -> torch.Tensor:
        share = min(max(alpha, 0.0), 1.0)
        return torch.stack([between(alpha)[0], ((1 - share) * left[1].sqrt() + share * right[1].sqrt()).square()])

    own = each()[-1]
    beyond = "beyond 0 and 1 a mixture of variances can be negative, and no variance is: take the nearer end's numbers."
    match(
        torch.stack(found),
        each(),
        [
            (each(mixed=mix), beyond),
            (
                each(mixed=lambda alpha: torch.stack([mix(alpha)[0], mix(alpha)[1].clamp_min(0)])),
                "beyond 0 and 1 the variance is cut off at 0, and the mean goes on: take both from the nearer end.",
            ),
            (
                each(mixed=lambda alpha: torch.stack([mix(alpha)[0], between(alpha)[1]])),
                "the variance is the nearer end's, and the mean goes on: take both from the nearer end.",
            ),
            (
                each(mixed=lambda alpha: torch.stack([mix(alpha)[0], mix(alpha)[1].abs()])),
                "a negative variance is made positive by force: beyond 0 and 1 take the nearer end's numbers.",
            ),
            (
                each(mixed=lambda alpha: between(1 - alpha)),
                "the mixture is turned round: at alpha = 0 it is the first.",
            ),
            (each(mixed=roots), "you mixed the standard deviations: mix the variances."),
            (each(mixed=lambda alpha: (left + right) / 2), "alpha does not enter the mixture: at 0 it is the first."),
            (
                each(frozen=lambda alpha: right),
                "frozen is the second's: it is the statistics of the first end, alpha = 0.",
            ),
            (
                each(recomputed=lambda alpha: torch.stack([x.mean(0), x.var(0)])),
                "BatchNorm divides the squares by N, not by N - 1: torch's var has correction=0 for it.",
            ),
            (
                each(recomputed=lambda alpha: torch.stack([x.mean(0), own[1].sqrt()])),
                "this is a standard deviation: return the variance.",
            ),
            (
                each(recomputed=lambda alpha: torch.stack([x.mean(0), x.std(0)])),
                "this is a standard deviation, with N - 1: return the variance, with N.",
            ),
            (
                each(recomputed=lambda alpha: torch.stack([x.mean(0), x.square().mean(0)])),
                "the mean is not subtracted before the squares.",
            ),
            (
                each(recomputed=lambda alpha: torch.stack([x.mean().expand(4), x.var(correction=0).expand(4)])),
                "one mean for all inputs: BatchNorm has one for each of them.",
            ),
            (each(recomputed=between), "recomputed is a mixture: take the statistics of the inputs that are given."),
            (each(frozen=between, mixed=lambda alpha: left), "frozen and mixed are exchanged."),
            *(
                (value, "the order is swapped: first the means, then the variances.")
                for value in (each().flip(1), each(recomputed=lambda alpha: own.flip(0)))
            ),
        ],
        "look at the three policies one by one: frozen, mixed, recomputed.",
    )


# With and without weight decay

DECAY_NETS = ("small plain", "large plain", "small decayed", "large decayed")  # the nets of the GPU cell


@check
def flip(student: Student) -> None:
    """flip(recorded): the line that the GPU cell printed; or, from a recorded run, how many times as much the loss
    rises around the large batch as around the small one, filter-normalised, with weight decay."""
    rises = {
        "SB filter rise": [0.21, 0.35, 0.28],
        "LB filter rise": [0.5, 0.41, 0.77],
        "SB decayed filter rise": [0.05, 0.03, 0.06],
        "LB decayed filter rise": [0.07, 0.22, 0.13],
        "SB plain rise": [9.0, 8.1, 8.8],
        "LB plain rise": [7.9, 7.2, 7.7],
        "SB decayed plain rise": [0.7, 0.6, 1.1],
        "LB decayed plain rise": [2.1, 2.4, 1.2],
    }
    lengths = {f"{label} norm": [9.0, 8.0, 8.5] for label in ("SB", "LB", "SB decayed", "LB decayed")}
    recorded = {"line LB less SB": [0.4, -0.2, 0.3], "line LB less SB decayed": [0.1, -0.1, 0.2], **lengths, **rises}
    answer = student({name: list(column) for name, column in recorded.items()})
    if isinstance(answer, str):
        gpu_line(answer)
        return
    columns = {name: torch.tensor(column).double() for name, column in recorded.items()}

    def ratio(what: str = "filter rise", words: str = " decayed") -> torch.Tensor:
        return columns[f"LB{words} {what}"] / columns[f"SB{words} {what}"]

    right = ratio().log().mean().exp()
    match(
        numbers(answer, (), "the factor, one number, or the line that the cell printed, in quotation marks"),
        right,
        [
            (1 / right, "this is the small batch over the large one: turn it round."),
            (
                ratio().mean(),
                "this is the mean of the ratios, in which 4 and 1/4 make more than 1: take the geometric one.",
            ),
            (
                columns["LB decayed filter rise"].mean() / columns["SB decayed filter rise"].mean(),
                "this is the ratio of the means, in which the seed with the largest rise decides.",
            ),
            (ratio().log().mean(), "this is the logarithm of the factor: undo it."),
            (ratio().log10().mean(), "this is the decimal logarithm of the factor: undo it."),
            (ratio(words="").log().mean().exp(), "these are the nets without weight decay."),
            (
                ratio("plain rise").log().mean().exp(),
                "these are the directions of one length: take the filter-normalised ones.",
            ),
            (
                ratio("plain rise", "").log().mean().exp(),
                "these are directions of one length around the nets without weight decay.",
            ),
            (ratio()[0], "this is the first seed alone: take the geometric mean over all."),
            (ratio().log().sum().exp(), "this is the product: take the root, one over the number of seeds."),
            (ratio().median(), "this is the median: take the geometric mean."),
        ],
        "this is not the geometric mean over the seeds of the rise around LB over that around SB.",
    )


def gpu_line(text: str) -> dict:
    """The numbers in the line that the GPU cell printed; a hint where it is no such line."""
    kinds = ("norm", "accuracy", "line", "filter")

    def read(found: dict) -> dict:
        lists = {kind: {net: [float(one) for one in found[kind][net]] for net in DECAY_NETS} for kind in kinds}
        return {**lists, "seconds": float(found["seconds"])}

    found = printed(text, read)
    if {len(values) for kind in kinds for values in found[kind].values()} != {3}:
        raise Wrong("the line should have three seeds: run the cell to its end.")
    return found
