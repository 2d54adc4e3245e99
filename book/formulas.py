"""A formula of a docstring as mathematics: it is typed once, in the plain text that help() and an editor show.

    S_max = E_S [max_{ ||delta / |x| ||_p <= rho } L_S(x + delta) - L_S(x)]

A Greek letter is its name, `_` and `^` are an index and an exponent, braces hold more than one sign of these, and the
other words are names. `1/N` divides what touches the slash, `a b / (c d)` the products beside it. In an index and in a
line of prose a fraction would be too small to read, so there the slash stays.
"""

import itertools
import re

# A formula is typed as a reader of plain text expects it. What its words and signs are in TeX, as far as they are not
# the same there.
LETTERS = ("alpha", "beta", "gamma", "delta", "eta", "theta", "lambda", "rho", "sigma", "phi", "xi", "pi")
FUNCTIONS = ("max", "min", "cos", "sin", "log", "ln", "sum", "in")
WORDS = {word: rf"\{word}" for word in LETTERS + FUNCTIONS} | {"eps": r"\epsilon", "grad": r"\nabla", "dt": "dt"}
WORDS |= {word: rf"\operatorname{{{word}}}" for word in ("argmin", "argmax", "diag", "mean", "sign", "tr")}
WORDS |= {"atan2": r"\operatorname{\text{atan2}}"}  # which TeX would read as a product
PROSE = ("at", "for", "or", "subject", "to")  # what joins formulas, and is no name in them
SIGNS = {"<=": r"\le", ">=": r"\ge", "<": "<", ">": ">", "->": r"\to", "<-": r"\leftarrow"}
SIGNS |= {"+-": r"\pm", "~": r"\approx", ".": r"\cdot", "∥": r"\parallel", "...": r"\ldots", "..": r", \ldots,"}
SIGNS |= {sign: sign for sign in "=+-,;:"}
WORD = r"\mathrm"
BRACKETS = {
    "(": ("(", ")"),
    "[": ("[", "]"),
    "{": (r"\{", r"\}"),
    "⟦": (r"\lvert", r"\rvert"),
    "⟪": (r"\lVert", r"\rVert"),
}
CLOSING = dict(zip("([{⟦⟪", ")]}⟧⟫"))
TOKEN = re.compile(r"\s+|\+-|<=|>=|->|<-|\.\.\.?|[A-Za-z]+\d?|\d+(?:\.\d+)?|.")
# What is left to read, where a distribution follows, or where E is an expectation of what follows and no quantity E.
DISTRIBUTION = re.compile(r"~ N\(")
EXPECTATION = re.compile(r"E(_\w+\b)? ?[A-Za-z(\[⟦⟪]")
# A bar opens behind a space, a bracket or a slash, where no space, exponent or index follows, and closes elsewhere. A
# double one between spaces stands between two distributions.
BAR = re.compile(r"(?P<between>(?<=\s)\|\|(?=\s))|(?P<opens>(?<![^\s(/{\[,])\|\|?(?![|\s_^)]))|(?P<closes>\|\|?)")


class Formula:
    """A formula in plain text, read into TeX from left to right."""

    def __init__(self, text, inline=False):
        def bar(found):
            if found["between"]:
                return "∥"
            return ("⟦⟪" if found["opens"] else "⟧⟫")[len(found[0]) - 1]

        self.tokens, self.at = TOKEN.findall(BAR.sub(bar, text)), 0
        self.fraction = slash if inline else fraction

    def next(self, place=0):
        return self.tokens[self.at + place] if 0 <= self.at + place < len(self.tokens) else ""

    def follows(self, pattern):
        """Whether what is left to read begins so."""
        return pattern.match("".join(self.tokens[self.at :]))

    def until(self, closing=""):
        """All up to the closing bracket. A slash between spaces divides the whole products beside it."""
        done, product, above = [], [], None

        def finished():
            return self.fraction(above, product) if above is not None else times(product)

        while self.next() != closing:
            if self.at >= len(self.tokens):
                raise ValueError(f"no {closing} closes a bracket of this formula: {''.join(self.tokens)}")
            token, tight = self.next(), self.next(-1).strip()
            if token == "/" and not tight:
                above, product = product, []
                self.at += 1
            elif token == "/":
                self.at += 1
                product.append(self.fraction([product.pop()], [self.part()]))
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
        elif token == "R" and self.next() == "^":
            done = r"\mathbb{R}"
        elif token == "sqrt":
            return rf"\sqrt{{{bare(self.part())}}}"
        else:
            done = name(token)
        while self.next() and self.next() in "_^":
            script = self.next()
            self.at += 2
            inside = self.index() if self.next(-1) == "{" else name(self.next(-1))
            done += f"{script}{{{inside}}}"
        return done

    def index(self):
        """All up to the brace that closes an index or an exponent."""
        outside, self.fraction = self.fraction, slash
        inside = self.until("}")
        self.fraction = outside
        return inside


def name(token):
    """A word, a letter with its number, or a number."""
    if found := re.fullmatch(rf"([A-Za-z]|{'|'.join(LETTERS)})(\d)", token):
        return rf"{name(found[1])}_{{{found[2]}}}"
    return WORDS.get(token) or (rf"{WORD}{{{token}}}" if len(token) > 1 and token.isalpha() else token)


def times(factors):
    """A product. A word stands off the factor beside it, but a function not off its bracket."""
    done = factors[:1]
    for one, other in itertools.pairwise(factors):
        called = re.match(r"(\\left)?\(", other)
        apart = other.startswith(WORD) or (one.startswith(WORD) and not called)
        done.append(rf"\, {other}" if apart else other)
    return " ".join(done)


def fraction(above, below):
    if not above or not below:
        raise ValueError(f"a fraction of this formula is empty: {above} / {below}")
    return rf"\frac{{{bare(times(above))}}}{{{bare(times(below))}}}"


def slash(above, below):
    """A fraction of one line."""
    return f"{times(above)} / {times(below)}"


def bare(tex):
    """Without the round brackets around all of it, which a fraction's bar or a root's makes needless."""
    ends = [end for end in range(1, len(tex) + 1) if tex[:end].count("(") == tex[:end].count(")") > 0]
    if not re.match(r"(\\left)?\(", tex) or ends[0] < len(tex):
        return tex
    return tex.removeprefix(r"\left").removesuffix(")").removesuffix(r"\right").strip()[1:].strip()


def tex(lines, inline=False):
    """The lines of a formula as TeX: three spaces or more divide formulas, or the columns of rows. Of one line each
    formula has a line of its own, because a phone is too narrow for two of them."""
    rows = [re.split(r" {3,}", line.strip()) for line in lines]
    rows = [[re.sub(r" \}\s*\\text\{ ", " ", Formula(part, inline).until()) for part in row] for row in rows]
    if len(rows) == 1:
        rows = [[part] for part in rows[0]]
    body = r" \\[1ex] ".join(" & ".join(row) for row in rows)
    if any(len(row) > 1 for row in rows):
        return rf"\begin{{array}}{{{'l' * max(map(len, rows))}}} {body} \end{{array}}"
    return rf"\begin{{gathered}} {body} \end{{gathered}}" if len(rows) > 1 else body
