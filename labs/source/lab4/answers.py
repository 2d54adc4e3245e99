"""What students answer in Lab 4: mistakes, each with words of the hint that it must get, and other right answers.

MISTAKES    (exercise, what is replaced in the reference, by what, words of the hint)
RIGHT       (exercise, a whole answer that is as right as the reference)
GIVEN       names of the given cells that the answers use

Each mistake gets its own hint from the check and no marks from the hidden tests; each right answer gets a tick and full
marks.
"""

import json

from scipy.optimize import linear_sum_assignment

GIVEN = {"linear_sum_assignment": linear_sum_assignment}

# A line as the GPU cell prints it. Its numbers are made up: no run is behind them.
FOUR = ("small plain", "large plain", "small decayed", "large decayed")
GPU = {
    "device": "Tesla T4",
    "seconds": 123.4,
    "norm": dict(zip(FOUR, ([50.0, 51.0, 52.0], [40.0, 41.0, 42.0], [30.0, 31.0, 32.0], [38.0, 39.0, 40.0]))),
    "accuracy": dict(zip(FOUR, ([61.0, 62.0, 63.0], [55.0, 56.0, 57.0], [62.0, 63.0, 64.0], [54.0, 55.0, 56.0]))),
    "line": dict(zip(FOUR, ([0.1, 0.2, 0.3], [0.5, 0.6, 0.7], [0.4, 0.5, 0.6], [0.45, 0.55, 0.65]))),
    "filter": dict(zip(FOUR, ([0.11, 0.12, 0.13], [0.3, 0.31, 0.32], [0.14, 0.15, 0.16], [0.33, 0.34, 0.35]))),
    "functions": "0" * 12,
}
CPU = json.dumps(GPU | {"device": "cpu"})
SHORT = json.dumps(GPU | {"norm": {net: [50.0] for net in FOUR}})

DRAWN = "draw * (length / draw.norm(dim=1, keepdim=True))"
ORDERED = "b[k], b[k + 1] = b[k][order], b[k + 1][order]"
FOLLOW = "b[k + 2] = b[k + 2][:, order]"
LOOP = "    for _ in range(steps):\n"
T = "t = float(torch.rand((), generator=generator))"

STEP = "c = c - lr * 2 * t * (1 - t) * g"

MISTAKES = [
    ("unit_direction", DRAWN, "draw / draw.norm() * filters.norm()", "the tensor as a whole"),
    ("unit_direction", DRAWN, "draw / draw.norm(dim=1, keepdim=True)", "has length 1"),
    ("unit_direction", DRAWN, "draw / draw.norm()", "the whole direction has length 1"),
    ("unit_direction", DRAWN, "draw", "the draw is not normalised"),
    ("unit_direction", DRAWN, "draw * length", "did not divide by the draw's own length"),
    ("unit_direction", DRAWN, "draw * (length**2 / draw.norm(dim=1, keepdim=True))", "the lengths are squared"),
    ("unit_direction", DRAWN, "draw / length / draw.norm(dim=1, keepdim=True)", "divides, and should multiply"),
    ("unit_direction", DRAWN, "0.5 * draw * (length / draw.norm(dim=1, keepdim=True))", "wrong common factor"),
    ("unit_direction", DRAWN, "draw * filters.norm(dim=0) / draw.norm(dim=0)", "you took the columns"),
    ("unit_direction", DRAWN, "0 * draw", "it is zero"),
    ("unit_direction", DRAWN, "filters * draw.sum().sign()", "along the filters themselves"),
    ("unit_direction", "torch.randn(filters.shape,", "torch.rand(filters.shape,", "almost all numbers are positive"),
    (
        "unit_direction",
        "torch.randn(filters.shape,",
        "torch.randn(filters[:1].shape,",
        "two filters have the same draw",
    ),
    (
        "unit_direction",
        "if weight.dim() < 2:\n        return torch.zeros_like(weight)",
        "if weight.dim() < 2:\n        return unit_direction(weight[None], seed)[0]",
        "a parameter of one dimension",
    ),
    ("unit_direction", "weight.flatten(1)", "weight", "A filter of a convolution"),
    ("unit_direction", "manual_seed(seed)", "manual_seed(0)", "pass seed on"),
    ("unit_direction", "torch.Generator().manual_seed(seed)", "None", "the same seed gives another direction"),
    ("unit_direction", "return d.view_as", "weight *= 2\n    return d.view_as", "argument weight in place"),
    ("unit_direction", "d.view_as(weight)", "d.flatten()", "one long row"),
    (
        "plane",
        "for beta in betas]\n            for alpha in alphas]",
        "for alpha in alphas]\n            for beta in betas]",
        "the axes are exchanged",
    ),
    ("plane", "alpha * d1 + beta * d2", "alpha * d2 + beta * d1", "d1 and d2 are exchanged"),
    ("plane", "x + alpha", "alpha", "does not go through x"),
    ("plane", "alpha * d1 + beta * d2)", "alpha * d1 + beta * d2) - f.value(x)", "the loss at x is subtracted"),
    ("plane", "beta * d2", "beta * d1", "both axes go along d1"),
    ("plane", " + beta * d2", "", "beta does not enter"),
    ("plane", "x + alpha * d1 + beta", "x - alpha * d1 - beta", "the other way"),
    ("plane", "x + alpha", "(1 - alpha - beta) * x + alpha", "through three points"),
    (
        "plane",
        "in betas]\n            for alpha in alphas]",
        "in range(len(betas))]\n            for alpha in range(len(alphas))]",
        "the numbers of the rows",
    ),
    (
        "plane",
        "in betas]\n            for alpha in alphas]",
        "in np.linspace(-1, 1, len(betas))]\n            for alpha in np.linspace(-1, 1, len(alphas))]",
        "a grid of your own",
    ),
    ("plane", "return", "x += d1\n    return", "argument x in place"),
    (
        "plane",
        "[[f.value(x + alpha * d1 + beta * d2) for beta in betas]\n            for alpha in alphas]",
        "[f.value(x + alpha * d1 + beta * d2) for alpha in alphas for beta in betas]",
        "one long row",
    ),
    ("rescale", "new[2 * layer + 1] = c * new[2 * layer + 1]\n    ", "", "the bias of the layer is left"),
    (
        "rescale",
        "return new",
        "new[2 * layer + 3] = new[2 * layer + 3] / c\n    return new",
        "next layer's bias is divided too",
    ),
    (
        "rescale",
        "new[2 * layer + 1] = c * new[2 * layer + 1]",
        "new[2 * layer + 3] = new[2 * layer + 3] / c",
        "the wrong bias",
    ),
    ("rescale", "new[2 * layer + 2] = new[2 * layer + 2] / c", "new[-2] = new[-2] / c", "you divided the last layer"),
    ("rescale", "new = list(network)", "new, c = list(network), 1 / c", "the factors are exchanged"),
    ("rescale", "new[2 * layer + 2] = new[2 * layer + 2] / c\n    ", "", "nothing undoes the factor"),
    ("rescale", "new[2 * layer + 2] / c", "new[2 * layer + 2] * c", "multiplied too"),
    ("rescale", "2 * layer", "layer", "layers count in pairs"),
    ("rescale", "new = list(network)", "new, layer = list(network), layer - 1", "one layer too early"),
    (
        "rescale",
        "new = list(network)",
        "new, layer = list(network), min(layer + 1, len(network) // 2 - 2)",
        "one layer too late",
    ),
    ("rescale", "new = list(network)", "new = network", "into the list network"),
    ("rescale", "new[2 * layer] = c * new[2 * layer]", "new[2 * layer] *= c", "its argument network in place"),
    ("rescale", "return new", "return network", "nothing is changed"),
    ("rescale", "return new", "return [c * part for part in network]", "everything is multiplied"),
    ("rescale", "return new", "return [None for part in network]", "a list that holds nothing"),
    ("match_units", FOLLOW, "pass", "the next layer still reads the old order"),
    ("match_units", ORDERED, "b[k] = b[k][order]", "the biases stay behind"),
    ("match_units", "maximize=True", "maximize=False", "the worst one"),
    ("match_units", "maximize=True)\n", "maximize=True)\n        order = np.argsort(order)\n", "turned round: row i"),
    ("match_units", "return b", "return a", "this is a"),
    ("match_units", "range(0, len(a) - 2, 2)", "range(0, 2, 2)", "only the first layer is matched"),
    ("match_units", "range(0, len(a) - 2, 2)", "range(0, 0, 2)", "nothing moved"),
    ("match_units", "b = list(b)", "b, a = list(a), b", "you moved the units of a"),
    ("match_units", "    b = list(b)\n", "", "into the list b"),
    (
        "match_units",
        "    for k in range(0, len(a) - 2, 2):\n        alike = a[k] @ b[k].T",
        "    old = list(b)\n    for k in range(0, len(a) - 2, 2):\n        alike = a[k] @ old[k].T",
        "in b's old order",
    ),
    ("curve_point", "2 * t * (1 - t)", "t * (1 - t)", "the 2 before t (1 - t)"),
    (
        "curve_point",
        "(1 - t) ** 2 * a + 2 * t * (1 - t) * c + t**2 * b",
        "(1 - t) ** 2 * b + 2 * t * (1 - t) * c + t**2 * a",
        "from b to a",
    ),
    (
        "curve_point",
        "(1 - t) ** 2 * a + 2 * t * (1 - t) * c + t**2 * b",
        "(1 - t) * a + 2 * t * (1 - t) * c + t * b",
        "have no squares",
    ),
    ("curve_point", "(1 - t) ** 2 * a + 2 * t * (1 - t) * c + t**2 * b", "(1 - t) * a + t * b", "c does not enter"),
    (
        "curve_point",
        "(1 - t) ** 2 * a + 2 * t * (1 - t) * c + t**2 * b",
        "(1 - 2 * t) * a + 2 * t * c if t < 0.5 else (2 - 2 * t) * c + (2 * t - 1) * b",
        "straight on to b",
    ),
    ("curve_point", "* c + t**2 * b", "* b + t**2 * c", "c and b are exchanged"),
    ("curve_point", "c + t**2", "c - t**2", "the wrong sign"),
    ("learn_middle", "lr * 2 * t * (1 - t) * g", "lr * g", "the chain rule is missing"),
    ("learn_middle", "lr * 2 * t", "lr * t", "the 2 of the factor"),
    ("learn_middle", "c - lr", "c + lr", "uphill"),
    ("learn_middle", "lr * 2 * t * (1 - t) * g", "lr / (2 * t * (1 - t)) * g", "multiply by it"),
    ("learn_middle", T, "t = 0.5", "at c or at t = 1/2"),
    ("learn_middle", T, "generator.manual_seed(seed)\n        " + T, "the same t"),
    ("learn_middle", "torch.rand((", "torch.randn((", "below 0 or above 1"),
    ("learn_middle", T, T.replace("float(", "0.5 + 0.2 * float("), "do not spread"),
    ("learn_middle", "(a + b) / 2", "a", "starts half way"),
    ("learn_middle", "range(steps)", "range(steps - 1)", "it takes 29"),
    ("learn_middle", "range(steps)", "range(steps + 1)", "it takes 31"),
    ("learn_middle", "manual_seed(seed)", "manual_seed(0)", "pass seed on"),
    ("learn_middle", "torch.Generator().manual_seed(seed)", "None", "the same seed gives other t"),
    ("learn_middle", "curve_point(a, c, b, t)", "curve_point(a, (a + b) / 2, b, t)", "with the newest c"),
    (
        "learn_middle",
        f"{STEP}\n    return c",
        f"last, {STEP.replace('= c', '= c, c')}\n    return last",
        "before the last step",
    ),
    ("learn_middle", "return c", "return (a + b) / 2", "c does not move"),
    ("norm_statistics", "torch.stack([inputs", "torch.cat([inputs", "one long row"),
    ("norm_statistics", "min(max(alpha, 0), 1)", "alpha", "can be negative, and no variance is"),
    (
        "norm_statistics",
        "(1 - share) * first + share * second",
        "share * first + (1 - share) * second",
        "turned round: at",
    ),
    ("norm_statistics", "(1 - share) * first + share * second", "(first + second) / 2", "alpha does not enter"),
    ("norm_statistics", ", correction=0", "", "by N, not by N - 1"),
    (
        "norm_statistics",
        "inputs.var(0, correction=0)",
        "inputs.std(0, correction=0)",
        "this is a standard deviation: return",
    ),
    ("norm_statistics", "inputs.var(0, correction=0)", "inputs.std(0)", "a standard deviation, with N - 1"),
    ("norm_statistics", "inputs.var(0, correction=0)", "inputs.square().mean(0)", "the mean is not subtracted"),
    (
        "norm_statistics",
        "[inputs.mean(0), inputs.var(0, correction=0)]",
        "[inputs.var(0, correction=0), inputs.mean(0)]",
        "the order is swapped",
    ),
    ("norm_statistics", "return first", "return second", "frozen is the second's"),
    ("norm_statistics", 'if policy == "frozen"', 'if policy == "mixed"', "frozen and mixed are exchanged"),
    ("norm_statistics", 'policy == "recomputed"', 'policy == "none"', "recomputed is a mixture"),
    ("flip", "np.exp(np.log(ratios).mean())", "ratios.mean()", "the mean of the ratios"),
    ("flip", "return float(", "return 1 / float(", "the small batch over the large one"),
    ("flip", "np.exp(np.log(ratios).mean())", "np.log(ratios).mean()", "this is the logarithm"),
    ("flip", "np.exp(np.log(ratios).mean())", "np.log10(ratios).mean()", "the decimal logarithm"),
    ("flip", "np.exp(np.log(ratios).mean())", "np.exp(np.log(ratios).sum())", "this is the product"),
    ("flip", "np.exp(np.log(ratios).mean())", "ratios[0]", "the first seed alone"),
    ("flip", "np.exp(np.log(ratios).mean())", "np.median(ratios)", "this is the median"),
    ("flip", " decayed filter", " filter", "without weight decay"),
    ("flip", "filter rise", "plain rise", "take the filter-normalised"),
    ("flip", " decayed filter", " plain", "directions of one length around"),
    ("flip", "return float(np.exp(np.log(ratios).mean()))", 'return "{}"', "not the whole line"),
    ("flip", "return float(np.exp(np.log(ratios).mean()))", f"return {json.dumps(CPU)}", "on a GPU"),
    ("flip", "return float(np.exp(np.log(ratios).mean()))", f"return {json.dumps(SHORT)}", "should have three seeds"),
]

RIGHT = [
    (
        "unit_direction",
        """
def unit_direction(weight, seed):
    # One filter after another, and a small number below.
    torch.manual_seed(seed)
    d = torch.randn_like(weight)
    if d.dim() <= 1:
        return d.fill_(0)
    for part, filter in zip(d, weight):
        part.mul_(filter.norm() / (part.norm() + 1e-10))
    return d
""",
    ),
    (
        "unit_direction",
        """
def unit_direction(weight, seed):
    w = weight.numpy().astype(float)
    if w.ndim == 1:
        return np.zeros(len(w))
    g = np.random.default_rng(seed).standard_normal(w.shape)
    behind = tuple(range(1, w.ndim))
    return g / np.sqrt((g**2).sum(behind, keepdims=True)) * np.sqrt((w**2).sum(behind, keepdims=True))
""",
    ),
    (
        "plane",
        """
def plane(f, x, d1, d2, alphas, betas):
    losses = torch.zeros(len(alphas), len(betas))
    for i, alpha in enumerate(alphas):
        for j, beta in enumerate(betas):
            losses[i, j] = f.value(x + alpha * d1 + beta * d2)
    return losses
""",
    ),
    (
        "plane",
        """
def plane(f, x, d1, d2, alphas, betas):
    return np.array([[f.loss_and_accuracy(x + a * d1 + b * d2)[0] for b in betas] for a in alphas])
""",
    ),
    (
        "rescale",
        """
def rescale(network, layer, c):
    factors = {2 * layer: c, 2 * layer + 1: c, 2 * layer + 2: 1 / c}
    return tuple(part.double() * factors.get(place, 1) for place, part in enumerate(network))
""",
    ),
    (
        "rescale",
        """
def rescale(network, layer, c):
    new = [part.clone().numpy() for part in network]
    W, b, V = new[2 * layer:2 * layer + 3]
    W *= c
    b *= c
    V /= c
    return new
""",
    ),
    (
        "match_units",
        """
def match_units(a, b):
    # The distance of two units, with their biases.
    b = [part.clone() for part in b]
    for k in range(0, len(a) - 2, 2):
        rows = [torch.cat([net[k], net[k + 1].reshape(-1, 1)], 1) for net in (a, b)]
        order = torch.as_tensor(linear_sum_assignment(torch.cdist(*rows).numpy())[1])
        b[k], b[k + 1], b[k + 2] = b[k][order], b[k + 1][order], b[k + 2][:, order]
    return b
""",
    ),
    (
        "match_units",
        """
def match_units(a, b):
    # What comes in at length 1, and what goes out.
    a, new = [part.double().numpy() for part in a], [part.double().numpy() for part in b]
    unit = lambda rows: rows / np.linalg.norm(rows, axis=1, keepdims=True)
    for k in range(len(a) // 2 - 1):
        alike = unit(a[2 * k]) @ unit(new[2 * k]).T + a[2 * k + 2].T @ new[2 * k + 2] * 0.01
        order = linear_sum_assignment(-alike)[1]
        new[2 * k], new[2 * k + 1] = new[2 * k][order], new[2 * k + 1][order]
        new[2 * k + 2] = new[2 * k + 2][:, order]
    return new
""",
    ),
    (
        "match_units",
        """
def match_units(a, b):
    # What the units put out for random inputs.
    h = torch.randn(3000, a[0].shape[1], generator=torch.Generator().manual_seed(0))
    h, g, b = h, h, list(b)
    for k in range(0, len(a) - 2, 2):
        h, g = (h @ a[k].T + a[k + 1]).relu(), (g @ b[k].T + b[k + 1]).relu()
        u, v = h - h.mean(0), g - g.mean(0)
        _, order = linear_sum_assignment((u / u.norm(dim=0)).T @ (v / v.norm(dim=0)), maximize=True)
        g, b[k], b[k + 1], b[k + 2] = g[:, order], b[k][order], b[k + 1][order], b[k + 2][:, order]
    return b
""",
    ),
    (
        "curve_point",
        """
def curve_point(a, c, b, t):
    # On the way from a to c and from c to b, and between the two.
    return torch.lerp(torch.lerp(a.double(), c.double(), t), torch.lerp(c.double(), b.double(), t), t)
""",
    ),
    (
        "curve_point",
        """
def curve_point(a, c, b, t):
    return (np.array([(1 - t) ** 2, 2 * t * (1 - t), t * t])[:, None] * torch.stack([a, c, b]).numpy()).sum(0)
""",
    ),
    (
        "learn_middle",
        """
def learn_middle(f, a, b, lr, steps, seed):
    # In float64, with the curve written out and Python's own draws.
    import random
    drawer, a, b = random.Random(seed), a.double(), b.double()
    c = 0.5 * a + 0.5 * b
    while steps > 0:
        t = drawer.random()
        y = (1 - t) ** 2 * a + 2 * t * (1 - t) * c + t * t * b
        value, g = f.gradient(y.float())
        c -= lr * (2 * t - 2 * t * t) * g
        steps -= 1
    return c.numpy()
""",
    ),
    (
        "learn_middle",
        """
def learn_middle(f, a, b, lr, steps, seed):
    # All t at once, and torch's own descent.
    torch.manual_seed(seed)
    c = ((a + b) / 2).requires_grad_()
    descent = torch.optim.SGD([c], lr=lr)
    for t in torch.rand(steps):
        y = (1 - t) ** 2 * a + 2 * t * (1 - t) * c + t**2 * b
        descent.zero_grad()
        y.backward(f.gradient(y.detach())[1])
        descent.step()
    return c
""",
    ),
    (
        "norm_statistics",
        """
def norm_statistics(inputs, first, second, alpha, policy):
    if policy == "frozen":
        return first
    if policy == "mixed":
        return first if alpha < 0 else second if alpha > 1 else torch.lerp(first, second, alpha)
    mean = inputs.sum(0) / len(inputs)
    return mean, ((inputs - mean) ** 2).mean(0)
""",
    ),
    (
        "norm_statistics",
        """
def norm_statistics(inputs, first, second, alpha, policy):
    # numpy, whose var divides by N.
    share = {"frozen": 0, "mixed": np.clip(alpha, 0, 1)}.get(policy)
    if share is None:
        return [inputs.numpy().mean(0).tolist(), inputs.numpy().var(0).tolist()]
    return first.numpy() * (1 - share) + second.numpy() * share
""",
    ),
    (
        "flip",
        f"""
def flip(recorded):
    return {json.dumps(json.dumps(GPU))}
""",
    ),
    (
        "flip",
        """
def flip(recorded):
    factor = 1
    for large, small in zip(recorded["LB decayed filter rise"], recorded["SB decayed filter rise"]):
        factor *= large / small
    return torch.tensor([factor]) ** (1 / len(recorded["line LB less SB"]))
""",
    ),
]
