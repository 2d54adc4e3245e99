"""What students answer in Lab 1: mistakes, each with words of the hint that it must get, and other right answers.

MISTAKES    (exercise, what is replaced in the reference, by what, words of the hint)
RIGHT       (exercise, a whole answer that is as right as the reference)
GIVEN       names of the given cells that answers use

Each mistake gets its own hint from the check and no marks from the hidden tests; each right answer gets a tick and full
marks.
"""

GIVEN = {"store": None}

MISTAKES = [
    ("gap", "final[0] - final[1]", "final[1] - final[0]", "other way round"),
    ("gap", "final[0] - final[1]", "abs(final[0] - final[1])", "leave its sign"),
    ("gap", "final[0] - final[1]", "round(final[0] - final[1])", "rounded"),
    ("gap", "[-1] for run", "[-1] / 100 for run", "in percent"),
    ("gap", '["test_accuracy"][-1]', '["test_accuracy"][0]', "after the first epoch"),
    ("gap", 'history["test_accuracy"][-1]', 'history["train_accuracy"][-1]', "training accuracy"),
    ("gap", 'history["test_accuracy"][-1]', 'history["test_loss"][-1]', "test loss"),
    ("gap", "seed=seed", "seed=0", "pass seed"),
    ("gap", "epochs=epochs,", "", "pass epochs"),
    ("gap", "batch_size=rows", "batch_size=small", "pass batch_size"),
    ("gap", "return gaps", "return sum(gaps) / len(gaps)", "one gap for each seed"),
    (
        "gap",
        "gaps.append(final[0] - final[1])",
        """h = flatlab.train("mlp", data, batch_size=large, epochs=epochs, seed=seed, progress=False).history
        gaps.append(h["train_accuracy"][-1] - h["test_accuracy"][-1])""",
        "train minus test",
    ),
    ("noise", "** 0.5", "", "root is missing"),
    ("noise", "/ samples) ** 0.5", ") ** 0.5", "root of the sum"),
    (
        "noise",
        "torch.randperm(count, generator=generator)[:m]",
        "torch.randint(count, (m,), generator=generator)",
        "twice",
    ),
    ("noise", "torch.randperm(count, generator=generator)[:m]", "torch.arange(m)", "holds the examples 0 to 11"),
    ("noise", "        rows =", "        generator.manual_seed(seed)\n        rows =", "seed the generator once"),
    (
        "noise",
        "    for _ in range(samples):\n        rows = torch.randperm(count, generator=generator)[:m]\n",
        "    rows = torch.randperm(count, generator=generator)[:m]\n    for _ in range(samples):\n",
        "one batch is used again and again",
    ),
    (
        "noise",
        "rows = torch.randperm(count, generator=generator)[:m]",
        """order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
        rows = order.split(m)[int(torch.randint(count // m, (), generator=generator))]""",
        "come together again and again",
    ),
    ("noise", "torch.randperm(count, generator", "torch.randperm(count // 2, generator", "examples are ever drawn"),
    (
        "noise",
        "torch.randperm(count, generator=generator)[:m]",
        "(torch.randint(count, (1,), generator=generator) + torch.arange(m)) % count",
        "neighbours",
    ),
    (
        "noise",
        "torch.randperm(count, generator=generator)[:m]",
        "(torch.randint(count, (1,), generator=generator) + count // m * torch.arange(m)) % count",
        "stand 5 apart",
    ),
    ("noise", "- full)", ")", "length of the batch gradients"),
    ("noise", "range(samples)", "range(samples - 1)", "it drew 39"),
    (
        "noise",
        "squares.append((batch_gradient(rows) - full).square().sum())",
        """squares.append(batch_gradient(rows))
    mean = sum(squares) / samples
    squares = [(g - mean).square().sum() for g in squares]""",
        "the mean of your own batches",
    ),
    ("noise", "square().sum()", "square().mean()", "one coordinate"),
    ("slope", "np.log(batches), np.log(noise)", "batches, noise", "between the logarithms"),
    ("slope", "np.log(batches), np.log(noise)", "batches, np.log(noise)", "that of m too"),
    ("slope", "np.log(batches), np.log(noise)", "np.log(noise), np.log(batches)", "axes are swapped"),
    ("slope", "np.log(batches)", "np.log(np.sqrt(batches))", "sqrt(m)"),
    ("slope", "[0])", "[1])", "this is the intercept"),
    ("box", "+ 1", "", "+ 1 is missing"),
    ("box", "x.abs()", "x", "never negative"),
    ("box", "eps * (x.abs() + 1)", "eps * x.abs() + 1", "whole bracket"),
    ("box", "x.abs()", "x.abs_()", "argument x in place"),
    ("phi", "100 *", "", "factor 100"),
    ("phi", "/ (1 + base)", "/ base", "divides by 1 + f(x)"),
    ("phi", "max(best, value)", "value", "last value"),
    ("phi", ".clamp(x - radius, x + radius)", "", "leaves the box"),
    ("phi", "y + radius", "y - radius", "goes down"),
    ("phi", "(best - base)", "best", "not subtracted"),
    ("phi", "gradient.sign()", "gradient / gradient.norm()", "take the gradient's sign"),
    ("phi", "radius / 4 * gradient", "radius.mean() / 4 * gradient", "all coordinates move equally far"),
    ("phi", "radius / 4 * gradient", "x.abs() / 40 * gradient", "same share of its own radius"),
    (
        "phi",
        "f.gradient",
        "(lambda y: (f.value(y), torch.tensor([f.value(y + h) - f.value(y) for h in 0.001 * torch.eye(len(y))])))",
        "only probe",
    ),
    ("phi", "range(steps)", "range(steps - 1)", "asked for 3 steps, it evaluates f at 2"),
    ("phi", "range(steps)", "range(steps + 1)", "asked for 3 steps, it evaluates f at 4"),
    ("phi", "for _ in range(steps)", "for _ in range(1)", "asked for 20 steps, it evaluates f 2 times"),
    ("line", "(1 - alpha) * a + alpha * b", "alpha * a + (1 - alpha) * b", "from b to a"),
    ("line", "(1 - alpha) * a", "a", "not a direction"),
    ("line", "return [", "b -= a\n    return [", "argument b in place"),
    ("barrier", "value - ((1 - alpha) * at[0] + alpha * at[1])", "value", "this is the largest loss: "),
    ("barrier", "if 0 <= alpha <= 1", "", "leave out alpha"),
    ("barrier", "0 <= alpha <= 1", "0 < alpha < 1", "the barrier is 0, not less"),
    ("barrier", "0 <= alpha <= 1", "0 <= alpha < 0.7", "last points before alpha = 1"),
    ("barrier", "value - ((1 - alpha) * at[0] + alpha * at[1])", "value - min(at[0], at[1])", "the lower end"),
    ("barrier", "value - ((1 - alpha) * at[0] + alpha * at[1])", "value - max(at[0], at[1])", "the higher end"),
    ("barrier", "value - ((1 - alpha) * at[0] + alpha * at[1])", "value - at[0]", "the loss at a"),
    (
        "barrier",
        "value - ((1 - alpha) * at[0] + alpha * at[1])",
        "abs(value - ((1 - alpha) * at[0] + alpha * at[1]))",
        "a valley",
    ),
    ("barrier", "(1 - alpha) * at[0] + alpha * at[1]", "(1 - alpha) * loss[0] + alpha * loss[-1]", "ends of the lists"),
    ("barrier", "(1 - alpha) * at[0] + alpha * at[1]", "alpha * at[0] + (1 - alpha) * at[1]", "from f(b) to f(a)"),
    ("subspace", "torch.linalg.lstsq(A, x[:, None]).solution[:, 0]", "A.T @ x", "A^T x is not A+ x"),
    ("subspace", "torch.linalg.lstsq(A, x[:, None]).solution[:, 0]", "A.T @ x / A.square().sum(0)", "orthogonal"),
    (
        "subspace",
        "torch.linalg.lstsq(A, x[:, None]).solution[:, 0]",
        "torch.linalg.qr(A)[0].T @ x",
        "in an orthonormal basis",
    ),
    ("subspace", "eps * (coordinates.abs() + 1)", "eps * coordinates.abs() + 1", "the whole bracket"),
    ("subspace", "coordinates.abs() + 1", "coordinates.abs()", "+ 1 is missing"),
    ("subspace", "coordinates.abs() + 1", "coordinates + 1", "never negative"),
]

RIGHT = [
    (
        "gap",
        """
def gap(data, small, large, seeds, epochs):
    def end(m, seed):
        run = flatlab.train("mlp", data, flatlab.Recipe(batch_size=m, epochs=epochs), seed=seed, progress=False)
        return run.history["test_accuracy"][-1]
    return np.array([[end(small, s) - end(large, s)] for s in seeds])
""",
    ),
    (
        "noise",
        """
def gradient_noise(batch_gradient, count, m, samples, seed):
    rng = np.random.default_rng(seed)
    full = sum(batch_gradient(part) * len(part) for part in np.array_split(np.arange(count), 5)) / count
    draws = [batch_gradient(rng.choice(count, m, replace=False)) for _ in range(samples)]
    return torch.stack(draws).sub(full).square().sum(1).mean().sqrt()
""",
    ),
    (
        "noise",
        """
def gradient_noise(batch_gradient, count, m, samples, seed):
    each = torch.stack([batch_gradient([row]) for row in range(count)])
    generator = torch.Generator().manual_seed(seed)
    draws = [each[torch.randperm(count, generator=generator)[:m]].mean(0) for _ in range(samples)]
    return np.sqrt(np.mean([float((g - each.mean(0)).norm()) ** 2 for g in draws]))
""",
    ),
    (
        "noise",
        """
def gradient_noise(batch_gradient, count, m, samples, seed):
    generator = torch.Generator().manual_seed(seed)
    full = sum(batch_gradient(rows) * len(rows) for rows in torch.arange(count).split(m)) / count
    rows = [torch.randperm(count, generator=generator)[:m].tolist() for _ in range(samples)]
    return torch.stack([(batch_gradient(r) - full).square().sum() for r in rows]).mean() ** 0.5
""",
    ),
    (
        "slope",
        """
def slope(batches, noise):
    A = np.stack([np.log(batches), np.ones(len(batches))], 1)
    return np.linalg.lstsq(A, np.log(noise)[:, None], rcond=None)[0][0]
""",
    ),
    (
        "slope",
        """
def slope(batches, noise):
    x, y = torch.tensor(batches).double().log(), torch.tensor(noise).double().log()
    x = x - x.mean()
    return (x * y).sum() / (x * x).sum()
""",
    ),
    (
        "box",
        """
def box_radius(x, eps):
    return eps * (x.double().abs() + 1)
""",
    ),
    (
        "box",
        """
def box_radius(x, eps):
    return eps * (1 + np.abs(x.numpy()))
""",
    ),
    (
        "box",
        """
def box_radius(x, eps):
    return [eps * (abs(float(value)) + 1) for value in x]
""",
    ),
    (
        "phi",
        """
def phi(f, x, radius, steps):
    y, best = x, f.value(x)
    for _ in range(steps):
        y = x + radius * f.gradient(y)[1].sign()
        best = max(best, f.value(y))
    return torch.tensor([100 * (best - f.value(x)) / (1 + f.value(x))])
""",
    ),
    (
        "phi",
        """
def phi(f, x, radius, steps):
    seen, y = [f.value(x)], x.clone()
    for _ in range(steps):
        y += radius / 4 * f.gradient(y)[1].sign()
        y = torch.minimum(torch.maximum(y, x - radius), x + radius)
        seen.append(f.value(y))
    return 100 * (max(seen) - seen[0]) / (1 + seen[0])
""",
    ),
    (
        "line",
        """
def line_loss(f, a, b, alphas):
    return torch.tensor([f.value(torch.lerp(a, b, float(alpha))) for alpha in alphas])
""",
    ),
    (
        "line",
        """
def line_loss(f, a, b, alphas):
    return tuple(f.gradient(a + alpha * (b - a))[0] for alpha in alphas)
""",
    ),
    (
        "barrier",
        """
def barrier(alphas, loss):
    alphas, loss = np.array(alphas), np.array(loss)
    chord = np.interp(alphas, [0, 1], [loss[alphas == 0][0], loss[alphas == 1][0]])
    return np.max((loss - chord)[(alphas >= 0) & (alphas <= 1)])
""",
    ),
    (
        "subspace",
        """
def subspace_radius(x, A, eps):
    return eps * ((torch.linalg.pinv(A) @ x).abs() + 1)
""",
    ),
    (
        "subspace",
        """
def subspace_radius(x, A, eps):
    z = np.linalg.lstsq(A.numpy(), x.numpy(), rcond=None)[0]
    return eps * (np.abs(z) + 1)
""",
    ),
]
