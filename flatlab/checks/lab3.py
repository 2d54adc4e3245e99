"""What Lab 3 asks of a student's functions."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from flatlab.checks.answer import (
    Student,
    Wrong,
    check,
    match,
    normals,
    numbers,
    printed,
    reused,
    seeded,
    table,
    unchanged,
)
from flatlab.checks.losses import Net, Quartic

Loss = Callable[[Tensor], Tensor]


def derivatives(loss: Loss, x: Tensor) -> tuple[Tensor, Tensor]:
    """The gradient and the Hessian at x, in float64."""
    x = x.detach().double().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(x), x)
    return gradient, torch.autograd.functional.hessian(loss, x.detach())


class Symmetric:
    """v -> A v, which writes down the vectors that it gets."""

    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix.double()
        self.vectors: list[Tensor] = []
        self.given: list[object] = []  # the same, as they came

    def __call__(self, v: Tensor) -> Tensor:
        """A v."""
        self.given.append(v)
        v = torch.as_tensor(v).detach().cpu().squeeze()
        if v.shape != self.matrix.shape[:1]:
            raise ValueError(f"matvec takes a vector of {len(self.matrix)} numbers, and got shape {tuple(v.shape)}")
        self.vectors.append(v.double().clone())
        return (self.matrix @ v.double()).to(v.dtype if v.is_floating_point() else torch.float32)


def with_spectrum(values: Sequence[float], seed: int, first: Tensor | None = None) -> Symmetric:
    """A symmetric matrix with these eigenvalues, and random eigenvectors; or with a given first one."""
    columns = normals(len(values), len(values), seed=seed).double()
    if first is not None:
        columns[:, 0] = first
    vectors = torch.linalg.qr(columns)[0]
    return Symmetric(vectors @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ vectors.T)


@check
def hvp(student: Student) -> None:
    """hvp(loss, x, v): the Hessian of loss at x, times v, exactly."""
    net = Net(normals(9, 3, seed=61), normals(9, 2, seed=62), 3)
    half = normals(5, 5, seed=63)
    # The large slope c has no curvature: it drowns differences of gradients, and no derivative.
    quartic = Quartic(1e4 * normals(5, seed=64), half + half.T, normals(5, 5, seed=65))
    for loss, n in ((net, net.size), (quartic, 5)):
        x, v = normals(n, seed=66), normals(n, seed=67)
        before = x.clone(), v.clone()
        answer = numbers(student(loss, x, v), (n,), "H v, one number for each parameter")
        refuse_traces(x, v, before)
        gradient, hessian = derivatives(loss, x)
        direction = v.double()
        right = hessian @ direction
        mistakes = [
            (2 * hessian @ gradient, "this is the gradient of g·g, which is 2 H g: take that of g·v."),
            (hessian @ gradient, "this is H g: the vector that H multiplies is v."),
            (hessian.sum(1), "v does not enter: multiply g by v and sum, before you differentiate again."),
            (hessian.sum(1) * direction, "v comes too late: multiply g by v and sum, before you differentiate again."),
            (gradient, "this is the gradient g: differentiate g·v once more."),
            (gradient * (gradient @ direction), "this is g (g·v), made of first derivatives only."),
            (right * direction, "v comes twice: the derivative of g·v is H v already."),
            (right / direction.norm(), "you divided by the length of v: H v is twice as long for twice the v."),
            (hessian.diagonal() * direction, "this is the diagonal of H times v: the other entries count too."),
        ]
        if isinstance(loss, Net):
            jacobian: Any = torch.autograd.functional.jacobian(lambda x, f=loss: f.outputs(x).flatten(), x.double())
            mistakes.append(
                (
                    jacobian.T @ (jacobian @ direction) / len(loss.inputs),
                    "this is the Gauss-Newton matrix times v: the net's own second derivatives are missing.",
                )
            )
        near = (answer - right).norm() < 0.3 * right.norm()
        match(
            answer,
            right,
            mistakes,
            "this is near H v, and H v can be had exactly: a difference of two gradients loses digits. Differentiate."
            if near
            else "this is not the derivative of g·v along all parameters, where g is the gradient and v is constant.",
        )


def refuse_traces(x: Tensor, v: Tensor, before: tuple[Tensor, Tensor]) -> None:
    """A hint where a function has left something on its arguments."""
    unchanged("x", x, before[0])
    unchanged("v", v, before[1])
    if any(one.grad is not None for one in (x, v)):
        raise Wrong("it leaves a gradient in x.grad, to which the next call adds: use torch.autograd.grad.")
    if x.requires_grad or v.requires_grad:
        raise Wrong("it leaves requires_grad set on its argument: work on x.detach().clone().requires_grad_().")


def pairs(A: Symmetric) -> list[Tensor]:
    """(eigenvalue, residual), in each way in which the last two vectors of a power iteration give them."""
    last = [v / v.norm() for v in A.vectors[:-3:-1]]
    values = [v @ (A.matrix @ v) for v in last]
    return [torch.stack([value, (A.matrix @ v - value * v).norm()]) for value in values for v in last]


def refuse_bad_iteration(A: Symmetric, steps: int) -> None:
    """A hint if the vectors that were multiplied are not those of a power iteration from a random start."""
    lengths = torch.stack([v.norm() for v in A.vectors]) if A.vectors else torch.zeros(0)
    if len(lengths) > 1 and not lengths.max() < 1e3 * lengths[0]:
        raise Wrong("the vector grows with each product and will overflow: make its length 1 again, every time.")
    if not steps <= len(lengths) <= steps + 2:
        raise Wrong(f"asked for {steps} steps, it multiplies {len(lengths)} times: a step is one product.")
    start = A.vectors[0]
    if torch.equal(start, start[0].expand_as(start)) or (start != 0).sum() == 1:
        raise Wrong("it starts with a vector that is not random, and may be orthogonal to the answer: start at random.")


@check
def power(student: Student) -> None:
    """power(matvec, n, steps, seed): (the eigenvalue farthest from 0, its residual) by power iteration."""
    odd = torch.tensor([1.0, -1.0, 0.0, 0.0, 0.0, 0.0])  # orthogonal to a vector of ones
    problems = [((-6.0, 4.0, 3.0, 1.0, 0.5, 0.0), None, 7), ((5.0, 3.0, 2.0, 1.0, -1.0, 0.5), odd, 30)]
    meaning = "the eigenvalue and its residual, a pair of numbers"
    for values, first, steps in problems:
        A = with_spectrum(values, 71, first)
        found = student(A, len(values), steps, 4)
        if found is not None and not isinstance(found, (list, tuple)) and getattr(found, "ndim", 0) == 0:
            numbers(found, (), "one number")
            raise Wrong("it returns one number: return the eigenvalue and its residual, a pair.")
        if isinstance(found, (list, tuple)) and any(not math.isfinite(_number(one)) for one in found):
            refuse_bad_iteration(A, steps)
        answer = numbers(found, (2,), meaning)
        refuse_bad_iteration(A, steps)
        candidates = pairs(A)
        if any(near_pair(answer, one) for one in candidates):
            continue
        _hint_of_pair(A, answer, candidates)
    starts = []
    for seed in (4, 4, 5):
        A = with_spectrum(problems[0][0], 71)
        student(A, 6, 3, seed)
        starts.append(A.vectors[0])
    seeded("another start", torch.equal(starts[0], starts[1]), not torch.equal(starts[0], starts[2]))


def _number(one: object) -> float:
    try:
        return float(one)  # type: ignore[arg-type]
    except (TypeError, ValueError, RuntimeError):
        return 0.0  # `numbers` says what it is


def near_pair(answer: Tensor, pair: Tensor) -> bool:
    """Whether these are this eigenvalue and residual, in float32."""
    value, residual = pair
    return bool(abs(answer[0] - value) < 1e-3 * abs(value) and abs(answer[1] - residual) < 1e-2 * residual + 1e-4)


def _hint_of_pair(A: Symmetric, answer: Tensor, candidates: list[Tensor]) -> None:
    """Raise the hint for a wrong pair."""
    values = [value for value, _ in candidates]
    last = A.vectors[:-3:-1]
    moved = [A.matrix @ v / v.norm() for v in last]
    if not any(abs(answer[0] - value) < 1e-3 * abs(value) for value in values):
        match(
            answer[0],
            values[0],
            [
                *((w.norm(), "a length has no sign: the Rayleigh quotient v·Av has one.") for w in moved),
                *((-value, "the sign is lost: the Rayleigh quotient v·Av has one.") for value in values),
                *((w.square().sum(), "this is the squared length of Av: the eigenvalue is v·Av.") for w in moved),
                *((v @ (A.matrix @ v), "v·Av needs a v of length 1: divide by v·v.") for v in last),
                *((residual, "the order of the pair is swapped: first the eigenvalue.") for _, residual in candidates),
                *(
                    (w[0] * v.norm() / v[0], "this is the quotient of two entries: v·Av uses all.")
                    for w, v in zip(moved, last)
                ),
                *(
                    (w.mean() * v.norm() / v.mean(), "this is the quotient of two means: v·Av uses all.")
                    for w, v in zip(moved, last)
                ),
            ],
            "the eigenvalue is not v·Av of the last vector v of length 1.",
        )
    size = max(abs(value) for value in values)
    mistakes = []
    for _, residual in candidates:
        mistakes += [
            (residual * size, "the residual is that of an eigenvector of length 1: yours is longer."),
            (residual / size, "you divided the residual by the eigenvalue: return its length as it is."),
            (residual**2, "this is the squared residual: return the length |Av - lambda v|."),
            (
                residual / len(last[0]) ** 0.5,
                "this is a root mean square: the length is the root of the sum of squares.",
            ),
        ]
    mistakes += [
        (v.norm() * one[1], "the residual is that of an eigenvector of length 1: yours is longer.")
        for v in last
        for one in candidates
    ]
    for w, v in zip(moved, last):
        turned = (w / w.norm() - v / v.norm()).norm()
        mistakes.append((turned, "this is how far the vector moved: the residual is |Av - lambda v|."))
    match(answer[1], candidates[0][1], mistakes, "the residual is not |Av - lambda v| for the last v, of length 1.")


@check
def top_eigenvalues(student: Student) -> None:
    """top_eigenvalues(matvec, n, k, steps, seed): the k largest eigenvalues, the largest first."""
    largest, n, k, steps = [9.0, 6.5, 4.8, 3.2], 40, 3, 40
    rest = (2.2 * normals(n - 4, seed=72).tanh()).tolist()
    A = with_spectrum([*largest, *rest], 73)
    answer = numbers(student(A, n, k, steps, 2), (k,), f"the {k} largest eigenvalues, a list")
    if len(A.vectors) > k * (steps + 2):
        raise Wrong(f"it multiplies {len(A.vectors)} times: {steps} products for each of {k} values are {k * steps}.")
    right = torch.tensor(largest[:k], dtype=torch.float64)
    order = answer.sort(descending=True).values
    hints = [
        (right.flip(0), "the order is the other way round: the largest comes first."),
        (torch.linalg.eigvalsh(A.matrix)[:k], "these are the smallest ones: take the other end."),
        (torch.linalg.eigvalsh(A.matrix)[:k].flip(0), "these are the smallest ones: take the other end."),
        (right.sqrt(), "you took the root."),
    ]
    if any(torch.allclose(answer, torch.as_tensor(value).double(), rtol=1e-2) for value, _ in hints):
        match(answer, right, hints, "", rtol=1e-2)
    if abs(order[1] - (right[0] - 1)) < 1e-2:
        raise Wrong("the second one is the first minus 1: take lambda v v^T away, not v v^T.")
    if order[0] > 1.02 * right[0] or order[-1] < -1.02 * right[0]:
        raise Wrong("a value lies outside of all eigenvalues: lambda v v^T takes one away only if v has length 1.")
    if (order[:-1] - order[1:]).min() < 0.05:
        ghost = "two equal values, where the matrix has one: a ghost."
        if len(A.vectors) > 1 and torch.cosine_similarity(A.matrix @ A.vectors[0], A.vectors[1], dim=0).abs() > 0.999:
            raise Wrong(f"{ghost} Take lambda v v^T of all that you have found away, in every step.")  # by deflation
        raise Wrong(f"{ghost} Keep each vector orthogonal to all that came before.")
    match(answer, right, [], f"these are not the {k} largest eigenvalues after {steps} products for each.")


@check
def trace(student: Student) -> None:
    """trace(matvec, n, samples, seed): (an estimate of the trace, its standard error) from random vectors."""
    n, samples = 30, 40
    matrix = with_spectrum((4 * normals(n, seed=74) + 6).tolist(), 75).matrix
    vectors = []
    for seed in (6, 6, 7):
        A = Symmetric(matrix)
        found = student(A, n, samples, seed)
        if found is not None and not isinstance(found, (list, tuple)) and getattr(found, "ndim", 0) == 0:
            numbers(found, (), "one number")
            raise Wrong("it returns one number: return the estimate and its standard error, a pair.")
        answer = numbers(found, (2,), "the estimate and its standard error, a pair of numbers")
        _examine_trace(A, answer, n, samples)
        vectors.append(torch.stack(A.vectors))
    seeded("other vectors", torch.equal(vectors[0], vectors[1]), not torch.equal(vectors[0], vectors[2]))


def draws_of_trace(A: Symmetric, samples: int) -> Tensor:
    """z A z of each vector z that was drawn, those of length 1 times n; a hint where they are no such draws."""
    if len(A.vectors) != samples:
        raise Wrong(f"asked for {samples} samples, it multiplies {len(A.vectors)} times: a sample is one product.")
    z = torch.stack(A.vectors)
    if samples > 1 and all(torch.equal(one, z[0]) for one in z):
        if reused(A.given):
            raise Wrong("one vector is used for every sample: draw another one in each turn of the loop.")
        raise Wrong("all vectors are the same: seed the generator once, before the loop.")
    if torch.allclose(z.norm(dim=1), torch.ones(samples).double(), rtol=1e-4):
        z = z * z.shape[1] ** 0.5
    if (z >= 0).all() and not (z == 0).any():
        raise Wrong("all entries are above 0: their mean must be 0, so that the product of two entries has mean 0.")
    if abs(z.square().mean() - 1) > 5 * (2 / z.numel()) ** 0.5:
        raise Wrong("the entries need the mean square 1: signs +1 and -1, or standard normal numbers.")
    return (z * (z @ A.matrix)).sum(1)


def _examine_trace(A: Symmetric, answer: Tensor, n: int, samples: int) -> None:
    found = draws_of_trace(A, samples)
    mean, spread = found.mean(), found.std()
    match(
        answer[0],
        mean,
        [
            (mean / n, "you divided by n: the trace is a sum, and z·Az has its size already."),
            (found.sum(), "this is the sum over the samples: take their mean."),
            (found.median(), "this is a median: only the mean is right on average."),
            (found[0], "this is the first sample alone: take the mean of all."),
            (found[-1], "this is the last sample alone: take the mean of all."),
            (spread / samples**0.5, "the order of the pair is swapped: first the estimate."),
            (torch.stack([A.matrix @ z for z in A.vectors]).norm(dim=1).mean(), "this is the length of Az: take z·Az."),
        ],
        "the estimate is not the mean of z·Az over the vectors that it drew.",
    )
    right = spread / samples**0.5
    if abs(float(answer[1] / right) - 1) < 0.03:
        return
    for value, hint in (
        (spread, "this is the spread of one sample: a standard error is sqrt(samples) times smaller."),
        (spread / samples, "you divided by samples: a standard error is the spread over the root of samples."),
        (right.square(), "this is a variance: the standard error is its root."),
    ):
        if abs(float(answer[1] / value) - 1) < 0.05:
            raise Wrong(hint)
    raise Wrong("the standard error is not the standard deviation of the samples over the root of their number.")


@check
def edge(student: Student) -> None:
    """edge(lr, momentum): the largest curvature at which descent is stable, `2 (1 + momentum) / lr`."""
    problems = [(0.1, 0.0), (0.05, 0.9), (0.4, 0.5), (0.02, 0.25)]
    found = torch.stack([numbers(student(*problem), (), "one number") for problem in problems])

    def each(law: Callable[[float, float], float]) -> Tensor:
        return torch.tensor([law(*problem) for problem in problems], dtype=torch.float64)

    match(
        found,
        each(lambda lr, beta: 2 * (1 + beta) / lr),
        [
            (each(lambda lr, beta: 1 / lr), "at 1 / lr one step lands on the minimum: twice that is still stable."),
            (each(lambda lr, beta: (1 + beta) / lr), "half of it: x may change its sign, as long as it shrinks."),
            (each(lambda lr, beta: 2 / lr), "right without momentum: with it, solve x = z^k for z = -1."),
            (
                each(lambda lr, beta: (2 + beta) / lr),
                "at z = -1 momentum enters twice: z^2 - (1 + b - lr lam) z + b = 0.",
            ),
            (
                each(lambda lr, beta: 2 * (1 - beta) / lr),
                "the sign of the momentum is wrong: momentum moves the edge farther away.",
            ),
            (each(lambda lr, beta: 2 / ((1 - beta) * lr)), "1 / (1 - b) is how much farther momentum goes on a slope."),
            (
                each(lambda lr, beta: 2 * (1 + beta) / ((1 - beta) * lr)),
                "this is the edge where the gradient has a factor 1 - b, as in Adam: here it has none.",
            ),
            (
                each(lambda lr, beta: lr / (2 * (1 + beta))),
                "the fraction is upside down: a smaller rate allows more curvature.",
            ),
            (each(lambda lr, beta: 2 * (1 + beta)), "lr does not enter: this is the largest lr times lam."),
        ],
        "this is not the lam where a root of z^2 - (1 + b - lr lam) z + b = 0 passes -1.",
    )


ROW = "rows of three numbers, (step, loss, lambda lr / 2)"


@check
def track(student: Student) -> None:
    """track(f, x, lr, steps, every): rows (step, loss, `lambda lr / 2`) along gradient descent."""
    half = normals(4, 4, seed=80)
    # From row to row the curvature falls and rises again, by more than a percent in each step.
    f = Quartic(8 * normals(4, seed=81), half @ half.T / 4, normals(4, 4, seed=82) / 2)
    start, lr, steps, every = 2 * normals(4, seed=83), 0.03, 9, 3
    x = start.clone()
    answer = table(student(f, x, lr, steps, every), (None, 3), ROW)
    unchanged("x", x, start)
    if x.grad is not None or x.requires_grad:
        raise Wrong("it leaves a gradient on its argument x: work on x.detach().clone().")
    points = walk(f, start, lr, steps + every)
    downhill = along(f, points[: steps + 1 : every], lr)
    count = len(downhill)
    right = torch.cat([torch.arange(0, steps + 1, every).double()[:, None], downhill], 1)
    if len(answer) == count - 1:
        without = "the start" if len(answer) and answer[0, 0] > 0 else "the end"
        raise Wrong(f"the row of {without} is missing: steps 0, {every}, {2 * every}, and so on to {steps}.")
    if len(answer) == steps + 1:
        raise Wrong(f"it has a row for each step: asked for is one every {every} steps.")
    if len(answer) != count:
        raise Wrong(
            f"it returns {len(answer)} rows: asked for are steps 0, {every}, {2 * every}, and so on to {steps}."
        )
    match(
        answer[:, 0],
        right[:, 0],
        [
            (torch.arange(count), f"it counts the rows: the first number of a row is the step, here 0 to {steps}."),
            (right[:, 0] + 1, "step numbers begin with 0, the point before the first step."),
            (right[:, 0] * lr, "the first number is the step, not the step times lr."),
        ],
        f"the first numbers are not the steps 0, {every}, {2 * every}, and so on to {steps}.",
    )
    later = along(f, points[1 : steps + 2 : every], lr)
    earlier = along(f, [points[max(0, step - 1)] for step in range(0, steps + 1, every)], lr)
    uphill = along(f, walk(f, start, -lr, steps)[::every], lr)
    match(
        answer[:, 1],
        right[:, 1],
        [
            (
                later[:, 0],
                "this is the loss after the next step: the row of step k belongs to the point after k steps.",
            ),
            (
                earlier[:, 0],
                "this is the loss before the last step: the row of step k belongs to the point after k steps.",
            ),
            (uphill[:, 0], "it walks uphill: descent subtracts the gradient."),
            (right[:1, 1].expand(count), "the loss is always that of the start: take it at the newest x."),
        ],
        "the losses are not those of x <- x - lr g, with g taken at the newest x.",
    )
    smallest = torch.stack([torch.linalg.eigvalsh(derivatives(f, x)[1])[0] for x in points[: steps + 1 : every]])
    match(
        answer[:, 2],
        right[:, 2],
        [
            (later[:, 1], "this curvature is that after the next step: take it where the loss is taken."),
            (earlier[:, 1], "this curvature is that before the last step: take it where the loss is taken."),
            (right[:1, 2].expand(count), "the curvature is always that of the start: take it at the newest x."),
            (right[-1:, 2].expand(count), "the curvature is always that of the end: take it at the newest x."),
            (right[:, 2] * 2 / lr, "this is lambda: in units of 2 / lr it is lambda lr / 2."),
            (right[:, 2] * 2, "this is lambda lr: in units of 2 / lr it is lambda lr / 2."),
            (right[:, 2] / lr, "this is lambda / 2: in units of 2 / lr it is lambda lr / 2."),
            (1 / right[:, 2], "the fraction is upside down: lambda lr / 2 is 1 where lambda is 2 / lr."),
            (smallest * lr / 2, "this is the smallest eigenvalue: the edge is that of the largest."),
        ],
        "the third numbers are not the largest eigenvalue times lr / 2, to one percent.",
        rtol=1e-2,
    )


def walk(f: Loss, x: Tensor, lr: float, steps: int) -> list[Tensor]:
    """The points of gradient descent, the start first, in float64."""
    points = [x.double()]
    for _ in range(steps):
        points.append(points[-1] - lr * derivatives(f, points[-1])[0])
    return points


def along(f: Loss, points: Sequence[Tensor], lr: float) -> Tensor:
    """(loss, lambda lr / 2) at each point."""
    return torch.stack(
        [torch.stack([f(x), torch.linalg.eigvalsh(derivatives(f, x)[1])[-1] * lr / 2]) for x in points]
    ).detach()


class Nets:
    """The mean loss of a `Net` over rows, of which some can be taken; it writes down which."""

    def __init__(self, inputs: Tensor, targets: Tensor, width: int) -> None:
        self.whole = Net(inputs, targets, width)
        self._asked: dict[tuple[int, ...], Net] = {}  # asked for twice, it is still one batch

    @property
    def rows(self) -> int:
        """N, the number of rows."""
        return len(self.whole.inputs)

    def __call__(self, x: Tensor) -> Tensor:
        """f(x) over all rows."""
        return self.whole(x)

    def subset(self, numbers: object) -> Net:
        """The mean over some of the rows, which autograd can differentiate."""
        rows = torch.as_tensor(numbers).flatten().cpu()
        part = Net(self.whole.inputs[rows], self.whole.targets[rows], self.whole.width)
        return self._asked.setdefault(tuple(rows.tolist()), part)

    def batches(self, m: int, samples: int) -> list[Net]:
        """The batches that were asked for; a hint where they are not so many, drawn without replacement."""
        whole = tuple(range(self.rows))
        drawn = [rows for rows in self._asked if tuple(sorted(rows)) != whole or m == self.rows]
        if not drawn:
            raise Wrong("it never asks for a batch: f.subset(rows) is the loss over the rows of these numbers.")
        sizes = sorted({len(rows) for rows in drawn})
        if sizes != [m]:
            raise Wrong(f"it should draw batches of {m} rows, and draws batches of {sizes}.")
        if any(len(set(rows)) < m for rows in drawn):
            raise Wrong("a batch holds a row twice: draw without replacement.")
        if len(drawn) == 1 < samples:
            raise Wrong("all batches are the same: seed the generator once, before the loop, and draw inside it.")
        if len(drawn) != samples:
            raise Wrong(f"asked for {samples} samples, it draws {len(drawn)} batches.")
        seen = len({row for rows in drawn for row in rows})
        if seen < 0.7 * self.rows:
            raise Wrong(f"only {seen} of the {self.rows} rows are ever drawn: draw from all of them.")
        return [self._asked[rows] for rows in drawn]


@check
def batch_sharpness(student: Student) -> str | None:
    """batch_sharpness(f, x, m, samples, seed): the mean over batches of `g^T H g / (g^T g)`, with their own g
    and H."""
    inputs, start, m, samples = normals(24, 3, seed=91), normals(15, seed=93), 4, 15
    # Near the net's own outputs, so that the batches' Hessians are nearly positive.
    targets = Net(inputs, torch.zeros(24, 2), 3).outputs(start) + 0.3 * normals(24, 2, seed=92)
    drawn, remark = [], None
    for seed in (5, 5, 6):
        f, x = Nets(inputs, targets, 3), start.clone()
        answer = numbers(student(f, x, m, samples, seed), (), "one number")
        unchanged("x", x, start)
        batches = f.batches(m, samples)
        drawn.append(list(f._asked))
        if _examine_batches(f, start, batches, answer):
            remark = "(It is a ratio of means, which is another average than the mean of ratios; both are in use.)"
    seeded("other batches", drawn[0] == drawn[1], drawn[0] != drawn[2])
    return remark


def quotients(f: Nets, x: Tensor, batches: list[Net]) -> tuple[Tensor, Tensor]:
    """g H g and g g of each batch."""
    found = [(gradient @ hessian @ gradient, gradient @ gradient) for gradient, hessian in _of(batches, x)]
    above, below = zip(*found)
    return torch.stack(above), torch.stack(below)


def _of(batches: Sequence[Net], x: Tensor) -> list[tuple[Tensor, Tensor]]:
    return [derivatives(batch, x) for batch in batches]


def _examine_batches(f: Nets, x: Tensor, batches: list[Net], answer: Tensor) -> bool:
    """Whether the answer is a ratio of means; a hint where it is that neither nor the mean of ratios."""
    above, below = quotients(f, x, batches)
    if torch.allclose(answer, above.mean() / below.mean(), rtol=1e-3):
        return True
    full, curved = derivatives(f.whole, x)
    each = _of(batches, x)

    def mean(value: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        return torch.stack([value(gradient, hessian) for gradient, hessian in each]).mean()

    match(
        answer,
        (above / below).mean(),
        [
            (mean(lambda g, H: g @ curved @ g / (g @ g)), "H is that of all rows: the batch has a Hessian of its own."),
            (
                mean(lambda g, H: full @ H @ full / (full @ full)),
                "g is that of all rows: take the batch's own gradient.",
            ),
            (full @ curved @ full / (full @ full), "g and H are those of all rows: take those of each batch."),
            (above.mean(), "the division by g·g is missing."),
            ((above / below.sqrt()).mean(), "you divided by the length of g: divide by its square, g·g."),
            ((above / below.square()).mean(), "you divided by g·g twice."),
            ((above / below).sum(), "this is the sum over the batches: take their mean."),
            ((above / below)[0], "this is the first batch alone: take the mean of all."),
            ((above / below)[-1], "this is the last batch alone: take the mean of all."),
            ((above / below).median(), "this is a median: asked for is the mean."),
            (
                mean(lambda g, H: torch.linalg.eigvalsh(H)[-1]),
                "this is each batch's largest eigenvalue: take g H g / g·g.",
            ),
            (mean(lambda g, H: (H @ g).norm() / g.norm()), "this is |Hg| / |g|: the curvature along g is g·Hg / g·g."),
            (mean(lambda g, H: H.trace()), "this is each batch's trace: take g H g / g·g."),
        ],
        "this is not the mean over its batches of g·Hg / g·g, with g and H of the batch.",
    )
    return False


@check
def arrival(student: Student) -> None:
    """arrival(rows): the step of the first row whose third number is at least 1; None where there is none."""
    shapes = [
        ([0, 20, 40, 60, 80, 100], [0.2, 0.7, 0.9, 1.04, 0.98, 1.1]),
        ([0, 5, 10, 15, 20], [0.6, 1.0, 1.2, 0.9, 0.7]),
        ([0, 100, 200, 300], [2.5, 0.4, 0.9, 1.01]),
    ]
    tables = [[[step, 1 / (1 + step), sharp] for step, sharp in zip(*shape)] for shape in shapes]
    found = torch.stack(
        [numbers(student([list(row) for row in table]), (), "the number of a step") for table in tables]
    )

    def each(pick: Callable[[list[list[float]]], float]) -> list[float]:
        return [float(pick(table)) for table in tables]

    def first(table: list[list[float]], test: Callable[[float], bool] = lambda sharp: sharp >= 1) -> list[float]:
        return next(row for row in table if test(row[2]))

    match(
        found,
        each(lambda table: first(table)[0]),
        [
            (
                each(lambda table: table.index(first(table))),
                "this is the number of the row: its first entry is the step.",
            ),
            (each(lambda table: first(table)[2]), "this is the curvature there: return the step."),
            (each(lambda table: first(table)[1]), "this is the loss there: return the step."),
            (
                each(lambda table: first(table, lambda sharp: sharp > 1)[0]),
                "at 1 it is at the edge: at least 1, not above.",
            ),
            (
                each(lambda table: max(row[0] for row in table if row[2] >= 1)),
                "this is the last such row: take the first.",
            ),
            (
                each(lambda table: max(table, key=lambda row: row[2])[0]),
                "this is the row of the largest value: take the first from 1 on.",
            ),
            (each(lambda table: first(table, lambda sharp: sharp < 1)[0]), "this is the first row below the edge."),
            (each(lambda table: sum(row[2] >= 1 for row in table)), "this is how many rows are at the edge."),
        ],
        "this is not the step of the first row whose third number is at least 1.",
    )
    never = [[0, 1.0, 0.2], [50, 0.5, 0.8]]
    if student(never) is not None:
        raise Wrong("where no row reaches 1, there is no such step: return None.")


@check
def halved(student: Student) -> None:
    """halved(recorded): the line that the GPU cell printed; or, from a recorded run, by how much lambda grows where the
    rate is halved."""
    step, seed = torch.arange(1, 17).double(), torch.tensor([0.0, 0.03, -0.02])[:, None]
    curves = {
        "step": (80 * step).expand(3, -1),
        "squared 0.05": 1.05 - 0.8 * torch.exp(-step / 6) + seed + 0.01 * step.sin(),
        "squared 0.1": 1.1 - 0.5 * torch.exp(-step / 3) - 2 * seed + 0.02 * step.cos(),
        "cross entropy 0.05": 0.9 * step / 4 * torch.exp(1 - step / 4) + seed,
        "cross entropy 0.1": 1.3 * step / 2 * torch.exp(1 - step / 2) - seed,
    }
    answer = student({name: [[float(value) for value in row] for row in rows] for name, rows in curves.items()})
    if isinstance(answer, str):
        gpu_line(answer)
        return

    def ratio(part: slice = slice(-4, None), seeds: slice = slice(None), loss: str = "squared") -> Tensor:
        half, full = (curves[f"{loss} {rate}"][seeds, part].double().mean() for rate in ("0.05", "0.1"))
        return 2 * half / full

    each = torch.stack([ratio(seeds=slice(seed, seed + 1)) for seed in range(3)]).mean()
    right = ratio()
    if not isinstance(answer, (list, tuple)) and hasattr(answer, "__float__") and abs(float(answer) / each - 1) < 1e-4:
        return
    match(
        numbers(answer, (), "the ratio, one number, or the line that the cell printed, in quotation marks"),
        right,
        [
            (right / 2, "these are in units of 2 / lr: lambda itself is that times 2 / lr, for each rate its own."),
            (1 / right, "this is lambda at the full rate over that at half the rate: the other way round."),
            (
                2 / right,
                "lambda is the recorded number times 2 / lr, and asked for is half the rate over the full one.",
            ),
            (right / 4, "lambda is the recorded number times 2 / lr: you multiplied by lr."),
            (ratio(slice(None)), "this is over all rows: take the last four, when both have arrived."),
            (ratio(slice(None, 4)), "these are the first four rows: take the last four."),
            (ratio(slice(-1, None)), "this is the last row alone: take the last four."),
            (ratio(slice(-5, -1)), "this leaves the last row out: [-4:] takes the last four."),
            (ratio(slice(-3, None)), "these are three rows: take the last four."),
            (ratio(seeds=slice(0, 1)), "this is the first seed alone: take the means over all seeds."),
            (ratio(loss="cross entropy"), "this is the run with cross entropy: take the squared loss."),
        ],
        "this is not lambda at rate 0.05 over lambda at rate 0.1, each a mean over the last four rows and all seeds.",
    )


RATES = (0.02, 0.01, 0.005)  # of the GPU part, in the order in which its line has them


def gpu_line(text: str) -> dict:
    """The numbers in the line that the GPU cell printed; a hint where it is no such line."""

    def read(found: dict) -> dict:
        tracks = [[[float(one) for one in row] for row in rows] for rows in found["tracks"]]
        return {
            "tracks": tracks,
            "arrival": [None if one is None else float(one) for one in found["arrival"]],
            "settled": [float(one) for one in found["settled"]],
            "seconds": float(found["seconds"]),
        }

    found = printed(text, read)
    if {len(found["tracks"]), len(found["arrival"]), len(found["settled"])} != {len(RATES)}:
        raise Wrong("the line should have three rates: run the cell to its end.")
    for rows, step in zip(found["tracks"], found["arrival"]):
        if step != next((row[0] for row in rows if row[2] >= 1), None):
            raise Wrong(
                "the steps to the edge are not those of the rows in the line: mend your arrival, and run it again."
            )
    return found
