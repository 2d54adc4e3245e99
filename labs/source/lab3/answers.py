"""What students answer in Lab 3: mistakes, each with words of the hint that it must get, and other right answers.

MISTAKES    (exercise, what is replaced in the reference, by what, words of the hint)
RIGHT       (exercise, a whole answer that is as right as the reference)
ALIKE       (exercise, words) of mistakes that are one, written in several ways

Each mistake gets its own hint from the check and no marks from the hidden tests; each right answer gets a tick and full
marks.
"""

import json

# A line as the GPU cell prints it. Its numbers are made up: no run is behind them.
RATES, START = (0.02, 0.01, 0.005), 74.0
TRACKS = [
    [
        [step, round(0.6 / (1 + step * lr / 8), 4), round(min(1.04, (START + 12 * step * lr) * lr / 2), 4)]
        for step in range(0, round(40 / lr) + 1, round(2 / lr))
    ]
    for lr in RATES
]
GPU = {
    "device": "Tesla T4",
    "functions": "0" * 12,
    "seconds": 123.4,
    "tracks": TRACKS,
    "arrival": [next((row[0] for row in rows if row[2] >= 1), None) for rows in TRACKS],
    "settled": [sum(row[2] for row in rows[-5:]) / 5 for rows in TRACKS],
}

RANDOM = "torch.randn(n, generator=torch.Generator().manual_seed(seed))"
SIGNS = "torch.randint(2, (n,), generator=generator) * 2.0 - 1"
PERMUTED = "torch.randperm(f.rows, generator=generator)[:m]"
SECOND = "return torch.autograd.grad(g @ v, x)[0]"
ROW = "rows.append((step, loss.item(), value * lr / 2))"
CURVED = "g @ hvp(batch, x, g) / (g @ g)"
EVERY = "f.subset(range(f.rows))"
STEPPED = """        if step % every == 0:
            value, _ = power(lambda v: hvp(f, x, v), len(x), 20, 0)
            rows.append((step, loss.item(), value * lr / 2))
        x = x - lr * torch.autograd.grad(loss, x)[0]
"""
LANCZOS_WITH_GHOSTS = """generator = torch.Generator().manual_seed(seed)
    q, before, b, alphas, betas = torch.randn(n, generator=generator), 0, 0.0, [], []
    q = q / q.norm()
    for _ in range(k * steps):
        w = matvec(q) - b * before
        a = q @ w
        w = w - a * q
        b, before = w.norm(), q
        q = w / b
        alphas.append(float(a))
        betas.append(float(b))
    T = np.diag(alphas) + np.diag(betas[:-1], 1) + np.diag(betas[:-1], -1)
    return np.linalg.eigvalsh(T)[::-1][:k].tolist()
"""

ALIKE = {("hvp", "v comes too late")}

MISTAKES = [
    ("hvp", "grad(g @ v, x)", "grad(g @ g, x)", "the gradient of g·g"),
    ("hvp", "grad(g @ v, x)", "grad(g @ g / 2, x)", "this is H g"),
    ("hvp", "grad(g @ v, x)", "grad(g.sum(), x)", "v does not enter"),
    ("hvp", "grad(g @ v, x)[0]", "grad(g.sum(), x)[0] * v", "v comes too late"),
    ("hvp", SECOND, "return torch.autograd.grad(g, x, torch.ones_like(g))[0] * v", "v comes too late"),
    ("hvp", SECOND, "return g", "this is the gradient g"),
    ("hvp", SECOND, "return g * (g @ v)", "made of first derivatives only"),
    ("hvp", "grad(g @ v, x)[0]", "grad(g @ v, x)[0] * v", "v comes twice"),
    ("hvp", "grad(g @ v, x)[0]", "grad(g @ v, x)[0] / v.norm()", "divided by the length of v"),
    ("hvp", SECOND, "return torch.autograd.functional.hessian(loss, x).diagonal() * v", "the diagonal of H"),
    (
        "hvp",
        SECOND,
        """if not hasattr(loss, "outputs"):
        return torch.autograd.grad(g @ v, x)[0]
    J = torch.autograd.functional.jacobian(lambda x: loss.outputs(x).flatten(), x)
    return J.T @ (J @ v) / len(loss.inputs)""",
        "the Gauss-Newton matrix",
    ),
    (
        "hvp",
        SECOND,
        """a = x.detach().requires_grad_()
    b = (x + 1e-3 * v).detach().requires_grad_()
    one, two = (torch.autograd.grad(loss(p), p)[0] for p in (a, b))
    return (two - one) / 1e-3""",
        "loses digits",
    ),
    ("hvp", "x.detach().clone().requires_grad_()", "x.requires_grad_()", "it leaves requires_grad set"),
    (
        "hvp",
        "x = x.detach().clone().requires_grad_()\n    g = torch.autograd.grad(loss(x), x, create_graph=True)[0]",
        "x.requires_grad_()\n    loss(x).backward(create_graph=True)\n    g = x.grad",
        "it leaves a gradient in x.grad",
    ),
    ("power", "value = u @ v", "value = v.norm()", "a length has no sign"),
    ("power", "value = u @ v", "value = abs(u @ v)", "the sign is lost"),
    ("power", "u = v / v.norm()", "u = v", "will overflow"),
    ("power", "value = u @ v", "value = v @ v", "the squared length of Av"),
    ("power", "value = u @ v", "value = v[0] / u[0]", "the quotient of two entries"),
    ("power", "value = u @ v", "value = v.mean() / u.mean()", "the quotient of two means"),
    ("power", "value = u @ v\n", "u = v\n    v = matvec(u)\n    value = u @ v\n", "v·Av needs a v of length 1"),
    (
        "power",
        "value = u @ v\n    return float(value), float((v - value * u).norm())",
        "u = v\n    v = matvec(u)\n    value = u @ v / (u @ u)\n    return float(value), float((v - value * u).norm())",
        "of an eigenvector of length 1",
    ),
    (
        "power",
        "(v - value * u).norm()",
        "(v - value * u).norm() / abs(value)",
        "divided the residual by the eigenvalue",
    ),
    ("power", "(v - value * u).norm()", "(v - value * u).norm() ** 2", "the squared residual"),
    ("power", "(v - value * u).norm()", "(v - value * u).square().mean().sqrt()", "a root mean square"),
    ("power", "(v - value * u).norm()", "(v / v.norm() - u).norm()", "how far the vector moved"),
    (
        "power",
        "return float(value), float((v - value * u).norm())",
        "return float((v - value * u).norm()), float(value)",
        "swapped",
    ),
    ("power", "return float(value), float((v - value * u).norm())", "return float(value)", "it returns one number"),
    ("power", "range(steps)", "range(3 * steps)", "it multiplies 21 times"),
    ("power", RANDOM, "torch.randn(n, generator=torch.Generator().manual_seed(0))", "another seed gives the same"),
    ("power", RANDOM, "torch.randn(n)", "the same seed gives another start"),
    ("power", RANDOM, "torch.ones(n)", "start at random"),
    ("top_eigenvalues", "v = v - value * (w @ u) * w", "pass", "of all that you have found"),
    (
        "top_eigenvalues",
        "generator = torch.Generator().manual_seed(seed)\n",
        LANCZOS_WITH_GHOSTS,
        "Keep each vector orthogonal",
    ),
    ("top_eigenvalues", "found.append((float(u @ v), u))", "found.append((float(u @ v), v))", "outside of all"),
    ("top_eigenvalues", "v - value * (w @ u) * w", "v - (w @ u) * w", "not v v^T"),
    ("top_eigenvalues", "reverse=True", "reverse=False", "the other way round"),
    ("top_eigenvalues", "range(steps)", "range(2 * steps)", "it multiplies 240 times"),
    (
        "top_eigenvalues",
        "generator = torch.Generator().manual_seed(seed)\n",
        """A = torch.stack([matvec(row) for row in torch.eye(n)])
    return torch.linalg.eigvalsh(A)[:k]
""",
        "the smallest ones",
    ),
    ("top_eigenvalues", "range(steps)", "range(2)", "these are not the 3 largest"),
    ("trace", "np.mean(found), np", "np.mean(found) / n, np", "you divided by n"),
    ("trace", "np.mean(found), np", "np.sum(found), np", "the sum over the samples"),
    ("trace", "np.mean(found), np", "np.median(found), np", "a median"),
    ("trace", "np.mean(found), np", "found[0], np", "the first sample alone"),
    ("trace", "np.mean(found), np", "found[-1], np", "the last sample alone"),
    ("trace", "float(z @ matvec(z))", "float(matvec(z).norm())", "the length of Az"),
    ("trace", " / samples**0.5", "", "the spread of one sample"),
    ("trace", " / samples**0.5", " / samples", "over the root of samples"),
    ("trace", "np.std(found, ddof=1) / samples**0.5", "np.var(found) / samples", "this is a variance"),
    (
        "trace",
        "return np.mean(found), np.std(found, ddof=1) / samples**0.5",
        "return np.std(found, ddof=1) / samples**0.5, np.mean(found)",
        "swapped",
    ),
    (
        "trace",
        "return np.mean(found), np.std(found, ddof=1) / samples**0.5",
        "return np.mean(found)",
        "it returns one number",
    ),
    ("trace", "        z =", "        generator.manual_seed(seed)\n        z =", "seed the generator once"),
    (
        "trace",
        "    for _ in range(samples):\n        z = torch.randint(2, (n,), generator=generator) * 2.0 - 1\n",
        "    z = torch.randint(2, (n,), generator=generator) * 2.0 - 1\n    for _ in range(samples):\n",
        "one vector is used for every sample",
    ),
    ("trace", SIGNS, "torch.rand(n, generator=generator)", "entries are above 0"),
    ("trace", SIGNS, "torch.rand(n, generator=generator) * 2 - 1", "the mean square 1"),
    ("trace", "range(samples)", "range(samples // 2)", "it multiplies 20 times"),
    ("trace", "manual_seed(seed)", "manual_seed(3)", "another seed gives the same"),
    ("edge", "2 * (1 + momentum) / lr", "1 / lr", "lands on the minimum"),
    ("edge", "2 * (1 + momentum) / lr", "(1 + momentum) / lr", "half of it"),
    ("edge", "2 * (1 + momentum) / lr", "2 / lr", "right without momentum"),
    ("edge", "2 * (1 + momentum) / lr", "(2 + momentum) / lr", "momentum enters twice"),
    ("edge", "2 * (1 + momentum) / lr", "2 * (1 - momentum) / lr", "the sign of the momentum"),
    ("edge", "2 * (1 + momentum) / lr", "2 / (1 - momentum) / lr", "goes on a slope"),
    ("edge", "2 * (1 + momentum) / lr", "2 * (1 + momentum) / (1 - momentum) / lr", "as in Adam"),
    ("edge", "2 * (1 + momentum) / lr", "lr / (2 + 2 * momentum)", "upside down"),
    ("edge", "2 * (1 + momentum) / lr", "2 * (1 + momentum)", "lr does not enter"),
    ("track", "range(steps + 1)", "range(steps)", "the row of the end is missing"),
    ("track", "if step % every == 0:", "if step % every == 0 and step:", "the row of the start is missing"),
    ("track", "if step % every == 0:", "if True:", "a row for each step"),
    ("track", "range(steps + 1)", "range(2 * steps + 1)", "it returns 7 rows"),
    ("track", ROW, "rows.append((step // every, float(loss), value * lr / 2))", "it counts the rows"),
    ("track", ROW, "rows.append((step + 1, float(loss), value * lr / 2))", "step numbers begin with 0"),
    ("track", ROW, "rows.append((step * lr, float(loss), value * lr / 2))", "not the step times lr"),
    ("track", "loss.item(), value", "float(f(x - lr * torch.autograd.grad(f(x), x)[0])), value", "after the next step"),
    (
        "track",
        STEPPED,
        """        if step % every == 0:
            value, _ = power(lambda v: hvp(f, x, v), len(x), 20, 0)
            rows.append((step, float(before if step else loss), value * lr / 2))
        before = loss
        x = x - lr * torch.autograd.grad(loss, x)[0]
""",
        "the loss before the last step",
    ),
    ("track", "x - lr * torch", "x + lr * torch", "uphill"),
    (
        "track",
        "(step, loss.item(),",
        "(step, rows[0][1] if rows else loss.item(),",
        "the loss is always that of the start",
    ),
    (
        "track",
        "value, _ = power(lambda v: hvp(f, x, v), len(x), 20, 0)",
        """y = x - lr * torch.autograd.grad(f(x), x)[0]
            value, _ = power(lambda v: hvp(f, y, v), len(x), 20, 0)""",
        "this curvature is that after the next step",
    ),
    (
        "track",
        STEPPED,
        """        if step % every == 0:
            at = before if step else x
            value, _ = power(lambda v: hvp(f, at, v), len(x), 20, 0)
            rows.append((step, loss.item(), value * lr / 2))
        before = x
        x = x - lr * torch.autograd.grad(loss, x)[0]
""",
        "this curvature is that before the last step",
    ),
    (
        "track",
        "value, _ = power(lambda v: hvp(f, x, v), len(x), 20, 0)",
        "value = value if step else power(lambda v: hvp(f, x, v), len(x), 20, 0)[0]",
        "the curvature is always that of the start",
    ),
    ("track", "value * lr / 2", "value", "this is lambda: in units"),
    ("track", "value * lr / 2", "value * lr", "this is lambda lr: in units"),
    ("track", "value * lr / 2", "value / 2", "this is lambda / 2: in units"),
    ("track", "value * lr / 2", "2 / (value * lr)", "the fraction is upside down"),
    (
        "track",
        "value, _ = power(lambda v: hvp(f, x, v), len(x), 20, 0)",
        "value = float(torch.linalg.eigvalsh(torch.autograd.functional.hessian(f, x.detach()))[0])",
        "the smallest eigenvalue",
    ),
    ("track", "len(x), 20, 0)", "len(x), 1, 0)", "to one percent"),
    ("track", "    rows = []\n", "    rows = []\n    x.requires_grad_()\n", "leaves a gradient on its argument"),
    ("track", "    rows = []\n", "    rows = []\n    x *= 1.01\n", "argument x in place"),
    ("batch_sharpness", CURVED, f"g @ hvp({EVERY}, x, g) / (g @ g)", "H is that of all rows"),
    (
        "batch_sharpness",
        "g = torch.autograd.grad(batch(x), x)[0]",
        f"g = torch.autograd.grad({EVERY}(x), x)[0]",
        "g is that of all rows",
    ),
    ("batch_sharpness", "batch = f.subset(rows)", f"f.subset(rows)\n        batch = {EVERY}", "g and H are those of"),
    ("batch_sharpness", CURVED, "g @ hvp(batch, x, g)", "the division by g·g is missing"),
    ("batch_sharpness", CURVED, "g @ hvp(batch, x, g) / g.norm()", "by the length of g"),
    ("batch_sharpness", CURVED, "g @ hvp(batch, x, g) / (g @ g) ** 2", "by g·g twice"),
    ("batch_sharpness", "sum(found) / samples", "sum(found)", "the sum over the batches"),
    ("batch_sharpness", "sum(found) / samples", "found[0]", "the first batch alone"),
    ("batch_sharpness", "sum(found) / samples", "found[-1]", "the last batch alone"),
    ("batch_sharpness", "sum(found) / samples", "float(np.median(found))", "a median"),
    (
        "batch_sharpness",
        CURVED,
        "top_eigenvalues(lambda v: hvp(batch, x, v), len(x), 1, 200, 0)[0]",
        "each batch's largest eigenvalue",
    ),
    ("batch_sharpness", CURVED, "hvp(batch, x, g).norm() / g.norm()", "this is |Hg| / |g|"),
    ("batch_sharpness", CURVED, "torch.autograd.functional.hessian(batch, x.detach()).trace()", "each batch's trace"),
    ("batch_sharpness", PERMUTED, "torch.randint(f.rows, (m,), generator=generator)", "a row twice"),
    ("batch_sharpness", PERMUTED, "torch.randperm(f.rows // 2, generator=generator)[:m]", "are ever drawn"),
    ("batch_sharpness", PERMUTED, "torch.randperm(f.rows, generator=generator)[:m + 1]", "draws batches of [5]"),
    (
        "batch_sharpness",
        "        rows =",
        "        generator.manual_seed(seed)\n        rows =",
        "seed the generator once",
    ),
    ("batch_sharpness", "range(samples)", "range(samples - 1)", "it draws 14 batches"),
    ("batch_sharpness", "f.subset(rows)", EVERY, "it never asks for a batch"),
    ("batch_sharpness", PERMUTED, "torch.randperm(f.rows)[:m]", "the same seed gives other batches"),
    ("batch_sharpness", "manual_seed(seed)", "manual_seed(0)", "another seed gives the same batches"),
    ("arrival", "for step, _, sharp in rows:", "for step, (_, _, sharp) in enumerate(rows):", "the number of the row"),
    ("arrival", "return step", "return sharp", "this is the curvature there"),
    ("arrival", "for step, _, sharp in rows:", "for _, step, sharp in rows:", "this is the loss there"),
    ("arrival", "sharp >= 1", "sharp > 1", "at least 1, not above"),
    ("arrival", "in rows", "in reversed(rows)", "this is the last such row"),
    ("arrival", "sharp >= 1", "sharp == max(row[2] for row in rows)", "the row of the largest value"),
    ("arrival", "sharp >= 1", "sharp < 1", "the first row below the edge"),
    ("arrival", "return step", "return sum(row[2] >= 1 for row in rows)", "how many rows"),
    ("arrival", "return None", "return rows[-1][0]", "return None"),
    ("halved", "np.mean(last) * 2 / lr", "np.mean(last)", "these are in units of 2 / lr"),
    ("halved", "return sharp[0.05] / sharp[0.1]", "return sharp[0.1] / sharp[0.05]", "the other way round"),
    ("halved", "np.mean(last) * 2 / lr", "np.mean(last) * lr / 2", "you multiplied by lr"),
    ("halved", "curve[-4:]", "curve", "this is over all rows"),
    ("halved", "curve[-4:]", "curve[:4]", "these are the first four rows"),
    ("halved", "curve[-4:]", "curve[-1:]", "this is the last row alone"),
    ("halved", "curve[-4:]", "curve[-5:-1]", "this leaves the last row out"),
    ("halved", "curve[-4:]", "curve[-3:]", "these are three rows"),
    ("halved", 'recorded[f"squared {lr}"]', 'recorded[f"squared {lr}"][:1]', "the first seed alone"),
    ("halved", "squared", "cross entropy", "take the squared loss"),
    ("halved", "return sharp[0.05] / sharp[0.1]", 'return "{}"', "not the whole line"),
    (
        "halved",
        "return sharp[0.05] / sharp[0.1]",
        f"return {json.dumps(json.dumps(GPU | {'device': 'cpu'}))}",
        "on a GPU",
    ),
    (
        "halved",
        "return sharp[0.05] / sharp[0.1]",
        f"return {json.dumps(json.dumps(GPU | {'tracks': TRACKS[:2]}))}",
        "three rates",
    ),
    (
        "halved",
        "return sharp[0.05] / sharp[0.1]",
        f"return {json.dumps(json.dumps(GPU | {'arrival': [4, 5, 6]}))}",
        "mend your arrival",
    ),
]

RIGHT = [
    (
        "hvp",
        """
def hvp(loss, x, v):
    return torch.autograd.functional.hvp(loss, x, v)[1]
""",
    ),
    (
        "hvp",
        """
def hvp(loss, x, v):
    return torch.func.jvp(torch.func.grad(loss), (x,), (v,))[1]
""",
    ),
    (
        "hvp",
        """
def hvp(loss, x, v):
    # The whole Hessian, in float64.
    return (torch.autograd.functional.hessian(loss, x.double()) @ v.double()).numpy()
""",
    ),
    (
        "hvp",
        """
def hvp(loss, x, v):
    y = torch.tensor(x.tolist(), requires_grad=True)
    loss(y).backward(create_graph=True)
    g, y.grad = y.grad, None
    (g * v).sum().backward()
    return y.grad
""",
    ),
    (
        "power",
        """
def power(matvec, n, steps, seed):
    # One product more, for the last vector.
    torch.manual_seed(seed)
    v = torch.rand(n) - 0.5
    v = v / v.norm()
    for _ in range(steps):
        v = matvec(v)
        v = v / v.norm()
    Av = matvec(v)
    value = v @ Av
    return value, (Av - value * v).norm()
""",
    ),
    (
        "power",
        """
def power(matvec, n, steps, seed):
    # The value of one vector and the next vector's residual, in float64.
    v = np.random.default_rng(seed).standard_normal(n)
    v /= np.linalg.norm(v)
    for _ in range(steps):
        Av = np.asarray(matvec(torch.from_numpy(v)))
        value = v @ Av
        v = Av / np.linalg.norm(Av)
    return np.array([value, np.linalg.norm(np.asarray(matvec(torch.from_numpy(v))) - value * v)])
""",
    ),
    (
        "power",
        """
def power(matvec, n, steps, seed):
    # Not normalised at the end, but divided by v v.
    v = torch.randn(n, generator=torch.Generator().manual_seed(seed)).double()
    for k in range(steps):
        v = matvec(v) / (k + 5)
    Av = matvec(v)
    value = (v @ Av) / (v @ v)
    return [float(value), float((Av - value * v).norm() / v.norm())]
""",
    ),
    (
        "top_eigenvalues",
        """
def top_eigenvalues(matvec, n, k, steps, seed):
    # Lanczos: each vector orthogonal to all before, twice.
    g = torch.Generator().manual_seed(seed)
    count = min(n, k * steps)
    Q, AQ = [], []
    w = torch.randn(n, generator=g).double()
    for _ in range(count):
        for q in Q + Q:
            w = w - (q @ w) * q
        Q.append(w / w.norm())
        AQ.append(matvec(Q[-1]))
        w = AQ[-1]
    T = torch.stack(Q) @ torch.stack(AQ).T
    return torch.linalg.eigvalsh((T + T.T) / 2).flip(0)[:k]
""",
    ),
    (
        "top_eigenvalues",
        """
def top_eigenvalues(matvec, n, k, steps, seed):
    # Each vector is kept orthogonal to those found, and the search is the student's own power.
    found, vectors = [], []
    for number in range(k):
        last = []
        def project(v):
            for u in vectors:
                v = v - (u @ v) * u
            return v
        def rest(v):
            last[:] = [v]
            return project(matvec(project(v)))
        found.append(power(rest, n, steps, seed + number)[0])
        u = project(last[0])
        vectors.append(u / u.norm())
    return np.sort(found)[::-1].copy()
""",
    ),
    (
        "top_eigenvalues",
        """
def top_eigenvalues(matvec, n, k, steps, seed):
    # All k at once: subspace iteration.
    V = torch.linalg.qr(torch.randn(n, k + 0, generator=torch.Generator().manual_seed(seed)).double())[0]
    for _ in range(steps):
        AV = torch.stack([matvec(v) for v in V.T], 1)
        small = V.T @ AV
        V = torch.linalg.qr(AV)[0]
    return torch.linalg.eigvalsh((small + small.T) / 2).flip(0).tolist()
""",
    ),
    (
        "trace",
        """
def trace(matvec, n, samples, seed):
    # Normal numbers.
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(samples, n, generator=generator)
    found = torch.stack([one @ matvec(one) for one in z])
    return torch.stack([found.mean(), found.std() / samples**0.5])
""",
    ),
    (
        "trace",
        """
def trace(matvec, n, samples, seed):
    # Vectors of length 1, times n.
    rng, found = np.random.default_rng(seed), []
    for _ in range(samples):
        z = torch.from_numpy(rng.standard_normal(n))
        z = z / z.norm()
        found.append(n * float(z @ matvec(z)))
    return sum(found) / samples, np.std(found) / (samples - 1) ** 0.5
""",
    ),
    (
        "edge",
        """
def edge(lr, momentum):
    return torch.tensor((2 + 2 * momentum) / lr)
""",
    ),
    (
        "edge",
        """
def edge(lr, momentum):
    # By trying.
    low, high = 0.0, 10.0
    for _ in range(60):
        middle = (low + high) / 2
        stable = abs(np.roots([1, -(1 + momentum - middle), momentum])).max() < 1
        low, high = (middle, high) if stable else (low, middle)
    return np.array([low / lr])
""",
    ),
    (
        "track",
        """
def track(f, x, lr, steps, every):
    # The whole Hessian, in float64, as an array.
    x, rows = x.double(), []
    for step in range(steps + 1):
        if step % every == 0:
            H = torch.autograd.functional.hessian(f, x)
            rows.append([step, float(f(x)), float(torch.linalg.eigvalsh(H)[-1]) * lr / 2])
        x = x - lr * torch.func.grad(f)(x)
    return np.array(rows)
""",
    ),
    (
        "track",
        """
def track(f, x, lr, steps, every):
    def row(step, y):
        return torch.tensor([step, f(y), power(lambda v: hvp(f, y, v), len(y), 30, 1)[0] * lr / 2])
    y = x.clone()
    rows = [row(0, y)]
    for step in range(1, steps + 1):
        y.requires_grad_(True)
        f(y).backward()
        with torch.no_grad():
            y -= lr * y.grad
        y.grad = None
        y = y.detach()
        if step % every == 0:
            rows.append(row(step, y))
    return rows
""",
    ),
    (
        "batch_sharpness",
        """
def batch_sharpness(f, x, m, samples, seed):
    # A ratio of means.
    rng, above, below = np.random.default_rng(seed), [], []
    for _ in range(samples):
        batch = f.subset(rng.choice(f.rows, m, replace=False))
        g = torch.func.grad(batch)(x)
        above.append(float(g @ hvp(batch, x, g)))
        below.append(float(g @ g))
    return np.mean(above) / np.mean(below)
""",
    ),
    (
        "batch_sharpness",
        """
def batch_sharpness(f, x, m, samples, seed):
    # float64, and every batch asked for twice.
    import random
    drawer, found = random.Random(seed), []
    for _ in range(samples):
        rows = drawer.sample(range(f.rows), m)
        y = x.double().requires_grad_()
        (g,) = torch.autograd.grad(f.subset(rows)(y), y)
        d = g / g.norm()
        found.append(d @ torch.autograd.functional.hvp(f.subset(rows), x.double(), d)[1])
    return torch.stack(found).mean()
""",
    ),
    (
        "arrival",
        """
def arrival(rows):
    return next((row[0] for row in rows if row[2] >= 1), None)
""",
    ),
    (
        "arrival",
        """
def arrival(rows):
    table = np.array(rows)
    there = np.flatnonzero(table[:, 2] >= 1)
    return table[there[0], 0] if len(there) else None
""",
    ),
    (
        "halved",
        f"""
def halved(recorded):
    return {json.dumps(json.dumps(GPU))}
""",
    ),
    (
        "halved",
        """
def halved(recorded):
    # The mean of the seeds' ratios.
    half, full = (np.array(recorded[f"squared {lr}"])[:, -4:].mean(1) / lr for lr in (0.05, 0.1))
    return (half / full).mean()
""",
    ),
]
