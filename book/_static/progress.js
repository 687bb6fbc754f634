// Which chapters a reader has reached the end of, and how many exercises are solved. Both stay in the reader's own
// browser, in localStorage, and are sent nowhere:
//   "wiseft.read.<file of the chapter>", such as "wiseft.read.06_interpolate": "1"
//   "wiseft.exercise.<number>", such as "wiseft.exercise.6.3": JSON {answer, right}, written by what checks an answer
// Nothing is shown while nothing is stored.
"use strict";
(function () {
  const READ = "wiseft.read.", EXERCISE = "wiseft.exercise.";
  const CHAPTER = /(?:^|\/)((\d\d)_\w+)\.html$/; // the file and the number in the address of a chapter

  // A browser may refuse to keep anything; then there is no progress.
  const attempt = (action, otherwise) => {
    try { return action(); } catch { return otherwise; }
  };
  const stored = (prefix) => attempt(() =>
    Object.keys(localStorage).filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length)), []);
  const right = (number) => attempt(() => JSON.parse(localStorage.getItem(EXERCISE + number)).right === true, false);
  const counted = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;

  const contents = document.getElementById("progress"); // on the start page alone
  const links = (root) => [...root.querySelectorAll("a")].flatMap((link) => {
    const found = CHAPTER.exec(link.pathname);
    // In the sidebar a link fills its line; in the contents marks are beside it, not underlined.
    const place = root.matches("nav") ? link : link.parentElement;
    return found ? [{place, file: found[1], number: String(Number(found[2]))}] : [];
  });
  const sidebar = links(document.querySelector("nav.bd-links") ?? document.createElement("nav"));
  const listed = contents ? links(contents.parentElement) : [];

  const mark = (place, attributes, text) => {
    const node = document.createElement("span");
    node.className = "progress-mark";
    Object.entries(attributes).forEach(([key, value]) => node.setAttribute(key, value));
    node.textContent = text;
    place.append("\u00a0", node); // with the last word, on one line
  };
  const show = () => {
    document.querySelectorAll(".progress-mark").forEach((node) => { node.previousSibling.remove(); node.remove(); });
    const read = stored(READ), solved = stored(EXERCISE).filter(right);
    [...sidebar, ...listed].filter(({file}) => read.includes(file)).forEach(({place}) =>
      mark(place, {role: "img", "aria-label": "read"}, "✓"));
    listed.forEach(({place, number}) => {
      const n = solved.filter((name) => name.split(".")[0] === number).length;
      if (n) mark(place, {}, `${n} solved`);
    });
    if (!contents) return;
    contents.replaceChildren();
    if (!read.length && !stored(EXERCISE).length) return;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Forget my progress";
    button.addEventListener("click", () => {
      if (!confirm("Forget which chapters you have read and all your answers?")) return;
      attempt(() => [READ, EXERCISE].forEach((prefix) =>
        stored(prefix).forEach((name) => localStorage.removeItem(prefix + name))));
      show();
      const done = document.createElement("span"); // it takes the focus of the button, which is gone
      done.setAttribute("role", "status");
      done.tabIndex = -1;
      done.textContent = "Progress forgotten.";
      contents.append(done);
      done.focus();
    });
    contents.append(`In this browser: ${counted(read.length, "chapter")} read, ${counted(solved.length, "exercise")} solved. `,
      button);
  };

  const here = CHAPTER.exec(location.pathname), end = document.querySelector(".prev-next-footer");
  if (here && end) {
    const observer = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      attempt(() => localStorage.setItem(READ + here[1], "1"));
      show();
    });
    observer.observe(end);
  }
  window.addEventListener("storage", show); // another tab
  window.addEventListener("pageshow", (event) => { if (event.persisted) show(); }); // back from another page
  show();
})();
