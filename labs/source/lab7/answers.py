"""What students answer in Lab 7: mistakes, each with words of the hint that it must get, and other right answers.

MISTAKES    (exercise, what is replaced in the reference, by what, words of the hint)
RIGHT       (exercise, a whole answer that is as right as the reference)
ALIKE       (exercise, words) of mistakes that are one, written in several ways
GIVEN       names of the given cells that answers use

Each mistake gets its own hint from the check and no marks from the hidden tests; each right answer gets a tick and full
marks.
"""

from scipy import stats

GIVEN = {"stats": stats}

ALIKE = {("paired_interval", "the pairs are lost")}

ENDS = "return d.mean() - half, d.mean() + half"
OWN = "low, high = paired_interval(values, [0.0] * len(values), 0.95)"
FEW = 'if len(values) < 5:\n        return "undecided"'
TAU = "float((dx * dy).sum() / pairs**0.5) if pairs else 0.0"
TURN = "kendall(x, generator.permutation(y)) >= found"
KL = "0.5 * (n * ratio + square / sigma0**2 - n - n * np.log(ratio))"
BOUND = "error + ((kl + np.log(2 * N**0.5 / delta)) / (2 * N)) ** 0.5"
SIZES = "np.average(taus, weights=[len(group) for group in groups.values() if len(group) > 1])"
MISTAKES = [
    ("paired_interval", "stats.t.ppf((1 + level) / 2, n - 1)", "stats.norm.ppf((1 + level) / 2)", "a normal quantile"),
    ("paired_interval", "d.std(ddof=1)", "(np.var(a, ddof=1) + np.var(b, ddof=1)) ** 0.5", "the pairs are lost"),
    ("paired_interval", ENDS, "return stats.ttest_ind(a, b).confidence_interval(level)", "the pairs are lost"),
    ("paired_interval", "ddof=1", "ddof=0", "the population's standard deviation"),
    ("paired_interval", " / n**0.5", "", "the spread of one difference"),
    ("paired_interval", "n**0.5", "n", "you divided by n"),
    ("paired_interval", "(1 + level) / 2", "level", "on either side"),
    ("paired_interval", "(1 + level) / 2", "1 - level / 2", "the share that lies inside"),
    ("paired_interval", "(1 + level) / 2", "0.975", "level does not enter"),
    ("paired_interval", "n - 1)", "n)", "n - 1 degrees of freedom"),
    ("paired_interval", "np.subtract(a, b)", "np.subtract(b, a)", "it is a - b"),
    ("paired_interval", ENDS, "return d.mean() + half, d.mean() - half", "the ends are exchanged"),
    ("paired_interval", ENDS, "return d.mean(), half", "the mean and the half width"),
    ("paired_interval", ENDS, "return d.mean()", "it returns one number"),
    ("paired_interval", "np.subtract(a, b)", "np.array(a)", "b does not enter"),
    ("paired_interval", "n = len(d)", "n = len(d)\n    a.sort()", "argument a in place"),
    ("verdict", OWN, "low = high = np.mean(values)", "the mean alone"),
    ("verdict", f"{FEW}\n    {OWN}", "low = high = np.mean(values)", "And fewer than 5"),
    ("verdict", "len(values) < 5", "len(values) < 2", "fewer than 5 values"),
    ("verdict", "len(values) < 5", "len(values) <= 5", "5 values are enough"),
    (
        "verdict",
        '    if high < above or low > below:\n        return "fails"\n    return "undecided"',
        '    return "fails"',
        "need not fail",
    ),
    (
        "verdict",
        f'{FEW}\n    {OWN}\n    if above < low and high < below:\n        return "holds"',
        f'{OWN}\n    return "holds" if len(values) > 4 and above < low and high < below else "fails"',
        "undecided never comes out",
    ),
    ("verdict", '    if high < above or low > below:\n        return "fails"\n', "", "it never fails"),
    ("verdict", OWN, "low, high = min(values), max(values)", "every single seed"),
    ("verdict", "low, high = ", 'below = float("inf")\n    low, high = ', "below does not enter"),
    ("verdict", "low, high = ", 'above = float("-inf")\n    low, high = ', "above does not enter"),
    ("verdict", OWN, "low, high = stats.norm.interval(0.95, np.mean(values), stats.sem(values))", "a normal quantile"),
    (
        "verdict",
        OWN,
        "low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values, ddof=0))",
        "(ddof=0)",
    ),
    (
        "verdict",
        OWN,
        "low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), np.std(values, ddof=1))",
        "the spread of one value",
    ),
    ("verdict", "0.95", "0.9", "5 % on each side"),
    ("verdict", "0.95", "0.99", "the level 0.99"),
    ("verdict", "above < low and high < below", "above < high and low < below", "the whole of it must lie there"),
    (
        "verdict",
        "if above < low and high < below",
        'if abs(above + below) < 1e9 and low < 0 < high:\n        return "holds"\n    if above < low and high < below',
        "zero lies inside the interval",
    ),
    (
        "verdict",
        "low, high = ",
        'if above != 0:\n        above, below = 0, float("inf")\n    low, high = ',
        "compare with the bounds",
    ),
    (
        "verdict",
        'return "holds"\n    if high < above or low > below:\n        return "fails"',
        'return "fails"\n    if high < above or low > below:\n        return "holds"',
        "holds and fails are exchanged",
    ),
    ("verdict", 'return "holds"', 'return "true"', "the words are holds, fails, undecided"),
    ("verdict", 'return "holds"', "return True", "one word, a text"),
    (
        "seeds_needed",
        "sum(stats.t.ppf([0.975, 0.8], n - 1))",
        "sum(stats.norm.ppf([0.975, 0.8]))",
        "with normal quantiles",
    ),
    ("seeds_needed", "n = 5", "n = 2", "begin at 5"),
    ("seeds_needed", "n**0.5", "n", "not as 1 / n"),
    ("seeds_needed", "[0.975, 0.8]", "[0.975]", "the power is left out"),
    ("seeds_needed", "0.975", "0.95", "the level is two-sided"),
    ("seeds_needed", "0.8", "0.2", "the quantile of 0.2 is negative"),
    ("seeds_needed", "0.8", "0.9", "a power of 0.9"),
    ("seeds_needed", "0.8", "0.975", "comes twice"),
    ("seeds_needed", "* sd", "* 2**0.5 * sd", "not multiplied by sqrt(2)"),
    ("seeds_needed", "* sd", "* sd**2", "do not square it again"),
    ("seeds_needed", "* sd / n**0.5 > effect", "* effect / n**0.5 > sd", "are exchanged"),
    ("seeds_needed", "return n", "return n - 1", "one too few"),
    ("seeds_needed", "return n", "return n + 1", "one too many"),
    ("seeds_needed", "return n", "return 2 * n", "the number of seeds, the pairs"),
    ("seeds_needed", "return n", "return n - 0.4", "a part of a seed"),
    ("kendall", TAU, "float(stats.pearsonr(x, y).statistic)", "Pearson's correlation: tau looks"),
    ("kendall", TAU, "float(stats.spearmanr(x, y).statistic)", "Spearman's"),
    ("kendall", "float((dx", "2 * float((dx", "counted twice"),
    ("kendall", "pairs**0.5)", "len(dx)) * 2", "counted twice"),
    ("kendall", "float((dx", "0.5 * float((dx", "twice below"),
    ("kendall", "pairs**0.5", "len(dx)", "right without ties"),
    ("kendall", "/ pairs**0.5", "/ (dx * dy != 0).sum()", "tied in one of the two count below"),
    ("kendall", "(dx * dy).sum() / pairs**0.5", "(2 * (dx * dy > 0) - 1).mean()", "is not discordant"),
    ("kendall", "(dx * dy).sum() / pairs**0.5", "(1 - 2 * (dx * dy < 0)).mean()", "is not concordant"),
    ("kendall", "/ pairs**0.5", "/ (dx != 0).sum()", "ties in y count too"),
    ("kendall", "/ pairs**0.5", "/ (dy != 0).sum()", "ties in x count too"),
    ("kendall", "pairs**0.5", "pairs", "the root of the product."),
    ("kendall", "float((dx", "-float((dx", "x and y rise together"),
    ("kendall", "(dx * dy).sum() / pairs**0.5", "(dx * dy > 0).mean()", "the share of concordant pairs"),
    ("kendall", " / pairs**0.5", "", "so that tau lies between"),
    ("kendall", "if pairs else 0.0", 'if pairs else float("nan")', "and not nan"),
    ("kendall", "if pairs else 0.0", "if pairs else 1.0", "return 0 there."),
    ("kendall", "    x, y = np.array(x, float)", "    y.sort()\n    x, y = np.array(x, float)", "argument y in place"),
    ("granulated", "    means = []\n", "    return kendall(x, y)\n    means = []\n", "in one pool"),
    ("granulated", "tuple(values[:k]) + tuple(values[k + 1:])", "values[k]", "this one varies"),
    ("granulated", " if len(group) > 1", "", "a group of one net has no pair"),
    ("granulated", "means.append(np.mean(taus))", "means.extend(taus)", "one mean over all groups"),
    ("granulated", "np.mean(taus)", SIZES, "larger groups count more"),
    (
        "granulated",
        "np.mean(taus)",
        "np.average(taus, weights=[len(g) * (len(g) - 1) for g in groups.values() if len(g) > 1])",
        "more pairs count more",
    ),
    ("granulated", "np.mean(means)", "np.sum(means)", "a sum over the factors"),
    ("granulated", "np.mean(means)", "means[0]", "the first factor alone"),
    ("granulated", "np.mean(means)", "means[-1]", "the last factor alone"),
    ("granulated", "np.mean(means)", "max(means)", "the largest over the factors"),
    (
        "granulated",
        "[kendall([x[i] for i in group], [y[i] for i in group])",
        "[np.nan_to_num(np.corrcoef([x[i] for i in group], [y[i] for i in group])[0, 1])",
        "take your kendall",
    ),
    ("granulated", "float(np.mean(means))", "-float(np.mean(means))", "the sign is the other way round"),
    ("permutation_p", "return (1 + as_large) / (1 + draws)", "return as_large / draws", "add one above and below"),
    ("permutation_p", "(1 + draws)", "draws", "and not below"),
    (
        "permutation_p",
        TURN,
        "[kendall(np.array(x)[order], np.array(y)[order]) for order in [generator.permutation(len(x))]][0] >= found",
        "x and y move together",
    ),
    (
        "permutation_p",
        "    for _ in range(draws):\n",
        "    for _ in range(draws):\n        generator = np.random.default_rng(seed)\n",
        "once, before the loop",
    ),
    ("permutation_p", "return (1", "return 2 * (1", "twice the p"),
    ("permutation_p", ">= found", "> found", "those with the same tau"),
    ("permutation_p", TURN, "abs(kendall(x, generator.permutation(y))) >= abs(found)", "both signs"),
    ("permutation_p", ">= found", "<= found", "a smaller tau"),
    ("permutation_p", "generator.permutation(y)", "generator.choice(y, len(y))", "with replacement"),
    ("permutation_p", "default_rng(seed)", "default_rng(0)", "pass seed on"),
    ("permutation_p", "default_rng(seed)", "default_rng()", "the same seed gives another p"),
    (
        "permutation_p",
        "as_large += kendall(x, generator.permutation(y)) >= found",
        "generator.shuffle(y)\n        as_large += kendall(x, y) >= found",
        "argument y in place",
    ),
    (
        "kl_gauss",
        "n, square = len(x)",
        "sigma, sigma0 = sigma0, sigma\n    n, square = len(x)",
        "the two are exchanged",
    ),
    ("kl_gauss", KL, "0.5 * square / sigma0**2", "every dimension adds"),
    ("kl_gauss", KL, "0.5 * square / sigma**2", "else sigma0^2 stands below"),
    ("kl_gauss", "n, square = len(x)", "n, square = 1", "one dimension"),
    ("kl_gauss", "square / sigma0**2", "square / sigma**2", "the prior is to cover it"),
    ("kl_gauss", "0.5 * (n", "(n", "the factor 1/2"),
    ("kl_gauss", " - n - n", " - n", "- n is missing"),
    ("kl_gauss", "np.log(ratio)", "np.log(ratio) / 2", "it counts twice"),
    ("kl_gauss", "- n * np.log", "+ n * np.log", "the wrong sign"),
    ("kl_gauss", " - n * np.log(ratio)", "", "the logarithm of the variances is missing"),
    ("kl_gauss", ".square().sum()", ".norm()", "not squared"),
    ("kl_gauss", " + square / sigma0**2", "", "does not enter"),
    ("kl_gauss", "return 0.5", "return 0.5 / n", "the mean over the dimensions"),
    ("kl_gauss", "ratio = ", "x -= x0\n    ratio = ", "argument x in place"),
    ("pac_bayes", "(2 * N)", "N", "2N stands below"),
    ("pac_bayes", " ** 0.5", "", "the root is missing"),
    ("pac_bayes", " / delta", "", "delta does not enter"),
    ("pac_bayes", "np.log(2 * N", "np.log(N", "the 2 within the logarithm"),
    ("pac_bayes", "N**0.5 / delta", "N / delta", "stands sqrt(N)"),
    ("pac_bayes", " * N**0.5 / delta", " / delta", "the sqrt(N) within the logarithm"),
    ("pac_bayes", "/ delta", "* delta", "delta stands above"),
    ("pac_bayes", "return error + ", "return ", "the training error is missing"),
    ("pac_bayes", "return error + ", "return error - ", "add the root"),
    ("pac_bayes", BOUND, f"min(1.0, {BOUND})", "above 1 says nothing"),
    (
        "pac_bayes",
        "((kl + np.log(2 * N**0.5 / delta)) / (2 * N)) ** 0.5",
        "(kl / (2 * N)) ** 0.5 + (np.log(2 * N**0.5 / delta) / (2 * N)) ** 0.5",
        "one root is taken of the sum",
    ),
    ("pac_bayes", "kl + ", "", "KL does not enter"),
    ("pac_bayes", "return error + ", "return 100 * error + 100 * ", "not percent"),
    ("held", "    means = []\n", "    return [kendall(x, y)] * len(factors[0])\n    means = []\n", "in one pool"),
    ("held", "values[k]", "tuple(values[:k]) + tuple(values[k + 1:])", "as in exercise 5"),
    ("held", " if len(group) > 1", "", "a group of one net has no pair"),
    ("held", "np.mean(taus)", SIZES, "larger groups count more"),
    ("held", "np.mean(taus)", "np.sum(taus)", "you summed the groups"),
    ("held", "np.mean(taus)", "taus[0]", "the first group"),
    ("held", "return means", "return means[::-1]", "the reverse order"),
    ("held", "float(np.mean(taus))", "-float(np.mean(taus))", "the sign is the other way round"),
]

RIGHT = [
    (
        "paired_interval",
        """
def paired_interval(a, b, level):
    return stats.ttest_rel(a, b).confidence_interval(level)
""",
    ),
    (
        "paired_interval",
        """
def paired_interval(a, b, level):
    d = torch.tensor(a) - torch.tensor(b)
    half = torch.tensor(stats.t.isf((1 - level) / 2, len(d) - 1)) * d.std() / len(d) ** 0.5
    return torch.stack([d.mean() - half, d.mean() + half])
""",
    ),
    (
        "paired_interval",
        """
def paired_interval(a, b, level):
    # Two loops and a list.
    d = [first - second for first, second in zip(a, b)]
    mean = sum(d) / len(d)
    s = (sum((one - mean) ** 2 for one in d) / (len(d) - 1)) ** 0.5
    return list(stats.t.interval(level, len(d) - 1, loc=mean, scale=s / len(d) ** 0.5))
""",
    ),
    (
        "verdict",
        """
def verdict(values, above, below):
    low, high = -np.inf, np.inf
    if len(values) > 4:
        low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    return np.array(["Undecided", "Fails", "Holds"])[2 * (low > above and high < below) + (high < above or low > below)]
""",
    ),
    (
        "verdict",
        """
def verdict(values, above, below):
    # By the p-values of two one-sided tests at each bound.
    if len(values) < 5:
        return "undecided"
    def sure(bound, side):
        return bool(np.isinf(bound)) or stats.ttest_1samp(values, bound, alternative=side).pvalue < 0.025
    if sure(above, "greater") and sure(below, "less"):
        return "holds"
    wrong = [not np.isinf(bound) and sure(bound, side) for bound, side in ((above, "less"), (below, "greater"))]
    return "fails" if any(wrong) else "undecided"
""",
    ),
    (
        "seeds_needed",
        """
def seeds_needed(sd, effect):
    # The exact power of the t test.
    n = 5
    while stats.nct.sf(stats.t.ppf(0.975, n - 1), n - 1, effect / sd * n**0.5) < 0.8:
        n = n + 1
    return n
""",
    ),
    (
        "seeds_needed",
        """
def seeds_needed(sd, effect):
    n = np.arange(5, 2000)
    enough = (stats.t.ppf(0.975, n - 1) + stats.t.ppf(0.8, n - 1)) * sd / np.sqrt(n) <= effect
    return n[np.argmax(enough)]
""",
    ),
    (
        "seeds_needed",
        """
def seeds_needed(sd, effect):
    # Up from a start with normal quantiles, which is a little too few.
    n = max(5, int(np.floor((2.8 * sd / effect) ** 2)) - 1)
    while effect < (stats.t.isf(0.025, n - 1) + stats.t.isf(0.2, n - 1)) * sd / n**0.5:
        n += 1
    return torch.tensor(float(n))
""",
    ),
    (
        "kendall",
        """
def kendall(x, y):
    value = stats.kendalltau(x, y).statistic
    return 0.0 if np.isnan(value) else value
""",
    ),
    (
        "kendall",
        """
def kendall(x, y):
    # All ordered pairs: every count is twice as large, above and below.
    x, y = torch.tensor(x).double(), torch.tensor(y).double()
    dx, dy = torch.sign(x[:, None] - x), torch.sign(y[:, None] - y)
    return torch.nan_to_num((dx * dy).sum() / (dx.abs().sum() * dy.abs().sum()).sqrt())
""",
    ),
    (
        "kendall",
        """
def kendall(x, y):
    C = D = X = Y = 0
    for i in range(len(x)):
        for j in range(i):
            C += (x[i] - x[j]) * (y[i] - y[j]) > 0
            D += (x[i] - x[j]) * (y[i] - y[j]) < 0
            X += x[i] != x[j]
            Y += y[i] != y[j]
    return (C - D) / (X * Y) ** 0.5 if X * Y else 0
""",
    ),
    (
        "granulated",
        """
def granulated(x, y, factors):
    import itertools
    means = []
    for k in range(len(factors[0])):
        key = lambda i: [str(one) for n, one in enumerate(factors[i]) if n != k]
        groups = [list(g) for _, g in itertools.groupby(sorted(range(len(x)), key=key), key)]
        taus = [kendall(np.array(x)[g], np.array(y)[g]) for g in groups if len(g) >= 2]
        means += [sum(taus) / len(taus)]
    return torch.tensor(means).mean()
""",
    ),
    (
        "granulated",
        """
def granulated(x, y, factors):
    # By pairs of networks: who differs in factor k alone?
    n, K = len(x), len(factors[0])
    means = []
    for k in range(K):
        taken, taus = set(), []
        for i in range(n):
            if i in taken:
                continue
            group = [j for j in range(n) if all(factors[i][q] == factors[j][q] for q in range(K) if q != k)]
            taken.update(group)
            if len(group) > 1:
                taus.append(stats.kendalltau([x[j] for j in group], [y[j] for j in group]).statistic)
        means.append(np.mean(np.nan_to_num(taus)))
    return np.array([np.mean(means)])
""",
    ),
    (
        "permutation_p",
        """
def permutation_p(x, y, draws, seed):
    import random
    drawer, found = random.Random(seed), kendall(x, y)
    larger = [kendall(drawer.sample(x, len(x)), y) >= found for _ in range(draws)]
    return (sum(larger) + 1) / (len(larger) + 1)
""",
    ),
    (
        "permutation_p",
        """
def permutation_p(x, y, draws, seed):
    # Shuffled on and on, and the order that was found among the others.
    torch.manual_seed(seed)
    y = torch.tensor(y)
    taus = [float(kendall(x, y.tolist()))]
    for _ in range(draws):
        y = y[torch.randperm(len(y))]
        taus.append(float(kendall(x, y.tolist())))
    return np.mean(np.array(taus) >= taus[0] - 1e-12)
""",
    ),
    (
        "kl_gauss",
        """
def kl_gauss(x, x0, sigma, sigma0):
    normal = torch.distributions.Normal
    return torch.distributions.kl_divergence(normal(x, sigma), normal(x0, sigma0)).sum()
""",
    ),
    (
        "kl_gauss",
        """
def kl_gauss(x, x0, sigma, sigma0):
    x, x0 = x.numpy().astype(float), x0.numpy().astype(float)
    v, v0 = sigma**2, sigma0**2
    return np.sum((v + (x - x0) ** 2) / v0 - 1 + np.log(v0 / v)) / 2
""",
    ),
    (
        "pac_bayes",
        """
def pac_bayes(error, kl, N, delta):
    import math
    return error + math.sqrt((kl + math.log(2) + math.log(N) / 2 - math.log(delta)) / N / 2)
""",
    ),
    (
        "pac_bayes",
        """
def pac_bayes(error, kl, N, delta):
    N = torch.tensor(float(N))
    return torch.tensor([error]) + torch.sqrt((kl + torch.log(2 * N.sqrt() / delta)) / (2 * N))
""",
    ),
    (
        "held",
        """
def held(x, y, factors):
    x, y = np.array(x), np.array(y)
    means = []
    for column in zip(*factors):
        column = np.array([str(one) for one in column])
        groups = [column == one for one in sorted(set(column))]
        means.append(np.mean([kendall(x[g], y[g]) for g in groups if g.sum() > 1]))
    return np.array(means)
""",
    ),
    (
        "held",
        """
def held(x, y, factors):
    found = ()
    for k in range(len(factors[0])):
        total = count = 0
        for value in dict.fromkeys(one[k] for one in factors):
            group = [i for i, one in enumerate(factors) if one[k] == value]
            if len(group) > 1:
                total, count = total + kendall([x[i] for i in group], [y[i] for i in group]), count + 1
        found += (total / count,)
    return found
""",
    ),
]
