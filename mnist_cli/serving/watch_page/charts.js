// Curves over the steps of a run, drawn as SVG. A line is { name, points: [[step, value], …], dots }; null values are gaps.

const NAMESPACE = "http://www.w3.org/2000/svg";
const HEIGHT = 200; // px
const MARGIN = { left: 64, right: 12, top: 10, bottom: 26 }; // px
const ACCURACIES = [0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999];
const LEAST_ERROR = 1e-4; // an accuracy of 100 % is drawn as 99.99 %

/** How values become heights, and which of them have a label. */
export const SCALES = {
  linear: {
    place: (value) => value,
    bounds: ([, high]) => [0, high * 1.1 || 1],
    ticks: (low, high) => multiples(high, 5),
  },
  log: {
    place: (value) => Math.log10(Math.max(value, 1e-12)),
    bounds: ([low, high]) => [low / 1.2, high * 1.2],
    ticks: (low, high) => decades(low, high),
  },
  errors: {
    place: (value) => -Math.log10(Math.max(1 - value, LEAST_ERROR)),
    bounds: ([low, high]) => [Math.max(0, low - 0.05), Math.min(1 - LEAST_ERROR, 1 - (1 - high) / 1.3)],
    ticks: (low, high) => ACCURACIES.filter((value) => low <= value && value <= high),
  },
};

/** Draw lines into an SVG element as wide as the page has it; `marks` are steps with a vertical line. */
export function draw(svg, { lines, marks = [], scale, steps, epochs, format, formatEpoch }) {
  const width = svg.clientWidth || 480;
  svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  const isShown = ([, value]) => value !== null && (scale !== "log" || value > 0);
  const values = lines.flatMap(({ points }) => points.filter(isShown).map(([, value]) => value));
  const { place, bounds, ticks } = SCALES[scale];
  const [low, high] = bounds(values.length ? [Math.min(...values), Math.max(...values)] : [0.1, 0.9]);
  const last = horizon(Math.max(1, ...lines.flatMap(({ points }) => points.map(([step]) => step))), steps * epochs);
  const x = (step) => MARGIN.left + (step / last) * (width - MARGIN.left - MARGIN.right);
  const [bottom, top] = [HEIGHT - MARGIN.bottom, MARGIN.top];
  const y = (value) => bottom - ((place(value) - place(low)) / (place(high) - place(low) || 1)) * (bottom - top);

  const parts = [];
  for (const tick of ticks(low, high)) {
    parts.push(create("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(tick), y2: y(tick) }));
    parts.push(create("text", { class: "tick y", x: MARGIN.left - 6, y: y(tick) + 4 }, format(tick)));
  }
  for (const epoch of multiples(last / steps, Math.max(2, Math.floor(width / 90)))) {
    parts.push(create("text", { class: "tick x", x: x(epoch * steps), y: HEIGHT - 8 }, formatEpoch(epoch)));
  }
  for (const mark of marks) parts.push(create("line", { class: "mark", x1: x(mark), x2: x(mark), y1: top, y2: bottom }));
  lines.forEach(({ points, dots }, index) => {
    const known = points.filter(isShown);
    if (dots) parts.push(...known.map(([step, value]) => create("circle", { class: `dot line-${index}`, cx: x(step), cy: y(value), r: 3.5 })));
    else parts.push(create("polyline", { class: `line line-${index}`, points: known.map(([step, value]) => `${x(step).toFixed(1)},${y(value).toFixed(1)}`).join(" ") }));
  });
  svg.replaceChildren(...parts);
}

/** The last step of the axis: the end of the run, or a half, a quarter and so on of it while that is enough. */
function horizon(seen, end) {
  let last = end;
  while (last / 2 > seen * 1.05) last /= 2;
  return Math.max(last, seen);
}

/** Round numbers from 0 to `high`, at most so many beside the 0. */
function multiples(high, most) {
  const size = 10 ** Math.floor(Math.log10(high / most));
  const step = [1, 2, 5, 10].map((factor) => factor * size).find((one) => high / one <= most) ?? high;
  return Array.from({ length: Math.floor(high / step + 1e-9) + 1 }, (_, index) => index * step);
}

/** Powers of ten from `low` to `high`, and within few of them round numbers between. */
function decades(low, high) {
  const span = Math.log10(high / low);
  const factors = span > 2.5 ? [1] : span > 0.8 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 8];
  const all = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
    for (const factor of factors) all.push(factor * 10 ** power);
  return all.filter((value) => low <= value && value <= high);
}

function create(tag, attributes, text = "") {
  const element = document.createElementNS(NAMESPACE, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
}
