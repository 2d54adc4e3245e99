"""What students answer in Lab 5: mistakes, each with words of the hint that it must get, and other right answers.

MISTAKES    (exercise, what is replaced in the reference, by what, words of the hint)
RIGHT       (exercise, a whole answer that is as right as the reference)
ALIKE       (exercise, words) of mistakes that are one, written in several ways

Each mistake gets its own hint from the check and no marks from the hidden tests; each right answer gets a tick and full
marks.
"""

import json

# A line as the GPU cell prints it. Its numbers are made up: no run is behind them.
GPU = {
    "device": "Tesla T4",
    "functions": "0" * 12,
    "gradients": 300,
    "seconds": 512.5,
    "plain": [52.0, 53.5, 51.5],
    "mine": [60.0, 61.0, 60.5],
}


def written(**change):
    """As an answer returns it, with the interval of its accuracies, or with some things changed."""
    from flatlab.checks.lab5 import gain

    interval = gain(dict(enumerate(GPU["mine"])), dict(enumerate(GPU["plain"])))
    return json.dumps(json.dumps({**GPU, "gain": interval, **change}))


ALIKE = {
    ("compare", "different seeds"),
    ("ghost_norm", "the whole batch"),
    ("average", "the last network"),
    ("trust_ratio", "where w is 0 the ratio"),
}

AHEAD = "f.gradient(x + rho * g / g.norm())[1]"
STEP = f"return x - lr * {AHEAD}"
CLIMB = "rho * T * (T * g) / (T * g).norm()"
PARTS = "for part in h.split(size)"
MEAN = "torch.stack(points).mean(0)"
STATISTICS = "return mean, h.mean(0), h.var(0, unbiased=False)"
EACH = """every = [layer(one) for one in points]
    return (mean, torch.stack([h.mean(0) for h in every]).mean(0),
            torch.stack([h.var(0) for h in every]).mean(0))"""
WARM = "return top * (step + 1) / warmup"
POWER = '(1.0 if rule == "linear" else 0.5)'
FALL = "0.5 * (1 + np.cos(np.pi * gone))"
TRUST = "eta * w / (g + decay * w) if w > 0 and g > 0 else 1.0"
ENDS = "return mean, mean - half, mean + half"
PAIRS = "d = np.array([cure[seed] - rival[seed]\n                  for seed in cure if seed in rival])"
POOLED = """b = [rival[one] for one in cure if one in rival]
    s = (np.var(d + b, ddof=1) + np.var(b, ddof=1))**0.5
    half = stats.t.ppf(0.975, 2 * n - 2) * s"""
BATCH = "f.batch(rows, 50).gradient(x)[1]"
BACK = "return compare(cure, {60: rival}, 30, 2)"

MISTAKES = [
    ("sam_step", "x + rho * g", "x - rho * g", "you descend to look"),
    ("sam_step", " / g.norm()", "", "e is not normalised"),
    ("sam_step", "rho * g / g.norm()", "rho * g / g.norm() / len(x)", "by the number of entries"),
    ("sam_step", "rho * g / g.norm()", "rho * g / g.norm() / len(x)**0.5", "the root of the number of entries"),
    ("sam_step", "g / g.norm()", "g.sign()", "the signs of g"),
    ("sam_step", "g.norm()", "g.square().sum()", "the squared length"),
    ("sam_step", AHEAD, "g", "the plain step"),
    ("sam_step", STEP, f"y = x + rho * g / g.norm()\n    return y - lr * {AHEAD}", "you step from x + e"),
    ("sam_step", "return x - lr", "return x + lr", "you go up"),
    ("sam_step", AHEAD, f"(g + {AHEAD}) / 2", "the mean of both gradients"),
    ("sam_step", "return x - lr", "return -lr", "the step alone"),
    ("sam_step", STEP, "return x + rho * g / g.norm()", "the point that you look from"),
    ("sam_step", STEP, "return x", "it did not step"),
    (
        "sam_step",
        STEP,
        "x += rho * g / g.norm()\n    return x - rho * g / g.norm() - lr * f.gradient(x)[1]",
        "argument x in place",
    ),
    ("sam_step", "g = f.gradient(x)[1]", "g = f.gradient(x)[1]\n    f.gradient(x)", "asks for 3 gradients"),
    ("asam_step", "rho * T * (T * g)", "rho * (T * g)", "T stands once in e"),
    ("asam_step", "/ (T * g).norm()", "/ g.norm()", "T is missing in the length"),
    ("asam_step", "/ (T * g).norm()", "/ (T * T * g).norm()", "the length of T^2 g"),
    ("asam_step", " / (T * g).norm()", "", "e is not divided"),
    ("asam_step", "x.abs() + eta", "torch.ones_like(x)", "T does not enter"),
    ("asam_step", "x.abs() + eta", "x.abs()", "eta is missing"),
    ("asam_step", "x.abs() + eta", "x + eta", "T has the sign of x"),
    ("asam_step", "x.abs() + eta", "x.norm() + eta", "T is one number"),
    ("asam_step", "f.gradient(x + e)", "f.gradient(x - e)", "you descend to look"),
    ("asam_step", "f.gradient(x + e)[1]", "g", "the plain step"),
    ("asam_step", "return x - lr", "return x + e - lr", "you step from x + e"),
    ("asam_step", "return x - lr", "return x + lr", "you go up"),
    ("asam_step", "    return", "    x += e - e + 0.1\n    return", "argument x in place"),
    ("ghost_norm", PARTS, "for part in [h]", "the whole batch"),
    (
        "ghost_norm",
        f"unbiased=False)\n                                      + 1e-5).sqrt()\n             {PARTS}",
        "unbiased=True)\n                                      + 1e-5).sqrt()\n             for part in [h]",
        "the whole batch",
    ),
    ("ghost_norm", PARTS, "for part in h.split(size) if len(part) == size", "the last, shorter part"),
    ("ghost_norm", PARTS, "for part in h.tensor_split(size)", "the number of parts"),
    ("ghost_norm", PARTS, "for part in h.tensor_split(-(-len(h) // size))", "about equally long"),
    ("ghost_norm", "part.mean(0)) / (part.var(0", "h[:size].mean(0)) / (h[:size].var(0", "of the first part"),
    ("ghost_norm", "scale * torch.cat(parts) + shift", "torch.cat(parts)", "scale and shift do not enter"),
    ("ghost_norm", " + shift", "", "shift does not enter"),
    ("ghost_norm", "scale * torch", "torch", "scale does not enter"),
    ("ghost_norm", ").sqrt()", ")", "divide by its root"),
    ("ghost_norm", "(part - part.mean(0))", "part", "the mean is not taken away"),
    (
        "ghost_norm",
        "part.mean(0)) / (part.var(0, unbiased=False)",
        "part.mean()) / (part.var(unbiased=False)",
        "one mean for all units",
    ),
    (
        "ghost_norm",
        "part.mean(0)) / (part.var(0, unbiased=False)",
        "part.mean(1, keepdim=True)) / (part.var(1, keepdim=True, unbiased=False)",
        "LayerNorm",
    ),
    ("ghost_norm", "torch.cat(parts)", "torch.stack(parts[:2])", "shape"),
    (
        "ghost_norm",
        "return scale * torch.cat(parts) + shift",
        "return [scale * one + shift for one in parts]",
        "a list of parts",
    ),
    ("ghost_norm", "return scale", "h *= 2\n    return scale", "argument h in place"),
    (
        "average",
        f"mean = {MEAN}",
        "mean = points[0]\n    for one in points[1:]:\n        mean = (mean + one) / 2",
        "half of the weight",
    ),
    ("average", MEAN, "torch.stack(points).sum(0)", "that is the sum"),
    ("average", MEAN, "sum(points) / (len(points) + 1)", "one too many"),
    ("average", MEAN, "sum(points) / (len(points) - 1)", "one too few"),
    ("average", MEAN, "torch.stack([*points, points[-1]]).mean(0)", "counted twice"),
    ("average", MEAN, "torch.stack(points[1:] or points).mean(0)", "the first point is left out"),
    ("average", MEAN, "torch.stack(points[:-1] or points).mean(0)", "the last point is left out"),
    ("average", MEAN, "points[-1]", "that is the last point"),
    ("average", "h = layer(mean)", "h = layer(points[-1])", "the last network"),
    (
        "average",
        f"h = layer(mean)\n    {STATISTICS}",
        "h = layer(points[-1])\n    return mean, h.mean(0), h.var(0)",
        "the last network",
    ),
    ("average", STATISTICS, EACH, "the networks' statistics"),
    ("average", "h.var(0, unbiased=False)", "h.std(0)", "standard deviations"),
    ("average", STATISTICS, "return mean, h.var(0), h.mean(0)", "are exchanged"),
    ("average", STATISTICS, "return mean", "shape"),
    (
        "average",
        f"mean = {MEAN}",
        "mean = points[0]\n    for one in points[1:]:\n        mean += one\n    mean = mean / len(points)",
        "argument points in place",
    ),
    ("schedule", WARM, "return top * step / warmup", "so that step never moves"),
    ("schedule", WARM, "return top * (step + 1) / (warmup + 1)", "a step too long"),
    ("schedule", WARM, "return top", "there is no warm-up"),
    ("schedule", WARM, "return base + (top - base) * (step + 1) / warmup", "starts at base"),
    ("schedule", "(m / base_m)", "(base_m / m)", "falls as the batch grows"),
    ("schedule", POWER, "1.0", "linear for both"),
    ("schedule", POWER, "0.5", "the root for both"),
    ("schedule", POWER, '(0.5 if rule == "linear" else 1.0)', "are exchanged"),
    ("schedule", "base * (m / base_m)", "base * (1)", "the batch size does not enter"),
    ("schedule", "(step - warmup) / (total - warmup)", "step / total", "counts from step 0"),
    ("schedule", "(total - warmup)", "max(total - warmup - 1, 1)", "ends at step total"),
    ("schedule", "(step - warmup)", "(step + 1 - warmup)", "step number warmup"),
    ("schedule", f" * {FALL}", "", "the rate stays up"),
    ("schedule", FALL, "(1 - gone)", "along a line"),
    ("trust_ratio", TRUST, "(g + decay * w) * eta / w if w > 0 and g > 0 else 1.0", "upside down"),
    ("trust_ratio", "(g + decay * w)", "g", "decay does not enter"),
    (
        "trust_ratio",
        "w, g = float(w.norm()), float(g.norm())",
        "w, g = float(w.norm()), float((g + decay * w).norm()) - decay * float(w.norm())",
        "you add the vectors",
    ),
    ("trust_ratio", "decay * w)", "decay)", "decay stands alone"),
    (
        "trust_ratio",
        "w, g = float(w.norm()), float(g.norm())",
        "w, g = float(w.norm())**2, float(g.norm())**2",
        "squared lengths",
    ),
    ("trust_ratio", "eta * w", "w", "eta does not enter"),
    (
        "trust_ratio",
        "w, g = float(w.norm()), float(g.norm())",
        "w, g = float(w.abs().sum()), float(g.abs().sum())",
        "sums of absolute values",
    ),
    ("trust_ratio", " if w > 0 and g > 0 else 1.0", "", "where w is 0 the ratio"),
    ("trust_ratio", " if w > 0 and g > 0 else 1.0", " if w > 0 else 1.0", "where g is 0 the ratio is 1"),
    ("trust_ratio", " if w > 0 and g > 0 else 1.0", " if w > 0 or g > 0 else float('nan')", "where w is 0 the ratio"),
    ("compare", "rivals[steps * per_step]", "rivals[steps]", "costs several gradients"),
    ("compare", "rivals[steps * per_step]", "rivals[max(rivals)]", "has paid most"),
    ("compare", PAIRS, "d = np.array(list(cure.values())) - list(rival.values())[:len(cure)]", "different seeds"),
    (
        "compare",
        PAIRS,
        "d = np.array(list(cure.values())) - [rival[one] for one in sorted(rival)][:len(cure)]",
        "different seeds",
    ),
    ("compare", "half = stats.t.ppf(0.975, n - 1) * d.std(ddof=1)", POOLED, "the pairs are lost"),
    ("compare", "stats.t.ppf(0.975, n - 1)", "1.959964", "1.96 is right for very many"),
    ("compare", "ddof=1", "ddof=0", "divide the squares by n - 1"),
    ("compare", " / n**0.5", "", "the spread of one difference"),
    ("compare", "n**0.5", "n", "you divided by n"),
    ("compare", "cure[seed] - rival[seed]", "rival[seed] - cure[seed]", "the other way round"),
    ("compare", ENDS, "return mean - half, mean + half, mean", "first the mean"),
    ("compare", ENDS, "return mean, mean + half, mean - half", "the ends are exchanged"),
    ("compare", ENDS, "return mean, half, half", "half widths"),
    ("compare", ENDS, "return float(mean)", "one number"),
    ("compare", 'return mean, -float("inf"), float("inf")', "return mean, mean, mean", "one seed has no interval"),
    ("race", "return torch.stack(points[-15:]).mean(0)", "return x + float('nan')", "nan or infinity"),
    ("race", "range(f.gradients)", "range(f.gradients + 1)", "60 gradients are all"),
    ("race", "range(f.gradients)", "range(2)", "beat that first"),
    ("race", "x = x - lr * velocity", "x -= lr * velocity", "argument x in place"),
    ("race", "f.batch(rows, 50)", "f.batch(range(f.rows), 50)", "1 to 1,000 rows"),
    ("race", "generator = torch", "return x\n    generator = torch", "the point that it was given"),
    ("race", f"g = {BATCH} + 0.01 * x", "g = 0.01 * x", "asked for no gradient"),
    ("fair_gain", '"test LB long"', '"test LB"', "half as many gradients"),
    ("fair_gain", '"test LB long"', '"test SB"', "the rival is the small batch"),
    (
        "fair_gain",
        "return compare(cure",
        'best = dict(enumerate(max(row) for row in recorded["cure_test"]))\n    return compare(best',
        "on the test set",
    ),
    ("fair_gain", '("test cure", "test LB long")', '("test LB long", "test cure")', "SAM minus its rival"),
    ("fair_gain", BACK, "return float(np.mean(recorded['test cure']))", "one number"),
    ("fair_gain", BACK, 'return "{}"', "not the whole line"),
    ("fair_gain", BACK, f"return {written(device='cpu')}", "on a GPU"),
    ("fair_gain", BACK, f"return {written(plain=[50.0])}", "three seeds"),
    ("fair_gain", BACK, f"return {written(gain=[7.0, 5.0, 9.0])}", "not that of its accuracies"),
]

RIGHT = [
    (
        "sam_step",
        """
def sam_step(f, x, lr, rho):
    y = x.clone().double()
    g = f.gradient(y)[1]
    y.add_(g, alpha=rho / float(g.norm()))
    return (x.double() - lr * f.gradient(y)[1]).tolist()
""",
    ),
    (
        "sam_step",
        """
def sam_step(f, x, lr, rho):
    _, g = f.gradient(x)
    e = rho * torch.nn.functional.normalize(g, dim=0)
    _, g = f.gradient(x + e)
    return np.array(x - lr * g)
""",
    ),
    (
        "asam_step",
        """
def asam_step(f, x, lr, rho, eta):
    T = x.abs().add(eta)
    _, g = f.gradient(x)
    slope = T * g
    y = x / T + rho * slope / slope.square().sum().sqrt()
    return x - lr * f.gradient(T * y)[1]
""",
    ),
    (
        "ghost_norm",
        """
def ghost_norm(h, size, scale, shift):
    out = torch.empty_like(h)
    for first in range(0, len(h), size):
        part = h[first:first + size]
        out[first:first + size] = (part - part.mean(0)) / part.std(0)
    return out * scale + shift
""",
    ),
    (
        "ghost_norm",
        """
def ghost_norm(h, size, scale, shift):
    norm = torch.nn.functional.batch_norm
    parts = [norm(one, None, None, scale, shift, True) for one in h.split(size)]
    return torch.cat(parts).tolist()
""",
    ),
    (
        "average",
        """
def average(points, layer):
    mean = torch.zeros_like(points[0])
    for k, point in enumerate(points, 1):
        mean = mean + (point - mean) / k
    variances, means = torch.var_mean(layer(mean), 0)
    return [mean, means, variances]
""",
    ),
    (
        "average",
        """
def average(points, layer):
    mean = sum(points) / len(points)
    h = np.array(layer(mean))
    return np.array(mean), h.mean(0), h.var(0)
""",
    ),
    (
        "schedule",
        """
def schedule(step, total, base, m, base_m, rule, warmup):
    grown = {"linear": m / base_m, "root": (m / base_m)**0.5}[rule] * base
    up = (step + 1) / warmup if warmup else 1
    down = np.cos(np.pi / 2 * max(step - warmup, 0) / (total - warmup))**2
    return grown * min(up, 1) * down
""",
    ),
    (
        "schedule",
        """
def schedule(step, total, base, m, base_m, rule, warmup):
    top = torch.tensor(base * m / base_m if rule == "linear" else base * (m / base_m)**0.5)
    if step + 1 <= warmup:
        return top / warmup * (step + 1)
    return top * (1 + torch.cos(torch.tensor(torch.pi * (step - warmup) / (total - warmup)))) / 2
""",
    ),
    (
        "trust_ratio",
        """
def trust_ratio(w, g, decay, eta):
    w, g = w.norm(), g.norm()
    return torch.where((w > 0) & (g > 0), eta * w / (g + decay * w), torch.ones(()))
""",
    ),
    (
        "trust_ratio",
        """
def trust_ratio(w, g, decay, eta):
    a, b = np.linalg.norm(w), np.linalg.norm(g)
    return 1 if a * b == 0 else eta / (b / a + decay)
""",
    ),
    (
        "compare",
        """
def compare(cure, rivals, steps, per_step):
    from scipy import stats
    seeds = sorted(set(cure) & set(rivals[steps * per_step]))
    a, b = ([one[seed] for seed in seeds] for one in (cure, rivals[steps * per_step]))
    if len(seeds) == 1:
        return [a[0] - b[0], float("nan"), float("nan")]
    ends = stats.ttest_rel(a, b).confidence_interval(0.95)
    return np.array([np.mean(a) - np.mean(b), ends.low, ends.high])
""",
    ),
    (
        "race",
        """
def recipe(f, x, seed):
    torch.manual_seed(seed)
    v, kept = 0, 0
    for step in range(60):
        if step % 2 == 0:
            order = torch.randperm(2000).tolist()
        rows = order[:1000] if step % 2 == 0 else order[1000:]
        _, g = f.batch(rows, size=100).gradient(x)
        v = 0.9 * v + g
        x = (1 - 0.02) * x - 0.25 * v
        kept = kept + x / 10 if step >= 50 else 0
    return kept
""",
    ),
    (
        "fair_gain",
        f"""
def fair_gain(recorded):
    return {written()}
""",
    ),
    (
        "fair_gain",
        """
def fair_gain(recorded):
    from scipy import stats
    d = np.subtract(recorded["test cure"], recorded["test LB long"])
    low, high = stats.t.interval(0.95, len(d) - 1, d.mean(), stats.sem(d))
    return torch.tensor([d.mean(), low, high])
""",
    ),
]
