// The playground: a drawing, two models and every mixture of them, computed in the page. model.js computes, pixels.js
// turns the drawing into what the model sees; this file draws, asks and shows.
"use strict";
(function () {
  const root = document.getElementById("playground");
  const data = self.WISEFT_PLAYGROUND;
  if (!root || !data) return;
  const here = document.currentScript.src.replace(/[^/]*$/, "");
  const pick = (name) => document.getElementById(`playground-${name}`);
  const make = (tag, properties, ...children) => {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...children);
    return node;
  };
  const STYLES = {test: "line drawing", line_new_artists: "line drawing by another artist", solid: "solid", two_tone: "two-tone",
    color: "colour", emoji: "emoji", pixel: "pixel art", sketch: "sketch"};
  const percent = (p) => `${Math.round(100 * p)}\u00a0%`;
  const note = (text) => { pick("note").textContent = text; };

  // --- the drawing
  const canvas = pick("canvas"), pen = canvas.getContext("2d", {willReadFrequently: true});
  const SIDE = canvas.width, SEEN = 48;
  let exact = null; // the pixels of an example, as long as nothing was drawn on it: they are not resized
  let label = null; // its class
  let past = []; // states to undo to
  const whole = () => pen.getImageData(0, 0, SIDE, SIDE);
  const blank = () => { pen.fillStyle = "#fff"; pen.fillRect(0, 0, SIDE, SIDE); exact = label = chosen = null; };
  const remember = () => { past = [...past.slice(-29), {pixels: whole(), exact, label}]; };
  const changed = () => { pick("hint").hidden = dirty = true; work(); };
  const undo = () => {
    const state = past.pop();
    if (!state) return;
    pen.putImageData(state.pixels, 0, 0);
    ({exact, label} = state);
    chosen = null;
    changed();
  };
  const line = ([x0, y0], [x1, y1]) => {
    exact = label = null;
    Object.assign(pen, {strokeStyle: pick("colour").value, lineWidth: Number(pick("thickness").value),
      lineCap: "round", lineJoin: "round"});
    pen.beginPath();
    pen.moveTo(x0, y0);
    pen.lineTo(x1, y1 + 0.01); // a point is a dot
    pen.stroke();
    changed();
  };
  const place = (event) => {
    const area = canvas.getBoundingClientRect();
    return [(event.clientX - area.left) * SIDE / area.width, (event.clientY - area.top) * SIDE / area.height];
  };
  let drawing = null; // the pointer that draws; the others, such as a second finger, do nothing until it is lifted
  let last = null; // where it is
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button || drawing !== null) return;
    drawing = event.pointerId;
    canvas.setPointerCapture(drawing);
    remember();
    last = place(event);
    line(last, last);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerId !== drawing) return;
    const steps = event.getCoalescedEvents?.() ?? [];
    (steps.length ? steps : [event]).forEach((step) => { const next = place(step); line(last, next); last = next; });
  });
  ["pointerup", "pointercancel"].forEach((name) => canvas.addEventListener(name, (event) => {
    if (event.pointerId === drawing) drawing = null;
  }));

  const keys = {at: [SIDE / 2, SIDE / 2], down: false}; // the pen moved by keys
  const arrows = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
  const showPen = () => {
    const ring = pick("pen");
    ring.style.left = `${100 * keys.at[0] / SIDE}%`;
    ring.style.top = `${100 * keys.at[1] / SIDE}%`;
    ring.classList.toggle("down", keys.down);
  };
  const setDown = (down) => {
    keys.down = down;
    note(down ? "Pen down" : "Pen up");
  };
  canvas.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "z") undo();
    else if (event.key === " ") {
      setDown(!keys.down);
      if (keys.down) { remember(); line(keys.at, keys.at); }
    } else if (arrows[event.key]) {
      const next = keys.at.map((v, k) => Math.max(0, Math.min(SIDE, v + 12 * arrows[event.key][k])));
      if (keys.down) line(keys.at, next);
      keys.at = next;
    } else return;
    event.preventDefault();
    showPen();
  });
  canvas.addEventListener("blur", () => {
    if (keys.down) setDown(false);
    showPen();
  });

  const fitted = (image, width, height) => { // whole, in the middle, on white
    const zoom = Math.min(SIDE / width, SIDE / height);
    remember();
    blank();
    pen.imageSmoothingEnabled = zoom < 1;
    pen.imageSmoothingQuality = "high";
    pen.drawImage(image, (SIDE - zoom * width) / 2, (SIDE - zoom * height) / 2, zoom * width, zoom * height);
  };
  const showImage = async (source) => {
    const image = new Image();
    image.src = source;
    await image.decode();
    fitted(image, image.naturalWidth, image.naturalHeight);
    return image;
  };
  const showFile = async (file) => {
    const source = URL.createObjectURL(file);
    try {
      await showImage(source);
      note("");
      changed();
    } catch {
      note(`${file.name || "This"} is not an image that your browser can read. Try a PNG or a JPEG.`);
    }
    URL.revokeObjectURL(source);
  };
  const showExample = async (example) => {
    const image = await showImage(example.src);
    const small = make("canvas", {width: SEEN, height: SEEN}).getContext("2d");
    small.drawImage(image, 0, 0);
    const {data: rgba} = small.getImageData(0, 0, SEEN, SEEN);
    exact = Uint8Array.from({length: 3 * SEEN * SEEN}, (_, k) => rgba[4 * Math.floor(k / 3) + k % 3]);
    label = example.label;
    note("");
    changed();
  };
  const glyph = (text, side) => { // a text in the middle of a square
    const brush = make("canvas", {width: side, height: side}).getContext("2d", {willReadFrequently: true});
    Object.assign(brush, {fillStyle: "#fff"});
    brush.fillRect(0, 0, side, side);
    const font = (size) => `${size}px "Apple Color Emoji", "Segoe UI Emoji", "Noto Color Emoji", sans-serif`;
    Object.assign(brush, {fillStyle: "#000", font: font(side)});
    const size = brush.measureText(text);
    const wide = size.actualBoundingBoxLeft + size.actualBoundingBoxRight;
    const tall = size.actualBoundingBoxAscent + size.actualBoundingBoxDescent;
    const zoom = 0.85 * side / Math.max(wide, tall, 1);
    brush.font = font(side * zoom);
    brush.fillText(text, (side - zoom * wide) / 2 + zoom * size.actualBoundingBoxLeft,
      (side - zoom * tall) / 2 + zoom * size.actualBoundingBoxAscent);
    return brush;
  };
  const showText = (text) => {
    const Segments = Intl.Segmenter;
    const letters = Segments ? [...new Segments().segment(text.trim())].map((part) => part.segment) : [text.trim()];
    const letter = letters.pop();
    if (!letter) return;
    const looks = (one) => glyph(one, 64).getImageData(0, 0, 64, 64).data.join();
    if ([" ", "\u{10FFFF}"].some((missing) => looks(missing) === looks(letter))) {
      note(`Your system cannot draw ${letter}. Try another emoji, or a letter.`);
      return;
    }
    fitted(glyph(letter, SIDE).canvas, SIDE, SIDE);
    note("");
    changed();
  };
  const see = () => {
    const {data: rgba} = whole();
    if (!exact && rgba.every((v) => v === 255)) return null;
    const rgb = exact ?? self.wiseftPixels(rgba, SIDE, SIDE), brush = pick("seen").getContext("2d");
    const shown = brush.createImageData(SEEN, SEEN);
    for (let k = 0; k < SEEN * SEEN; k++) shown.data.set([rgb[3 * k], rgb[3 * k + 1], rgb[3 * k + 2], 255], 4 * k);
    brush.putImageData(shown, 0, 0);
    return rgb;
  };

  // --- the model, in a worker if the browser allows one; loaded on the first interaction or when the page is idle
  let ask = null; // (pixels, alpha) => promise of features and logits
  const script = (name) => new Promise((done, fail) => {
    document.head.append(make("script", {src: here + name, onload: done, onerror: () => fail(new Error(name))}));
  });
  const inWorker = (bytes) => new Promise((done, fail) => {
    const code = `${self.wiseftModel}\nlet model; onmessage = ({data: {data, bytes, pixels, alpha}}) => {
      if (data) { model = wiseftModel(data, bytes); postMessage("ready"); return; }
      const features = model.encode(pixels, alpha);
      postMessage({features, logits: model.logits(features, alpha)}); };`;
    const worker = new Worker(URL.createObjectURL(new Blob([code], {type: "text/javascript"})));
    worker.onerror = fail;
    worker.onmessage = () => done((pixels, alpha) => new Promise((answer, wrong) => {
      worker.onmessage = (event) => answer(event.data); // one question at a time, see `work`
      worker.onerror = wrong;
      worker.postMessage({pixels, alpha});
    }));
    worker.postMessage({data: {tensors: data.tensors}, bytes});
  });
  const onPage = (bytes) => {
    const model = self.wiseftModel(data, bytes);
    return async (pixels, alpha) => {
      await new Promise((go) => { setTimeout(go); }); // so that the page answers in between
      const features = model.encode(pixels, alpha);
      return {features, logits: model.logits(features, alpha)};
    };
  };
  let loading = null;
  const load = () => { loading ??= fetchAll(); };
  const fetchAll = async () => {
    const bar = pick("progress"), names = ["words.js"];
    self.WISEFT_WEIGHTS = [];
    for (let k = 0; k < data.parts; k++) names.push(`weights-${k}.js`);
    bar.max = names.length + 1;
    bar.value = 0;
    pick("loading").hidden = false;
    pick("failed").textContent = "";
    pick("retry").hidden = true;
    try {
      for (const name of names) { await script(name); bar.value += 1; }
      const bytes = await self.wiseftUnpack(self.WISEFT_WEIGHTS, data.bytes);
      ask = await inWorker(bytes).catch(() => onPage(bytes));
      delete self.WISEFT_WEIGHTS;
      readWords();
      changed();
    } catch (error) {
      loading = null;
      pick("failed").textContent = `The models could not be loaded (${error.message}).`;
      pick("retry").hidden = false;
    }
    pick("loading").hidden = true;
  };

  // --- what is known of the present drawing; `work` asks for what is missing, one alpha at a time
  const GRID = Array.from({length: 11}, (_, k) => k / 10), ENDS = [0, 1], FINE = 0.01;
  const slider = pick("alpha"), alpha = () => Number(slider.value);
  const known = new Map(); // by alpha: probabilities, features and logits
  let pixels = null, dirty = false, working = false;
  const FAILED = "The prediction could not be computed. Move the slider or change the drawing to try again.";
  const ordered = () => [...known.keys()].sort((a, b) => a - b);
  const best = (p) => p.indexOf(Math.max(...p));
  const softmax = (logits) => {
    const top = Math.max(...logits), powers = Array.from(logits, (v) => Math.exp(v - top));
    const sum = powers.reduce((a, b) => a + b, 0);
    return powers.map((v) => v / sum);
  };
  const judge = (found) => { // over the reader's own classes the head comes from their names, at every alpha
    found.p = softmax(own.length ? own.map(({row}) => row.reduce((sum, w, k) => sum + w * found.features[k], 0)) : found.logits);
    return found;
  };
  const gaps = () => { // neighbouring alphas that predict different classes
    const list = ordered();
    return list.slice(1).map((high, k) => [list[k], high])
      .filter(([low, high]) => best(known.get(low).p) !== best(known.get(high).p));
  };
  const missing = () => [...ENDS, alpha(), ...GRID,
    ...gaps().filter(([low, high]) => high - low > FINE).map(([low, high]) => (low + high) / 2)].find((a) => !known.has(a));
  const settled = () => !pixels || [...ENDS, alpha()].every((a) => known.has(a)); // so that bars move while one draws
  const work = async () => {
    if (working || !ask) return;
    working = true;
    root.dataset.state = "busy";
    try {
      for (;;) {
        if (dirty && settled()) { dirty = false; pixels = see(); known.clear(); }
        const next = pixels ? missing() : undefined;
        show();
        if (next === undefined) break;
        const found = await ask(pixels, next);
        known.set(next, judge(found));
        if (pick("note").textContent === FAILED) note("");
      }
    } catch (error) {
      console.error(error);
      note(FAILED);
      pixels = null; // the next change starts anew
      dirty = true;
    } finally {
      working = false;
      root.dataset.state = "still";
    }
  };

  // --- classes
  let own = []; // {name, row}: the reader's own classes
  let words = null; // by name: its row of the head
  const readWords = () => {
    const names = self.WISEFT_WORDS, bytes = self.wiseftDecode(self.WISEFT_WORD_ROWS), width = 128;
    const steps = new Float32Array(bytes.buffer, 0, names.length), codes = new Int8Array(bytes.buffer, 4 * names.length);
    words = new Map(names.map((name, k) =>
      [name, Array.from(codes.subarray(width * k, width * (k + 1)), (code) => code * steps[k])]));
    countWords();
  };
  const countWords = () => {
    pick("words").textContent = `At least two words; ${words.size.toLocaleString("en")} are available.`;
  };
  const classes = () => (own.length ? own.map(({name}) => name) : data.classes);
  const near = (word) => [...words.keys()].filter((name) => name.startsWith(word.slice(0, 3))).slice(0, 4);
  const setOwn = (next) => {
    own = next;
    chosen = null;
    known.forEach(judge);
    pick("own").replaceChildren(...own.map(({name}, k) => {
      const remove = make("button", {type: "button"}, `${name} ×`);
      remove.addEventListener("click", () => {
        setOwn(own.filter((one) => one.name !== name));
        (pick("own").children[k] ?? pick("class")).focus(); // the button that had the focus is gone
      });
      remove.setAttribute("aria-label", `remove ${name}`);
      return remove;
    }));
    pick("all").hidden = !own.length;
    if (own.length) pick("words").textContent = own.length === 1 ? "A single class is always the prediction: add a second one." : "";
    else if (words) countWords();
    work();
  };
  const addWords = async () => {
    load();
    await loading;
    const field = pick("class"), message = pick("words");
    if (!words) {
      message.textContent = "The classes were not added, because the models could not be loaded. Press Add to try again.";
      return;
    }
    const asked = field.value.toLowerCase().split(",").map((word) => word.trim()).filter(Boolean);
    const [available, unknown] = [true, false].map((is) => asked.filter((word) => words.has(word) === is));
    const fresh = [...new Set(available)].filter((word) => own.every(({name}) => name !== word));
    setOwn([...own, ...fresh.map((name) => ({name, row: words.get(name)}))]);
    field.value = unknown.join(", ");
    if (unknown.length) message.textContent = unknown.map((word) => {
      const others = near(word);
      return `“${word}” is not among the ${words.size.toLocaleString("en")} words.` +
        `${others.length ? ` Similar words: ${others.join(", ")}.` : ""}`;
    }).join(" ");
  };
  const complete = () => {
    const start = pick("class").value.toLowerCase().split(",").map((part) => part.trim());
    const prefix = start.pop(), before = start.map((part) => `${part}, `).join("");
    const fits = prefix && words ? [...words.keys()].filter((name) => name.startsWith(prefix)).slice(0, 20) : [];
    pick("list").replaceChildren(...fits.map((name) => make("option", {value: before + name})));
  };

  // --- what is shown
  let chosen = null; // the class of the plot; null: the label if there is one, else what the mixture predicts
  const followed = () => {
    const labelled = classes().indexOf(label);
    return chosen ?? (labelled >= 0 ? labelled : best(known.get(alpha()).p));
  };
  const bars = (list, p) => {
    const names = classes(), order = [...p.keys()].sort((a, b) => p[b] - p[a]).slice(0, 5);
    while (list.children.length > order.length) list.lastChild.remove();
    while (list.children.length < order.length) list.append(make("li", {}, make("button", {type: "button", title: "Plot this class"},
      make("span", {className: "fill"}), make("span"), make("span"))));
    order.forEach((c, k) => {
      const button = list.children[k].firstChild, [fill, name, value] = button.children;
      fill.style.width = `${100 * p[c]}%`;
      name.textContent = `${names[c] === label ? "✓ " : ""}${names[c]}`;
      value.textContent = percent(p[c]);
      button.dataset.class = c;
      button.setAttribute("aria-pressed", String(c === chosen));
    });
  };
  const flips = () => gaps().map(([low, high]) => {
    const [p, q] = [known.get(low).p, known.get(high).p], [a, b] = [best(p), best(q)];
    const before = Math.log(p[a] / p[b]), after = Math.log(q[b] / q[a]); // their margins, linear in between
    return {at: low + (high - low) * (before + after ? before / (before + after) : 0.5), from: a, to: b};
  });
  const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"], DASHES = ["", "7 4", "2 3", "9 3 2 3"];
  const svgns = "http://www.w3.org/2000/svg";
  const mark = (tag, attributes, text) => {
    const node = document.createElementNS(svgns, tag);
    Object.entries(attributes).forEach(([key, value]) => node.setAttribute(key, value));
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const plot = () => {
    const svg = pick("plot"), W = 380, H = 230, left = 48, right = 10, top = 28, bottom = 42, names = classes();
    const X = (a) => left + a * (W - left - right), Y = (p) => H - bottom - p * (H - bottom - top);
    svg.replaceChildren();
    [0, 0.5, 1].forEach((v) => svg.append(
      mark("line", {x1: left, x2: W - right, y1: Y(v), y2: Y(v), class: "grid"}),
      mark("text", {x: left - 5, y: Y(v) + 4, "text-anchor": "end"}, percent(v)),
      mark("text", {x: X(v), y: H - bottom + 15, "text-anchor": "middle"}, v)));
    svg.append(mark("text", {x: 0, y: 12}, "probability of a class"),
      mark("text", {x: X(0.5), y: H - 6, "text-anchor": "middle"}, "α: from zero-shot to fine-tuned"));
    const list = ordered(), main = followed();
    const drawn = [...new Set([main, ...list.map((a) => best(known.get(a).p))])].slice(0, COLOURS.length);
    const legend = drawn.map((c, k) => {
      const look = {stroke: COLOURS[k], "stroke-dasharray": DASHES[k % DASHES.length], "stroke-width": c === main ? 3.5 : 1.8};
      svg.append(mark("polyline", {points: list.map((a) => `${X(a).toFixed(1)},${Y(known.get(a).p[c]).toFixed(1)}`).join(" "), ...look}));
      const swatch = mark("svg", {viewBox: "0 0 30 10", "aria-hidden": "true"});
      swatch.append(mark("line", {x1: 0, x2: 30, y1: 5, y2: 5, ...look}));
      return make("span", {}, swatch, names[c]);
    });
    flips().forEach(({at}) => svg.append(mark("line", {x1: X(at), x2: X(at), y1: top, y2: H - bottom, class: "flip"})));
    svg.append(mark("circle", {cx: X(alpha()), cy: Y(known.get(alpha()).p[main]), r: 6, class: "dot"}));
    pick("legend").replaceChildren(...legend);
  };
  const describe = () => {
    const names = classes(), {p} = known.get(alpha()), name = names[best(p)];
    const model = {0: "zero-shot model", 1: "fine-tuned model"}[alpha()] ?? "mixture";
    const parts = [`At α = ${alpha().toFixed(2)} the ${model} predicts ${name} (${percent(Math.max(...p))}).`];
    if (label && !names.includes(label)) parts.push(`The example is labelled ${label}, which is not among your classes.`);
    else if (label) parts.push(`${name === label ? "Right" : "Wrong"}: the example is labelled ${label}.`);
    if (GRID.every((a) => known.has(a))) {
      const turns = flips().map(({at, from, to}) => `at α = ${at.toFixed(2)} from ${names[from]} to ${names[to]}`);
      parts.push(turns.length ? `The prediction changes ${turns.join(", ")}.` : "The prediction is the same at every α.");
    }
    pick("text").textContent = parts.join(" ");
  };
  const show = () => {
    slider.setAttribute("aria-valuetext", `alpha ${alpha().toFixed(2)}`);
    pick("at").textContent = alpha().toFixed(2);
    pick("results").hidden = !pixels;
    if (!dirty) pick("hint").hidden = Boolean(pixels);
    if (!pixels && !dirty && ask) pick("text").textContent = "The canvas is empty. Draw something, or choose an example.";
    if (!pixels || !settled()) return; // what was shown stays for a moment
    [["zero", 0], ["mixed", alpha()], ["tuned", 1]].forEach(([name, a]) => bars(pick(name), known.get(a).p));
    describe();
    if (GRID.every((a) => known.has(a))) plot();
  };

  // --- a cell that loads the drawing into the library
  const cell = () => [
    "from PIL import Image",
    "from wiseft_lite import interpolate",
    'image = zero_shot.preprocess(Image.open("drawing.png").convert("RGB"))[None]',
    `model = zero_shot.with_weights(interpolate(theta_0, theta_1, ${alpha()}))`,
    "print(model.class_names[model(image).argmax()])",
  ].join("\n");
  const download = () => {
    const source = exact ? pick("seen") : canvas;
    make("a", {href: source.toDataURL("image/png"), download: "drawing.png"}).click();
    pick("code").textContent = cell();
    pick("cell").hidden = false;
    pick("code").focus();
  };

  // --- controls
  const on = (name, event, action) => pick(name).addEventListener(event, action);
  on("undo", "click", undo);
  on("clear", "click", () => { remember(); blank(); note(""); changed(); });
  on("emoji", "input", (event) => { if (!event.isComposing) showText(event.target.value); });
  on("file", "change", (event) => { if (event.target.files[0]) showFile(event.target.files[0]); event.target.value = ""; });
  on("alpha", "input", () => { show(); work(); });
  on("class", "input", complete);
  on("add", "submit", (event) => { event.preventDefault(); addWords(); });
  on("all", "click", () => { pick("class").value = ""; setOwn([]); pick("class").focus(); });
  on("retry", "click", () => { load(); pick("alpha").focus(); });
  ["zero", "mixed", "tuned"].forEach((name) => on(name, "click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const c = Number(button.dataset.class);
    chosen = chosen === c ? null : c;
    show();
  }));
  on("download", "click", download);
  root.addEventListener("dragover", (event) => event.preventDefault());
  root.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files[0]) showFile(event.dataTransfer.files[0]);
  });
  document.addEventListener("paste", (event) => {
    const file = [...event.clipboardData.files].find(({type}) => type.startsWith("image/"));
    if (file) { event.preventDefault(); showFile(file); }
  });
  data.examples.forEach((example, k) => { // by turns one that only zero-shot gets right, and one that only fine-tuned does
    const image = make("img", {src: example.src, alt: `${example.label}, ${STYLES[example.style]}`, width: SEEN, height: SEEN});
    pick(k % 2 ? "only-tuned" : "only-zero").append(
      make("button", {type: "button", title: STYLES[example.style], onclick: () => showExample(example)}, image));
  });
  pick("classes").textContent = `${[...data.classes].sort().join(", ")}.`;
  ["pointerdown", "keydown", "dragenter"].forEach((name) => root.addEventListener(name, () => {
    if (pick("retry").hidden) load();
  }, {once: true}));
  (self.requestIdleCallback ?? ((go) => setTimeout(go, 500)))(load);
  blank();
  showPen();
  root.hidden = false;
})();
