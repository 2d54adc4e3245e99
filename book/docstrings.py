"""Docstrings in the book: Sphinx reads them as reStructuredText, and they are written to be read as they stand.

Here a backtick is a name or code, words between asterisks are stressed, a link is Markdown's, what is indented is a
formula that keeps its lines, and any other sign is the sign itself: |x| is no substitution. The fields of a frozen
result are explained where they stand, by the comment behind each. Of a signature only what somebody wrote is shown.
"""

import dataclasses
import inspect
import re

# A link, of Markdown or of reStructuredText, a role, or a span of code: what in a docstring's prose means more than it
# shows.
SPAN = re.compile(
    r"\[(?P<words>[^\]]+)\]\((?P<address>https?://[^)\s]+)\)|`(?P<name>[^`<]+?)\s*<(?P<target>https?://[^>`]+)>`__?"
    r"|(?P<role>:[\w:]+:`[^`]+`)|`+(?P<code>[^`]+)`+|(?P<stressed>(?<![\w*])\*[A-Za-z][^*`]*[\w.?!]\*(?![\w*]))"
)
NAME = re.compile(r"[A-Za-z_][\w.]*(\(\))?$")
FIELD = re.compile(r"    (\w+): ([^#=]+?)(?: = [^#]+?)?  # (.+)")
VERBATIM = ("Examples", "References")


def prose(text):
    """One line of a docstring as reStructuredText that shows the same."""

    def plain(part):
        return re.sub(r"([\\*|`]|(?<=\w)_(?!\w))", r"\\\1", part)

    done, end = "", 0
    for span in SPAN.finditer(text):
        found = span.groupdict()
        if code := found["code"]:
            marked = f":py:obj:`{code}`" if NAME.match(code) else f"``{code}``"
        elif not (marked := found["role"] or found["stressed"]):
            marked = f"`{found['words'] or found['name']} <{found['address'] or found['target']}>`__"
        done += plain(text[end : span.start()]) + marked + r"\ "
        end = span.end()
    return (done + plain(text[end:])).removesuffix(r"\ ")


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
    done, section, formula = [], "", False
    for number, line in enumerate(lines):
        following = lines[number + 1].strip() if number + 1 < len(lines) else ""
        if line and following and set(following) == {"-"}:
            section, formula = line.strip(), False
        free = section in ("", "Notes")  # elsewhere an indented line explains the name above it
        if free and line.startswith(".. "):  # a directive, with what is indented below it
            done.append(line)
            formula = True
            continue
        indented = free and line.startswith(" ")
        if indented and not formula:
            done += ["", ".. code-block:: text", ""]
        if formula and line and not indented:
            done += [""]
        formula = indented or (formula and not line)
        dashes = bool(line.strip()) and set(line.strip()) == {"-"}
        if free and line.endswith("::"):
            line = line[:-1].removeprefix(":")  # the block that it announces is one without it
        done.append(line if indented or dashes or section in VERBATIM else prose(line))
    return done


def fields(result):
    """A section of the fields of a dataclass or a named tuple, from the comments behind them."""
    found = [match.groups() for line in inspect.getsource(result).splitlines() if (match := FIELD.fullmatch(line))]
    lines = ["", "Attributes", "----------"]
    for name, kind, meaning in found:
        lines += [f"{name} : {in_words(kind)}", f"    {meaning}"]
    return lines if found else []


def in_words(kind):
    """A type as NumPy's sections have it: "tuple of float" for tuple[float, ...], which napoleon would cut in two."""
    return f"tuple of {in_words(found[1])}" if (found := re.fullmatch(r"tuple\[(.+), \.\.\.\]", kind)) else kind


def read(app, what, name, thing, options, lines):
    """Sphinx calls this with the lines of each docstring, to change in place, before napoleon reads its sections."""
    has_fields = dataclasses.is_dataclass(thing) or hasattr(thing, "_fields")
    if what == "class" and has_fields and "Attributes" not in lines:
        lines += fields(thing)
    if what == "module" and lines[0].startswith("The figures of the chapter "):
        lines[0] = ""  # the heading above it says of which
    lines[:] = restructured(lines)


def link_types(app, what, name, thing, options, lines):
    """Sphinx calls this after napoleon, whose links to types find those of the same module alone: look in all."""
    lines[:] = [re.sub(r":class:`(\w+)`", r":class:`.\1`", line) for line in lines]


def made_by_python(app, what, name, thing, skip, options):
    """Sphinx asks whether to skip a member: True for what Python puts into a named tuple or a protocol, else None. The
    fields of a named tuple are such members too, and its docstring explains them."""
    field = type(thing).__name__ == "_tuplegetter"
    initial = getattr(thing, "__name__", "") == "_no_init_or_replace_init"
    return True if field or initial or name == "__new__" else None


def signature(app, what, name, thing, options, arguments, returned):
    """Sphinx asks how to show a signature: as Python code, which "<factory>" is not, so Sphinx could not read it."""
    shown = [part and part.replace("<factory>", "{}").replace("[[...], ", "[..., ") for part in (arguments, returned)]
    return tuple(shown)


def setup(app):
    app.connect("autodoc-process-docstring", read, priority=400)
    app.connect("autodoc-process-docstring", link_types, priority=600)
    app.connect("autodoc-skip-member", made_by_python)
    app.connect("autodoc-process-signature", signature)
    return {"parallel_read_safe": True}
