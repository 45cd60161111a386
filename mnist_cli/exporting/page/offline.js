// What service.js is to the page of the service: here the answers are computed on the spot, and nothing is sent.

import { logits, trace } from "./network.js";
import { prepare } from "./preparation.js";

export const isOffline = true;

export class Failure extends Error {
  constructor(kind) {
    super(kind);
    this.kind = kind; // the key of a text in strings.js
  }
}

/** Return what POST /api/predict?frame=true returns. */
export async function predict(picture) {
  return predictFrame(prepare(await pixels(picture)));
}

export async function describeModel() {
  return MODEL;
}

/** Return the address of an example, by which it can be shown and loaded. */
export function example(digit) {
  return `data:image/png;base64,${MODEL.examples[digit]}`;
}

export async function load(address) {
  const bytes = Uint8Array.from(atob(address.split(",")[1]), (character) => character.charCodeAt(0));
  return new Blob([bytes], { type: "image/png" });
}

function predictFrame(frame) {
  const values = frame ? logits(frame) : new Float64Array(10);
  const most = Math.max(...values);
  const score = most + Math.log(values.reduce((sum, value) => sum + Math.exp(value - most), 0)); // logsumexp, the energy score
  const probabilities = [...values].map((value) => Math.exp(value - score));
  const reason = !frame ? "no ink" : score < MODEL.rejection_threshold ? "not a digit" : null;
  const digit = reason ? null : probabilities.indexOf(Math.max(...probabilities));
  const rows = frame && Array.from({ length: 28 }, (_, row) => [...frame.subarray(28 * row, 28 * (row + 1))]);
  return { digit, confidence: Math.max(...probabilities), probabilities, reason, frame: rows };
}

/** Return the pixels of a picture file, on white where it is transparent. */
async function pixels(picture) {
  let image;
  try {
    image = await createImageBitmap(picture, { colorSpaceConversion: "none" });
  } catch {
    throw new Failure("noPicture");
  }
  const { width, height } = image;
  const context = Object.assign(document.createElement("canvas"), { width, height }).getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, width, height);
}

// For the browser's console, and for pages that embed this one.
globalThis.mnist = { predict, predictFrame, prepare, logits, trace };
