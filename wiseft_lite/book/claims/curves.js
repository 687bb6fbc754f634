// The paper's alpha curves beside ours: two selects for what to compare, two radio buttons for the axes, one slider.
const svgns = "http://www.w3.org/2000/svg";
const make = (tag, attributes, text) => {
  const node = document.createElementNS(svgns, tag);
  Object.entries(attributes).forEach(([key, value]) => node.setAttribute(key, value));
  if (text !== undefined) node.textContent = text;
  return node;
};
const pick = (name) => root.querySelector(`[name="${name}"]`);
const fill = (select, names) => {
  const before = select.value;
  select.replaceChildren(...names.map(([value, label]) => new Option(label, value)));
  select.value = names.some(([value]) => value === before) ? before : names[0][0];
};
const W = 360, H = 280, left = 46, bottom = 42, top = 12, right = 16;
const svg = root.querySelector("svg"), output = root.querySelector("output");
const slider = pick("alpha");
const tick = (v) => (v < 0 ? "−" : "") + Math.abs(v);
const signed = (v) => (v < 0 ? "−" : "+") + Math.abs(v).toFixed(1);

const step = (span) => [0.5, 1, 2, 5, 10, 20].find((s) => span / s <= 7) || 20;
const mean = (runs) => runs[0].map((_, k) => runs.reduce((sum, run) => sum + run[k], 0) / runs.length);

// A side is one curve: its runs' coordinates and their mean, as accuracies or as changes from alpha = 0.
const side = (curve, shift, change) => {
  const seen = (run) => change ? run.map((v) => v - run[0]) : run;
  const xs = curve.splits[curve.reference].map(seen), ys = curve.splits[shift].map(seen);
  return {curve, shift, xs, ys, x: mean(xs), y: mean(ys)};
};

const draw = () => {
  const change = root.querySelector('[name$="-axes"]:checked').value === "change", k = Number(slider.value);
  const paper = data.paper[Number(pick("paper").value)];
  const ours = data.ours[paper.kind];
  const sides = {paper: side(paper, pick("paper-shift").value, change), ours: side(ours, pick("our-shift").value, change)};
  const all = (axis) => Object.values(sides).flatMap((s) => s[axis].flat());
  const limits = (list) => {
    const low = Math.min(...list), high = Math.max(...list), margin = 0.08 * (high - low) + 0.4;
    return [low - margin, high + margin];
  };
  const [x0, x1] = limits(all("xs")), [y0, y1] = limits(all("ys"));
  const X = (v) => left + (v - x0) / (x1 - x0) * (W - left - right);
  const Y = (v) => H - bottom - (v - y0) / (y1 - y0) * (H - bottom - top);
  svg.replaceChildren();
  const sx = step(x1 - x0), sy = step(y1 - y0), unit = change ? "points" : "%";
  for (let v = Math.ceil(x0 / sx) * sx; v <= x1; v += sx) {
    svg.append(make("text", {x: X(v), y: H - bottom + 16, "text-anchor": "middle"}, tick(v)));
    svg.append(make("line", {x1: X(v), x2: X(v), y1: top, y2: H - bottom, class: change && v === 0 ? "zero" : "grid"}));
  }
  for (let v = Math.ceil(y0 / sy) * sy; v <= y1; v += sy) {
    svg.append(make("text", {x: left - 6, y: Y(v) + 4, "text-anchor": "end"}, tick(v)));
    svg.append(make("line", {x1: left, x2: W - right, y1: Y(v), y2: Y(v), class: change && v === 0 ? "zero" : "grid"}));
  }
  const what = change ? "change " : "";
  svg.append(make("text", {x: (left + W - right) / 2, y: H - 6, "text-anchor": "middle"}, `${what}on the reference (${unit})`));
  svg.append(make("text", {x: 12, y: (top + H - bottom) / 2, "text-anchor": "middle",
    transform: `rotate(-90 12 ${(top + H - bottom) / 2})`}, `${what}under shift (${unit})`));
  const line = (xs, ys, name) => svg.append(make("polyline",
    {points: xs.map((v, i) => `${X(v).toFixed(1)},${Y(ys[i]).toFixed(1)}`).join(" "), class: name}));
  const parts = Object.entries(sides).map(([name, s]) => {
    if (s.xs.length > 1) s.xs.forEach((xs, i) => line(xs, s.ys[i], `seed ${name}`));
    line(s.x, s.y, `path ${name}`);
    const last = s.x.length - 1;
    svg.append(make("text", {x: X(s.x[0]), y: Y(s.y[0]) + 7, "text-anchor": "middle", class: "star"}, "★"));
    svg.append(make("text", {x: X(s.x[last]), y: Y(s.y[last]) + 6, "text-anchor": "middle", class: `diamond ${name}`}, "◆"));
    svg.append(make("circle", {cx: X(s.x[k]), cy: Y(s.y[k]), r: 6, class: `dot ${name}`}));
    const curve = s.curve, value = (run) => mean(curve.splits[run])[k], start = (run) => mean(curve.splits[run])[0];
    const described = (run) => `${value(run).toFixed(1)} % (${signed(value(run) - start(run))})`;
    return `${curve.label}: ${described(curve.reference)} on ${curve.names[curve.reference]}, ` +
      `${described(s.shift)} on ${curve.names[s.shift]}.`;
  });
  output.textContent = `α = ${data.alphas[k].toFixed(1)}. ${parts.join(" ")} In brackets: points against zero-shot.`;
  slider.setAttribute("aria-valuetext", `alpha ${data.alphas[k].toFixed(1)}`);
};

const shifts = (curve) => Object.keys(curve.splits).filter((s) => s !== curve.reference).map((s) => [s, curve.names[s]]);
const refill = () => {
  const paper = data.paper[Number(pick("paper").value)];
  fill(pick("paper-shift"), shifts(paper));
  fill(pick("our-shift"), shifts(data.ours[paper.kind]));
  draw();
};
fill(pick("paper"), data.paper.map((curve, k) => [String(k), curve.model]));
pick("paper").addEventListener("change", refill);
root.querySelectorAll("select, input").forEach((node) => node.addEventListener("input", draw));
slider.max = data.alphas.length - 1;
root.querySelector(".interactive").hidden = false;
refill();
