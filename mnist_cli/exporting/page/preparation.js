// From a picture to the frame that the network takes, as mnist predict prepares a picture on plain or evenly lit paper:
// the functions and constants are those of decode.py, binarize.py and normalize.py in mnist_cli/pictures.

import { crop, gaussianBlur, plane, reduce, resize, widen } from "./pillow.js";

const WORKING_SIZE = 400; // px, the longer side to which a larger picture is reduced
const BLUR = 1 / 300; // of the longer side: standard deviation of the blur
const MIN_BLURRED_SIDE = 50; // px
const MIN_CONTRAST = 8; // grey levels
const GLINTS = 1 / 2000; // of the pixels
const MAX_INK_SIDE = 90; // px
const MAX_FRAME_AREA = 0.3; // of the pixels
const MAX_FRAME = 0.05; // of the shorter side
const PAPER_FITS = 3;
const FRAME = 28; // px
const DIGIT_SIDE = 20; // px
const CENTRE = 14.5; // px
const MAX_DIGIT_SIDE = 80; // px
const STROKE_LEVEL = 1.15;
const WIDER = 1.25; // times the width of the ink
const VIEW_BLUR = 0.05; // of the longer side of the ink: standard deviation
const PALEST = 0.05; // of the darkest ink
const MAX_SIDE_ERROR = 2; // px
const MAX_CENTRE_ERROR = 1; // px
const MIN_PEAK = 200; // grey levels

/** Return the frame of a picture, an ImageData, as 784 bytes from 0 = paper to 255 = ink; null when there is no ink. */
export function prepare(image) {
  return prepareViews(image)?.frame ?? null;
}

/** Return that frame, and a function that returns the frames of other views of the ink: wider, out of focus, and both. */
export function prepareViews(image) {
  const picture = toChannels(image);
  const drawn = alreadyDrawn(picture);
  const ink = drawn ? { width: FRAME, height: FRAME, data: Float32Array.from(drawn, (level) => level / 255) } : inkOf(picture);
  return ink && { frame: drawn ?? draw(ink), others: () => views(ink).map(draw) };
}

/** Return the ink of a picture; null when there is none. */
function inkOf(picture) {
  const ink = separate(differenceFromPaper(picture));
  return ink && cropToInk(ink);
}

/** Return the channels of a picture, one where all colours are greys, reduced to at most WORKING_SIZE. */
function toChannels({ width, height, data }) {
  const channels = [0, 1, 2].map((channel) => {
    const levels = plane(width, height, Uint8Array);
    for (let at = 0; at < levels.data.length; at++) levels.data[at] = data[4 * at + channel];
    return levels;
  });
  const factor = Math.ceil(Math.max(width, height) / WORKING_SIZE);
  const reduced = channels.map((channel) => (factor > 1 ? reduce(channel, factor) : channel));
  const isGrey = reduced.every(({ data }) => data.every((level, at) => level === reduced[0].data[at]));
  return isGrey ? reduced.slice(0, 1) : reduced;
}

/** Return a picture that is a frame already, such as a digit of MNIST, as a frame; null for any other. */
function alreadyDrawn([{ width, height, data }, ...others]) {
  if (others.length || width !== FRAME || height !== FRAME || ![0, 255].includes(data[0])) return null;
  const ink = data.map((level) => Math.abs(data[0] - level));
  const { rows, columns } = profiles({ width, height, data: ink });
  const longer = Math.max(...[rows, columns].map((sums) => sums.filter((sum) => sum > 0).length));
  const isCentred = [rows, columns].every((sums) => Math.abs(middle(sums) - CENTRE) <= MAX_CENTRE_ERROR);
  return isCentred && Math.abs(longer - DIGIT_SIDE) <= MAX_SIDE_ERROR && Math.max(...ink) >= MIN_PEAK ? ink : null;
}

/** Return the sums of the rows and of the columns of a plane. */
function profiles({ width, height, data }) {
  const [rows, columns] = [new Float64Array(height), new Float64Array(width)];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      rows[y] += data[y * width + x];
      columns[x] += data[y * width + x];
    }
  }
  return { rows, columns };
}

/** Return the middle of a mass along an axis, px. */
function middle(sums) {
  let [total, moment] = [0, 0];
  sums.forEach((sum, at) => {
    total += sum;
    moment += sum * (at + 0.5);
  });
  return moment / (total + 1e-9);
}

/** Return how far each pixel is from the paper towards the ink; paper is a plane of light, fitted to the border. */
function differenceFromPaper(picture) {
  let { border, colour, isPlain } = describeBorder(picture);
  const unframed = withoutFrame(picture, colour);
  if (unframed !== picture) {
    picture = unframed;
    ({ border, colour, isPlain } = describeBorder(picture));
  }
  const isOneColour = isPlain || Math.max(...border.map((pixel) => distance(pixel, colour))) <= MIN_CONTRAST / 2;
  const paper = isOneColour ? (channel) => () => colour[channel] : slopingPaper(picture, border, colour);
  const difference = picture.map(({ width, height, data }, channel) => {
    const level = paper(channel);
    const levels = plane(width, height);
    for (let y = 0, at = 0; y < height; y++) for (let x = 0; x < width; x++, at++) levels.data[at] = level(x, y) - data[at];
    return levels;
  });
  const levels = alongTheMainColour(difference);
  let positive = 0;
  let all = 0;
  for (const level of levels.data) {
    all += level * level;
    if (level > 0) positive += level * level;
  }
  if (positive / Math.max(all, 1e-9) < 0.5) levels.data.forEach((level, at) => (levels.data[at] = -level));
  return levels;
}

/** Return the outermost pixels of a picture, their median, and whether all are the same. */
function describeBorder(picture) {
  const { width, height } = picture[0];
  const places = [];
  for (const row of [0, height - 1]) for (let x = 0; x < width; x++) places.push(row * width + x);
  for (const column of [0, width - 1]) for (let y = 1; y < height - 1; y++) places.push(y * width + column);
  const border = places.map((at) => picture.map(({ data }) => data[at]));
  const isPlain = border.every((pixel) => distance(pixel, border[0]) === 0);
  const colour = isPlain ? border[0] : picture.map((_, channel) => median(border.map((pixel) => pixel[channel])));
  return { border, colour, isPlain };
}

function distance(one, other) {
  return one.reduce((sum, level, channel) => sum + Math.abs(level - other[channel]), 0);
}

function median(values) {
  const sorted = Float64Array.from(values).sort();
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}

/** Return the picture with the frame that is drawn along its edges, in a colour, covered by what is next to it. */
function withoutFrame(picture, colour) {
  const { width, height } = picture[0];
  const like = whereLike(picture, colour);
  if (like.data.reduce((sum, one) => sum + one, 0) / like.data.length > MAX_FRAME_AREA) return picture;
  const reach = Math.max(3, roundHalfToEven(MAX_FRAME * Math.min(width, height)));
  const { rows, columns } = profiles(like);
  const until = (sums, length) => {
    const end = sums.slice(0, reach).findIndex((sum) => sum < length / 2);
    return end < 0 ? reach : end;
  };
  const sides = [until(columns, height), until(rows, width), until(columns.toReversed(), height), until(rows.toReversed(), width)];
  if (sides.includes(reach) || sides.every((side) => side === 0)) return picture;
  const [left, top, right, bottom] = sides;
  if (left + right >= width || top + bottom >= height) return picture;
  const inner = picture.map((channel) => crop(channel, [left, top, width - right, height - bottom]));
  if (whereLike(inner, describeBorder(inner).colour).data.every(Boolean)) return picture; // what the border surrounds is the ink
  return picture.map((channel) => {
    const covered = plane(width, height, channel.data.constructor);
    for (let y = 0; y < height; y++) {
      const row = Math.min(height - bottom - 1, Math.max(top, y));
      for (let x = 0; x < width; x++) covered.data[y * width + x] = channel.data[row * width + Math.min(width - right - 1, Math.max(left, x))];
    }
    return covered;
  });
}

/** Return 1 for each pixel whose channels are all near those of a colour, else 0. */
function whereLike(picture, colour) {
  const like = plane(picture[0].width, picture[0].height, Uint8Array);
  like.data.fill(1);
  picture.forEach(({ data }, channel) => {
    for (let at = 0; at < data.length; at++) if (Math.abs(data[at] - colour[channel]) > 2 * MIN_CONTRAST) like.data[at] = 0;
  });
  return like;
}

/** Return a function of the channel that returns the level of the paper at x, y: a plane fitted to the border. */
function slopingPaper([{ width, height }], border, colour) {
  const along = (length) => (at) => (2 * at) / (length - 1) - 1;
  const [across, down] = [along(width), along(height)];
  const places = [];
  for (const y of [-1, 1]) for (let x = 0; x < width; x++) places.push([1, y, across(x)]);
  for (const x of [-1, 1]) for (let y = 1; y < height - 1; y++) places.push([1, down(y), x]);
  let slopes = colour.map((level) => [level, 0, 0]);
  const rest = (at) => slopes.reduce((sum, slope, channel) => sum + Math.abs(border[at][channel] - dot(slope, places[at])), 0);
  for (let round = 0; round < PAPER_FITS; round++) {
    // Each time without what does not look like paper, such as a stroke that leaves the picture.
    const distances = places.map((_, at) => rest(at));
    const limit = Math.max(3 * median(distances), MIN_CONTRAST);
    const near = [...places.keys()].filter((at) => distances[at] <= limit);
    slopes = colour.map((_, channel) => leastSquares(near.map((at) => places[at]), near.map((at) => border[at][channel])));
  }
  return (channel) => {
    // In floats of 32 bits: a difference from white paper of 1e-14, which is none there, would be taken for ink.
    const [level, slopeDown, slopeAcross] = slopes[channel].map(Math.fround);
    const add = (one, other) => Math.fround(one + Math.fround(other));
    return (x, y) => add(add(level, slopeDown * Math.fround(down(y))), slopeAcross * Math.fround(across(x)));
  };
}

function dot(one, other) {
  return one[0] * other[0] + one[1] * other[1] + one[2] * other[2];
}

/** Return the three factors of the terms, by which the sum of the terms is closest to the values. */
function leastSquares(terms, values) {
  const rows = [0, 1, 2].map((i) => [
    ...[0, 1, 2].map((j) => terms.reduce((sum, term) => sum + term[i] * term[j], 0)),
    terms.reduce((sum, term, at) => sum + term[i] * values[at], 0),
  ]);
  // Gauss and Jordan; the matrix is positive definite, so that no rows have to change places.
  for (let i = 0; i < 3; i++) {
    const scaled = rows[i].map((value) => value / rows[i][i]);
    rows.forEach((row, j) => (rows[j] = j === i ? scaled : row.map((value, k) => value - row[i] * scaled[k])));
  }
  return rows.map((row) => row[3]);
}

/** Return differences in colour along the direction in which they are largest. */
function alongTheMainColour(difference) {
  if (difference.length === 1) return difference[0];
  let matrix = difference.map((one) => difference.map((other) => one.data.reduce((sum, value, at) => sum + value * other.data[at], 0)));
  for (let round = 0; round < 40; round++) {
    // Squared again and again, a matrix tends to the square of its first eigenvector.
    const trace = matrix[0][0] + matrix[1][1] + matrix[2][2] || 1;
    matrix = matrix.map((row) => [0, 1, 2].map((j) => dot(row, matrix.map((other) => other[j])) / trace ** 2));
  }
  const longest = matrix.reduce((best, row) => (dot(row, row) > dot(best, best) ? row : best));
  const length = Math.sqrt(dot(longest, longest)) || 1;
  const direction = longest.map((value) => value / length);
  const most = Math.max(...direction.map(Math.abs));
  const { width, height } = difference[0];
  const levels = plane(width, height);
  difference.forEach(({ data }, channel) => {
    for (let at = 0; at < data.length; at++) levels.data[at] += direction[channel] * most * data[at];
  });
  return levels;
}

/** Return the ink, 0 to 1, in levels that are higher where there is some; null when there is none. */
function separate({ width, height, data }) {
  const whole = { width, height, data: data.map((level) => Math.min(255, Math.max(0, level))) };
  const blur = Math.max(width, height) * BLUR;
  const box = inkBox(whole, 1, 3 * Math.ceil(blur + 1));
  if (!box) return null;
  const ink = crop(whole, box);
  let smooth = { ...ink, data: Uint8Array.from(ink.data) };
  if (Math.max(width, height) >= MIN_BLURRED_SIDE) smooth = gaussianBlur(smooth, blur);
  const counts = new Array(256).fill(0);
  for (const level of smooth.data) counts[level]++;
  counts[0] += width * height - ink.data.length;
  let [peak, darker] = [255, counts[255]];
  while (darker <= width * height * GLINTS) darker += counts[--peak];
  if (peak < MIN_CONTRAST) return null;
  const level = Math.max(otsuThreshold(counts) / 2, MIN_CONTRAST / 2);
  const strokes = plane(width, height);
  const [left, top] = box;
  ink.data.forEach((value, at) => {
    const place = (top + Math.floor(at / ink.width)) * width + left + (at % ink.width);
    strokes.data[place] = smooth.data[at] < level ? 0 : Math.min(1, value / peak);
  });
  return strokes;
}

/** Return Otsu's threshold of a histogram of 256 levels. */
function otsuThreshold(counts) {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const weighted = counts.reduce((sum, count, level) => sum + count * level, 0);
  let [below, sumBelow, best, threshold] = [0, 0, -1, 0];
  counts.forEach((count, level) => {
    below += count;
    sumBelow += count * level;
    const above = total - below;
    const between = below && above ? below * above * (sumBelow / below - (weighted - sumBelow) / above) ** 2 : 0;
    if (between <= best) return;
    best = between;
    threshold = level;
  });
  return threshold + 0.5;
}

/** Return the box of all that is at least `least`, with a margin wherever the plane has one; null for nothing. */
function inkBox({ width, height, data }, least, margin) {
  let [left, top, right, bottom] = [width, height, -1, -1];
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      if (data[at] < least) continue;
      left = Math.min(left, x);
      right = Math.max(right, x);
      top = Math.min(top, y);
      bottom = y;
    }
  }
  if (right < 0) return null;
  return [Math.max(0, left - margin), Math.max(0, top - margin), Math.min(width, right + margin + 1), Math.min(height, bottom + margin + 1)];
}

/** Crop to the ink, and reduce it where it is large. */
function cropToInk(ink) {
  const part = crop(ink, inkBox(ink, Number.MIN_VALUE, 1));
  const factor = Math.floor(Math.max(part.width, part.height) / MAX_INK_SIDE);
  return factor <= 1 ? part : reduce(crop(ink, inkBox(ink, Number.MIN_VALUE, 1 + factor)), factor);
}

/** Draw what is inked the way MNIST does: 20 px high or wide, with its mass in the middle. */
function draw(ink) {
  const digit = withoutPaper(ink);
  const { width, height } = digit;
  const scale = DIGIT_SIDE / Math.max(width, height);
  const { rows, columns } = profiles(digit);
  // resize() wants its box inside the picture, so the digit gets a margin of a whole frame.
  const margin = Math.ceil(FRAME / scale);
  const page = plane(width + 2 * margin, height + 2 * margin);
  for (let y = 0; y < height; y++) page.data.set(digit.data.subarray(y * width, (y + 1) * width), (margin + y) * page.width + margin);
  const start = (sums, length) => Math.min(Math.max(CENTRE - middle(sums) * scale, 0), FRAME - length * scale);
  const [left, top] = [margin - start(columns, width) / scale, margin - start(rows, height) / scale];
  const box = [left, top, left + FRAME / scale, top + FRAME / scale];
  const drawn = resize(page, FRAME, scale > 1 ? "bicubic" : "hamming", box).data.map((value) => Math.max(0, value));
  // A thin line comes out pale. Its typical level becomes that of MNIST.
  const [sum, squares] = drawn.reduce(([sum, squares], value) => [sum + value, squares + value * value], [0, 0]);
  const factorOfLevels = 255 / Math.min((squares / sum) * STROKE_LEVEL, Math.max(...drawn));
  return Uint8Array.from(drawn, (value) => roundHalfToEven(Math.min(255, value * factorOfLevels)));
}

/** Return the ink without the paper around it, reduced where it is large. */
function withoutPaper(ink) {
  const digit = crop(ink, inkBox(ink, Number.MIN_VALUE, 0));
  const factor = Math.floor(Math.max(digit.width, digit.height) / MAX_DIGIT_SIDE);
  return factor > 1 ? reduce(digit, factor) : digit;
}

/** Return ink in other views: wider, out of focus, and both. */
function views(ink) {
  const digit = withoutPaper(ink);
  const wider = widen(digit, Math.ceil(WIDER * digit.width));
  return [wider, outOfFocus(digit), outOfFocus(wider)];
}

/** Return blurred ink, with room for its soft edges. */
function outOfFocus({ width, height, data }) {
  const deviation = VIEW_BLUR * Math.max(width, height);
  const margin = Math.ceil(3 * deviation);
  const bytes = plane(width + 2 * margin, height + 2 * margin, Uint8Array);
  data.forEach((level, at) => {
    bytes.data[(margin + Math.floor(at / width)) * bytes.width + margin + (at % width)] = Math.min(255, Math.max(0, 255 * level));
  });
  const blurred = gaussianBlur(bytes, deviation);
  const least = PALEST * blurred.data.reduce((most, level) => Math.max(most, level));
  return { ...blurred, data: Float32Array.from(blurred.data, (level) => (level < least ? 0 : level / 255)) };
}

function roundHalfToEven(value) {
  const rounded = Math.round(value);
  return rounded - value === 0.5 && rounded % 2 ? rounded - 1 : rounded;
}
