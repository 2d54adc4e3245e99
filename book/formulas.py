"""A formula of a docstring as mathematics: it is typed once, in the plain text that help() and an editor show.

    S_max = E_S [max_{ ||delta / |x| ||_p <= rho } L_S(x + delta) - L_S(x)]

A Greek letter is its name, `_` and `^` are an index and an exponent, braces hold more than one sign of these, and the
other words are names. `1/N` divides what touches the slash, `a b / (c d)` the products beside it.
"""

import re

# A formula is typed as a reader of plain text expects it. What its words and signs are in TeX, as far as they are not
# the same there.
LETTERS = ("alpha", "beta", "gamma", "delta", "eta", "theta", "lambda", "rho", "sigma", "phi", "xi", "pi")
FUNCTIONS = ("max", "min", "cos", "sin", "log", "sum", "in")
WORDS = {word: rf"\{word}" for word in LETTERS + FUNCTIONS} | {"eps": r"\epsilon", "grad": r"\nabla", "dt": "dt"}
WORDS |= {word: rf"\operatorname{{{word}}}" for word in ("argmin", "argmax", "diag", "mean", "sign", "tr")}
WORDS |= {"atan2": r"\operatorname{\text{atan2}}"}  # which TeX would read as a product
PROSE = ("at", "for", "or", "subject", "to")  # what joins formulas, and is no name in them
SIGNS = {"<=": r"\le", ">=": r"\ge", "<": "<", ">": ">", "->": r"\to", "<-": r"\leftarrow"}
SIGNS |= {"~": r"\approx", ".": r"\cdot"} | {sign: sign for sign in "=+-,;:"} | {"...": r"\ldots", "..": r", \ldots,"}
BRACKETS = {
    "(": ("(", ")"),
    "[": ("[", "]"),
    "{": (r"\{", r"\}"),
    "⟦": (r"\lvert", r"\rvert"),
    "⟪": (r"\lVert", r"\rVert"),
}
CLOSING = dict(zip("([{⟦⟪", ")]}⟧⟫"))
TOKEN = re.compile(r"\s+|<=|>=|->|<-|\.\.\.?|[A-Za-z]+\d?|\d+(?:\.\d+)?|.")
# What is left to read, where a distribution follows, or where E is an expectation of what follows and no quantity E.
DISTRIBUTION = re.compile(r"~ N\(")
EXPECTATION = re.compile(r"E(_\w+\b)? ?[A-Za-z(\[⟦⟪]")
# A bar opens behind a space, a bracket or a slash, where no space, exponent or index follows, and closes elsewhere.
BAR = re.compile(r"(?P<opens>(?<![^\s(/{\[,])\|\|?(?![|\s_^)]))|(?P<closes>\|\|?)")


class Formula:
    """A formula in plain text, read into TeX from left to right."""

    def __init__(self, text):
        def bar(found):
            return ("⟦⟪" if found["opens"] else "⟧⟫")[len(found[0]) - 1]

        self.tokens, self.at = TOKEN.findall(BAR.sub(bar, text)), 0

    def next(self, place=0):
        return self.tokens[self.at + place] if 0 <= self.at + place < len(self.tokens) else ""

    def follows(self, pattern):
        """Whether what is left to read begins so."""
        return pattern.match("".join(self.tokens[self.at :]))

    def until(self, closing=""):
        """All up to the closing bracket. A slash between spaces divides the whole products beside it."""
        done, product, above = [], [], None

        def finished():
            return fraction(above, product) if above is not None else " ".join(product)

        while self.next() != closing:
            if self.at >= len(self.tokens):
                raise ValueError(f"no {closing} closes a bracket of this formula: {''.join(self.tokens)}")
            token, tight = self.next(), self.next(-1).strip()
            if token == "/" and not tight:
                above, product = product, []
                self.at += 1
            elif token == "/":
                self.at += 1
                product.append(fraction([product.pop()], [self.part()]))
            elif token in SIGNS or token in PROSE:
                sign = r"\sim" if self.follows(DISTRIBUTION) else SIGNS.get(token, rf"\text{{ {token} }}")
                done += [finished(), sign]
                product, above = [], None
                self.at += 1
            elif token.strip():
                product.append(self.part())
            else:
                self.at += 1
        self.at += 1
        return " ".join(filter(None, [*done, finished()]))

    def part(self):
        """A name, a number or a bracket, with its index and exponent."""
        token, done = self.next(), ""
        expected = self.follows(EXPECTATION)
        self.at += 1
        if expected:
            done = r"\mathbb{E}"
        elif token in BRACKETS:
            left, right = BRACKETS[token]
            inside = self.until(CLOSING[token])
            tall = r"\frac" in inside or r"\sum" in inside
            done = rf"\left{left} {inside} \right{right}" if tall else f"{left} {inside} {right}"
        elif token == "N" and self.next() == "(":
            done = r"\mathcal{N}"
        elif token == "sqrt":
            return rf"\sqrt{{{bare(self.part())}}}"
        else:
            done = name(token)
        while self.next() and self.next() in "_^":
            script = self.next()
            self.at += 1
            self.at += 1
            inside = self.until("}") if self.next(-1) == "{" else name(self.next(-1))
            done += f"{script}{{{inside}}}"
        return done


def name(token):
    """A word, a letter with its number, or a number."""
    if found := re.fullmatch(r"([A-Za-z])(\d)", token):
        return rf"{found[1]}_{{{found[2]}}}"
    return WORDS.get(token) or (rf"\mathrm{{{token}}}" if len(token) > 1 and token.isalpha() else token)


def fraction(above, below):
    if not above or not below:
        raise ValueError(f"a fraction of this formula is empty: {above} / {below}")
    return rf"\frac{{{bare(' '.join(above))}}}{{{bare(' '.join(below))}}}"


def bare(tex):
    """Without the round brackets around all of it, which a fraction's bar or a root's makes needless."""
    ends = [end for end in range(1, len(tex) + 1) if tex[:end].count("(") == tex[:end].count(")") > 0]
    if not re.match(r"(\\left)?\(", tex) or ends[0] < len(tex):
        return tex
    return tex.removeprefix(r"\left").removesuffix(")").removesuffix(r"\right").strip()[1:].strip()


def tex(lines):
    """The lines of a formula as TeX: three spaces or more divide formulas, or the columns of rows. Of one line each
    formula has a line of its own, because a phone is too narrow for two of them."""
    rows = [re.split(r" {3,}", line.strip()) for line in lines]
    rows = [[re.sub(r" \}\s*\\text\{ ", " ", Formula(part).until()) for part in row] for row in rows]
    if len(rows) == 1:
        rows = [[part] for part in rows[0]]
    body = r" \\[1ex] ".join(" & ".join(row) for row in rows)
    if any(len(row) > 1 for row in rows):
        return rf"\begin{{array}}{{{'l' * max(map(len, rows))}}} {body} \end{{array}}"
    return rf"\begin{{gathered}} {body} \end{{gathered}}" if len(rows) > 1 else body
