// Talking to the server. A refusal by the server and a server that does not answer are different things.

/** The server answered, and said no. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** The server did not answer, or is not itself: worth trying again. */
export class Unreachable extends Error {}

const PATIENCE = 15_000;
/** The first look at a large project takes a while. */
const READING_PATIENCE = 90_000;

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", signal: AbortSignal.timeout(PATIENCE), ...options });
  } catch (error) {
    throw new Unreachable(error.message);
  }
  hearOfSettings(response.headers.get("x-tamis-settings"));
  if (response.ok) return response.json();
  const body = await response.json().catch(() => ({}));
  const detail = Array.isArray(body.detail) ? body.detail.map((one) => one.msg).join("; ") : body.detail;
  if (response.status >= 500 || response.status === 429) throw new Unreachable(detail ?? response.statusText);
  throw new Refused(response.status, detail ?? response.statusText);
}

/** Tells of `change`: `detail` is `{changed, problem}`, of the project's settings since the page was loaded. */
export const settings = new EventTarget();
let known = null;
let told = "";

function hearOfSettings(state) {
  if (state === null || state === told) return;
  told = state;
  const [version, problem = ""] = state.split(" ");
  known ??= version;
  const detail = { changed: version !== known, problem: decodeURIComponent(problem) };
  settings.dispatchEvent(new CustomEvent("change", { detail }));
}

/** GET with a query; values that are null are left out. */
export function get(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = new URLSearchParams(given).toString();
  return ask(text ? `${path}?${text}` : path, { signal: AbortSignal.timeout(READING_PATIENCE) });
}

/** POST a document. */
export function post(path, body) {
  return ask(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
}

/** POST a document while the page goes away; no answer is waited for. */
export function postLast(path, body) {
  navigator.sendBeacon(path, new Blob([JSON.stringify(body)], { type: "application/json" }));
}

/** A key for one step of a person. */
export function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
