/* A figure of a chapter opens in a dialog, larger, with its files. On a small screen it stays large enough to read and is
   moved in both directions: it fades towards what is out of sight, and a button shows all of it at once. Without this
   script a figure is a link to its file. */
"use strict";
{
  const dialog = document.createElement("dialog");
  dialog.className = "figure-dialog";
  dialog.innerHTML = '<div class="figure-frame"><p><button type="button" autofocus>Close</button><button type="button"></button></p>' +
    '<div class="figure-view"></div></div>';
  const [bar, view] = dialog.firstElementChild.children;
  const [close, fit] = bar.children;
  let opener = null, whole = false;

  const download = (address, label) => {
    const link = document.createElement("a");
    Object.assign(link, {href: address, download: "", textContent: label});
    return link;
  };

  const fade = () => {
    const bars = view.offsetWidth > view.clientWidth || view.offsetHeight > view.clientHeight; // they show it themselves
    const hidden = {
      left: view.scrollLeft, right: view.scrollWidth - view.clientWidth - view.scrollLeft,
      top: view.scrollTop, bottom: view.scrollHeight - view.clientHeight - view.scrollTop,
    };
    for (const side in hidden) view.style.setProperty(`--${side}`, hidden[side] > 1 && !bars ? "2rem" : "0rem");
  };

  const resize = () => {
    const scaled = by => [...view.children].forEach(image => {
      const [width, height] = ["width", "height"].map(name => Number(image.getAttribute(name)));
      image.style.width = `${by * Math.max(width, Math.min(innerWidth * 0.9, innerHeight * 0.75 * width / height))}px`;
    });
    scaled(1);
    const ratio = Math.min(view.clientWidth / view.scrollWidth, view.clientHeight / view.scrollHeight);
    fit.hidden = ratio > 0.9; // a little too large is made to fit
    if (whole || fit.hidden) scaled(ratio);
    fit.textContent = whole ? "Full size" : "Fit to screen";
    view.style.cursor = fit.hidden ? "" : whole ? "zoom-in" : "zoom-out";
    // A stop of the keyboard, which scrolls it by the arrow keys, only while there is something to scroll.
    const scrolls = view.scrollWidth > view.clientWidth || view.scrollHeight > view.clientHeight;
    for (const [name, value] of [["tabindex", "0"], ["role", "region"], ["aria-label", "Figure, scrolls"]])
      if (scrolls) view.setAttribute(name, value); else view.removeAttribute(name);
    fade();
  };

  const toggle = (x, y) => { // fractions of the figure, of what is to be in the middle
    whole = !whole;
    resize();
    if (!whole) view.scrollTo(x * view.scrollWidth - view.clientWidth / 2, y * view.scrollHeight - view.clientHeight / 2);
  };

  const show = link => {
    opener = link;
    bar.replaceChildren(close, fit, download(link.href, `Image (${link.href.split(".").pop().toUpperCase()})`));
    if (link.dataset.csv) bar.append(download(link.dataset.csv, "Data (CSV)"));
    view.replaceChildren(...[...link.querySelectorAll("img")].map(small => small.cloneNode()));
    dialog.setAttribute("aria-label", view.firstElementChild.alt || "Figure");
    if (!dialog.isConnected) document.body.append(dialog);
    dialog.showModal();
    whole = false;
    resize();
    view.scrollTo(0, 0);
  };

  document.addEventListener("click", event => {
    const link = event.target.closest("a.figure-link");
    if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      show(link);
    }
  });
  dialog.addEventListener("click", event => {
    if (event.target === dialog || event.target === close) dialog.close(); // beside its frame, or the button
    if (event.target === fit) toggle(0, 0);
    if (event.target.matches("img") && !fit.hidden)
      toggle(event.offsetX / event.target.offsetWidth, event.offsetY / event.target.offsetHeight);
  });
  view.addEventListener("scroll", fade);
  addEventListener("resize", () => dialog.open && resize());
  // Sphinx and the theme keep Escape for themselves where a link has the focus, as after a download, and turn the page
  // below by the arrow keys.
  dialog.addEventListener("keydown", event => event.stopPropagation());
  dialog.addEventListener("close", () => opener.focus());
}
