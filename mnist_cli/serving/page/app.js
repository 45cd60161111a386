import { Inside } from "./inside.js";
import * as service from "./service.js";
import { firstLanguage, manageTheme, otherLanguage, remember } from "./settings.js";
import { Sheet, toImage } from "./sheet.js";
import { STRINGS, TEXTS_OF_OTHER_CLASSES, fill } from "./strings.js";

const DIGITS = [...Array(10).keys()];
const READABLE = ".png,.jpg,.jpeg,.webp,.bmp,.gif,.tif,.tiff,image/png,image/jpeg,image/webp,image/bmp,image/gif,image/tiff";
const SHOWN = 1600; // px, to which the longer side of a picture is reduced before it is shown
const MIN_INTERVAL = 80; // ms between two requests while a stroke is drawn
const INTERVAL_FACTOR = 3; // times the last latency: a slow server is left free for the finished stroke
const RETRY = 2000; // ms between two checks whether the server is back

const $ = (id) => document.getElementById(id);
const sheet = new Sheet($("canvas"), $("pen"), (isFinished) => (isFinished ? recognize() : recognizeStroke()));
const inside = new Inside({ text, number, percent, classNames, compared: () => model?.compared ?? [], picture: () => sheet.picture() });

let language = firstLanguage(STRINGS);
let model = null; // the response of GET /api/model
let shown = null; // the result on the page: { answer, ms, isFinished }, { failure }, or null
let request = null; // the AbortController of the current request, or null
let requestedAt = 0; // ms, of the last request
let latency = 0; // ms, of the last response
let isWaitingForServer = false;

// Requests -------------------------------------------------------------------------------------------------------

/** Recognize the sheet as it is; an earlier request is aborted. */
async function recognize({ isFinished = true, many = hasSeveral() } = {}) {
  request?.abort();
  request = null;
  refreshTools();
  if (isWaitingForServer) return show({ failure: "offline" });
  if (sheet.isEmpty) return show(null);
  const { signal } = (request = new AbortController());
  requestedAt = performance.now();
  try {
    const picture = sheet.picture();
    let answer = await service.predict(picture, { many, signal });
    if (answer.reason === "several digits" && !many && isFinished) answer = await service.predict(picture, { many: true, signal });
    if (signal.aborted) return;
    latency = performance.now() - requestedAt;
    show({ answer, ms: latency, isFinished });
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof service.Failure)) throw error;
    if (error.kind === "offline") waitForServer();
    else show({ failure: error.kind });
    if (error.kind === "busy") {
      await pause(1000 * error.retryAfter);
      if (!signal.aborted) recognize({ isFinished, many });
    }
  } finally {
    if (request?.signal === signal) request = null;
  }
}

/** Whether the last result had several digits: another stroke is then unlikely to make them one. */
function hasSeveral() {
  return shown?.answer?.digits?.length > 1;
}

/** Recognize an unfinished stroke, unless a request is in flight. */
function recognizeStroke() {
  refreshTools();
  if (request || isWaitingForServer) return;
  if (hasSeveral()) return; // their boxes stay as they are until the stroke is finished
  if (performance.now() - requestedAt >= Math.max(MIN_INTERVAL, INTERVAL_FACTOR * latency)) recognize({ isFinished: false });
}

async function waitForServer() {
  if (isWaitingForServer) return;
  isWaitingForServer = true;
  show({ failure: "offline" });
  while (!(await service.isUp())) await pause(RETRY);
  isWaitingForServer = false;
  describeModel();
  recognize();
}

function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

async function describeModel() {
  try {
    model = await service.describeModel();
    offerCorrections();
    translate();
  } catch (error) {
    if (error.kind === "offline") waitForServer();
  }
}

// Pictures -------------------------------------------------------------------------------------------------------

async function open(file) {
  if (!file) return;
  try {
    const image = await createImageBitmap(file);
    lay({ file, width: image.width, image: await reduced(image), isDark: brightness(image) < 128 });
  } catch {
    sheet.clear(); // so that the message is not taken for one about the earlier drawing
    show({ failure: "noPicture" });
  }
}

async function openExample(address) {
  try {
    const file = await service.load(address);
    const image = await createImageBitmap(file);
    lay({ file, width: image.width, image, values: levels(image, 28) });
  } catch (error) {
    if (error.kind !== "offline") throw error;
    waitForServer();
  }
}

function lay(picture) {
  shown = null; // several digits in the last picture do not mean several in this one
  sheet.lay(picture);
}

/** A picture small enough that undo can keep many. */
async function reduced(image) {
  const scale = SHOWN / Math.max(image.width, image.height);
  if (scale >= 1) return image;
  const [resizeWidth, resizeHeight] = [image.width, image.height].map((side) => Math.max(1, Math.round(side * scale)));
  return createImageBitmap(image, { resizeWidth, resizeHeight, resizeQuality: "high" });
}

/** The red channel of a picture drawn into a square of so many pixels: an example is grey, 0 = paper to 255 = ink. */
function levels(image, side) {
  const context = new OffscreenCanvas(side, side).getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, side, side);
  context.drawImage(image, 0, 0, side, side);
  return [...context.getImageData(0, 0, side, side).data].filter((_, index) => index % 4 === 0);
}

function brightness(image) {
  const values = levels(image, 16);
  return values.reduce((sum, value) => sum + value) / values.length;
}

// Showing --------------------------------------------------------------------------------------------------------

function text(key, values = {}) {
  const own = knowsDigits() ? undefined : TEXTS_OF_OTHER_CLASSES[language][key];
  return fill(own ?? STRINGS[language][key], values);
}

function number(value, options) {
  return new Intl.NumberFormat(language, options).format(value);
}

/** A fraction as a percentage with one decimal, never rounded up to 100 %. */
function percent(fraction) {
  const short = number(Math.min(fraction, 0.999), { style: "percent", minimumFractionDigits: 1 });
  return fraction > 0.9995 ? `> ${short}` : short;
}

/** A fraction as a percentage without decimals, for the narrow space above a bar. */
function whole(fraction) {
  const short = number(Math.min(fraction, 0.99), { style: "percent", maximumFractionDigits: 0 });
  return fraction > 0.995 ? `>${short}` : short;
}

/** The texts for a result: the large sign, the line beside it, the sentence below, and the text for screen readers. */
function texts({ answer, failure, isFinished } = {}) {
  if (failure) return { sign: "!", sure: text("noAnswer"), why: text(failure) };
  if (!answer) return { sign: "", sure: text("waiting"), why: text("waitingMore") };
  const values = { digit: likeliest(answer), percent: percent(answer.confidence ?? 0) };
  if (answer.digits?.length > 1) {
    const several = { count: answer.digits.length, text: answer.text.replaceAll("\n", ", ") };
    const spoken = text("spokenSeveral", several);
    return { sign: answer.text, sure: text("several", several), why: text("severalMore"), spoken };
  }
  if (answer.reason === null) return { sign: answer.label ?? answer.digit, sure: text("sure", values), why: "", spoken: text("spoken", values) };
  if (!isFinished) return { sign: "?", sure: text("notYet"), why: "" };
  const reasons = { "no ink": "noInk", "not a digit": "notADigit", unclear: "unclear", "no digit": "noDigit" };
  const key = reasons[answer.reason] ?? "notADigit";
  return { sign: "?", sure: text(key), why: text(`${key}More`, values) };
}

/** The name of a class: of the digits, the digit. */
function className(index) {
  return model?.classes?.[index] ?? index;
}

function classNames(count) {
  return [...Array(count).keys()].map(className);
}

/** Whether the model knows the ten digits and nothing else, for which the bars and the examples are made. */
function knowsDigits() {
  return !model?.classes || model.classes.join("") === DIGITS.join("");
}

function likeliest({ probabilities }) {
  return probabilities ? className(probabilities.indexOf(Math.max(...probabilities))) : "?";
}

function show(what) {
  shown = what;
  render();
  inside.follow(what?.answer ?? null);
  if (what?.answer && !what.isFinished) return; // screen readers announce finished strokes only
  const { sure, why, spoken } = texts(what ?? undefined);
  $("spoken").textContent = what ? (spoken ?? `${sure}. ${why}`) : "";
}

function render() {
  const { answer, ms, isFinished } = shown ?? {};
  const { sign, sure, why } = texts(shown ?? undefined);
  const digits = answer?.digits?.length > 1 ? answer.digits : [];
  const isRead = answer?.reason === null || digits.length > 0;
  $("answer").dataset.state = !shown ? "waiting" : isRead ? "read" : answer && !isFinished ? "drawing" : "doubt";
  setSign(String(sign));
  $("sure").textContent = sure;
  $("why").textContent = why;
  $("several").hidden = service.isOffline || answer?.reason !== "not a digit" || !isFinished || Boolean(answer.digits);
  renderBars(digits.length ? null : answer?.probabilities, isRead);
  renderFound(digits);
  renderFrame(digits.length ? null : answer?.frame, ms);
  $("correct").hidden = !model?.collect || !answer || digits.length > 0;
  $("corrections").querySelectorAll("button").forEach((button) => button.removeAttribute("aria-pressed"));
}

function setSign(sign) {
  const element = $("numeral");
  if (element.textContent === sign) return;
  element.textContent = sign;
  element.style.setProperty("--length", Math.max(...sign.split("\n").map((line) => line.length)));
  element.classList.toggle("long", sign.length > 1);
  element.classList.remove("new");
  void element.offsetWidth; // restarts the animation
  element.classList.add("new");
}

function renderBars(probabilities, isRead) {
  $("bars").hidden = probabilities === null || !knowsDigits();
  const most = probabilities ? Math.max(...probabilities) : 1;
  [...$("bars").children].forEach((bar, digit) => {
    const fraction = probabilities?.[digit] ?? 0;
    bar.classList.toggle("most", isRead && fraction === most);
    bar.querySelector(".fill").style.transform = `scaleY(${fraction})`;
    const value = bar.querySelector(".value");
    value.textContent = probabilities && fraction >= 0.005 ? whole(fraction) : "";
    value.style.bottom = `${100 * fraction}%`;
    bar.querySelector(".unseen").textContent = probabilities ? `: ${percent(fraction)}` : "";
  });
}

function renderFound(digits) {
  $("found").hidden = !digits.length;
  $("found").replaceChildren(
    ...digits.map(({ digit, confidence, reason }) => {
      const item = create("li", { className: reason ? "doubt" : "" });
      item.append(create("b", { textContent: digit ?? "?" }), create("span", { textContent: reason ? text("notADigit") : percent(confidence) }));
      return item;
    }),
  );
  $("boxes").replaceChildren(
    ...digits.map(({ digit, box, reason }) => {
      const frame = create("div", { className: reason ? "box doubt" : "box" });
      const [left, top, width, height] = sheet.locate(box).map((fraction) => `${100 * fraction}%`);
      Object.assign(frame.style, { left, top, width, height });
      frame.append(create("b", { textContent: digit ?? "?" }));
      return frame;
    }),
  );
}

function renderFrame(frame, ms) {
  const context = $("frame").getContext("2d");
  context.clearRect(0, 0, 28, 28);
  if (frame) context.drawImage(toImage(frame.flat(), getComputedStyle($("frame")).color), 0, 0);
  $("saw").hidden = frame === null && shown !== null;
  $("took").textContent = ms ? text("took", { ms: number(ms, { maximumFractionDigits: 0 }) }) : "";
}

function refreshTools() {
  $("sheet").classList.toggle("empty", sheet.isEmpty);
  $("undo").disabled = !sheet.canUndo;
  $("clear").disabled = sheet.isEmpty;
}

function translate() {
  document.documentElement.lang = language;
  document.title = text("title");
  $("examples").parentElement.hidden = !knowsDigits();
  $("language").lang = otherLanguage(language);
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = text(element.dataset.text);
  for (const element of document.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", text(element.dataset.label, element.dataset));
    if (element.matches("button")) element.title = element.getAttribute("aria-label");
  }
  $("privacy").textContent = text(service.isOffline ? "sendsNone" : model?.collect ? "keepsCorrected" : "keepsNone");
  const accuracy = model?.val_accuracy ? number(model.val_accuracy, { style: "percent", minimumFractionDigits: 2 }) : "?";
  $("model").textContent = model ? text("model", { ...model, parameters: number(model.parameters), accuracy }) : "";
  render();
  inside.translate();
}

function create(tag, properties, data = {}) {
  const element = Object.assign(document.createElement(tag), properties);
  Object.assign(element.dataset, data);
  return element;
}

// Start ----------------------------------------------------------------------------------------------------------

/** Canvases are not styled by CSS, so they have to be drawn again. */
function refreshColours() {
  sheet.draw();
  render();
  inside.render();
}

function build() {
  $("documentation").hidden = service.isOffline; // it is the server's
  $("view").hidden = service.isOffline; // the server computes what is inside
  for (const digit of DIGITS) {
    const bar = create("li");
    const track = create("span", { className: "track" });
    track.append(create("span", { className: "fill" }), create("span", { className: "value" }));
    track.setAttribute("aria-hidden", "true");
    bar.append(track, create("span", { className: "digit", textContent: digit }), create("span", { className: "unseen" }));
    $("bars").append(bar);

    const address = service.example(digit);
    const example = create("button", { type: "button" }, { label: "example", digit });
    example.append(create("span"));
    example.firstChild.style.maskImage = `url(${address})`;
    example.addEventListener("click", () => openExample(address));
    $("examples").append(example);
  }
}

/** Offer each class of the model as a correction. */
function offerCorrections() {
  const buttons = (model.classes ?? DIGITS).map((name) => {
    const button = create("button", { type: "button", textContent: name }, { label: "correctAs", digit: name });
    button.addEventListener("click", () => sendCorrection(button, name));
    return button;
  });
  $("corrections").replaceChildren(...buttons);
  $("corrections").classList.toggle("names", !knowsDigits());
}

async function sendCorrection(button, digit) {
  try {
    await service.correct(sheet.picture(), digit);
    button.setAttribute("aria-pressed", "true");
    $("why").textContent = $("spoken").textContent = text("thanks", { digit });
  } catch (error) {
    if (error.kind === "offline") waitForServer();
    else $("why").textContent = $("spoken").textContent = text("notKept");
  }
}

function listen() {
  $("undo").addEventListener("click", () => sheet.undo());
  $("clear").addEventListener("click", () => sheet.clear());
  $("several").addEventListener("click", () => recognize({ many: true }));
  $("thickness").addEventListener("input", (event) => (sheet.thickness = setThickness(event.target.value)));
  for (const input of [$("choose"), $("photograph")]) {
    input.accept = READABLE;
    input.addEventListener("change", () => {
      open(input.files[0]);
      input.value = ""; // so that the same file can be chosen again
    });
  }
  $("view").addEventListener("click", () => setView($("view").getAttribute("aria-pressed") === "false"));
  $("language").addEventListener("click", () => {
    language = otherLanguage(language);
    remember("language", language);
    translate();
  });
  manageTheme($("theme"), refreshColours);

  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") sheet.undo();
    else if (event.key === "Delete" || event.key === "Backspace") sheet.clear();
    else return;
    event.preventDefault();
  });
  document.addEventListener("paste", (event) => open(event.clipboardData.files[0]));
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget || document.body.classList.remove("dropping"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    open(event.dataTransfer.files[0]);
  });
}

/** Show the second view, or the first one again. */
function setView(isInside) {
  $("view").setAttribute("aria-pressed", isInside);
  document.documentElement.dataset.view = isInside ? "inside" : "";
  inside.isOpen = isInside;
}

function setThickness(value) {
  return value * 0.02;
}

build();
listen();
sheet.thickness = setThickness($("thickness").value);
refreshTools();
translate();
describeModel();
setView(location.hash === "#inside" && !service.isOffline);
