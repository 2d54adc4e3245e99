"""Docstrings in the book: Sphinx reads them as reStructuredText, and they are written to be read as they stand.

Here a backtick is a name or code, words between asterisks are stressed, a link is Markdown's, and what is indented is a
formula. So is code with a bar, a power, an index, a product or a sum in it, and in a sentence a letter with an index
and the name of a Greek letter. Any other sign is the sign itself: |x| is no substitution. The fields of a frozen result
are explained where they stand, by the comment behind each. Of a signature only what somebody wrote is shown, and a type
that has a name there by its name.
"""

import dataclasses
import inspect
import re
import typing

from docutils import nodes
from sphinx import addnodes
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.typing import stringify_annotation

from book.formulas import LETTERS, tex

# What in a docstring's prose means more than it shows: a link, of Markdown or of reStructuredText, a span of code, a
# stressed word, the call that a check asks for, and a letter of a formula.
GREEK = "|".join(letter for letter in LETTERS if letter != "delta")  # which has a method
SPAN = re.compile(
    r"\[(?P<words>[^\]]+)\]\((?P<address>https?://[^)\s]+)\)|`(?P<name>[^`<]+?)\s*<(?P<target>https?://[^>`]+)>`__?"
    r"|`+(?P<code>[^`]+)`+|(?P<stressed>(?<![\w*])\*[A-Za-z][^*`]*[\w.?!]\*(?![\w*]))|^(?P<call>\w+\([\w, ]*\))(?=: )"
    rf"|(?<![\w.$/<])(?P<letter>(?:[A-Za-z]|{GREEK})_\w+|(?:{GREEK})\b)(?!\.\w)"
)
NAME = re.compile(r"[A-Za-z_][\w.]*(\(\))?$")
FORMULA = re.compile(r"\S\||\|\S|\^|\b[A-Za-z]_\w| (?:\+-?|-|->|<-|/|=|[<>]=?) |\w \(|\bgrad\b")
FIELD = re.compile(r"    (\w+): ([^#=]+?)(?: = [^#]+?)?  # (.+)")
# In the type of a parameter: what stands in code. A class of the package is a link as well.
TYPE = re.compile(
    r"(?P<code>\"[^\"]*\"|\b[a-z]\w*(?:\.\w+)+|\b(?:None|Tensor|array|bool|callable|dict|float|int|list|mapping|path|str|tuple)\b)|(?P<ours>\b[A-Z]\w+)"
)
ONE_SIGN = {"->": "→", "<-": "←", "<=": "≤", ">=": "≥"}
A_LINE = 28  # letters of code in a phone's line of the reference
TYPED = ("Parameters", "Attributes", "Returns", "Yields")
VERBATIM = ("References",)
CHAPTER = re.compile(r"https://flatlab\.github\.io/flatlab(/book/\w+)\.html")  # a page of this book


def prose(text):
    """One line of a docstring as reStructuredText that shows the same."""
    done, end = "", 0
    for span in SPAN.finditer(text):
        found = span.groupdict()
        code = found["code"] or found["call"]
        if found["letter"] or FORMULA.search(found["code"] or ""):
            marked = rf"\ :math:`{tex([found['letter'] or code], inline=True)}`"
        elif code:
            marked = f":py:obj:`{code}`" if NAME.match(code) else f"``{code}``"
        elif not (marked := found["stressed"]):
            words, address = found["words"] or found["name"], found["address"] or found["target"]
            chapter = CHAPTER.fullmatch(address)
            marked = f":doc:`{words} <{chapter[1]}>`" if chapter else f"`{words} <{address}>`__"
        done += plain(text[end : span.start()]) + marked + r"\ "
        end = span.end()
    # Behind code Sphinx would take an apostrophe for a quotation mark that opens.
    return (done + plain(text[end:])).removesuffix(r"\ ").replace(r"\ 's", r"\ ’s")


def plain(text):
    """Words as reStructuredText that shows the same, with an arrow and a comparison as one sign."""
    for typed, sign in ONE_SIGN.items():
        text = text.replace(f" {typed} ", f" {sign} ")
    return re.sub(r"([\\*|`]|(?<=\w)_(?!\w))", r"\\\1", text)


def joined(lines):
    """The lines, one that ends within a link or a span of code together with the next."""
    done = []
    for line in lines:
        if done and line.strip() and "`" in SPAN.sub("", done[-1]):
            done[-1] += f" {line.strip()}"
        else:
            done.append(line)
    return done


def restructured(lines):
    """The lines of a docstring as reStructuredText, with NumPy's sections left for napoleon to read."""
    lines = joined(lines)
    done, section, formula, example = [], "", [], False
    for line, following in zip(lines, [*lines[1:], ""]):
        if line and following.strip() and set(following.strip()) == {"-"}:
            section = line.strip()
        free = section in ("", "Notes")  # elsewhere an indented line explains the name above it
        if free and line.startswith(" "):
            formula.append(line)
            if not following.startswith(" "):
                done += ["", ".. math::", "", f"    {tex(formula)}", ""]
                formula = []
            continue
        example = line.startswith(">>>") or (example and bool(line))
        if free and line.endswith("::"):
            line = line[:-1].removeprefix(":")  # the formula that it announces is one without it
        if example or section in VERBATIM or set(line.strip()) == {"-"}:
            done.append(line)
        elif section in TYPED and line and not line.startswith(" ") and line != section:
            done.append(typed(line, section))
        else:
            done.append(prose(line))
    return done


def typed(line, section):
    """The line of a section that names a parameter and its type, with the names of classes linked."""
    name, colon, kind = line.partition(" : ")
    if not colon and section in ("Parameters", "Attributes"):
        return plain(line)
    name, kind = (f"{plain(name)} : ", kind) if colon else ("", line)
    done, end = "", 0
    for found in TYPE.finditer(kind):
        marked = f"``{found[0]}``" if found["code"] else f":class:`.{found[0]}`"
        done += kind[end : found.start()] + r"\ " * bool(found.start()) + marked + r"\ "
        end = found.end()
    return name + (done + kind[end:]).removesuffix(r"\ ")


def fields(result):
    """A section of the fields of a dataclass or a named tuple, from the comments behind them."""
    found = [match.groups() for line in inspect.getsource(result).splitlines() if (match := FIELD.fullmatch(line))]
    lines = ["", "Attributes", "----------"]
    for name, kind, meaning in found:
        lines += [f"{name} : {in_words(kind)}", f"    {meaning}"]
    return lines if found else []


def made_first(result):
    """Give a class's __init__ its place, which members in the order of their source are sorted by. One that Python has
    made, of a dataclass, stands nowhere in the source."""
    source = ModuleAnalyzer.for_module(result.__module__)
    source.analyze()
    name = result.__qualname__
    source.tagorder.setdefault(f"{name}.__init__", source.tagorder.get(name, 0))


def in_words(kind):
    """A type as NumPy's sections have it: "tuple of float" for tuple[float, ...], which napoleon would cut in two."""
    return f"tuple of {in_words(found[1])}" if (found := re.fullmatch(r"tuple\[(.+), \.\.\.\]", kind)) else kind


def read(app, what, name, thing, options, lines):
    """Sphinx calls this with the lines of each docstring, to change in place, before napoleon reads its sections."""
    has_fields = dataclasses.is_dataclass(thing) or hasattr(thing, "_fields")
    if what == "class" and has_fields and "Attributes" not in lines:
        lines += fields(thing)
    if dataclasses.is_dataclass(thing) and what == "class":
        made_first(thing)
    if what == "module" and lines[0].startswith("The figures of the chapter "):
        lines[0] = ""  # the heading above it says of which
    lines[:] = restructured(lines)


def made_by_python(app, what, name, thing, skip, options):
    """Sphinx asks whether to skip a member: True for what Python puts into a named tuple or a protocol, else None. The
    fields of a named tuple are such members too, and its docstring explains them."""
    field = type(thing).__name__ == "_tuplegetter"
    initial = getattr(thing, "__name__", "") == "_no_init_or_replace_init"
    return True if field or initial or name == "__new__" else None


def signature(app, what, name, thing, options, arguments, returned):
    """Sphinx asks how to show a signature: as Python code, which "<factory>" is not, so Sphinx could not read it."""
    shown = [part and part.replace("<factory>", "{}").replace("[[...], ", "[..., ") for part in (arguments, returned)]
    for spelt, alias in aliases(inspect.getmodule(thing)):
        shown = [part and part.replace(spelt, alias) for part in shown]
    return tuple(shown)


def aliases(module):
    """(a type as Sphinx spells it out, its name in the module) of the types that have one, the longest first."""
    named = {name: kind for name, kind in vars(module).items() if name[0].isupper()} if module else {}
    found = [(stringify_annotation(kind, "smart"), name) for name, kind in named.items() if typing.get_origin(kind)]
    return sorted(found, key=lambda pair: -len(pair[0]))


def aliased(app, page):
    """Sphinx calls this with each page it has read. What a type is an alias of is shown as the Python code that it is:
    with straight quotes, and with no list around the three dots of any arguments."""
    for line in page.findall(nodes.paragraph):
        if line.astext().startswith("alias of "):
            for text in list(line.findall(nodes.Text)):
                code = text.translate({ord("‘"): "'", ord("’"): "'", ord("…"): "..."}).replace("[[...], ", "[..., ")
                text.parent.replace(text, nodes.Text(code))
    for kind in page.findall(addnodes.desc_annotation):
        for opens, dots, closes in zip(kind[:], kind[1:], kind[2:]):
            if [opens.astext(), dots.astext(), closes.astext()] == ["[", "...", "]"]:
                kind.remove(opens)
                kind.remove(closes)


def breakable(app, page):
    """Let a long name in the reference break behind its dots and underscores, which a phone's lines need."""
    for described in page.findall(addnodes.desc):
        for name in described.findall(lambda part: isinstance(part, (addnodes.desc_addname, nodes.literal))):
            for text in list(name.findall(nodes.Text)):
                parts = re.findall(r"[^._]*[._]|[^._]+$", text) if len(text) > A_LINE else [text]
                pieces = [node for part in parts for node in (nodes.Text(part), nodes.raw("", "<wbr>", format="html"))]
                text.parent.replace(text, pieces[:-1])


def find(app, env, node, content):
    """Sphinx asks for what it found nothing for. A type in a signature that is no class has its name in one module, and
    so has a class that code names; other code is a link where the package itself has such a name, so that no
    parameter's name leads elsewhere. Code that leads nowhere is plain code."""
    kind, target, domain = node["reftype"], node["reftarget"], env.get_domain("py")
    if node.get("refdomain") != "py" or kind not in ("class", "obj") or (kind == "class" and "." in target):
        return None
    of_one_name = sum(name.endswith(f".{target}") for name in domain.objects) == 1
    node["refspecific"] = kind == "class" or (target[0].isupper() and of_one_name)
    target = target if node["refspecific"] else f"flatlab.{target}"
    found = domain.resolve_xref(env, node["refdoc"], app.builder, "obj", target, node, content)
    if found is None and kind == "obj":
        if isinstance(content, nodes.Element):  # a type in a signature is a bare word
            content["classes"] = []
        return content
    return found


def setup(app):
    app.connect("autodoc-process-docstring", read, priority=400)
    app.connect("doctree-read", aliased)
    app.connect("doctree-read", breakable)
    app.connect("missing-reference", find)
    app.connect("autodoc-skip-member", made_by_python)
    app.connect("autodoc-process-signature", signature)
    return {"parallel_read_safe": True}
