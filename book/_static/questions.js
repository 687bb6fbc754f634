// Questions of the chapters, answered on the page: a form in place of the notebook's cell. data_scripts/questions.py
// writes what each of them holds. Verdicts and reports are those of wiseft_lite/book/checks/plain.py.
//
// The last answer stays in the reader's own browser, in localStorage, and is sent nowhere. Its key is
// "wiseft.exercise.<number>", such as "wiseft.exercise.2.1". Its value is JSON: {"answer": "800", "right": true}.
// An answer of several numbers is a list of texts.
"use strict";
(function () {
  const make = (tag, attributes, ...children) => {
    const node = document.createElement(tag);
    Object.entries(attributes).forEach(([key, value]) => node.setAttribute(key, value));
    node.append(...children);
    return node;
  };

  // --- numbers, read and shown as Python does
  const digits = "[0-9](?:_?[0-9])*";
  const FLOAT = new RegExp(`^[+-]?(?:(?:${digits}\\.?(?:${digits})?|\\.${digits})(?:e[+-]?${digits})?|inf(?:inity)?|nan)$`, "i");
  const THOUSANDS = /^[+-]?[1-9][0-9]{0,2}(?:,[0-9]{3})+(?:\.[0-9]*)?$/;
  const WITH_COMMA = /^[+-]?[0-9.]*,[0-9.,]*$/;
  const typed = (text) => text.replaceAll("\u2212", "-").replace(/[% ]+$/, "").trim();
  const parsed = (text) => {
    const plain = THOUSANDS.test(typed(text)) ? typed(text).replaceAll(",", "") : typed(text);
    if (!FLOAT.test(plain)) return null;
    return Number(plain.replaceAll("_", "").replace(/inf(inity)?/i, "Infinity"));
  };
  const quoted = (text) => {
    const mark = text.includes("'") && !text.includes('"') ? '"' : "'";
    const words = text.trim().split(/\s+/).join(" ");
    return mark + words.replaceAll("\\", "\\\\").replaceAll(mark, `\\${mark}`) + mark;
  };
  // A tie goes to the even digit: Python rounds so, toFixed and toExponential away from zero.
  const rounded = (method, x, places) => {
    const exact = x[method](60), end = exact.indexOf(".") + 1 + places;
    const [rest, power] = exact.slice(end).split("e");
    const tie = /^50*$/.test(rest) && Number(exact[end - 1]) % 2 === 0;
    return tie ? exact.slice(0, end) + (power ? `e${power}` : "") : x[method](places);
  };
  const unsigned = (x) => {
    if (Number.isNaN(x)) return "nan";
    if (x === Infinity) return "inf";
    if (x >= 1000) { // one decimal, and commas between thousands
      const text = x < 1e21 ? rounded("toFixed", x, 1) : `${BigInt(x)}.0`;
      return text.replace(/\B(?=([0-9]{3})+\.)/g, ",");
    }
    const text = rounded("toExponential", x, 3), [first, power] = text.split("e"); // four digits
    return Number(power) >= -4 ? String(Number(text)) : `${Number(first)}e-${power.slice(1).padStart(2, "0")}`;
  };
  const shown = (x) => (x < 0 || Object.is(x, -0) ? "-" : "") + unsigned(Math.abs(x));

  // --- verdicts: [whether the answer is right, the report]
  const filled = (report, values) => report.replace(/\{(\w+)\}/g, (_, name) => values[name]);
  const judged = {
    choice: ({right, reports}, [letter]) => [letter === right, reports[letter]],
    number: ({right, wrong, reports}, texts) => {
      const values = texts.map(parsed), bad = texts[values.indexOf(null)];
      if (bad !== undefined) {
        const kind = WITH_COMMA.test(typed(bad)) ? "comma" : "malformed";
        return [false, filled(reports[kind], {given: quoted(bad)})];
      }
      const errors = (parts) => parts.map(([value], k) => Math.abs(values[k] - value));
      const near = (parts) => errors(parts).every((error, k) => error <= parts[k][1]);
      if (near(right)) return [true, reports.correct];
      const all = values.length > 1 ? `[${values.map(shown).join(", ")}]` : shown(values[0]);
      const [nearest] = wrong.filter(([parts]) => near(parts))
        .map(([parts, reason]) => [Math.max(...errors(parts)), reason])
        .sort((a, b) => a[0] - b[0] || (a[1] < b[1] ? -1 : 1));
      return [false, filled(nearest ? reports.known : reports.unknown, {shown: all, reason: nearest && nearest[1]})];
    },
  };

  // --- the last answer; a browser may refuse to keep it, or to open the store
  const key = ({name}) => `wiseft.exercise.${name}`;
  const stored = (question) => {
    try {
      return [JSON.parse(localStorage.getItem(key(question))).answer].flat();
    } catch {
      return null;
    }
  };
  const store = (question, answer, right) => {
    try {
      localStorage.setItem(key(question), JSON.stringify({answer: answer.length > 1 ? answer : answer[0], right}));
    } catch { /* the verdict is shown all the same */ }
  };

  // --- fields: their nodes, the answer that they hold (a list of texts), the first of them without one that can be
  // read, and how to set the answer
  const fields = {
    choice: ({name, reports}, place) => {
      const letters = Object.keys(reports), list = place.previousElementSibling;
      const items = list && list.matches("ul") ? [...list.children] : [];
      const texts = letters.map((letter) => items.map((item) => item.querySelector(":scope > p") || item)
        .find((text) => text.querySelector("strong")?.textContent === letter));
      const buttons = letters.map((letter) => make("input", {type: "radio", name: `exercise-${name}`, value: letter}));
      const labels = buttons.map((button, k) =>
        make("label", {}, button, make("span", {}, ...(texts[k] ? texts[k].childNodes : [letters[k]]))));
      if (texts.every(Boolean)) list.remove(); // each option is now the label of its button
      return {
        nodes: labels,
        answer: () => buttons.filter((button) => button.checked).map((button) => button.value),
        unreadable: () => {
          const none = buttons.every((button) => !button.checked);
          buttons[0].closest("fieldset").setAttribute("aria-invalid", none);
          return none ? buttons[0] : undefined;
        },
        set: ([letter]) => buttons.forEach((button) => { button.checked = button.value === letter; }),
        missing: "Choose an answer first.",
      };
    },
    number: ({right}) => {
      // No inputmode: the number pads of phones lack the minus sign, and some the decimal point.
      const inputs = right.map(() => make("input", {type: "text", maxlength: 30, autocomplete: "off", spellcheck: "false"}));
      const names = inputs.length > 1 ? ["First number", "Second number", "Third number"] : ["Number"];
      return {
        nodes: inputs.map((input, k) => make("label", {}, make("span", {}, names[k]), input)),
        answer: () => inputs.map((input) => input.value.trim()).filter(Boolean),
        unreadable: () => {
          inputs.forEach((input) => input.setAttribute("aria-invalid", parsed(input.value) === null));
          return inputs.find((input) => parsed(input.value) === null);
        },
        set: (texts) => inputs.forEach((input, k) => { input.value = texts[k]; }),
        missing: inputs.length > 1 ? "Type all numbers first." : "Type a number first.",
      };
    },
  };

  // The notebook's cell goes below the form, folded as hints are. Its output stays where it was.
  const folded = (place) => {
    let cell = place.nextElementSibling;
    while (cell && !cell.matches("div.cell")) cell = cell.nextElementSibling;
    const input = cell && cell.querySelector(":scope > .cell_input");
    if (!input) return [];
    const shell = cell.cloneNode(false);
    shell.append(input);
    if (!cell.querySelector(".cell_output")) cell.remove();
    return [make("details", {}, make("summary", {}, "In the notebook"), shell)];
  };

  document.querySelectorAll("div.question").forEach((place) => {
    const question = JSON.parse(atob(place.dataset.question));
    const {nodes, answer, unreadable, set, missing} = fields[question.kind](question, place);
    const count = question.kind === "number" ? question.right.length : 1;
    const status = make("p", {id: `verdict-${question.name}`});
    const report = (text, state) => {
      status.textContent = text;
      status.className = state;
    };
    const judge = (given) => {
      const [right, text] = judged[question.kind](question, given);
      report(text, right ? "right" : "wrong");
      return right;
    };
    const form = make("form", {class: question.kind},
      make("fieldset", {"aria-describedby": status.id}, make("legend", {}, `Your answer to exercise ${question.name}`), ...nodes,
        make("button", {type: "submit"}, "Check")), status);
    if (question.kind === "choice") form.querySelector("fieldset").setAttribute("role", "radiogroup");
    form.noValidate = true;
    // Screen readers announce what changes in a status, and not the verdict on an earlier answer when the page opens.
    for (const kind of ["input", "submit"]) form.addEventListener(kind, () => status.setAttribute("role", "status"));
    form.addEventListener("input", (event) => {
      for (const field of [event.target, event.target.closest("fieldset")]) field.removeAttribute("aria-invalid");
      report("", "");
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const given = answer();
      if (given.length < count) report(missing, "");
      else store(question, given, judge(given));
      unreadable()?.focus();
    });
    place.append(form);
    place.after(...folded(place));
    const last = stored(question);
    if (last && last.length === count && last.every((text) => typeof text === "string")) {
      set(last);
      if (answer().length === count) judge(last);
    }
  });
})();
