// The review page: a grid of one class or verdict. What is wrong is marked, the rest is confirmed, as one step.

import { get, newKey, post } from "./api.js";
import { choice, h, icon, number, percent, pixels, plural } from "./dom.js";
import { followEvents, isGoing, load, look, onKey, start, toast } from "./shell.js";

const DIGITS = "1234567890";
const VERDICT_KEYS = { k: "keep", q: "questionable", r: "reject" };
const SHORTCUTS = [
  [["←", "→", "↑", "↓"], "Move"],
  [["x"], "Mark as wrong, or not"],
  [["⇧", "arrows"], "Mark a range"],
  [["1", "…", "0"], "Say what it is"],
  [["k", "q", "r"], "Verdict of it (on verdict pages)"],
  [["Enter"], "Confirm the page"],
  [["⌫"], "Undo the last page"],
  [["v"], "Look closely"],
  [["o"], "Open it in annotate"],
  [["+", "−"], "Larger or smaller"],
  [["["], "Class before"],
  [["]"], "Next class"],
];

const { project, outbox } = await start(SHORTCUTS);
const grid = document.querySelector(".grid");
const toolbar = document.querySelector(".toolbar");
const dock = document.querySelector(".dock");
const all = [...project.attributes, project.verdict];
const asked = readAddress();
let tiles = []; // {sample, element, wrong, value, gone}
let place = 0;
let anchor = 0;
let counts = {};
let pages = 0; // loads begun, so that a late answer to an earlier one is dropped

drawToolbar();
drawDock();
setSize(Number(localStorage.getItem("tamis.tile") ?? 180));
await show();
followEvents(hear);

function readAddress() {
  const given = new URLSearchParams(location.search);
  const attribute = all.find((one) => one.name === given.get("attribute")) ?? all[0];
  return {
    attribute,
    value: attribute.classes.includes(given.get("value")) ? given.get("value") : attribute.classes[0],
    show: given.get("show") ?? "open",
    verdict: given.get("verdict") ?? "usable",
    order: given.get("order") ?? "doubtful",
    count: 60,
  };
}

function query() {
  const { attribute, ...rest } = asked;
  return { attribute: attribute.name, ...rest };
}

// --- toolbar ---

function drawToolbar() {
  const select = (name, label, options) => choice(label, options, asked[name], (value) => change(name, value));
  const attribute = h(
    "div",
    { class: "segmented", role: "group", "aria-label": "Attribute" },
    all.map((one) =>
      h("button", { type: "button", data: { name: one.name }, onclick: () => change("attribute", one) }, one.name),
    ),
  );
  const size = h("input", {
    type: "range",
    min: 96,
    max: 420,
    step: 12,
    "aria-label": "Size of the pictures",
    oninput: () => setSize(Number(size.value)),
  });
  toolbar.addEventListener("submit", (event) => event.preventDefault());
  toolbar.append(
    attribute,
    select("show", "Show", [
      ["open", "not confirmed"],
      ["confirmed", "confirmed by people"],
      ["all", "all"],
    ]),
    select("verdict", "Verdict", [
      ["usable", "usable"],
      ["keep", "keep"],
      ["questionable", "questionable"],
      ["reject", "reject"],
      ["any", "any"],
    ]),
    select("order", "Order", [
      ["doubtful", "doubtful first"],
      ["sure", "surest first"],
    ]),
    h("span", { class: "grow" }),
    h("label", {}, "Size", size),
    h("div", { class: "tabs" }),
  );
  toolbar.size = size;
}

function drawTabs() {
  for (const button of toolbar.querySelectorAll(".segmented button")) {
    button.setAttribute("aria-pressed", String(button.dataset.name === asked.attribute.name));
  }
  toolbar.querySelector("select[aria-label=Verdict]").closest("label").hidden = asked.attribute.name === "verdict";
  toolbar
    .querySelector(".tabs")
    .replaceChildren(
      ...asked.attribute.classes.map((value) =>
        h(
          "button",
          { type: "button", "aria-pressed": String(value === asked.value), onclick: () => change("value", value) },
          value,
          h("span", { class: "number" }, number(counts[value] ?? 0)),
        ),
      ),
    );
}

function change(name, value) {
  asked[name] = value;
  if (name === "attribute") asked.value = value.classes.find((one) => one === asked.value) ?? value.classes[0];
  const address = new URLSearchParams(query());
  history.replaceState(null, "", `?${address}`);
  show();
}

function setSize(size) {
  const kept = Math.min(420, Math.max(96, size));
  document.documentElement.style.setProperty("--tile", `${kept}px`);
  toolbar.size.value = kept;
  localStorage.setItem("tamis.tile", String(kept));
}

// --- grid ---

async function show() {
  const mine = ++pages;
  await outbox.empty();
  const page = await load("/api/review", query());
  if (!page || mine !== pages) return;
  counts = page.counts;
  drawTabs();
  tiles = page.samples.map(makeTile);
  place = anchor = 0;
  grid.replaceChildren(...tiles.map((tile) => tile.element));
  if (!tiles.length) grid.append(emptyNote());
  drawDock();
  scrollTo(0, 0);
  if (tiles.length) focusOn(0);
}

function emptyNote() {
  const left = Object.entries(counts).filter(([value, count]) => count && value !== asked.value);
  return h(
    "div",
    { class: "empty-note" },
    h("h2", {}, asked.show === "open" ? "Nothing to confirm here" : "Nothing here"),
    h(
      "p",
      {},
      left.length
        ? `Other classes have ${plural(
            left.reduce((sum, [, count]) => sum + count, 0),
            "sample",
          )}: press ]`
        : `No sample is ${asked.value}${asked.show === "open" ? " and not confirmed" : ""}.`,
    ),
  );
}

function makeTile(sample, position) {
  const flag = h("span", { class: "flag" });
  const note = noteOf(sample);
  const element = h(
    "div",
    {
      class: "tile",
      role: "option",
      tabindex: -1,
      "aria-selected": "false",
      "aria-label": `${sample.item?.title ?? "sample"} ${note}`,
      data: { id: sample.id },
      onclick: (event) => click(position, event),
      ondblclick: () => lookAt(sample),
    },
    h("img", { src: `${sample.crop_url}&size=${pixels(360)}`, alt: "", decoding: "async", draggable: "false" }),
    flag,
    h(
      "footer",
      {},
      h("span", { class: "name", title: sample.item?.title }, sample.item?.title ?? "no item"),
      h("span", { class: "grow" }),
      h("span", { class: "number" }, note),
    ),
  );
  return { sample, element, flag, wrong: false, value: null };
}

function noteOf(sample) {
  if (asked.attribute.name === "verdict") return sample.verdict.cause.replaceAll("_", " ");
  const gold = sample.gold[asked.attribute.name];
  if (!gold) return "";
  return gold.who === "person" ? gold.actor : percent(gold.confidence);
}

function mark(position, wrong, value = null) {
  const tile = tiles[position];
  tile.wrong = wrong;
  tile.value = wrong ? (value ?? defaultValue()) : null;
  tile.element.setAttribute("aria-selected", String(wrong));
  tile.flag.textContent = tile.value ? `→ ${tile.value}` : `not ${asked.value}`;
  drawDock();
}

/** A verdict that is wrong must say the right one; the likeliest is taken at first. */
function defaultValue() {
  if (asked.attribute.name !== "verdict") return null;
  return { keep: "reject", questionable: "reject", reject: "keep" }[asked.value];
}

function click(position, event) {
  if (event.shiftKey) markRange(anchor, position);
  else {
    mark(position, !tiles[position].wrong);
    anchor = position;
  }
  focusOn(position, false);
}

function markRange(first, last) {
  const wrong = tiles[first].wrong || first === last;
  for (let position = Math.min(first, last); position <= Math.max(first, last); position++) mark(position, wrong);
}

function focusOn(position, scroll = true) {
  tiles[place]?.element.setAttribute("tabindex", "-1");
  place = Math.min(Math.max(position, 0), tiles.length - 1);
  const { element } = tiles[place];
  element.setAttribute("tabindex", "0");
  element.focus({ preventScroll: !scroll });
}

function columns() {
  return getComputedStyle(grid).gridTemplateColumns.split(" ").length;
}

function lookAt(sample) {
  look(
    `${sample.crop_url}&size=${pixels(1000)}`,
    [sample.item?.title, sample.verdict.reason].filter(Boolean).join(" · "),
  );
}

// --- a page as one step ---

function drawDock() {
  const wrong = tiles.filter((tile) => tile.wrong);
  const right = tiles.length - wrong.length;
  const unsaid = wrong.filter((tile) => !tile.value).length;
  dock.replaceChildren(
    h(
      "button",
      { class: "primary", disabled: !tiles.length, onclick: confirm },
      icon("check"),
      wrong.length ? `Confirm ${right}, ${number(wrong.length)} wrong` : `Confirm all ${number(right)}`,
      h("kbd", {}, "Enter"),
    ),
    h("button", { onclick: undo }, icon("undo"), "Undo page", h("kbd", {}, "⌫")),
    h("span", { class: "grow" }),
    h(
      "span",
      { class: "soft" },
      unsaid ? `${plural(unsaid, "sample")} will be questionable: press a digit to say what it is` : hint(),
    ),
  );
}

function hint() {
  if (asked.attribute.name === "verdict") return "Click what is wrong, or press k, q, r";
  return `Click what is not ${asked.value}; ${asked.attribute.classes
    .slice(0, 10)
    .map((value, at) => `${DIGITS[at]} ${value}`)
    .join(", ")}`;
}

function confirm() {
  if (!tiles.length) return;
  const wrong = tiles.filter((tile) => tile.wrong);
  const confirmed = tiles.filter((tile) => !tile.wrong).map((tile) => tile.sample.id);
  outbox.add("/api/review/confirm", {
    key: newKey(),
    attribute: asked.attribute.name,
    value: asked.value,
    confirmed,
    wrong: wrong.map((tile) => ({ sample: tile.sample.id, value: tile.value })),
  });
  toast(wrong.length ? `${confirmed.length} confirmed, ${wrong.length} wrong` : `${confirmed.length} confirmed`);
  for (const tile of tiles) tile.element.dataset.gone = "true";
  tiles = [];
  drawDock();
  show();
}

async function undo() {
  await outbox.empty();
  try {
    const { claims } = await post("/api/undo", { key: newKey() });
    toast(claims.length ? `${plural(claims.length, "label")} taken back` : "Nothing to undo");
    await show();
  } catch (error) {
    toast(error.message, true);
  }
}

// --- keys ---

onKey((event) => {
  const { key } = event;
  const onButton = event.target.closest?.("button, a, input") && event.target.matches(":focus-visible");
  if (onButton && ["Enter", " ", "ArrowLeft", "ArrowRight"].includes(key)) return false;
  if (key === "Enter") confirm();
  else if (key === "Backspace" || (key === "z" && event.ctrlKey)) undo();
  else if (key === "+" || key === "=") setSize(Number(toolbar.size.value) + 36);
  else if (key === "-") setSize(Number(toolbar.size.value) - 36);
  else if (key === "[" || key === "]") turn(key === "]" ? 1 : -1);
  else return tiles.length > 0 && !isGoing() && onTileKey(event);
  return true;
});

function onTileKey(event) {
  const { key } = event;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns(), ArrowDown: columns() }[key];
  if (step !== undefined) {
    const target = place + step;
    if (target < 0 || target >= tiles.length) return true;
    if (event.shiftKey) {
      for (let at = Math.min(place, target); at <= Math.max(place, target); at++) mark(at, true, tiles[at].value);
    }
    focusOn(target);
    if (!event.shiftKey) anchor = place;
  } else if (key === "x" || key === " ") mark(place, !tiles[place].wrong);
  else if (DIGITS.includes(key)) say(asked.attribute.classes[DIGITS.indexOf(key)]);
  else if (key in VERDICT_KEYS && asked.attribute.name === "verdict") say(VERDICT_KEYS[key]);
  else if (key === "v") lookAt(tiles[place].sample);
  else if (key === "o") location.href = `/?sample=${tiles[place].sample.id}`;
  else return false;
  return true;
}

/** Say what the sample in focus is, and go on to the next. */
function say(value) {
  if (!value) return;
  mark(place, value !== asked.value, value === asked.value ? null : value);
  if (place + 1 < tiles.length) focusOn(place + 1);
}

function turn(direction) {
  const { classes } = asked.attribute;
  change("value", classes[(classes.indexOf(asked.value) + direction + classes.length) % classes.length]);
}

// --- others ---

/** What others decide meanwhile about samples on this page is shown, and not confirmed again. */
async function hear(events) {
  const ids = new Set(
    events
      .filter((event) => event.actor !== project.person && event.attribute === asked.attribute.name)
      .map((event) => event.sample),
  );
  const touched = tiles.filter((tile) => ids.has(tile.sample.id));
  for (const tile of touched) {
    const fresh = await get(`/api/samples/${tile.sample.id}`).catch(() => null);
    if (!fresh) continue;
    tile.sample = fresh;
    const who = fresh.claims
      .filter((claim) => claim.who === "person" && claim.attribute === asked.attribute.name)
      .at(-1);
    if (!who) continue;
    tile.element.dataset.gone = "true";
    tile.flag.textContent = `${who.actor}: ${who.value ?? "skipped"}`;
    tile.element.title = tile.flag.textContent;
  }
  if (!touched.length) return;
  tiles = tiles.filter((tile) => tile.element.dataset.gone !== "true");
  if (tiles.length) focusOn(Math.min(place, tiles.length - 1), false);
  drawDock();
}
