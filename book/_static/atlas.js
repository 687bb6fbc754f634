// The atlas: every model as a dot on logit axes, its card, the line with its band, curves of the paper, and a table.
"use strict";
(function () {
  const root = document.getElementById("atlas");
  const data = window.WISEFT_ATLAS;
  if (!root || !data) return;
  const {models, lines, titles} = data;
  const svgns = "http://www.w3.org/2000/svg";
  const make = (tag, attributes, text) => {
    const node = document.createElementNS(svgns, tag);
    Object.entries(attributes).forEach(([key, value]) => node.setAttribute(key, value));
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const pick = (name) => document.getElementById(`atlas-${name}`);
  const svg = root.querySelector("svg"), card = root.querySelector("output"), slider = pick("step");
  const logit = (percent) => Math.log(percent / (100 - percent));
  const percent = (x) => 100 / (1 + Math.exp(-x));
  const minus = (text) => text.replace("-", "\u2212");
  const signed = (v) => minus((v < 0 ? "" : "+") + v.toFixed(1));
  const all = models.name.map((_, k) => k);
  const edge = 0.01; // percent: an accuracy of 0 or 100 has no logit

  // --- what is chosen
  const chosen = {kinds: new Set(data.kinds.keys()), at: -1, shown: [], scale: null};
  const shift = () => pick("shift").value;
  const line = () => lines[shift()][pick("fit").value];
  const height = (k) => {
    const {slope, intercept} = line();
    return models[shift()][k] - percent(slope * logit(models.imagenet[k]) + intercept);
  };
  const listed = () => {
    const least = pick("weak").checked ? edge : 50;
    return all.filter((k) => chosen.kinds.has(models.kind[k]) && models[shift()][k] !== null &&
      models[shift()][k] > 0 && models.imagenet[k] >= least);
  };
  const found = () => {
    const words = pick("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    if (!words.length) return [];
    return chosen.shown.filter((k) => words.every((word) => models.name[k].toLowerCase().includes(word)));
  };
  const curves = () => {
    const value = pick("paper").value, list = value === "all" ? data.paper : [data.paper[Number(value)]];
    return list.filter((one) => one && one.sets[shift()]).map((one) =>
      one.sets[shift()].map((y, i) => [one.sets.imagenet[i], y]));
  };
  const icons = () => (pick("icons").checked ? data.icons : []);

  // --- axes
  const limits = (values) => {
    const low = Math.min(...values), high = Math.max(...values), margin = 0.04 * (high - low) + 0.03;
    return [low - margin, high + margin];
  };
  const scaled = () => {
    const width = Math.max(320, Math.min(root.clientWidth - 34, 900));
    const tall = Math.round(width * (width < 500 ? 0.95 : 0.66));
    const box = {left: 48, right: 12, top: 12, bottom: 44, width, tall};
    const own = [...curves().flat(), ...icons().flat()];
    const xs = chosen.shown.map((k) => models.imagenet[k]), ys = chosen.shown.map((k) => models[shift()][k]);
    const [x0, x1] = limits([...xs, ...own.map(([x]) => x)].map(logit));
    const [y0, y1] = limits([...ys, ...own.map(([, y]) => y)].map((y) => logit(Math.max(edge, y))));
    box.X = (p) => box.left + (logit(p) - x0) / (x1 - x0) * (width - box.left - box.right);
    box.Y = (p) => tall - box.bottom - (logit(Math.max(edge, p)) - y0) / (y1 - y0) * (tall - box.top - box.bottom);
    box.x = [percent(x0), percent(x1)];
    box.y = [percent(y0), percent(y1)];
    return box;
  };
  const ticks = ([low, high], place, room) => {
    const kept = [];
    [50, 80, 20, 90, 10, 70, 30, 60, 40, 95, 5, 75, 85, 65, 55, 1, 99, 15, 25, 35, 45, 0.1].forEach((tick) => {
      const free = kept.every((other) => Math.abs(place(other) - place(tick)) > room);
      if (tick > low && tick < high && free) kept.push(tick);
    });
    return kept;
  };
  const drawAxes = (box) => {
    const {width, tall, left, right, top, bottom} = box;
    ticks(box.x, box.X, 34).forEach((tick) => svg.append(
      make("line", {x1: box.X(tick), x2: box.X(tick), y1: top, y2: tall - bottom, class: "grid"}),
      make("text", {x: box.X(tick), y: tall - bottom + 16, "text-anchor": "middle"}, tick)));
    ticks(box.y, box.Y, 22).forEach((tick) => svg.append(
      make("line", {x1: left, x2: width - right, y1: box.Y(tick), y2: box.Y(tick), class: "grid"}),
      make("text", {x: left - 6, y: box.Y(tick) + 4, "text-anchor": "end"}, tick)));
    const middle = (top + tall - bottom) / 2;
    svg.append(
      make("text", {x: (left + width - right) / 2, y: tall - 8, "text-anchor": "middle"}, "ImageNet (%)"),
      make("text", {x: 13, y: middle, "text-anchor": "middle", transform: `rotate(-90 13 ${middle})`},
        `${titles[shift()]} (%)`));
  };

  // --- what is drawn: all dots of a kind are one path, so that thousands cost little
  const dot = (box, k) => `M${box.X(models.imagenet[k]).toFixed(1)} ${box.Y(models[shift()][k]).toFixed(1)}h0`;
  const drawDots = (box) => {
    const mode = pick("tuned").value;
    const apart = (k) => mode !== "kind" && models.lr[k] > 0;
    data.kinds.forEach((kind, number) => {
      const d = chosen.shown.filter((k) => models.kind[k] === number && !apart(k)).map((k) => dot(box, k)).join("");
      if (d) svg.append(make("path", {d, class: "dots", stroke: data.colours[number]}));
    });
    if (mode === "kind") return;
    const learningRates = models.lr.filter((lr) => lr > 0).map(Math.log10);
    const low = Math.min(...learningRates), high = Math.max(...learningRates);
    chosen.shown.filter(apart).forEach((k) => {
      const part = (Math.log10(models.lr[k]) - low) / (high - low);
      const look = mode === "size" ? {"stroke-width": 3 + 11 * part, stroke: data.colours[models.kind[k]]} :
        {"stroke-width": 7, stroke: `hsl(${Math.round(210 - 190 * part)} 75% 48%)`};
      svg.append(make("path", {d: dot(box, k), class: "dots", ...look}));
    });
  };
  const points = (box, list) => list.map(([x, y]) => `${box.X(x).toFixed(1)},${box.Y(y).toFixed(1)}`);
  const drawLine = (box) => {
    const {x, y, low, high} = line();
    const inside = x.map((_, i) => i).filter((i) => (x[i + 1] ?? 100) > box.x[0] && (x[i - 1] ?? 0) < box.x[1]);
    const band = [...inside.map((i) => [x[i], low[i]]), ...[...inside].reverse().map((i) => [x[i], high[i]])];
    svg.append(make("clipPath", {id: "atlas-clip"}));
    svg.lastChild.append(make("rect", {x: box.left, y: box.top, width: box.width - box.left - box.right,
      height: box.tall - box.top - box.bottom}));
    svg.append(make("polygon", {points: points(box, band).join(" "), class: "band", "clip-path": "url(#atlas-clip)"}),
      make("polyline", {points: points(box, inside.map((i) => [x[i], y[i]])).join(" "), class: "line",
        "clip-path": "url(#atlas-clip)"}));
  };
  const drawCurve = (box, list, name) => {
    const first = list[0], last = list[list.length - 1];
    svg.append(make("polyline", {points: points(box, list).join(" "), class: `path ${name}`}),
      make("text", {x: box.X(first[0]), y: box.Y(first[1]) + 7, "text-anchor": "middle", class: "star"}, "★"),
      make("text", {x: box.X(last[0]), y: box.Y(last[1]) + 6, "text-anchor": "middle", class: `diamond ${name}`}, "◆"));
  };
  const mark = () => {
    svg.querySelectorAll(".found, .at").forEach((node) => node.remove());
    const box = chosen.scale;
    const ring = (k, name, r) => svg.append(make("circle",
      {cx: box.X(models.imagenet[k]), cy: box.Y(models[shift()][k]), r, class: name}));
    found().slice(0, 300).forEach((k) => ring(k, "found", 5));
    if (chosen.at >= 0) ring(chosen.at, "at", 8);
  };
  const draw = () => {
    chosen.shown = listed();
    if (!chosen.shown.includes(chosen.at)) chosen.at = -1;
    slider.max = stepped().length - 1;
    const box = chosen.scale = scaled();
    svg.setAttribute("viewBox", `0 0 ${box.width} ${box.tall}`);
    svg.replaceChildren();
    drawAxes(box);
    drawDots(box);
    drawLine(box);
    curves().forEach((list) => drawCurve(box, list, "paper"));
    icons().forEach((run) => drawCurve(box, run, "icon"));
    mark();
    root.dataset.models = chosen.shown.length;
    pick("table").querySelector("summary").textContent = `Table of the ${chosen.shown.length} models that are shown`;
    if (pick("table").open) fillTable();
  };

  // --- the card of one model
  const describe = (k) => {
    const parts = [`${models.name[k]}: ${data.kinds[models.kind[k]]}, measured by ${data.sources[models.source[k]]}.`];
    const known = ["imagenet", ...data.shifts].filter((name) => models[name][k] !== null);
    parts.push(`${known.map((name) => `${titles[name]} ${models[name][k].toFixed(1)}\u00a0%`).join(", ")}.`);
    parts.push(`${signed(height(k))} points from the ${data.fits[pick("fit").value]} on ${titles[shift()].replace(/^mean/, "the mean")}.`);
    const more = [data.data[models.data[k]] && `pre-trained on ${data.data[models.data[k]]}`,
      models.params[k] && `${models.params[k]} million weights`, models.size[k] && `${models.size[k]} pixels`,
      models.lr[k] && `learning rate ${models.lr[k].toExponential(1)}`].filter(Boolean);
    if (more.length) parts.push(`${more.join(", ").replace(/^p/, "P").replace(/^l/, "L")}.`);
    return parts.join(" ");
  };
  const summary = () => {
    const {models: n, families, r} = line(), hits = found().length;
    const search = pick("search").value ? `${hits} of the shown models match “${pick("search").value}”. ` : "";
    const fits = r < 0.9 ? " The models hardly lie on a line, so heights over it mean little." : "";
    return `${search}${chosen.shown.length} models are shown. The ${data.fits[pick("fit").value]} goes through ` +
      `${n} models of ${families} families, with a correlation of ${r.toFixed(2)} in logits.${fits}`;
  };
  const show = (k) => {
    chosen.at = k;
    card.textContent = k < 0 ? summary() : describe(k);
    slider.value = stepped().indexOf(k); // -1 where no model is chosen
    slider.setAttribute("aria-valuetext", k < 0 ? "no model chosen" : models.name[k]);
    mark();
  };
  const stepped = () => (found().length ? found() : chosen.shown);
  const nearest = (event) => {
    const area = svg.getBoundingClientRect(), box = chosen.scale, zoom = box.width / area.width;
    const x = (event.clientX - area.left) * zoom, y = (event.clientY - area.top) * zoom;
    let best = -1, least = 24 * 24;
    chosen.shown.forEach((k) => {
      const apart = (box.X(models.imagenet[k]) - x) ** 2 + (box.Y(models[shift()][k]) - y) ** 2;
      if (apart < least) { least = apart; best = k; }
    });
    return best;
  };

  // --- the table, filled when it is opened
  const fillTable = () => {
    const fold = pick("table"), table = document.createElement("table"), sets = ["imagenet", shift()];
    const row = (tag, cells) => {
      const tr = document.createElement("tr");
      cells.forEach((text, i) => {
        const cell = document.createElement(i && tag === "td" ? "td" : "th");
        if (!i || tag === "th") cell.scope = tag === "th" ? "col" : "row";
        cell.textContent = text;
        tr.append(cell);
      });
      return tr;
    };
    const head = table.createTHead(), body = table.createTBody();
    head.append(row("th",
      ["Model", "Kind", "Source", ...sets.map((s) => `${titles[s]} (%)`), "Points over the line"]));
    body.append(...chosen.shown.map((k) => row("td", [models.name[k], data.kinds[models.kind[k]],
      data.sources[models.source[k]], ...sets.map((s) => models[s][k].toFixed(1)), signed(height(k))])));
    const wrap = document.createElement("div");
    wrap.className = "atlas-scroll";
    wrap.tabIndex = 0;
    wrap.setAttribute("role", "region");
    wrap.setAttribute("aria-label", "Table of models");
    wrap.append(table);
    fold.querySelector(".atlas-scroll")?.remove();
    fold.append(wrap);
  };

  // --- controls
  const options = (name, list) => pick(name).replaceChildren(...list.map(([value, label]) => new Option(label, value)));
  const fillFits = () => { // a shift may lack a line, as that of zero-shot models on the videos
    const before = pick("fit").value, fits = Object.keys(lines[shift()]);
    options("fit", fits.map((fit) => [fit, data.fits[fit].replace("line of ", "")]));
    if (fits.includes(before)) pick("fit").value = before;
  };
  options("shift", data.shifts.map((name) => [name, titles[name]]));
  options("paper", [["-1", "none"], ["all", "all of its tables"], ...data.paper.map((one, i) => [String(i), one.label])]);
  options("tuned", [["kind", "colour by kind"], ["size", "size by learning rate"], ["colour", "colour by learning rate"]]);
  pick("shift").value = "shifts";
  fillFits();
  pick("shift").addEventListener("change", fillFits);
  pick("paper").value = "0";
  data.kinds.forEach((kind, number) => {
    const label = document.createElement("label"), swatch = document.createElement("span");
    const box = document.createElement("input");
    Object.assign(box, {type: "checkbox", checked: true});
    swatch.className = "swatch";
    swatch.style.background = data.colours[number];
    label.append(box, swatch, ` ${kind}`);
    box.addEventListener("change", () => {
      chosen.kinds[box.checked ? "add" : "delete"](number);
      draw();
      show(chosen.at);
    });
    pick("kinds").append(label);
  });
  ["shift", "fit", "paper", "tuned", "icons", "weak"].forEach((name) => pick(name).addEventListener("change", () => {
    draw();
    show(chosen.at);
  }));
  pick("search").addEventListener("input", () => {
    slider.max = stepped().length - 1;
    const hits = found();
    show(hits.length === 1 ? hits[0] : -1);
  });
  slider.addEventListener("input", () => show(stepped()[Number(slider.value)] ?? -1));
  svg.addEventListener("pointermove", (event) => {
    const k = event.pointerType === "mouse" ? nearest(event) : -1;
    if (k >= 0) show(k);
  });
  svg.addEventListener("click", (event) => show(nearest(event)));
  pick("table").addEventListener("toggle", () => { if (pick("table").open) fillTable(); });
  root.hidden = false;
  draw();
  show(-1);
  let width = root.clientWidth;
  new ResizeObserver(() => {
    if (root.clientWidth === width) return;
    width = root.clientWidth;
    draw();
    show(chosen.at);
  }).observe(root);
})();
