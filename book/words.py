"""Links that say what they lead to: a word of the glossary has its meaning, a work its whole reference.

A word of the glossary would be a link only where somebody typed one, and an ordinary link leads to the top of the
glossary. A link to a paper tells the whole reference only where the chapter is no notebook.
"""

import html
import re
import unicodedata

from docutils import nodes

GLOSSARY = "book/glossary"
# Words that a chapter also uses in another sense: where the glossary's is meant, the chapter links them itself.
OF_TWO_SENSES = {"line", "point", "ratio", "recipe", "run"}
NOT_PROSE = (nodes.reference, nodes.literal, nodes.literal_block, nodes.title, nodes.table, nodes.math, nodes.raw)


def letter(found):
    """A Greek letter for its name in a formula; the name where there is no such letter."""
    try:
        return unicodedata.lookup(f"GREEK SMALL LETTER {found[1].upper()}")
    except KeyError:
        return found[0]


def definitions(glossary):
    """{word: (its place on the page, what it means)} of the glossary; no meaning where it has a formula to be set."""
    found = {}
    for item in glossary.findall(nodes.definition_list_item):
        meaning = item[-1].deepcopy()
        for cited in [node for node in meaning.findall() if node.tagname == "pending_xref" and "cite" in str(node)]:
            cited.parent.remove(cited)
        text = re.sub(r"\s+([.,;)])|\s+", lambda space: space[1] or " ", meaning.astext()).strip()
        text = re.sub(r"\\(?:var)?([a-z]+)", letter, text)
        for word in item.findall(nodes.term):
            found[word.astext()] = word["ids"][0], "" if "\\" in text else text
    return found


def linked_words(doctree, glossary, page):
    """Link each word of the glossary where a notebook's typed prose first uses it, unless the prose links it itself; a
    link that the prose has leads to its word."""
    left = set(glossary) - OF_TWO_SENSES
    named = {word.lower(): word for word in glossary}  # a longer word first: a batch size is no batch
    any_word = re.compile(
        rf"(?<![\w-])({'|'.join(map(re.escape, sorted(named, key=len, reverse=True)))})(?:s|es)?(?![\w-])",
        re.IGNORECASE,
    )

    def to(link, word):
        place, meaning = glossary[word]
        link["refuri"], link["internal"] = f"{page}#{place}", True
        link["classes"] = [*link["classes"], "term"]
        if meaning:
            link["reftitle"] = meaning

    for link in list(doctree.findall(nodes.reference)):
        if link.get("refuri") == page and (found := any_word.fullmatch(" ".join(link.astext().split()))):
            word = named[found[1].lower()]
            to(link, word)
            left.discard(word)
    for text in list(doctree.findall(nodes.Text)):
        above = text.parent
        while above is not doctree and not isinstance(above, NOT_PROSE) and "cell" not in above.get("classes", []):
            above = above.parent
        if above is not doctree:
            continue
        parts, end = [], 0
        for found in any_word.finditer(str(text)):
            if (word := named[found[1].lower()]) in left:
                link = nodes.reference("", found[0])
                to(link, word)
                parts += [nodes.Text(text[end : found.start()]), link]
                end = found.end()
                left.remove(word)
        if parts:
            text.parent.replace(text, [*parts, nodes.Text(text[end:])])


def with_words_linked(app, doctree, page):
    """The words of the glossary, in every notebook of the book."""
    is_a_chapter = page.startswith("book/") and str(app.env.doc2path(page)).endswith(".ipynb")
    if is_a_chapter and app.builder.format == "html" and GLOSSARY in app.env.found_docs:
        glossary = definitions(app.env.get_doctree(GLOSSARY))
        linked_words(doctree, glossary, app.builder.get_relative_uri(page, GLOSSARY))


def references(page):
    """{address: the whole reference}, of the works on the page of references."""
    found = {}
    for entry in re.findall(r'<div class="citation"[^>]*>.*?<p>(.*?)</p>', page, re.DOTALL):
        if links := re.findall(r'href="([^"]+)"', entry):
            found[links[-1]] = html.escape(html.unescape(re.sub(r"<[^>]+>|\s*URL:.*|\s*doi:.*", "", entry)).strip())
    return found


def with_references(page, works):
    """A page in which a link to a work shows its reference when the pointer rests on it."""
    return re.sub(
        r'<a class="reference external" href="([^"]+)">',
        lambda link: f'{link[0][:-1]} title="{works[link[1]]}">' if link[1] in works else link[0],
        page,
    )


def setup(app):
    app.connect("doctree-resolved", with_words_linked)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
