// The slider of the landing page: one alpha moves along measured curves and over the pictures.
"use strict";
(function () {
  const root = document.getElementById("alpha-demo");
  const data = window.WISEFT_ALPHA;
  if (!root || !data) return;
  const svgns = "http://www.w3.org/2000/svg";
  const make = (tag, attributes, text) => {
    const node = document.createElementNS(svgns, tag);
    Object.entries(attributes).forEach(([key, value]) => node.setAttribute(key, value));
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const W = 360, H = 240, left = 44, bottom = 40, top = 12, right = 14;
  const xs = data.curves.test, ys = data.curves.shifts;
  const pad = (list) => [Math.min(...list) - 1, Math.max(...list) + 1];
  const [x0, x1] = pad(xs), [y0, y1] = pad(ys);
  const X = (v) => left + (v - x0) / (x1 - x0) * (W - left - right);
  const Y = (v) => H - bottom - (v - y0) / (y1 - y0) * (H - bottom - top);
  const svg = root.querySelector("svg");
  for (let v = Math.ceil(x0); v <= x1; v += 1) {
    svg.append(make("text", {x: X(v), y: H - bottom + 16, "text-anchor": "middle"}, v));
    svg.append(make("line", {x1: X(v), x2: X(v), y1: top, y2: H - bottom, class: "grid"}));
  }
  for (let v = Math.ceil(y0); v <= y1; v += 1) {
    svg.append(make("text", {x: left - 6, y: Y(v) + 4, "text-anchor": "end"}, v));
    svg.append(make("line", {x1: left, x2: W - right, y1: Y(v), y2: Y(v), class: "grid"}));
  }
  svg.append(make("text", {x: (left + W - right) / 2, y: H - 6, "text-anchor": "middle"}, "line drawings (%)"));
  svg.append(make("text", {x: 12, y: (top + H - bottom) / 2, "text-anchor": "middle",
    transform: `rotate(-90 12 ${(top + H - bottom) / 2})`}, "seven other styles (%)"));
  svg.append(make("polyline", {points: xs.map((v, k) => `${X(v)},${Y(ys[k])}`).join(" "), class: "path"}));
  svg.append(make("text", {x: X(xs[0]), y: Y(ys[0]) + 7, "text-anchor": "middle", class: "star"}, "★"));
  const last = xs.length - 1;
  svg.append(make("text", {x: X(xs[last]), y: Y(ys[last]) + 6, "text-anchor": "middle", class: "diamond"}, "◆"));
  const dot = svg.appendChild(make("circle", {r: 7, class: "dot"}));

  const gallery = root.querySelector(".alpha-pictures");
  const cards = data.pictures.map((picture) => {
    const card = document.createElement("figure");
    const image = document.createElement("img");
    image.src = picture.src;
    image.alt = `${picture.label}, ${picture.split.replaceAll("_", " ")}`;
    image.width = image.height = 48;
    const text = document.createElement("figcaption");
    card.append(image, text);
    gallery.append(card);
    return {card, text, picture};
  });

  const slider = root.querySelector("input");
  const line = root.querySelector("output");
  const show = () => {
    const k = Number(slider.value), alpha = data.alphas[k];
    dot.setAttribute("cx", X(xs[k]));
    dot.setAttribute("cy", Y(ys[k]));
    let good = 0;
    cards.forEach(({card, text, picture}) => {
      const right = picture.guess[k] === picture.label;
      good += right;
      card.className = right ? "right" : "wrong";
      text.textContent = `${right ? "✓" : "✗"} ${picture.guess[k]} ${picture.sure[k]}\u00a0%`;
    });
    line.textContent = `α = ${alpha.toFixed(1)}: ${xs[k].toFixed(1)}\u00a0% on line drawings, ` +
      `${ys[k].toFixed(1)}\u00a0% on the other styles, ${data.curves.emoji[k].toFixed(1)}\u00a0% on emoji; ` +
      `${good} of these ${cards.length} images right.`;
    slider.setAttribute("aria-valuetext", `alpha ${alpha.toFixed(1)}`);
  };
  slider.max = last;
  slider.addEventListener("input", show);
  root.hidden = false;
  show();
})();
