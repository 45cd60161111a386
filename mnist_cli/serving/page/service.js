// Requests to the server. They throw a Failure, whose `kind` is the key of a text in strings.js.

export const isOffline = false; // offline.js of an exported page has the same functions, without a server

export class Failure extends Error {
  constructor(kind, retryAfter = 0, reason = "") {
    super(kind);
    this.kind = kind;
    this.retryAfter = retryAfter; // seconds
    this.reason = reason; // as the server gives it
  }
}

const KINDS = { 413: "tooLarge", 415: "noPicture", 422: "noPicture", 503: "busy" };

export async function predict(picture, { many = false, signal } = {}) {
  return (await post(`api/predict?frame=true${many ? "&many=true" : ""}`, picture, signal)).json();
}

/** Return what the network computes for a picture; `changes` are the parameters of POST /api/inspect. */
export async function inspect(picture, changes) {
  return (await post(`api/inspect?${changes}`, picture)).json();
}

export async function correct(picture, label) {
  await post(`api/corrections?label=${encodeURIComponent(label)}`, picture);
}

export async function describeModel() {
  return (await request("api/model")).json();
}

/** Return the address of an example, by which it can be shown and loaded. */
export function example(digit) {
  return `examples/${digit}.png`;
}

export async function load(address) {
  return (await request(address)).blob();
}

export async function isUp() {
  return (await fetch("healthz", { cache: "no-store" }).catch(() => null))?.ok ?? false;
}

function post(path, picture, signal) {
  return request(path, { method: "POST", body: picture, headers: { "Content-Type": picture.type || "image/png" }, signal });
}

async function request(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    throw error.name === "AbortError" ? error : new Failure("offline");
  }
  if (!response.ok) {
    const { reason } = await response.json().catch(() => ({}));
    throw new Failure(KINDS[response.status] ?? "failed", Number(response.headers.get("Retry-After")) || 1, reason);
  }
  return response;
}
