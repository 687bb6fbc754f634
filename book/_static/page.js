// On every page: the arrow keys turn pages unless something else uses them, and print is light.
"use strict";
(function () {
  // The theme turns pages by the left and right arrow keys (navigation_with_keys), unless a field or a button has the
  // focus. A canvas or a wide table may have it too, and whoever has just pressed a wide table scrolls it by these keys,
  // focus or not. This listener is there before the theme's, and keeps such keys from it.
  const scrolls = (node) => node.scrollWidth > node.clientWidth + 1 && /auto|scroll/.test(getComputedStyle(node).overflowX);
  const inScroller = (node) => node && node !== document.body && (scrolls(node) || inScroller(node.parentElement));
  let pressed = null;
  document.addEventListener("pointerdown", (event) => { pressed = event.target; });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    const focused = document.activeElement;
    const free = focused === document.body || focused.matches("a, summary");
    if (event.defaultPrevented || !free || inScroller(focused) || inScroller(pressed)) event.stopImmediatePropagation();
  });

  // The theme keeps how far the contents were scrolled, so that the open page may be out of sight in them.
  window.addEventListener("load", () => {
    const bar = document.querySelector(".bd-sidebar-primary"), here = bar?.querySelector(".current.active > a");
    if (!here) return;
    const [outer, inner] = [bar, here].map((node) => node.getBoundingClientRect());
    if (inner.top < outer.top || inner.bottom > outer.bottom) bar.scrollTop += inner.top - outer.top - bar.clientHeight / 3;
  });

  // Paper is white, whatever the theme.
  const root = document.documentElement;
  let theme;
  window.addEventListener("beforeprint", () => {
    theme ??= root.dataset.theme;
    root.dataset.theme = "light";
  });
  window.addEventListener("afterprint", () => {
    root.dataset.theme = theme;
    theme = undefined;
  });
})();
