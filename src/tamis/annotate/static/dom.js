// Building documents. Text only ever becomes text: titles and descriptions come from the web and may hold anything.

/** Make an element: `h("button", {class: "plain", onclick: go}, "Go")`. Children are nodes, text or nothing. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name === "style") for (const [key, text] of Object.entries(value)) element.style.setProperty(key, text);
    else if (name === "value" || name === "checked") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const PATHS = {
  sieve: "M3 8a9 3.4 0 1 0 18 0a9 3.4 0 1 0 -18 0M3 8v4c0 1.9 4 3.4 9 3.4s9-1.500 9-3.4V8M8 18v3M12 18.500v3M16 18v3",
  undo: "M9 14 4 9l5-5M4 9h10a6 6 0 0 1 0 12h-3",
  skip: "m5 5 8 7-8 7zM18 5v14",
  moon: "M20 14.500A8.500 8.500 0 0 1 9.500 4a8.500 8.500 0 1 0 10.500 10.500z",
  help: "M9.200 9a3 3 0 1 1 4.300 2.700c-.9.5-1.500 1.100-1.500 2.300M12 17.500v.1",
  check: "m5 12.500 4.500 4.500L19 7.500",
  frame: "M4 8V5a1 1 0 0 1 1-1h3M16 4h3a1 1 0 0 1 1 1v3M20 16v3a1 1 0 0 1-1 1h-3M8 20H5a1 1 0 0 1-1-1v-3",
};

/** Make one of the icons above, 18 px. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  const attributes = {
    viewBox: "0 0 24 24",
    width: 18,
    height: 18,
    fill: "none",
    stroke: "currentColor",
    "stroke-width": 2,
    "stroke-linecap": "round",
    "stroke-linejoin": "round",
    "aria-hidden": "true",
  };
  for (const [key, value] of Object.entries(attributes)) svg.setAttribute(key, value);
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/** A labelled drop-down list of `options`, pairs of value and text; `onChoice` is called with the value chosen. */
export function choice(label, options, chosen, onChoice) {
  const select = h(
    "select",
    { "aria-label": label, onchange: () => onChoice(select.value) },
    options.map(([value, text]) => h("option", { value, selected: value === chosen }, text)),
  );
  return h("label", {}, label, select);
}

/** The keys of a shortcut, as the help shows them. */
export const keys = (...names) =>
  h(
    "span",
    {},
    names.map((name) => h("kbd", {}, name)),
  );

/** Text as nodes, with the words (`{text, title}`) marked wherever they stand alone in it. */
export function highlight(text, words) {
  const wanted = new Map(words.filter((word) => word.text).map((word) => [word.text.toLowerCase(), word.title]));
  if (!wanted.size) return [text];
  const escaped = [...wanted.keys()]
    .sort((a, b) => b.length - a.length)
    .map((word) => word.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&"));
  const pattern = new RegExp(`(?<![\\p{L}\\p{N}])(${escaped.join("|")})(?![\\p{L}\\p{N}])`, "giu");
  return text
    .split(pattern)
    .map((part, place) => (place % 2 ? h("mark", { title: wanted.get(part.toLowerCase()) }, part) : part));
}

/** What the rules rest on, as words for `highlight`: their evidence is "field: words". */
export function evidenceWords(claims) {
  return claims
    .filter((claim) => claim.who === "rule" && claim.evidence)
    .map((claim) => ({
      text: claim.evidence.replace(/^[^:]{1,40}: /, ""),
      title: `${claim.attribute}: ${claim.value} (${claim.actor})`,
    }));
}

export const number = (amount) => new Intl.NumberFormat().format(amount);

export function price(amount, currency) {
  if (amount === null || amount === undefined) return "";
  try {
    return new Intl.NumberFormat(undefined, {
      style: "currency",
      currency,
      maximumFractionDigits: amount % 1 ? 2 : 0,
    }).format(amount);
  } catch {
    return [number(amount), currency].filter(Boolean).join(" ");
  }
}

export const percent = (share) => `${Math.round(share * 100)} %`;
export const when = (seconds) =>
  new Date(seconds * 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
export const plural = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;

/** A link target that a page may have: the web, nothing that runs. */
export const webAddress = (url) => (/^https?:\/\//i.test(url) ? url : null);

/** Pixels of the longer side that a picture needs to fill a box of CSS pixels on this screen. */
export const pixels = (side) => Math.min(2048, Math.max(16, Math.ceil(side * (window.devicePixelRatio || 1))));
