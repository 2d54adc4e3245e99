// What a search shows first: pages of the book with the words in their title; last the package, the labs and the archive
// of figures, in which most words of the book occur. The other numbers are Sphinx's own.
var Scorer = {
  score: ([page, title, anchor, description, score]) => {
    const words = (new URLSearchParams(window.location.search).get("q") || "").toLowerCase().split(/\s+/).filter(Boolean);
    const titled = anchor === "" && words.every((word) => title.toLowerCase().includes(word));
    const last = /^(book\/api\/|book\/every_(table_and_figure|control)$|labs\/)/.test(page);
    return last ? score / 10 : titled ? score + 200 : score;
  },
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
