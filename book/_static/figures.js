/* A figure of a chapter opens in a dialog, larger, with its files. Without this script it is a link to its file. */
"use strict";
{
  const dialog = document.createElement("dialog");
  dialog.className = "figure-dialog";
  dialog.setAttribute("aria-label", "Figure");
  dialog.innerHTML = '<p><button type="button" autofocus>Close</button></p><div tabindex="0"></div>';
  const [bar, view] = dialog.children;
  let opener = null;

  const download = (address, label) => {
    const link = document.createElement("a");
    Object.assign(link, {href: address, download: "", textContent: label});
    return link;
  };

  const show = link => {
    opener = link;
    bar.replaceChildren(bar.querySelector("button"), download(link.href, `Image (${link.href.split(".").pop().toUpperCase()})`));
    if (link.dataset.csv) bar.append(download(link.dataset.csv, "Data (CSV)"));
    view.replaceChildren(...[...link.querySelectorAll("img")].map(small => {
      const image = small.cloneNode();
      const [width, height] = ["width", "height"].map(name => Number(small.getAttribute(name)));
      image.style.width = `${Math.max(width, Math.min(innerWidth * 0.9, innerHeight * 0.75 * width / height))}px`;
      return image;
    }));
    if (!dialog.isConnected) document.body.append(dialog);
    dialog.showModal();
  };

  document.addEventListener("click", event => {
    const link = event.target.closest("a.figure-link");
    if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      show(link);
    }
  });
  dialog.addEventListener("click", event => {
    if (event.target === dialog || event.target.closest("button")) dialog.close(); // beside it, or the button
  });
  // Sphinx and the theme keep Escape for themselves where a link has the focus, as after a download, and turn the page
  // below by the arrow keys.
  dialog.addEventListener("keydown", event => event.stopPropagation());
  dialog.addEventListener("close", () => opener.focus());
}
