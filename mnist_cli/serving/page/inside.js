// The second view: what the network computes for the drawing, and what changes when a unit is switched off.

import * as service from "./service.js";

const RETRY = 1000; // ms
const CONTROLS = {
  thickness: { label: "thicker", min: -2, max: 2, step: 0.25, unit: " px" },
  rotation: { label: "rotation", min: -180, max: 180, step: 5, unit: "°" },
  blur: { label: "blur", min: 0, max: 3, step: 0.25, unit: " px" },
  noise: { label: "noise", min: 0, max: 1, step: 0.05, unit: "%" },
};
const STEPS = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };

const $ = (id) => document.getElementById(id);

export class Inside {
  #page; // what the page provides, such as `text` for the texts in its language
  #isOpen = false;
  #answer = null; // the page's result for the drawing, without any changes
  #found = null; // the response of POST /api/inspect
  #failure = null; // { key, reason }
  #isBusy = false; // a request is in flight
  #isStale = false; // something has changed since it was sent
  #off = new Set(); // units and layers as the API names them: "1.17", "1"
  #chosen = null; // the class whose evidence is shown, or null for the likeliest
  #unit = null; // the unit that is shown, such as "1.17"

  constructor(page) {
    this.#page = page;
    this.#buildControls();
    $("reset").addEventListener("click", () => this.#reset());
  }

  set isOpen(isOpen) {
    this.#isOpen = isOpen;
    $("inside").hidden = !isOpen;
    this.#refresh();
  }

  /** Show the drawing whose result on the page is `answer`; null when there is none. */
  follow(answer) {
    this.#answer = answer;
    if (!answer) [this.#found, this.#failure] = [null, null];
    this.#refresh();
  }

  translate() {
    for (const [name, { label }] of Object.entries(CONTROLS)) $(`what-${name}-label`).textContent = this.#page.text(label);
    $("layers").replaceChildren(); // built again, in the other language
    this.render();
  }

  // Requests -----------------------------------------------------------------------------------------------------

  /** Ask for what is inside, or if an answer is awaited, once that is here: one request at a time. */
  async #refresh() {
    this.render();
    if (!this.#isOpen || !this.#answer) return;
    this.#isStale = true;
    if (this.#isBusy) return;
    this.#isBusy = true;
    while (this.#isStale && this.#isOpen && this.#answer) await this.#ask();
    this.#isBusy = false;
  }

  async #ask() {
    this.#isStale = false;
    try {
      const found = await service.inspect(this.#page.picture(), this.#parameters());
      [this.#found, this.#failure] = this.#answer ? [found, null] : [null, null];
    } catch (error) {
      if (!(error instanceof service.Failure)) throw error;
      if (error.kind === "offline") return; // the page says so
      this.#failure = error.kind === "busy" ? { key: "insideBusy" } : { key: "insideFailed", reason: error.reason ?? "" };
      if (error.kind === "busy") {
        this.render();
        await new Promise((resolve) => setTimeout(resolve, RETRY));
        this.#isStale = true;
      }
    }
    this.render();
    if (!this.#isStale) this.#announce();
  }

  #parameters() {
    const parameters = new URLSearchParams([...this.#off].map((name) => ["off", name]));
    for (const name in CONTROLS) if (this.#value(name)) parameters.set(name, this.#value(name));
    if (this.#chosen !== null) parameters.set("class", this.#chosen);
    if (this.#unit !== null) parameters.set("unit", this.#unit);
    return parameters;
  }

  // Changes ------------------------------------------------------------------------------------------------------

  #buildControls() {
    for (const [name, { min, max, step }] of Object.entries(CONTROLS)) {
      const label = create("label");
      const input = create("input", { type: "range", id: `what-${name}`, min, max, step, value: 0 });
      label.append(create("span", { id: `what-${name}-label` }), input, create("output", { htmlFor: input.id }));
      input.addEventListener("input", () => this.#refresh());
      $("what-if").append(label);
    }
  }

  #value(name) {
    return Number($(`what-${name}`).value);
  }

  #reset() {
    for (const name in CONTROLS) $(`what-${name}`).value = 0;
    this.#off.clear();
    this.#refresh();
    $("canvas").focus(); // the button is disabled now
  }

  get #changes() {
    return this.#off.size + Object.keys(CONTROLS).filter((name) => this.#value(name)).length;
  }

  #toggle(name) {
    if (!this.#off.delete(name)) this.#off.add(name);
    this.#refresh();
  }

  #choose(index) {
    this.#chosen = index;
    this.#refresh();
  }

  #select(name) {
    this.#unit = this.#unit === name ? null : name;
    this.#refresh();
  }

  // Showing ------------------------------------------------------------------------------------------------------

  render() {
    const found = this.#found?.frame ? this.#found : null;
    const note = this.#failure ?? (found ? null : { key: this.#found ? "insideNoInk" : "insideEmpty" });
    $("inside-note").textContent = note ? this.#page.text(note.key, note) : "";
    $("inside-note").hidden = !note;
    $("inside-all").hidden = !found || this.#failure?.key === "insideFailed";
    $("reset").disabled = !this.#changes;
    for (const [name, { unit }] of Object.entries(CONTROLS)) this.#renderControl(name, unit);
    if (!found || !this.#isOpen) return;
    const [ink, soft, second] = colours($("inside-frame"));
    paint($("inside-ink"), found.ink, 255, ink);
    paint($("inside-frame"), found.frame, 255, ink);
    this.#renderClasses(found);
    this.#renderEvidence(found, ink, soft, second);
    this.#renderLayers(found, ink, soft, second);
  }

  #renderControl(name, unit) {
    const value = unit === "%" ? this.#page.number(this.#value(name), { style: "percent" }) : `${this.#page.number(this.#value(name))}${unit}`;
    $(`what-${name}`).nextSibling.value = value;
    $(`what-${name}`).setAttribute("aria-valuetext", value);
  }

  #renderClasses({ logits, probabilities, evidence, temperature, score, threshold, compared }) {
    const body = $("classes").tBodies[0];
    const names = this.#page.classNames(probabilities.length);
    if (body.rows.length !== names.length) this.#buildClasses(body, names, this.#page.compared());
    const before = this.#changes && this.#answer.probabilities?.length === names.length ? this.#answer.probabilities : null;
    $("classes").classList.toggle("changed", Boolean(before));
    const most = Math.max(...probabilities);
    names.forEach((name, index) => {
      const row = body.rows[index];
      row.classList.toggle("most", probabilities[index] === most);
      row.querySelector("button").setAttribute("aria-pressed", String(name) === evidence[0].label);
      row.cells[1].textContent = this.#decimal(logits[index]);
      row.querySelector(".fill").style.transform = `scaleX(${probabilities[index]})`;
      row.querySelector(".percent").textContent = this.#page.percent(probabilities[index]);
      row.cells[3].textContent = before ? this.#page.percent(before[index]) : "";
      compared.forEach((others, at) => (row.cells[4 + at].textContent = this.#page.percent(others[index])));
    });
    const values = { temperature: this.#decimal(temperature), score: this.#decimal(score), threshold: this.#decimal(threshold) };
    $("score").textContent = this.#page.text(threshold < -1e6 ? "scoreOnly" : "score", values);
  }

  /** Make a row for each class, with a column for each further model. */
  #buildClasses(body, names, compared) {
    const heads = compared.map((path) => create("th", { scope: "col", className: "compared", textContent: path, title: path }));
    $("classes").tHead.rows[0].append(...heads);
    body.replaceChildren(
      ...names.map((name, index) => {
        const row = create("tr");
        const button = create("button", { type: "button", textContent: name });
        button.addEventListener("click", () => this.#choose(index));
        const head = create("th", { scope: "row" });
        head.append(button);
        const bar = create("span", { className: "track" });
        bar.append(create("span", { className: "fill" }));
        const probability = create("td", { className: "wide" });
        probability.append(bar, create("span", { className: "percent" }));
        row.append(head, create("td"), probability, create("td", { className: "before" }), ...compared.map(() => create("td")));
        return row;
      }),
    );
  }

  #renderEvidence({ evidence, frame }, ink, soft, second) {
    const most = Math.max(...evidence.flatMap(({ map }) => map.flat().map(Math.abs)), 1e-6);
    $("evidence").replaceChildren(
      ...evidence.map(({ label, map }) => {
        const caption = this.#page.text("evidenceFor", { label });
        const canvas = picture(caption);
        paintOver(canvas, frame, soft, map, most, ink, second);
        return figure(canvas, caption);
      }),
    );
  }

  #renderLayers({ layers, frame, unit, evidence }, ink, soft, second) {
    const shape = layers.map(({ maps }) => maps.length).join();
    if (!$("layers").childElementCount || $("layers").dataset.shape !== shape) this.#buildLayers(layers);
    $("layers").dataset.shape = shape;
    layers.forEach((layer, index) => this.#renderLayer($("layers").children[index], layer, index, ink, second));
    const panel = $("unit");
    const hasFocus = panel?.contains(document.activeElement);
    panel?.remove();
    if (unit && layers[unit.layer]) {
      const contribution = layers[unit.layer].contributions[unit.index];
      const made = this.#unitPanel(unit, contribution, evidence[0].label, frame, ink, soft, second);
      $("layers").children[unit.layer].append(made);
      if (hasFocus) made.querySelector("button").focus();
    }
  }

  #buildLayers(layers) {
    const sections = layers.map(({ name, maps }, index) => {
      const section = create("section", { className: maps[0].length > 1 ? "layer" : "layer flat" });
      const heading = create("h2", { id: `layer-${index}` });
      heading.textContent = this.#page.text("layer", { number: index + 1, name, count: maps.length });
      const off = create("button", { type: "button", className: "off", textContent: this.#page.text("layerOff") });
      off.setAttribute("aria-describedby", heading.id);
      off.addEventListener("click", () => this.#toggle(String(index)));
      const head = create("div", { className: "head" });
      head.append(heading, off);
      const units = create("div", { className: "units" });
      units.style.setProperty("--tile", `${Math.max(24, 18 + 2 * maps[0].length)}px`);
      units.setAttribute("role", "group");
      units.setAttribute("aria-labelledby", heading.id);
      units.append(...maps.map(() => this.#unitButton(index)));
      units.firstChild.tabIndex = 0;
      units.addEventListener("keydown", (event) => moveFocus(units, event));
      section.append(head, units);
      return section;
    });
    const isSorted = sections.some((section) => section.classList.contains("flat"));
    const keys = layers.length ? ["unitsMore", ...(isSorted ? ["sortedMore"] : [])] : ["noLayers"];
    const note = keys.map((key) => this.#page.text(key)).join(" ");
    $("layers").replaceChildren(...sections, create("p", { className: "note", textContent: note }));
  }

  #unitButton(layer) {
    const button = create("button", { type: "button", tabIndex: -1 });
    button.append(create("canvas"));
    button.addEventListener("click", () => this.#select(`${layer}.${button.dataset.unit}`));
    return button;
  }

  /** Draw the units of a layer on one scale; those of a fully connected one in the order of their contributions. */
  #renderLayer(section, { maps, contributions }, index, ink, second) {
    const most = Math.max(...maps.flat(2).map(Math.abs), 1e-6);
    const order = [...maps.keys()];
    if (section.classList.contains("flat")) order.sort((a, b) => contributions[b] - contributions[a] || a - b);
    const isOff = this.#off.has(String(index));
    section.querySelector(".off").setAttribute("aria-pressed", isOff);
    order.forEach((unit, at) => {
      const button = section.querySelector(".units").children[at];
      const name = `${index}.${unit}`;
      button.dataset.unit = unit;
      button.classList.toggle("is-off", isOff || this.#off.has(name));
      button.setAttribute("aria-pressed", this.#unit === name);
      const key = isOff || this.#off.has(name) ? "unitOff" : "unit";
      button.title = this.#page.text(key, { unit, contribution: this.#signed(contributions[unit]) });
      button.setAttribute("aria-label", button.title);
      paint(button.firstChild, maps[unit], most, ink, second);
    });
  }

  #unitPanel(unit, contribution, label, frame, ink, soft, second) {
    const panel = create("div", { id: "unit", className: "unit" });
    const name = `${unit.layer}.${unit.index}`;
    const what = picture(this.#page.text(unit.weights ? "weights" : "patch"));
    if (unit.weights) paint(what, unit.weights, Math.max(...unit.weights.flat().map(Math.abs)), ink, second);
    else paint(what, cut(frame, unit.box), 255, ink);
    const where = picture(this.#page.text("where"));
    paintOver(where, frame, soft, unit.map, Math.max(...unit.map.flat().map(Math.abs), 1e-6), ink, second);
    const off = create("button", { type: "button", textContent: this.#page.text("off") });
    off.setAttribute("aria-pressed", this.#off.has(name));
    off.addEventListener("click", () => this.#toggle(name));
    const words = create("div");
    const isOff = this.#off.has(name) || this.#off.has(String(unit.layer));
    const change = this.#page.text(contribution < 0 ? "higher" : "lower", { value: this.#decimal(Math.abs(contribution)) });
    const title = this.#page.text(isOff ? "unitOff" : "unit", { unit: unit.index, contribution: this.#signed(contribution) });
    const without = isOff ? "" : this.#page.text("contribution", { label, change });
    words.append(create("strong", { textContent: title }), create("p", { textContent: without }), off);
    panel.append(figure(what, what.ariaLabel), figure(where, where.ariaLabel), words);
    return panel;
  }

  /** Tell screen readers what the changes have changed. */
  #announce() {
    const { label, probabilities, reason } = this.#found ?? {};
    const changes = this.#changes;
    if (!probabilities || !changes) return void ($("inside-spoken").textContent = "");
    const values = { changes, label: label ?? this.#page.text("notADigit"), percent: this.#page.percent(Math.max(...probabilities)) };
    $("inside-spoken").textContent = this.#page.text("insideSpoken", values);
  }

  #decimal(value) {
    return this.#page.number(value, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  }

  #signed(value) {
    return this.#page.number(value, { minimumFractionDigits: 2, maximumFractionDigits: 2, signDisplay: "exceptZero" });
  }
}

function create(tag, properties = {}) {
  const { htmlFor, ...others } = properties;
  const element = Object.assign(document.createElement(tag), others);
  if (htmlFor) element.setAttribute("for", htmlFor);
  return element;
}

function picture(label) {
  return create("canvas", { role: "img", ariaLabel: label });
}

function figure(canvas, caption) {
  const element = create("figure");
  element.append(canvas, create("figcaption", { textContent: caption }));
  return element;
}

/** Move the focus among the units of a layer with the arrow keys: only one of them is reached with the tab key. */
function moveFocus(units, event) {
  const buttons = [...units.children];
  const across = Math.round(units.clientWidth / (buttons[1]?.offsetLeft - buttons[0].offsetLeft || 1));
  const step = { ...STEPS, ArrowUp: -across, ArrowDown: across }[event.key];
  if (step === undefined) return;
  event.preventDefault();
  const at = buttons.indexOf(document.activeElement);
  const next = buttons[Math.min(buttons.length - 1, Math.max(0, at + step))];
  buttons.forEach((button) => (button.tabIndex = button === next ? 0 : -1));
  next.focus();
}

/** The colours of the style sheet as red, green, blue: of ink, of what is in the background, and of negative values. */
function colours(element) {
  const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const style = getComputedStyle(element);
  return [style.color, style.borderColor, style.outlineColor].map((colour) => {
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
  });
}

/** Draw rows of values, a pixel each: 0 is transparent, `most` is the colour, -`most` the colour of negative values. */
function paint(canvas, rows, most, colour, negative = colour) {
  Object.assign(canvas, { width: rows[0].length, height: rows.length });
  canvas.getContext("2d").putImageData(toImage(rows, most, colour, negative), 0, 0);
}

/** Draw values over a frame, which stays pale. */
function paintOver(canvas, frame, soft, rows, most, colour, negative) {
  paint(canvas, frame, 255, soft);
  const over = new OffscreenCanvas(canvas.width, canvas.height);
  over.getContext("2d").putImageData(toImage(rows, most, colour, negative), 0, 0);
  canvas.getContext("2d").drawImage(over, 0, 0);
}

function toImage(rows, most, colour, negative) {
  const image = new ImageData(rows[0].length, rows.length);
  rows.flat().forEach((value, index) => {
    image.data.set([...(value < 0 ? negative : colour), Math.min(255, (255 * Math.abs(value)) / most)], 4 * index);
  });
  return image;
}

/** The part of a frame in a box. */
function cut(frame, [left, top, width, height]) {
  return frame.slice(top, top + height).map((row) => row.slice(left, left + width));
}
