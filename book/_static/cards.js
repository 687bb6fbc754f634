// A card with the definition of a glossary term, beside the link to it: while the pointer is over the link,
// while the keyboard is on it, or after a tap. Escape closes it. Without this script the link leads to the glossary.
"use strict";
(function () {
  const store = document.getElementById("glossary-cards");
  if (!store) return;
  const CONTROLS = "button, input, select, textarea, summary, label, canvas, iframe, [role=button], [role=slider], "
    + ".bd-sidebar-primary, .bd-sidebar-secondary, .prev-next-area";
  const GAP = 6, EDGE = 8, WAIT = 250; // pixels, pixels, milliseconds
  let card = null, owner = null, dismissed = null, timer = 0, pointer = "mouse";

  const close = () => {
    clearTimeout(timer);
    if (!card) return;
    owner.removeAttribute("aria-describedby");
    card.remove();
    card = owner = null;
  };

  // Places beside the link, best first: below or above it, as far left or right as the screen allows.
  const places = (width, height, top) => {
    const lines = [...owner.getClientRects()], first = lines[0], last = lines[lines.length - 1];
    const right = document.documentElement.clientWidth - EDGE - width, bottom = window.innerHeight - EDGE - height;
    const lefts = [last.left, last.right - width, EDGE, right].map((x) => Math.max(EDGE, Math.min(x, right)));
    return [last.bottom + GAP, first.top - GAP - height].filter((y) => y >= top && y <= bottom)
      .flatMap((y) => lefts.map((x) => [x, y]));
  };

  // The card covers text, never a control: where there is no place without one, there is no card.
  const place = () => {
    const bar = document.querySelector(".bd-header-article");
    const top = Math.max(EDGE, bar ? bar.getBoundingClientRect().bottom : 0);
    const controls = [...document.querySelectorAll(CONTROLS)]
      .filter((e) => !card.contains(e) && (!e.checkVisibility || e.checkVisibility({visibilityProperty: true})))
      .map((e) => e.getBoundingClientRect());
    const {width, height} = card.getBoundingClientRect();
    const free = places(width, height, top).find(([x, y]) => !controls.some(
      (c) => c.left < x + width && c.right > x && c.top < y + height && c.bottom > y));
    if (free) [card.style.left, card.style.top] = free.map((v) => `${v}px`);
    return Boolean(free);
  };

  const open = (link) => {
    clearTimeout(timer);
    if (owner === link) return true;
    close();
    const term = link.hash.slice(1);
    const definition = [...store.content.children].find((entry) => entry.dataset.term === term);
    if (!definition) return false;
    card = document.createElement("span");
    card.className = "glossary-card";
    card.id = "glossary-card";
    const more = document.createElement("a");
    more.href = link.href;
    more.textContent = "Glossary";
    card.append(...definition.firstElementChild.cloneNode(true).childNodes, " ", more);
    owner = link;
    link.after(card); // so that the Tab key goes from the link into the card
    if (!place()) {
      close();
      return false;
    }
    link.setAttribute("aria-describedby", card.id);
    return true;
  };

  // As the page moves, for which the focus may be the reason, the card moves or closes, or opens at last.
  const follow = () => {
    if (card && !place()) close();
    const link = document.activeElement;
    if (!card && link !== dismissed && link.matches("a.term:focus-visible")) open(link);
  };

  const inside = (node) => card !== null && (owner.contains(node) || card.contains(node));
  const later = (work) => { clearTimeout(timer); timer = setTimeout(work, WAIT); };

  document.querySelectorAll("a.term").forEach((link) => {
    link.removeAttribute("title"); // the card takes its place
    link.addEventListener("focus", () => {
      dismissed = null;
      if (link.matches(":focus-visible")) open(link);
    });
    link.addEventListener("click", (event) => {
      if (pointer === "mouse" || event.detail === 0) return; // a click, or Enter: to the glossary
      if (owner === link) close();
      else if (!open(link)) return;
      event.preventDefault();
    });
  });
  document.addEventListener("pointerover", (event) => {
    if (event.pointerType !== "mouse") return;
    const link = event.target.closest("a.term");
    if (inside(event.target)) clearTimeout(timer);
    else if (link) later(() => open(link));
    else later(() => { if (!inside(document.activeElement)) close(); });
  });
  document.addEventListener("pointerdown", (event) => {
    pointer = event.pointerType;
    if (card && !inside(event.target)) close();
  }, true);
  document.addEventListener("focusout", (event) => {
    if (inside(event.target) && event.relatedTarget && !inside(event.relatedTarget)) close();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !card) return;
    if (card.contains(document.activeElement)) owner.focus();
    dismissed = owner;
    close();
  });
  ["scroll", "resize"].forEach((kind) => window.addEventListener(kind, follow, {passive: true}));
})();
