// What service.js is to the page of the service: here the answers are computed on the spot, and nothing is sent.

import { logits, trace } from "./network.js";
import { prepare, prepareViews } from "./preparation.js";

export const isOffline = true;

const SURE = 7; // score of a frame above which no other view is looked at, as in classification.py of mnist_cli/recognition
const SHARP = 2; // views that are not blurred, the first ones

export class Failure extends Error {
  constructor(kind) {
    super(kind);
    this.kind = kind; // the key of a text in strings.js
  }
}

/** Return what POST /api/predict?frame=true returns. */
export async function predict(picture) {
  const prepared = prepareViews(await pixels(picture));
  return predictFrame(prepared?.frame, prepared?.others);
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

/** Return the prediction for a frame, which is the mean over other views of the ink too where the frame alone is not sure. */
function predictFrame(frame, others = () => []) {
  if (!frame) return { digit: null, confidence: 0.1, probabilities: new Array(10).fill(0.1), reason: "no ink", frame: null };
  const seen = [classify(frame)];
  if (seen[0].score < SURE) seen.push(...others().map(classify));
  const score = seen.reduce((sum, view) => sum + view.score, 0) / seen.length;
  const probabilities = meanProbabilities(seen.slice(0, SHARP));
  const reason = score < MODEL.rejection_threshold ? "not a digit" : null;
  const confidence = Math.max(...probabilities);
  const rows = Array.from({ length: 28 }, (_, row) => [...frame.subarray(28 * row, 28 * (row + 1))]);
  return { digit: reason ? null : probabilities.indexOf(confidence), confidence, probabilities, reason, frame: rows };
}

/** Return the energy score of a frame, the logsumexp of its logits, and the probabilities of the digits. */
function classify(frame) {
  const values = logits(frame);
  const most = Math.max(...values);
  const score = most + Math.log(values.reduce((sum, value) => sum + Math.exp(value - most), 0));
  return { score, probabilities: [...values].map((value) => Math.exp(value - score)) };
}

/** Return the mean of the probabilities of some views, weighted by the probability that each is a digit. */
function meanProbabilities(views) {
  const votes = views.map(({ score }) => 1 / (1 + Math.exp(-Math.max(score, -50))));
  const total = votes.reduce((sum, vote) => sum + vote, 0);
  return views[0].probabilities.map((_, digit) => views.reduce((sum, view, at) => sum + (votes[at] / total) * view.probabilities[digit], 0));
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
