"""What students answer in Lab 2: mistakes, each with words of the hint that it must get, and other right answers.

MISTAKES    (exercise, what is replaced in the reference, by what, words of the hint)
RIGHT       (exercise, a whole answer that is as right as the reference)

Each mistake gets its own hint from the check and no marks from the hidden tests; each right answer gets a tick and full
marks.
"""

# A line as the GPU cell prints it. Its numbers are made up: no run is behind them.
GPU = {
    "device": "Tesla T4",
    "seconds": 123.4,
    "rate": 0.001 * (6000 / 256) ** 0.5,
    "test": {"small": [98.3, 98.1, 98.2], "large": [97.9, 97.8, 97.7], "root": [98.1, 98.0, 97.9]},
    "phi": {"small": [6.0, 7.0, 8.0], "large": [300.0, 400.0, 350.0], "root": [30.0, 31.0, 29.0]},
    "share": 0.5,
    "functions": "0" * 12,
}
# With three seeds the small batch may be just behind.
BEHIND = GPU | {"test": GPU["test"] | {"small": [97.85, 97.65, 97.75]}, "share": -4.0}

DRAW = "torch.randperm(count, generator=generator)[:M]"
SHUFFLED = "torch.randperm(f.rows, generator=generator)"

import json

MISTAKES = [
    ("predicted_noise", " * (count - m) / (count - 1)", "", "right with replacement"),
    (
        "predicted_noise",
        "spread / m * (count - m) / (count - 1)",
        "table.var(0).sum() / m",
        "a variance with N - 1, and right with replacement",
    ),
    ("predicted_noise", "(count - 1)", "count", "N - 1 below"),
    ("predicted_noise", "spread / m", "table.var(0).sum() / m", "corrected twice"),
    ("predicted_noise", "return float(spread", "return float(spread / table.shape[1]", "mean over the coordinates"),
    ("predicted_noise", "(count - 1))", "(count - 1)) ** 0.5", "you took the root"),
    ("predicted_noise", "spread / m * (count - m)", "spread / (count - m) * m", "exchanged"),
    ("predicted_noise", "spread / m", "spread", "division by m is missing"),
    ("predicted_noise", ".sum(1).mean()", ".sum()", "summed over the examples"),
    ("predicted_noise", "(table - table.mean(0))", "table", "G is not subtracted"),
    ("predicted_noise", "count = len(table)", "count = len(table)\n    table -= 1", "argument table in place"),
    ("two_batch", "big - c[1] * trace", "big", "the big batch is noisy too"),
    ("two_batch", "return big - c[1] * trace, trace", "return big - c[1] * trace, -trace", "the trace is negative"),
    ("two_batch", "big - c[1]", "big + c[1]", "you added the big batch's noise"),
    ("two_batch", "(small - big)", "(big - small)", "has the wrong sign, and |G|^2 with it"),
    ("two_batch", "(1 / rows - 1 / N) * N / (N - 1)", "1 / rows", "infinitely many"),
    ("two_batch", " * N / (N - 1)", "", "the factor N/(N - 1)"),
    ("two_batch", "return big - c[1] * trace, trace", "return trace, big - c[1] * trace", "order of the pair"),
    ("two_batch", "return big - c[1] * trace, trace", "return trace / (big - c[1] * trace)", "returned the ratio"),
    ("two_batch", "return big - c[1] * trace", "return max(big - c[1] * trace, 0)", "clipped"),
    ("two_batch", "return big - c[1] * trace", "return abs(big - c[1] * trace)", "leave its sign"),
    ("two_batch", "- c[1] * trace, trace", "- c[1] * trace, trace / m", "divided by m"),
    ("noise_scale", "trace.mean() / signal.mean()", "(trace / signal).mean()", "mean of ratios"),
    ("noise_scale", "trace.mean() / signal.mean()", "signal.mean() / trace.mean()", "noise over the signal"),
    ("noise_scale", "trace.mean() / signal.mean()", "trace.mean()", "tr S alone"),
    ("noise_scale", "trace.mean() / signal.mean()", "(trace.mean() / signal.mean()) ** 0.5", "you took the root"),
    ("noise_scale", "m, M, count))", "m, M, 10**9))", "count does not enter"),
    (
        "noise_scale",
        "float(small), float(big), m, M, count",
        "float(small) ** 0.5, float(big) ** 0.5, m, M, count",
        "squared lengths",
    ),
    (
        "noise_scale",
        "    for _ in range(samples):",
        "    for _ in range(samples):\n        generator.manual_seed(seed)",
        "once",
    ),
    ("noise_scale", " / samples**0.5", "", "the spread of one draw"),
    ("noise_scale", "rest.std(ddof=1)", "trace.std(ddof=1)", "standard error of tr S over |G|^2"),
    (
        "noise_scale",
        "rest.std(ddof=1) / samples**0.5 / signal.mean()",
        "trace.std(ddof=1) / samples**0.5",
        "standard error of tr S:",
    ),
    ("noise_scale", DRAW, "torch.randint(count, (M,), generator=generator)", "twice"),
    ("noise_scale", "torch.randperm(count, generator", "torch.randperm(count // 2, generator", "are ever drawn"),
    ("noise_scale", "range(samples)", "range(samples - 1)", "it drew 590"),
    ("noise_scale", "return ratio, error", "return ratio", "it returns one number"),
    ("stationary", "(2 - lr * lam)", "2", "right for small lr lam"),
    ("stationary", "(m * lam", "(m**2 * lam", "m enters twice"),
    ("stationary", "(m * lam", "(lam", "m does not enter"),
    (
        "stationary",
        "return lr * variance / (m * lam * (2 - lr * lam))",
        "return (lr * variance / (m * lam * (2 - lr * lam))) ** 0.5",
        "standard deviation",
    ),
    ("stationary", "variance / (m * lam *", "variance / (2 * m *", "mean excess loss"),
    ("stationary", "return lr * variance", "return variance / lr", "its variance needs lr squared"),
    ("stationary", "return lr * variance", "return variance", "lr is there once"),
    ("stationary", "0 < lr * lam < 2", "0 < lr * lam", "beyond 2 every step overshoots"),
    ("stationary", "0 < lr * lam < 2", "lr * lam < 2", "for a negative lam"),
    ("stationary", "0 < lr * lam < 2", "0 < lr * lam <= 2", "at lr lam = 2"),
    ("stationary", "0 < lr * lam < 2", "0 < lr * lam < 1", "swings and still settles"),
    ("sgd", "list(order.split(m))", "[torch.randint(f.rows, (m,), generator=generator)]", "with replacement"),
    ("sgd", "list(order.split(m))", "[order[:m]]", "drawn from all rows again"),
    ("sgd", "if not waiting:", "if not waiting:\n            generator.manual_seed(seed)", "repeats the first"),
    ("sgd", SHUFFLED, "torch.arange(f.rows)", "shuffle them"),
    ("sgd", "- lr * f", "- lr * m * f", "m times too long"),
    ("sgd", "- lr * f", "- lr / m * f", "has the mean already"),
    ("sgd", "x - lr * f", "x + lr * f", "uphill"),
    ("sgd", "x = x - lr * f", "x -= lr * f", "argument x in place"),
    ("sgd", "range(steps)", "range(steps - 1)", "it takes 8"),
    ("sgd", "range(steps)", "range(steps + 1)", "it takes 10"),
    ("sgd", "manual_seed(seed)", "manual_seed(0)", "pass seed on"),
    ("sgd", "torch.Generator().manual_seed(seed)", "None", "other batches"),
    ("sgd", "f.subset(waiting.pop(0)).gradient(x)", "f.gradient(x)", "uses all examples"),
    (
        "sgd",
        "x = x - lr * f.subset(waiting.pop(0)).gradient(x)[1]\n    return x",
        "before, x = x, x - lr * f.subset(waiting.pop(0)).gradient(x)[1]\n    return before",
        "before the last step",
    ),
    ("matched_rate", "lr * (ratio", "lr / (ratio", "falls as the batch grows"),
    ("matched_rate", 'ratio if optimizer == "sgd" else ratio**0.5', "ratio", "linear for both"),
    ("matched_rate", 'ratio if optimizer == "sgd" else ratio**0.5', "ratio**0.5", "root for both"),
    ("matched_rate", '== "sgd"', '!= "sgd"', "exchanged"),
    ("matched_rate", "return lr * (ratio", "return lr * (1", "rate of sgd stays"),
    ("matched_rate", "else ratio**0.5", "else 1", "rate of adam stays"),
    (
        "share",
        "np.mean(changed) - np.mean(large)",
        "np.mean(small) - np.mean(changed)",
        "share of the gap that is left",
    ),
    ("share", "return float((", "return 100 * float((", "not percent"),
    ("share", "/ gap", "", "the gain in percent"),
    ("share", "/ gap", "/ np.mean(large)", "the accuracy of the large batch"),
    (
        "share",
        "return float((np.mean(changed) - np.mean(large)) / gap)",
        "return float(np.clip((np.mean(changed) - np.mean(large)) / gap, 0, 1))",
        "below 0 or above 1",
    ),
    (
        "share",
        "(np.mean(changed) - np.mean(large)) / gap",
        "np.mean([(c - b) / (a - b) for a, b, c in zip(small, large, changed)])",
        "divide the means",
    ),
    ("report", "epoch - 1", "epoch", "this is epoch 5"),
    ("report", "epoch - 1", "epoch - 2", "this is epoch 3"),
    ("report", "curve[epoch - 1] for", "curve[-1] for", "compares at equal epochs"),
    ("report", "curve[epoch - 1] for", "curve[0] for", "this is the first epoch"),
    ("report", "updates // 235", "6000 // 256", "is no epoch"),
    ("report", "return share(", "return 1 - share(", "what is left of the gap"),
    ("report", "return share(", "return 100 * share(", "not percent"),
    ("report", "(small, large, early)", "(small[:1], large[:1], early[:1])", "the first seed alone"),
    ("report", "_test", "_train", "these are training accuracies"),
    (
        "report",
        'early = [curve[epoch - 1] for curve in recorded["SB_test"]]',
        'early = [curve[epoch - 1] for curve in recorded["LB_test"]]',
        "the large batch is the one that stays",
    ),
    ("report", "return share(small, large, early)", 'return "{}"', "not the whole line"),
    (
        "report",
        "return share(small, large, early)",
        f"return {json.dumps(json.dumps(GPU | {'device': 'cpu'}))}",
        "on a GPU",
    ),
    (
        "report",
        "return share(small, large, early)",
        f"return {json.dumps(json.dumps(GPU | {'share': 0.9}))}",
        "that of the accuracies",
    ),
]

RIGHT = [
    (
        "predicted_noise",
        """
def predicted_noise(table, m):
    N = table.shape[0]
    return table.var(0).sum() / m * (1 - m / N)
""",
    ),
    (
        "predicted_noise",
        """
def predicted_noise(table, m):
    g = table.numpy().astype(float)
    N, away = len(g), g - g.mean(0)
    return np.array([(away**2).sum() / (N - 1) * (1 / m - 1 / N)])
""",
    ),
    (
        "predicted_noise",
        """
def predicted_noise(table, m):
    import itertools
    full = table.mean(0)
    far = [(table[list(rows)].mean(0) - full).square().sum() for rows in itertools.combinations(range(len(table)), m)]
    return sum(far) / len(far)
""",
    ),
    (
        "two_batch",
        """
def two_batch(small, big, m, M, N):
    c, C = (N - m) / (m * (N - 1)), (N - M) / (M * (N - 1))
    return np.linalg.solve([[1, c], [1, C]], [small, big])
""",
    ),
    (
        "two_batch",
        """
def two_batch(small, big, m, M, N):
    tr = torch.tensor((small - big) / (1 / m - 1 / M) * (N - 1) / N)
    return [torch.tensor(small) - tr * (1 / m - 1 / N) * N / (N - 1), tr]
""",
    ),
    (
        "noise_scale",
        """
def noise_scale(batch_gradient, count, m, M, samples, seed):
    # One small batch a draw, the first rows of the big one, and the jackknife for the error.
    rng = np.random.default_rng(seed)
    c, C = ((count - k) / (count - 1) / k for k in (m, M))
    G, S = [], []
    for _ in range(samples):
        rows = rng.choice(count, M, replace=False)
        a, b = (float((batch_gradient(part) ** 2).sum()) for part in (rows[:m], rows))
        S.append((a - b) / (c - C))
        G.append(b - C * S[-1])
    G, S = np.array(G), np.array(S)
    left_out = [np.delete(S, k).mean() / np.delete(G, k).mean() for k in range(samples)]
    return S.mean() / G.mean(), np.std(left_out) * np.sqrt(samples - 1)
""",
    ),
    (
        "noise_scale",
        """
def noise_scale(batch_gradient, count, m, M, samples, seed):
    # Small and big batches drawn apart.
    generator = torch.Generator().manual_seed(seed)
    def lengths(k):
        return torch.tensor([
            float(batch_gradient(torch.randperm(count, generator=generator)[:k]).double().square().sum())
            for _ in range(samples)])
    a, b = lengths(m), lengths(M)
    c, C = ((1 / k - 1 / count) * count / (count - 1) for k in (m, M))
    S = (a - b) / (c - C)
    G = b - C * S
    B = S.mean() / G.mean()
    return B, (S - B * G).std() / samples**0.5 / G.mean()
""",
    ),
    (
        "noise_scale",
        """
def noise_scale(batch_gradient, count, m, M, samples, seed):
    # All the small batches of the big one, and the big one asked for as well; the bootstrap for the error.
    generator = torch.Generator().manual_seed(seed)
    pairs = []
    for _ in range(samples):
        rows = torch.randperm(count, generator=generator)[:M].tolist()
        a = np.mean([float(batch_gradient(rows[k:k + m]).square().sum()) for k in range(0, M, m)])
        pairs.append((a, float(batch_gradient(rows).square().sum())))
    pairs, rng = np.array(pairs), np.random.default_rng(0)
    c, C = ((1 / k - 1 / count) * count / (count - 1) for k in (m, M))
    def B(pairs):
        a, b = pairs.mean(0)
        S = (a - b) / (c - C)
        return S / (b - C * S)
    return B(pairs), np.std([B(pairs[rng.integers(samples, size=samples)]) for _ in range(500)])
""",
    ),
    (
        "noise_scale",
        """
def noise_scale(batch_gradient, count, m, M, samples, seed):
    # Each example's gradient once, and the batches made from them.
    each = torch.stack([batch_gradient([row]) for row in range(count)]).double()
    generator, squares = torch.Generator().manual_seed(seed), []
    for _ in range(samples):
        parts = each[torch.randperm(count, generator=generator)[:M]].reshape(M // m, m, -1).mean(1)
        squares.append([float(parts.square().sum(1).mean()), float(parts.mean(0).square().sum())])
    pairs = torch.tensor([two_batch(*pair, m, M, count) for pair in squares]).double()
    B = pairs[:, 1].mean() / pairs[:, 0].mean()
    return torch.stack([B, (pairs[:, 1] - B * pairs[:, 0]).std() / samples**0.5 / pairs[:, 0].mean()])
""",
    ),
    (
        "stationary",
        """
def stationary(lam, lr, variance, m):
    shrink = (1 - lr * lam) ** 2
    return lr**2 * variance / m / (1 - shrink) if shrink < 1 else float("inf")
""",
    ),
    (
        "stationary",
        """
def stationary(lam, lr, variance, m):
    r = torch.tensor(1 - lr * lam, dtype=torch.float64)
    v = lr**2 * variance / m / (1 - r * r)
    return torch.where(r.abs() < 1 - 1e-12, v, torch.nan)
""",
    ),
    (
        "sgd",
        """
def sgd(f, x, lr, m, steps, seed):
    # The short last batch is dropped.
    rng, x, done = np.random.default_rng(seed), x.clone(), 0
    while done < steps:
        order = rng.permutation(f.rows)
        for k in range(f.rows // m):
            if done == steps:
                break
            x -= lr * f.subset(order[k * m:(k + 1) * m]).gradient(x)[1]
            done += 1
    return x
""",
    ),
    (
        "sgd",
        """
def sgd(f, x, lr, m, steps, seed):
    # Batches go on from one epoch into the next, and the mean is made row by row.
    import random
    drawer, order = random.Random(seed), []
    for _ in range(steps):
        if len(order) < m:
            rest = [row for row in range(f.rows) if row not in order]
            drawer.shuffle(rest)
            order = order + rest
        rows, order = order[:m], order[m:]
        x = x - lr * sum(f.subset([row]).gradient(x)[1] for row in rows) / m
    return x
""",
    ),
    (
        "sgd",
        """
def sgd(f, x, lr, m, steps, seed):
    # float64, the value asked for as well, and the global generator.
    torch.manual_seed(seed)
    x, k = x.double(), 0
    for step in range(steps):
        if k == 0:
            order = torch.randperm(f.rows).tolist()
        batch = f.subset(order[k:k + m])
        batch.value(x.float())
        x = x - lr * batch.gradient(x.float())[1]
        k = k + m if k + m < f.rows else 0
    return x.numpy()
""",
    ),
    (
        "matched_rate",
        """
def matched_rate(lr, m, new_m, optimizer):
    return np.array([lr * (new_m / m) ** {"sgd": 1, "adam": 0.5}[optimizer]])
""",
    ),
    (
        "matched_rate",
        """
def matched_rate(lr, m, new_m, optimizer):
    if optimizer == "adam":
        return torch.tensor(lr) * torch.tensor(new_m / m).sqrt()
    return lr / m * new_m
""",
    ),
    (
        "share",
        """
def share(small, large, changed):
    small, large, changed = (torch.tensor(one).mean() for one in (small, large, changed))
    return (changed - large) / (small - large)
""",
    ),
    (
        "share",
        """
def share(small, large, changed):
    return 1 - (sum(small) - sum(changed)) / (sum(small) - sum(large))
""",
    ),
    *(
        (
            "report",
            f"""
def report(recorded):
    return {json.dumps(json.dumps(line))}
""",
        )
        for line in (GPU, BEHIND)
    ),
    (
        "report",
        """
def report(recorded):
    small, large = (np.array(recorded[f"{label}_test"]) for label in ("SB", "LB"))
    epoch = np.flatnonzero(235 * np.array(recorded["epoch"][0]) <= 10 * large.shape[1])[-1]
    return (small[:, epoch].mean() - large[:, -1].mean()) / (small[:, -1].mean() - large[:, -1].mean())
""",
    ),
]
