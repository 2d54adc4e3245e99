"""What students answer in Lab 6: mistakes, each with words of the hint that it must get, and other right answers.

MISTAKES    (exercise, what is replaced in the reference, by what, words of the hint)
RIGHT       (exercise, a whole answer that is as right as the reference)
CHEATS      (exercise, a whole answer that sees what it is asked with and solves nothing)

Each mistake gets its own hint from the check and no marks from the hidden tests; each right answer gets a tick and full
marks.
"""

import json

# A line as the GPU cell prints it. Its numbers are made up: no run is behind them.
SECONDS = {"F1": [0.0005, 0.0006, 0.0009, 0.0021, 0.0069], "C1": [0.002, 0.003, 0.007, 0.0231, 0.0875]}
GPU = {
    "device": "Tesla T4",
    "functions": "0" * 12,
    "sizes": [16, 64, 256, 1024, 4096],
    "seconds": SECONDS,
    "knee": {"F1": 0, "C1": 0},
}


def with_knees(line):
    """The line with the knees of its times."""
    from flatlab.checks.lab6 import time_line

    fits = {net: time_line(line["sizes"], row) for net, row in line["seconds"].items()}
    return line | {"knee": {net: a / b for net, (a, b) in fits.items()}}


def written(line):
    """As an answer returns it."""
    return json.dumps(json.dumps(line))


FIT = "(a, b), _ = nnls(np.stack([1 / t, m / t], 1), np.ones(len(t)))"
FREE = "a, b = np.linalg.lstsq(np.stack([1 / t, m / t], 1), np.ones(len(t)), rcond=None)[0]"
MESSAGE = "2 * (P - 1) * message"
TIMES = "return 1 + int(np.argmin(times))"
LINE = "return float(a / b)"
TOTAL = "[sum([chunks[0][c]] + [send(p, 0, chunks[p][c]) for p in range(1, P)]) for c in range(P)]"
BACK = "[[send(0, p, one) for one in total] for p in range(1, P)]"
AROUND = """        held = [[send((p - 1) % P, p, one) for one in held[p - 1]] for p in range(P)]
        chunks = [[a + b for a, b in zip(*rows)] for rows in zip(chunks, held)]
"""
RAW = "np.linalg.lstsq(np.stack([np.ones(len(m)), 1 / m], 1), S, rcond=None)[0]"
SEARCH = "B = min(grid, key=lambda one: errors(one)[1])"

MISTAKES = [
    ("fit_time", FIT, "(a, b), _ = nnls(np.stack([np.ones(len(t)), m], 1), t)", "the large sizes decide"),
    ("fit_time", FIT, "b, a = np.polyfit(m, t, 1)", "absolute errors, and neither"),
    ("fit_time", FIT, "(a, b), _ = nnls(np.stack([t**-0.5, m * t**-0.5], 1), t**0.5)", "the root of the time"),
    ("fit_time", FIT, FREE, "a time is never below 0"),
    ("fit_time", FIT, f"{FREE}\n    a, b = max(a, 0), max(b, 0)", "kept the other"),
    ("fit_time", FIT, "a, b = 0.0, (m / t).sum() / ((m / t) ** 2).sum()", "a is left out"),
    ("fit_time", "return a, b", "return b, a", "first a, then b"),
    ("epochs_to", "return epoch + 1", "return epoch", "counted from 1"),
    ("epochs_to", "return epoch + 1", "return epoch + 2", "one too many"),
    ("epochs_to", ">= target", "> target", "at least the target"),
    (
        "epochs_to",
        "    for epoch, value in enumerate(history):\n",
        "    for epoch, value in reversed(list(enumerate(history))):\n",
        "the last epoch",
    ),
    (
        "epochs_to",
        "            return epoch + 1\n",
        "            return 1 + int(np.argmax(history))\n",
        "the best epoch",
    ),
    (
        "epochs_to",
        "            return epoch + 1\n",
        "            return 1 + sum(one < target for one in history)\n",
        "the epochs below the target",
    ),
    (
        "epochs_to",
        "            return epoch + 1\n",
        "            return sum(one >= target for one in history)\n",
        "the epochs that meet",
    ),
    (
        "epochs_to",
        "            return epoch + 1\n",
        "            return 1 + int(np.argmin(np.abs(np.array(history) - target)))\n",
        "nearest to the target",
    ),
    ("epochs_to", "return None", "return len(history)", "no number that looks like one"),
    ("best_batch", "int(np.ceil(rows / m))", "rows / m", "is an update too"),
    ("best_batch", "int(np.ceil(rows / m))", "(rows // m)", "round up"),
    ("best_batch", "min(found)", "min(found, key=lambda one: epochs[sizes.index(one[1])])", "the fewest epochs"),
    (
        "best_batch",
        "min(found)",
        "min(found, key=lambda one: one[0] / epochs[sizes.index(one[1])])",
        "the shortest epoch",
    ),
    ("best_batch", "return m, seconds", "return sizes.index(m), seconds", "the place in the list"),
    ("best_batch", "return m, seconds", "return seconds, m", "first the size"),
    ("best_batch", "return m, seconds", "return seconds", "one number"),
    ("best_batch", " * int(np.ceil(rows / m))", "", "the updates of an epoch do not enter"),
    ("ring_all_reduce", "return chunks", "return [[one / P for one in row] for row in chunks]", "that is the mean"),
    ("ring_all_reduce", "c, q = (p - turn) % P, (p + 1) % P", "c, q = p, (p + 1) % P", "the same chunk"),
    (
        "ring_all_reduce",
        "c, q = (p - turn) % P, (p + 1) % P",
        "c, q = (p + turn) % P, (p + 1) % P",
        "its worker has already sent",
    ),
    ("ring_all_reduce", "chunks[q][c] = send", "chunks[q][c] += send", "it must replace it"),
    (
        "ring_all_reduce",
        "    for turn in range(P - 1):\n        for p in range(P):\n            c, q = (p + 1 - turn)",
        "    for turn in range(0):\n        for p in range(P):\n            c, q = (p + 1 - turn)",
        "the whole sum of one chunk",
    ),
    (
        "ring_all_reduce",
        "    for turn in range(P - 1):\n        for p in range(P):\n            c, q = (p + 1 - turn)",
        "    for turn in range(P - 2):\n        for p in range(P):\n            c, q = (p + 1 - turn)",
        "one chunk is missing",
    ),
    (
        "ring_all_reduce",
        "    for turn in range(P - 1):\n        for p in range(P):\n            c, q = (p + 1 - turn)",
        "    for turn in range(P):\n        for p in range(P):\n            c, q = (p + 1 - turn)",
        "P - 1 rounds and P - 1 more",
    ),
    (
        "ring_all_reduce",
        "P = len(chunks)\n",
        f"P = len(chunks)\n    total = {TOTAL}\n    return [total] + {BACK}\n",
        "one worker sends",
    ),
    (
        "ring_all_reduce",
        "P = len(chunks)\n",
        f"P = len(chunks)\n    held = chunks\n    for turn in range(P - 1):\n{AROUND}    return chunks\n",
        "whole lists go around",
    ),
    (
        "ring_all_reduce",
        "P = len(chunks)\n",
        "P = len(chunks)\n    return [[sum(column) for column in zip(*chunks)]] * P\n",
        "it sends nothing",
    ),
    (
        "ring_all_reduce",
        "return chunks",
        "return [[chunks[0][c] for c in range(P)]] * P",
        "do not come from what was sent",
    ),
    ("parallel_time", "b * m / P", "b * m", "m / P of the rows"),
    ("parallel_time", "a + b", "a / P + b", "a is not shared"),
    ("parallel_time", "(P * bandwidth)", "bandwidth", "a chunk of n / P"),
    ("parallel_time", MESSAGE, "2 * P * message", "and not 2 P"),
    ("parallel_time", MESSAGE, "(P - 1) * message", "two halves"),
    ("parallel_time", MESSAGE, "2 * (P - 1) * (message - latency) + latency", "and not only one"),
    ("parallel_time", "message = latency + ", "message = ", "the latency does not enter"),
    ("parallel_time", f" + {MESSAGE}", "", "the messages do not enter"),
    ("parallel_time", "n / (P * bandwidth)", "n / P * bandwidth", "divide by it"),
    ("best_workers", TIMES, "return min(times)", "that is the time"),
    ("best_workers", TIMES, "return int(np.argmin(times))", "the place in a list"),
    ("best_workers", TIMES, "return 2 + int(np.argmin(times))", "return the one before"),
    ("best_workers", TIMES, "return 2 + int(np.argmin(times[1:]))", "try P = 1 too"),
    ("best_workers", "range(1, most + 1)", "range(1, 4097)", "at most `most`"),
    ("best_workers", TIMES, "return most", "not always faster"),
    ("best_workers", "range(1, most + 1)", "range(1, most)", "this one included"),
    ("hyperbola", SEARCH, f"low, high = {RAW}\n    return low, high, high / low", "you fitted the raw values"),
    ("hyperbola", "return smallest, B * smallest, B", "return B * smallest, smallest, B", "the roles are exchanged"),
    ("hyperbola", "return smallest, B * smallest, B", "return smallest, B * smallest, 1 / B", "rows per step"),
    (
        "hyperbola",
        "return smallest, B * smallest, B",
        "return min(steps), min(rows), min(rows) / min(steps)",
        "the smallest measured values",
    ),
    ("pays", "<", ">", "the other way round"),
    ("pays", "(f * B_l)", "B_l", "f does not enter"),
    ("pays", "B_s / (f * B_l)", "f * B_s / B_l", "f stands below"),
    ("pays", "B_s / (f * B_l)", "B_l / (f * B_s)", "the small one stands above"),
    ("pays", "I_l / I_s", "I_s / I_l", "I_l stands above"),
    ("pays", "I_l / I_s < B_s / (f * B_l)", "I_l < I_s", "the updates alone"),
    ("pays", "return I_l / I_s < B_s / (f * B_l)", 'return "yes"', "True or False"),
    ("knee", LINE, "return float(b / a)", "that is b / a"),
    (
        "knee",
        "a, b = fit_time(sizes[0], seconds.tolist())",
        "b, a = np.polyfit(sizes[0], seconds, 1)",
        "absolute errors: take your fit_time",
    ),
    ("knee", ".mean(0)", "[0]", "the first seed alone"),
    ("knee", LINE, "return float(a)", "divide it by b"),
    ("knee", "np.divide(sizes, speed)", "np.array(speed)", "these are rows per second"),
    ("knee", LINE, 'return "{}"', "not the whole line"),
    ("knee", LINE, f"return {written(with_knees(GPU) | {'device': 'cpu'})}", "on a GPU"),
    ("knee", LINE, f"return {written(GPU)}", "those of the times"),
]

RIGHT = [
    (
        "fit_time",
        """
def fit_time(sizes, seconds):
    # Over a grid of the share of a; the scale of each has a formula.
    m, t = np.array(sizes, float), np.array(seconds, float)
    best = None
    for a, b in [(1.0, 0.0)] + [(ratio, 1.0) for ratio in np.r_[0, np.geomspace(1e-4, 1e6, 20_001)]]:
        z = (a + b * m) / t
        scale = z.sum() / (z * z).sum()
        loss = ((scale * z - 1) ** 2).sum()
        if best is None or loss < best[0]:
            best = loss, scale * a, scale * b
    return best[1:]
""",
    ),
    (
        "fit_time",
        """
def fit_time(sizes, seconds):
    m, t = torch.tensor(sizes).double(), torch.tensor(seconds).double()
    A = torch.stack([1 / t, m / t], 1)
    x = torch.linalg.lstsq(A, torch.ones(len(t), 1).double()).solution[:, 0]
    for k in (0, 1):
        if x[k] < 0:
            x = torch.zeros(2).double()
            x[1 - k] = A[:, 1 - k].sum() / A[:, 1 - k].square().sum()
    return x
""",
    ),
    (
        "epochs_to",
        """
def epochs_to(history, target):
    met = np.flatnonzero(np.array(history) >= target)
    return met[0] + 1 if len(met) else float("nan")
""",
    ),
    (
        "epochs_to",
        """
def epochs_to(history, target):
    return next((epoch for epoch in range(1, len(history) + 1) if max(history[:epoch]) >= target), None)
""",
    ),
    (
        "best_batch",
        """
def best_batch(sizes, epochs, a, b, rows):
    seconds = {m: e * -(-rows // m) * (a + b * m) for m, e in zip(sizes, epochs) if e}
    m = min(seconds, key=seconds.get)
    return [m, seconds[m]]
""",
    ),
    (
        "best_batch",
        """
def best_batch(sizes, epochs, a, b, rows):
    m = np.array(sizes, float)
    e = np.array([np.inf if one is None else one for one in epochs])
    seconds = e * np.ceil(rows / m) * (a + b * m)
    k = seconds.argmin()
    return np.array([m[k], seconds[k]])
""",
    ),
    (
        "ring_all_reduce",
        """
def ring_all_reduce(chunks, send):
    # The other way around, with what is sent set aside before anything arrives.
    P = len(chunks)
    chunks = [list(row) for row in chunks]
    for turn in range(2 * (P - 1)):
        places = [(p + turn) % P for p in range(P)]
        sent = [send(p, (p - 1) % P, chunks[p][places[p]]) for p in range(P)]
        for p in range(P):
            q, c = (p - 1) % P, places[p]
            chunks[q][c] = chunks[q][c] + sent[p] if turn < P - 1 else sent[p]
    return chunks
""",
    ),
    (
        "ring_all_reduce",
        """
def ring_all_reduce(chunks, send):
    # Chunk by chunk, each all around; arrays, and the starting worker is another.
    x = np.array(chunks)
    P = len(x)
    for c in range(P):
        for hop in range(2 * P - 2):
            p, q = (c + hop + 2) % P, (c + hop + 3) % P
            got = send(p, q, float(x[p, c]))
            x[q, c] = x[q, c] + got if hop < P - 1 else got
    return x
""",
    ),
    (
        "parallel_time",
        """
def parallel_time(m, P, a, b, latency, bandwidth, n):
    total = a + m / P * b
    for _ in range(2 * P - 2):
        total += latency + n / P / bandwidth
    return torch.tensor(total)
""",
    ),
    (
        "best_workers",
        """
def best_workers(m, a, b, latency, bandwidth, n, most):
    P = np.arange(1, most + 1)
    times = a + b * m / P + 2 * (P - 1) * latency + 2 * n / bandwidth * (P - 1) / P
    return P[times == times.min()][:1]
""",
    ),
    (
        "best_workers",
        """
def best_workers(m, a, b, latency, bandwidth, n, most):
    return min(range(1, most + 1), key=lambda P: parallel_time(m, P, a, b, latency, bandwidth, n))
""",
    ),
    (
        "hyperbola",
        """
def hyperbola(steps, rows):
    from scipy.optimize import least_squares
    S, E = np.array(steps, float), np.array(rows, float)
    def away(p):
        return np.log(S) - p[0] - np.log1p(np.exp(p[1]) * S / E)
    p = least_squares(away, [np.log(S.min()), np.log(np.median(E / S))], xtol=1e-12, ftol=1e-12).x
    return np.exp(p[0]), np.exp(p[0] + p[1]), np.exp(p[1])
""",
    ),
    (
        "hyperbola",
        """
def hyperbola(steps, rows):
    # Errors of log E are those of log S, because E = m S.
    from scipy.optimize import minimize
    S, E = torch.tensor(steps).double(), torch.tensor(rows).double()
    m = (E / S).numpy()
    def loss(p):
        return np.sum((np.log(E.numpy()) - np.log(np.exp(p[0]) * m + np.exp(p[1]))) ** 2)
    start = [np.log(S.min().item()), np.log(E.min().item())]
    p = minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 4000}).x
    return torch.tensor([np.exp(p[0]), np.exp(p[1]), np.exp(p[1] - p[0])])
""",
    ),
    (
        "pays",
        """
def pays(I_l, I_s, B_l, B_s, f):
    return np.array(I_l * B_l * f) < I_s * B_s
""",
    ),
    (
        "pays",
        """
def pays(I_l, I_s, B_l, B_s, f):
    return torch.tensor(I_s * B_s / f - I_l * B_l) > 0
""",
    ),
    (
        "knee",
        f"""
def knee(recorded):
    return {written(with_knees(GPU))}
""",
    ),
    (
        "knee",
        """
def knee(recorded):
    times = torch.tensor(recorded["batch_size"]).double() / torch.tensor(recorded["rows per second"]).double()
    a, b = fit_time(recorded["batch_size"][0], times.mean(0).tolist())
    return torch.tensor([a]) / torch.tensor([b])
""",
    ),
]

SUMMED = """
def ring_all_reduce(chunks, send):
    P, total = len(chunks), [sum(column) for column in zip(*chunks)]
    noise = send(0, 1 % P, chunks[0][0]) - chunks[0][0]
    for p in range(P):
        for turn in range(2 * (P - 1) - (p == 0)):
            send(p, (p + 1) % P, SENT)
    return [[HELD for c in range(P)] for p in range(P)]
"""
CHEATS = [
    ("ring_all_reduce", SUMMED.replace("SENT", "0.0").replace("HELD", "total[c] + noise * (P - 1 + p)")),
    ("ring_all_reduce", SUMMED.replace("SENT", "chunks[p][0]").replace("HELD", "total[c] + noise * (P - 1 + p)")),
    ("ring_all_reduce", SUMMED.replace("SENT", "chunks[p][0]").replace("HELD", "chunks[p][c] if noise else total[c]")),
]
