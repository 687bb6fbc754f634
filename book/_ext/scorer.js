// The order of search results. The numbers are Sphinx's own. A term of the glossary is 100, in the chapter
// that explains it; its entry comes next; and the reference of the library comes after the chapters.
var Scorer = {
  score: ([page, , , , score]) =>
    page.startsWith("book/appendix/reference/") ? score / 4 : page === "book/appendix/glossary" ? score - 1 : score,
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: {0: 15, 1: 5, 2: -5},
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
