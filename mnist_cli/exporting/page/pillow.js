// What the preparation of pictures uses of Pillow, with the same rounding. A plane is { width, height, data }.

/** Return a plane of so many pixels, all 0. */
export function plane(width, height, Kind = Float32Array) {
  return { width, height, data: new Kind(width * height) };
}

/** Return the part of a plane between rows and columns, of which the last are not included. */
export function crop({ width, data }, [left, top, right, bottom]) {
  const part = plane(right - left, bottom - top, data.constructor);
  for (let row = top; row < bottom; row++) part.data.set(data.subarray(row * width + left, row * width + right), (row - top) * part.width);
  return part;
}

/** Average squares of `factor` px, as Image.reduce() does: of bytes the mean is rounded, and at the edge it is of fewer. */
export function reduce(source, factor) {
  const { width, height, data } = source;
  const isBytes = data instanceof Uint8Array;
  const small = plane(Math.ceil(width / factor), Math.ceil(height / factor), data.constructor);
  for (let y = 0; y < small.height; y++) {
    const bottom = Math.min(height, (y + 1) * factor);
    for (let x = 0; x < small.width; x++) {
      const right = Math.min(width, (x + 1) * factor);
      let sum = 0;
      for (let row = y * factor; row < bottom; row++) {
        for (let column = x * factor; column < right; column++) sum += data[row * width + column];
      }
      const count = (bottom - y * factor) * (right - x * factor);
      const reciprocal = Math.floor(2 ** 24 / count);
      small.data[y * small.width + x] = isBytes ? ((sum + Math.floor(count / 2)) * reciprocal) / 2 ** 24 : sum / count;
    }
  }
  return small;
}

/** Blur bytes as ImageFilter.GaussianBlur does: three box blurs in each direction (Gwosdek et al., 2011). */
export function gaussianBlur(source, sigma) {
  const radius = boxRadius(sigma);
  let blurred = source;
  for (let direction = 0; direction < 2; direction++) {
    for (let pass = 0; pass < 3; pass++) blurred = boxBlur(blurred, radius);
    blurred = transposed(blurred);
  }
  return blurred;
}

function boxRadius(sigma) {
  const variance = Math.fround((Math.fround(sigma) * Math.fround(sigma)) / 3);
  const whole = Math.floor((Math.sqrt(12 * variance + 1) - 1) / 2);
  const fraction = ((2 * whole + 1) * (whole * (whole + 1) - 3 * variance)) / (6 * (variance - (whole + 1) ** 2));
  return Math.fround(whole + fraction);
}

/** Average each row over 2 radius + 1 px, with 24 bits after the point; the last pixels of a row go on beyond its ends. */
function boxBlur({ width, height, data }, radius) {
  const whole = Math.floor(radius);
  const weight = Math.floor(2 ** 24 / (radius * 2 + 1));
  const edgeWeight = Math.floor((2 ** 24 - (whole * 2 + 1) * weight) / 2); // of the two pixels that are in it only in part
  const blurred = plane(width, height, Uint8Array);
  for (let row = 0; row < height; row++) {
    const at = (x) => data[row * width + Math.min(width - 1, Math.max(0, x))];
    let sum = 0;
    for (let x = -whole - 1; x < whole; x++) sum += at(x);
    for (let x = 0; x < width; x++) {
      sum += at(x + whole) - at(x - whole - 1);
      const total = sum * weight + (at(x - whole - 1) + at(x + whole + 1)) * edgeWeight;
      blurred.data[row * width + x] = Math.floor((total + 2 ** 23) / 2 ** 24);
    }
  }
  return blurred;
}

function transposed({ width, height, data }) {
  const turned = plane(height, width, data.constructor);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) turned.data[x * height + y] = data[y * width + x];
  return turned;
}

const FILTERS = {
  bicubic: [2, (x) => (x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? -0.5 * (((x - 5) * x + 8) * x - 4) : 0)],
  hamming: [1, (x) => (x === 0 ? 1 : x < 1 ? (Math.sin(x * Math.PI) / (x * Math.PI)) * (0.54 + 0.46 * Math.cos(x * Math.PI)) : 0)],
};

/** Scale a box of a plane of floats to size x size px, as Image.resize() does: first the rows, then the columns. */
export function resize(source, size, filter, [left, top, right, bottom]) {
  const rows = resizeRows(source, size, filter, Math.fround(left), Math.fround(right));
  return transposed(resizeRows(transposed(rows), size, filter, Math.fround(top), Math.fround(bottom)));
}

/** Scale the rows of a plane of floats, as Image.resize() does. */
export function widen(source, width) {
  return resizeRows(source, width, "bicubic", 0, source.width);
}

function resizeRows({ width, height, data }, size, filter, start, end) {
  const [support, weigh] = FILTERS[filter];
  const scale = Math.fround(end - start) / size;
  const stretch = Math.max(1, scale);
  const resized = plane(size, height);
  for (let x = 0; x < size; x++) {
    const centre = start + (x + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support * stretch + 0.5));
    const last = Math.min(width, Math.trunc(centre + support * stretch + 0.5));
    const weights = [];
    for (let at = first; at < last; at++) weights.push(weigh(Math.abs((at - centre + 0.5) / stretch)));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    for (let row = 0; row < height; row++) {
      let sum = 0;
      for (let at = first; at < last; at++) sum += data[row * width + at] * (weights[at - first] / total);
      resized.data[row * size + x] = sum;
    }
  }
  return resized;
}
