import { firstLanguage, manageTheme, otherLanguage, remember } from "./page/settings.js";
import { Sheet, toImage } from "./page/sheet.js";
import { draw } from "./charts.js";
import { STRINGS, fill } from "./strings.js";

const INTERVAL = 200; // ms between two drawings of the page
const SHOWN_ANSWERS = 40; // of the drawn digit
const COLUMNS = 8; // of the pictures of the first layer
const OVER = ["finished", "stopped", "failed"];

const $ = (id) => document.getElementById(id);
const sheet = new Sheet($("canvas"), $("pen"), (isFinished) => isFinished && sendDrawing());
sheet.thickness = 0.07;

let language = firstLanguage(STRINGS);
let events = { point: [], probe: [], epoch: [], change: [], reading: [] }; // of the run, since its beginning
let states = {}; // the newest of each kind: run, status, hardest, confusion, weights, drawing
let isLost = false; // the connection
let isScheduled = false; // the next drawing of the page
let spoken = ""; // the state or epoch that was read aloud last

// The feed -------------------------------------------------------------------------------------------------------

const source = new EventSource("events");

source.addEventListener("open", () => setLost(false));
source.addEventListener("error", () => setLost(!OVER.includes(states.status?.state)));
source.addEventListener("message", ({ data }) => {
  const news = JSON.parse(data);
  if (news.kind === "run" && states.run && states.run.name !== news.name) return location.reload(); // another run on the same port
  if (news.kind in events) events[news.kind].push(news);
  else states[news.kind] = news;
  if (news.kind === "status" && OVER.includes(news.state)) source.close();
  schedule();
});

function setLost(value) {
  isLost = value;
  schedule();
}

function schedule() {
  if (isScheduled) return;
  isScheduled = true;
  setTimeout(() => {
    isScheduled = false;
    render();
  }, INTERVAL);
}

// Commands -------------------------------------------------------------------------------------------------------

async function command(name, values = {}) {
  const body = JSON.stringify({ name, ...values });
  await fetch("command", { method: "POST", body, headers: { "Content-Type": "application/json" } }).catch(() => setLost(true));
}

async function sendDrawing() {
  $("sheet").classList.toggle("empty", sheet.isEmpty);
  $("clear").disabled = sheet.isEmpty;
  await fetch("drawing", { method: "PUT", body: sheet.isEmpty ? "" : sheet.picture() }).catch(() => setLost(true));
}

// Showing --------------------------------------------------------------------------------------------------------

const text = (key, values = {}) => fill(STRINGS[language][key], values);
const number = (value, options) => new Intl.NumberFormat(language, options).format(value);
const short = (value) => number(value, { maximumSignificantDigits: 3 });
const percent = (value, digits = 1) => number(value, { style: "percent", maximumFractionDigits: digits });
const className = (index) => states.run?.classes[index] ?? index;

/** A fraction as a percentage, never rounded up to 100 %. */
const confidence = (value) => (value > 0.999 ? `> ${percent(0.999)}` : percent(value));

function render() {
  renderState();
  if (!states.run) return;
  renderCharts();
  renderDrawing();
  renderWeights();
  renderHardest();
  renderConfusion();
}

function renderState() {
  const { run, status } = states;
  const state = isLost ? "lost" : (status?.state ?? "connecting");
  const isOver = OVER.includes(state) || isLost || !status;
  $("state").textContent = text(state);
  $("lead").textContent = run ? text("lead", { ...run, images: number(run.images) }) : "";
  $("pause").disabled = isOver || state === "paused";
  $("step").disabled = isOver;
  $("resume").disabled = isOver || state !== "paused";
  $("stop").disabled = $("rate").disabled = isOver;
  if (!run || !status) return;
  const total = run.steps * run.epochs;
  const step = Math.max(status.step, events.point.at(-1)?.step ?? 0);
  const epoch = Math.min(run.epochs, Math.floor(step / run.steps) + 1);
  const progress = text("progress", { epoch, epochs: number(run.epochs), step: number(step), steps: number(total) });
  $("progress").textContent = [progress, status.path && text("savedAs", status), status.reason].filter(Boolean).join(" · ");
  $("done").value = step / total;
  if (document.activeElement !== $("rate")) $("rate").value = Math.log10(status.factor || 1);
  renderRate();
  speak(state, step);
}

function renderRate() {
  const factor = 10 ** $("rate").value;
  const point = events.point.at(-1);
  const scheduled = point ? point.rate / (states.status.factor || 1) : 0;
  const value = text("rateValue", { rate: point ? short(scheduled * factor) : "–", factor: short(factor) });
  $("rate-value").textContent = value;
  $("rate").setAttribute("aria-valuetext", value);
}

function speak(state, step) {
  const last = events.epoch.at(-1);
  const epoch = last ? text("spokenEpoch", { epoch: last.epoch, accuracy: percent(last.val_accuracy, 2) }) : "";
  const words = state === "running" ? epoch : state === "paused" ? text("spokenPaused", { step: number(step) }) : `${text(state)}. ${epoch}`;
  if (words !== spoken) $("spoken").textContent = spoken = words;
}

function renderCharts() {
  const { run } = states;
  const pairs = (kind, value) => events[kind].map((one) => [one.step, one[value]]);
  const sizes = { probed: number(run.probed), val: number(run.val) };
  const curves = (value) => [
    { name: text("train"), points: pairs("point", value) },
    { name: text("valPart", sizes), points: pairs("probe", value) },
    { name: text("val", sizes), points: pairs("epoch", `val_${value}`), dots: true },
  ];
  const heldOut = pairs("epoch", "held_out_loss").filter(([, value]) => value !== null);
  const losses = heldOut.length ? [...curves("loss"), { name: text("heldOut"), points: heldOut, dots: true }] : curves("loss");
  chart("loss", { lines: losses, scale: "log", format: short });
  chart("accuracy", { lines: curves("accuracy"), scale: "errors", format: (value) => percent(value, 2) });
  chart("learningRate", { lines: [{ name: text("learningRate"), points: pairs("point", "rate") }], scale: "linear", format: short });
  const layers = run.layers.map((name, index) => ({ name, points: events.probe.map(({ step, gradients }) => [step, gradients[index]]) }));
  chart("gradients", { lines: layers, scale: "log", format: short });
}

function chart(id, { lines, scale, format }) {
  const { steps, epochs } = states.run;
  const svg = $(id);
  const marks = events.change.map(({ step }) => step);
  const formatEpoch = (epoch) => (epoch === 0 ? `${text("epoch")} 0` : short(epoch));
  draw(svg, { lines, marks, scale, steps, epochs, format, formatEpoch });
  const now = lines.map(({ name, points }) => [name, points.at(-1)?.[1]]).map(([name, value]) => [name, value == null ? "–" : format(value)]);
  svg.setAttribute("aria-label", text("chart", { title: text(id), values: now.map((pair) => pair.join(" ")).join(", ") }));
  const items = now.map(([name, value], index) => {
    const item = create("li", { className: `line-${index}${lines[index].dots ? " dots" : ""}` });
    item.append(`${name} `, create("b", { textContent: value }));
    return item;
  });
  if (marks.length) items.push(create("li", { className: "mark", textContent: text("byHand") }));
  svg.nextElementSibling.replaceChildren(...items);
}

function renderDrawing() {
  const drawing = states.drawing?.pixels ? states.drawing.drawing : null;
  const readings = events.reading.filter((reading) => reading.drawing === drawing).map(({ probabilities }) => probabilities);
  const last = readings.at(-1);
  const bars = [...$("bars").children];
  if (bars.length !== states.run.classes.length) return buildBars();
  bars.forEach((bar, index) => {
    const value = last?.[index] ?? 0;
    bar.classList.toggle("most", Boolean(last) && value === Math.max(...last));
    bar.querySelector(".fill").style.transform = `scaleY(${value})`;
    bar.querySelector(".unseen").textContent = last ? `: ${percent(value)}` : "";
  });
  $("reading").textContent = last ? text("reads", { answer: answerOf(last), percent: confidence(Math.max(...last)) }) : text("noReading");
  const answers = spread(readings, SHOWN_ANSWERS).map(answerOf).join(" ");
  $("readings").textContent = answers ? text("answersSoFar", { answers }) : "";
}

function buildBars() {
  $("bars").replaceChildren(
    ...states.run.classes.map((name) => {
      const bar = create("li");
      const track = create("span", { className: "track" });
      track.setAttribute("aria-hidden", "true");
      track.append(create("span", { className: "fill" }));
      bar.append(track, create("span", { className: "digit", textContent: name.slice(0, 2), title: name }), create("span", { className: "unseen" }));
      return bar;
    }),
  );
}

const answerOf = (probabilities) => className(probabilities.indexOf(Math.max(...probabilities)));

/** At most so many of some values, from the first to the last. */
function spread(values, most) {
  if (values.length <= most) return values;
  return Array.from({ length: most }, (_, index) => values[Math.round((index * (values.length - 1)) / (most - 1))]);
}

function renderWeights() {
  const weights = states.weights;
  if (!weights) return;
  const { side, shown } = weights;
  const canvas = $("weights");
  const gap = Math.max(1, Math.round(side / 14));
  canvas.width = COLUMNS * (side + gap) - gap;
  canvas.height = Math.ceil(shown / COLUMNS) * (side + gap) - gap;
  const context = canvas.getContext("2d");
  const colours = ["negative", "positive"].map((name) => rgb(getComputedStyle(document.querySelector(`.${name}`)).color));
  const values = bytes(weights.pixels);
  for (let unit = 0; unit < shown; unit++) {
    const image = context.createImageData(side, side);
    values.subarray(unit * side * side, (unit + 1) * side * side).forEach((value, index) => {
      const strength = (value - 127.5) / 127.5;
      image.data.set([...colours[strength > 0 ? 1 : 0], 255 * Math.abs(strength)], 4 * index);
    });
    context.putImageData(image, (unit % COLUMNS) * (side + gap), Math.floor(unit / COLUMNS) * (side + gap));
  }
  $("units").textContent = text("units", weights);
}

/** The three numbers of a computed colour. */
function rgb(colour) {
  const context = new OffscreenCanvas(1, 1).getContext("2d");
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
}

const bytes = (encoded) => Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0));

function renderHardest() {
  const values = { probed: number(states.run.probed) };
  $("hardest-note").textContent = text("hardestNote", values);
  $("hardest").replaceChildren(
    ...(states.hardest?.images ?? []).map(({ number: place, label, pixels, answers }) => {
      const item = create("li");
      const canvas = create("canvas", { width: 28, height: 28 });
      const strip = create("span");
      const names = answers.map(className);
      strip.setAttribute("aria-hidden", "true");
      answers.forEach((answer, index) => strip.append(create(answer === label ? "b" : "i", { textContent: names[index] }), " "));
      const told = text("hardestOne", { number: place, label: className(label), answers: names.join(", ") });
      item.append(canvas, strip, create("span", { className: "unseen", textContent: told }));
      queueMicrotask(() => canvas.getContext("2d").drawImage(toImage([...bytes(pixels)], getComputedStyle(canvas).color), 0, 0));
      return item;
    }),
  );
}

function renderConfusion() {
  $("confusion-note").textContent = text("confusionNote", { probed: number(states.run.probed) });
  const matrix = states.confusion?.matrix ?? [];
  const head = create("tr");
  head.append(create("td"), ...matrix.map((_, index) => create("th", { scope: "col", textContent: className(index) })));
  const rows = matrix.map((counts, label) => {
    const row = create("tr");
    const sum = counts.reduce((total, count) => total + count, 0) || 1;
    row.append(create("th", { scope: "row", textContent: className(label) }));
    counts.forEach((count, index) => {
      const cell = create("td", { textContent: count || "", className: index === label ? "right" : "" });
      cell.style.setProperty("--share", index === label ? count / sum : Math.min(1, 3 * (count / sum)));
      row.append(cell);
    });
    return row;
  });
  $("confusion").replaceChildren(...(matrix.length ? [head, ...rows] : []));
}

function create(tag, properties) {
  return Object.assign(document.createElement(tag), properties);
}

// Start ----------------------------------------------------------------------------------------------------------

function translate() {
  document.documentElement.lang = language;
  document.title = text("title");
  $("language").lang = otherLanguage(language);
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = text(element.dataset.text);
  for (const element of document.querySelectorAll("[data-label]")) element.setAttribute("aria-label", text(element.dataset.label));
  render();
}

for (const name of ["pause", "step", "resume", "stop"]) $(name).addEventListener("click", () => command(name));
$("rate").addEventListener("input", renderRate);
$("rate").addEventListener("change", () => command("rate", { factor: 10 ** $("rate").value }));
$("clear").addEventListener("click", () => sheet.clear());
$("language").addEventListener("click", () => {
  language = otherLanguage(language);
  remember("language", language);
  translate();
});
manageTheme($("theme"), () => {
  sheet.draw();
  render();
});
new ResizeObserver(schedule).observe(document.body);
translate();
