// The drawing area: strokes over a picture, or over nothing. Lengths and positions are fractions of its side, 0 to 1.

const SENT = 280; // px, side of the picture that is sent
const SQUARES = 28; // of the paper; the keyboard's pen goes from one to the next
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const BLANK = { strokes: [], picture: null };

export class Sheet {
  thickness = 0.05;
  #canvas;
  #pen; // the element that shows where the keyboard's pen is
  #changed; // called with whether a stroke is finished
  #states = [BLANK]; // the newest last; immutable except for the stroke that is being drawn
  #stroke = null;
  #pointer = null;
  #position = [SQUARES / 2, SQUARES / 2]; // of the keyboard's pen, in squares
  #redraw = 0;

  constructor(canvas, pen, changed) {
    this.#canvas = canvas;
    this.#pen = pen;
    this.#changed = changed;
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const type of ["pointerup", "pointercancel"]) canvas.addEventListener(type, (event) => this.#up(event));
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("blur", () => this.#lift());
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  get isEmpty() {
    return !this.#state.picture && !this.#state.strokes.length;
  }

  get canUndo() {
    return this.#states.length > 1;
  }

  get #state() {
    return this.#states.at(-1);
  }

  undo() {
    this.#stroke = null;
    if (this.#states.length > 1) this.#states.pop();
    this.#update(true);
  }

  clear() {
    if (!this.isEmpty) this.#push(BLANK);
  }

  /** Lay a picture on the sheet: its file, the width of that, an image of it, and for a 28x28 frame the values. */
  lay(picture) {
    this.#push({ strokes: [], picture });
  }

  /** The picture to recognize: the user's own file as long as nothing was drawn over it. */
  picture() {
    if (this.#state.picture && !this.#state.strokes.length) return this.#state.picture.file;
    const canvas = Object.assign(document.createElement("canvas"), { width: SENT, height: SENT });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.fillStyle = "white";
    context.fillRect(0, 0, SENT, SENT);
    this.#paint(context, SENT, "black");
    // Not toBlob(), which waits for up to a second until the browser has nothing else to do.
    const png = atob(canvas.toDataURL().split(",")[1]);
    return new Blob([Uint8Array.from(png, (character) => character.charCodeAt(0))], { type: "image/png" });
  }

  /** Convert a box in the pixels of `picture()` to fractions of the sheet. */
  locate([x, y, width, height]) {
    const { picture, strokes } = this.#state;
    if (!picture || strokes.length) return [x, y, width, height].map((length) => length / SENT);
    const [left, top, across] = fit(picture.image);
    const scale = across / picture.width;
    return [left + x * scale, top + y * scale, width * scale, height * scale];
  }

  /** Redraw everything in the canvas's colour of the style sheet. */
  draw() {
    cancelAnimationFrame(this.#redraw);
    this.#redraw = requestAnimationFrame(() => {
      const side = Math.round(this.#canvas.clientWidth * devicePixelRatio);
      this.#canvas.width = this.#canvas.height = side;
      this.#paint(this.#canvas.getContext("2d"), side, getComputedStyle(this.#canvas).color);
    });
  }

  #paint(context, side, ink) {
    const { picture, strokes } = this.#state;
    if (picture) {
      const image = picture.values ? toImage(picture.values, ink) : picture.image;
      context.imageSmoothingEnabled = !picture.values;
      context.drawImage(image, ...fit(image).map((length) => length * side));
    }
    // Over a photo the pen needs contrast with that, whatever the colours of the page.
    const colour = picture && !picture.values ? (picture.isDark ? "white" : "black") : ink;
    for (const stroke of strokes) paintStroke(context, stroke, side, colour);
  }

  #push(state) {
    this.#stroke = null;
    this.#states.push(state);
    this.#update(true);
  }

  #update(isFinished) {
    this.draw();
    this.#changed(isFinished);
  }

  #begin(x, y, width) {
    this.#stroke = [[x, y, width]];
    this.#states.push({ ...this.#state, strokes: [...this.#state.strokes, this.#stroke] });
  }

  #down(event) {
    if (event.button !== 0 || this.#pointer !== null) return;
    this.#pointer = event.pointerId;
    this.#canvas.setPointerCapture(event.pointerId);
    this.#pen.hidden = true;
    this.#begin(...this.#point(event));
    this.#update(false);
  }

  #move(event) {
    if (event.pointerId !== this.#pointer || !this.#stroke) return;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const one of events.length ? events : [event]) this.#stroke.push(this.#point(one));
    this.#update(false);
  }

  #up(event) {
    if (event.pointerId !== this.#pointer) return;
    this.#pointer = null;
    if (!this.#stroke) return;
    this.#stroke = null;
    this.#update(true);
  }

  #point(event) {
    const { left, top, width } = this.#canvas.getBoundingClientRect();
    const pressed = event.pointerType === "pen" ? 0.4 + 1.2 * event.pressure : 1;
    return [(event.clientX - left) / width, (event.clientY - top) / width, this.thickness * pressed];
  }

  #key(event) {
    if (event.key in ARROWS && !event.ctrlKey && !event.metaKey && !event.altKey) {
      this.#position = this.#position.map((at, axis) => Math.min(SQUARES, Math.max(0, at + ARROWS[event.key][axis])));
      this.#stroke?.push([...this.#position.map((at) => at / SQUARES), this.thickness]);
      this.#showPen();
      if (this.#stroke) this.#update(false);
    } else if (event.key === " ") {
      if (this.#stroke) this.#lift();
      else {
        this.#begin(...this.#position.map((at) => at / SQUARES), this.thickness);
        this.#showPen();
        this.#update(false);
      }
    } else return;
    event.preventDefault();
  }

  #lift() {
    this.#pen.hidden = document.activeElement !== this.#canvas;
    if (!this.#stroke || this.#pointer !== null) return;
    this.#stroke = null;
    this.#showPen();
    this.#update(true);
  }

  #showPen() {
    this.#pen.hidden = false;
    this.#pen.classList.toggle("down", this.#stroke !== null);
    const [x, y] = this.#position.map((at) => `${(100 * at) / SQUARES}%`);
    Object.assign(this.#pen.style, { left: x, top: y });
  }
}

/** The box in which a picture fits into the sheet, centred: x, y, width, height. */
function fit({ width, height }) {
  const longer = Math.max(width, height);
  const [across, down] = [width / longer, height / longer];
  return [(1 - across) / 2, (1 - down) / 2, across, down];
}

/** Return 28x28 values, 0 = paper to 255 = ink, as a picture in a colour. */
export function toImage(values, colour) {
  const canvas = new OffscreenCanvas(28, 28);
  const context = canvas.getContext("2d");
  context.fillStyle = colour;
  context.fillRect(0, 0, 28, 28);
  const image = context.getImageData(0, 0, 28, 28);
  values.forEach((value, index) => (image.data[4 * index + 3] = value));
  context.putImageData(image, 0, 0);
  return canvas;
}

/** Draw a stroke as curves through the middles between its points, as thick as the pen was there. */
function paintStroke(context, stroke, side, colour) {
  context.strokeStyle = colour;
  context.lineCap = context.lineJoin = "round";
  const points = stroke.map((point) => point.map((length) => length * side));
  let [x, y, width] = points[0];
  context.beginPath();
  context.moveTo(x, y);
  context.lineTo(x, y); // a dot, when nothing follows
  points.forEach((point, index) => {
    if (point[2] !== width) {
      finish();
      context.moveTo(x, y);
      width = point[2];
    }
    const next = points[index + 1] ?? point;
    [x, y] = [(point[0] + next[0]) / 2, (point[1] + next[1]) / 2];
    context.quadraticCurveTo(point[0], point[1], x, y);
  });
  finish();

  function finish() {
    context.lineWidth = width;
    context.stroke();
    context.beginPath();
  }
}
