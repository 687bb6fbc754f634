// The slider of the landing page and of chapter 6: a ring on the mean curve, and the images of one run. It takes the
// still figure into its box; where this script does not run, the page has that figure alone.
"use strict";
(function () {
  const root = document.getElementById("alpha-demo"), now = document.getElementById("alpha-now");
  const curve = window.WISEFT_ALPHA, run = window.WISEFT_IMAGES;
  if (!root || !now || !curve || !run) return;
  const make = (tag, attributes, ...content) => {
    const node = document.createElement(tag);
    Object.entries(attributes).forEach(([key, value]) => node.setAttribute(key, value));
    node.append(...content);
    return node;
  };

  const figure = now.ownerSVGElement, paragraph = figure.parentElement;
  root.append(figure);
  if (!paragraph.textContent.trim()) paragraph.remove();
  const ring = document.createElementNS(figure.namespaceURI, "circle");
  Object.entries({r: 10, fill: "none", stroke: "var(--orange)", "stroke-width": 2.5}).forEach(
    ([key, value]) => ring.setAttribute(key, value));
  now.append(ring);

  const last = curve.alphas.length - 1;
  const slider = make("input", {id: "alpha-slider", type: "range", min: 0, max: last, step: 1,
    value: Math.floor(last / 2)});
  const line = make("output", {for: "alpha-slider", "aria-live": "polite"});
  const cards = run.images.map((image) => {
    const text = make("figcaption", {});
    const card = make("figure", {}, make("img", {src: image.src, alt: image.alt, width: 48, height: 48}), text);
    return {card, text, image};
  });
  root.append(
    make("label", {for: "alpha-slider"}, "Move α with the mouse, a finger or the arrow keys"), slider,
    make("div", {class: "alpha-ends"}, make("span", {}, "★ zero-shot"), make("span", {}, "fine-tuned ◆")), line,
    make("p", {class: "alpha-note"}, "The images are from the test sets. Under each is the mixture's prediction with its " +
      `probability, in one run, seed ${run.seed}. A fixed rule chose the images: some are lost by fine-tuning, some ` +
      "gained, some right throughout."),
    make("div", {class: "alpha-images"}, ...cards.map(({card}) => card)));

  const nearest = (alpha) => run.alphas.reduce((best, other, k) =>
    Math.abs(other - alpha) < Math.abs(run.alphas[best] - alpha) ? k : best, 0);
  const show = () => {
    const k = Number(slider.value), alpha = curve.alphas[k], at = nearest(alpha);
    const percent = (name) => `${curve.means[name][k].toFixed(1)}\u00a0%`;
    ring.setAttribute("cx", curve.places[k][0]);
    ring.setAttribute("cy", curve.places[k][1]);
    let good = 0;
    cards.forEach(({card, text, image}) => {
      const right = image.guess[at] === image.label;
      good += right;
      card.className = right ? "right" : "wrong";
      text.textContent = `${right ? "✓" : "✗"} ${image.guess[at]} ${image.sure[at]}\u00a0%`;
    });
    line.textContent = `α = ${alpha}: ${percent("test")} on line drawings, ${percent("shifts")} on the seven shifts, ` +
      `${percent("emoji")} on emoji (means over ${curve.seeds} seeds). In one run, the mixture classifies ${good} of the ` +
      `${cards.length} images below correctly.`;
    slider.setAttribute("aria-valuetext", `alpha ${alpha}`);
  };
  slider.addEventListener("input", show);
  root.className = "ready";
  show();
})();
