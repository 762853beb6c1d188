// The copies page: two pictures that were compared, side by side. A person says whether they show the same shot.

import { newKey, post } from "./api.js";
import { choice, h, icon, number, percent, pixels, plural } from "./dom.js";
import { isGoing, load, look, onKey, start, toast } from "./shell.js";

const SHORTCUTS = [
  [["s"], "The same shot"],
  [["d"], "Different"],
  [["Space"], "Skip the pair"],
  [["⌫"], "Undo"],
  [["m"], "Mirror the second picture, or not"],
  [["v"], "Look closely at the first"],
  [["w"], "Look closely at the second"],
];
const KINDS = {
  same_pixels: "same pixels",
  recompressed: "recompressed or resized",
  edited: "edited",
  mirrored: "mirrored",
  rotated: "rotated",
  same_scene: "same scene",
  confirmed: "joined by people",
};
const PAGE = 20;

const { outbox } = await start(SHORTCUTS);
const main = document.querySelector("main");
const toolbar = document.querySelector(".toolbar");
const dock = document.querySelector(".dock");
const given = new URLSearchParams(location.search);
const asked = {
  level: given.get("level") ?? "image",
  show: given.get("show") ?? "open",
  order: given.get("order") ?? "near",
};
let pairs = [];
let remaining = 0;
let threshold = 0;
let flipped = false;
let loads = 0; // so that a late answer to an earlier one is dropped

drawToolbar();
new ResizeObserver(() =>
  document.documentElement.style.setProperty("--toolbar", `${toolbar.offsetHeight}px`),
).observe(toolbar);
await more();

// --- toolbar ---

function drawToolbar() {
  const select = (name, label, options) => choice(label, options, asked[name], (value) => change(name, value));
  const levels = [
    ["image", "Pictures"],
    ["region", "Regions"],
  ];
  toolbar.addEventListener("submit", (event) => event.preventDefault());
  toolbar.append(
    h(
      "div",
      { class: "segmented", role: "group", "aria-label": "Level" },
      levels.map(([level, text]) =>
        h("button", { type: "button", data: { level }, onclick: () => change("level", level) }, text),
      ),
    ),
    select("show", "Show", [
      ["open", "not judged"],
      ["judged", "judged by people"],
      ["all", "all"],
    ]),
    select("order", "Order", [
      ["near", "nearest to the threshold"],
      ["spread", "spread over all scores"],
    ]),
    h("span", { class: "grow" }),
    h("span", { class: "left soft number" }),
  );
}

function drawCounts() {
  for (const button of toolbar.querySelectorAll(".segmented button")) {
    button.setAttribute("aria-pressed", String(button.dataset.level === asked.level));
  }
  toolbar.querySelector(".left").textContent = `${plural(remaining, "pair")} left, threshold ${threshold.toFixed(2)}`;
}

function change(name, value) {
  asked[name] = value;
  history.replaceState(null, "", `?${new URLSearchParams(asked)}`);
  pairs = [];
  more();
}

// --- the pair ---

/** Fetch the next pairs and show the first. What is on its way to the server is waited for, so that none comes twice. */
async function more() {
  const mine = ++loads;
  await outbox.empty();
  const page = await load("/api/copies", { ...asked, count: PAGE });
  if (!page || mine !== loads) return;
  ({ pairs, remaining, threshold } = { ...page, pairs: [...page.pairs] });
  show();
}

function show() {
  const [pair, next] = pairs;
  flipped = pair?.kind === "mirrored";
  drawCounts();
  drawDock(pair);
  if (!pair) {
    delete document.body.dataset.pair;
    main.replaceChildren(emptyNote());
    return;
  }
  main.replaceChildren(sideOf(pair.first, false), sideOf(pair.second, true));
  document.body.dataset.pair = nameOf(pair);
  for (const side of next ? [next.first, next.second] : []) new Image().src = address(side);
}

function nameOf(pair) {
  return `${pair.first.id} ${pair.second.id}`;
}

function address(side, size = 900) {
  return `${side.picture_url}&size=${pixels(size)}`;
}

function sideOf(side, second) {
  const [width, height] = side.size_wh ?? [];
  return h(
    "figure",
    { class: second && flipped ? "side flipped" : "side" },
    h(
      "button",
      { type: "button", "aria-label": `Look closely at the ${second ? "second" : "first"}`, onclick: () => closely(side) },
      h("img", { src: address(side), alt: side.title ?? "a picture without an item", draggable: "false" }),
    ),
    h(
      "figcaption",
      {},
      side.item
        ? h("a", { class: "name", href: `/items/${side.item}`, title: side.title }, side.title || "untitled")
        : h("span", { class: "name soft" }, "no item"),
      h("span", { class: "grow" }),
      side.keeper ? h("span", { class: "stays", title: "of its cluster this one is kept" }, "stays") : null,
      width ? h("span", { class: "soft number" }, `${number(width)} × ${number(height)}`) : null,
      h("span", { class: "soft number" }, `${number(Math.max(1, Math.round(side.bytes / 1000)))} kB`),
    ),
  );
}

function closely(side) {
  look(address(side, 1200), [side.title, side.size_wh?.join(" × ")].filter(Boolean).join(" · "));
}

function emptyNote() {
  const nothing = { open: "No pair left to judge", judged: "Nobody has judged a pair", all: "No pairs" }[asked.show];
  return h(
    "div",
    { class: "empty-note" },
    h("h2", {}, nothing),
    h("p", {}, "Clusters follow what was said at the next `tamis run`; `tamis duplicates calibrate` fits the threshold."),
  );
}

function drawDock(pair) {
  const button = (kind, label, key, run) =>
    h("button", { class: kind, disabled: !pair, onclick: run }, label, h("kbd", {}, key));
  dock.replaceChildren(
    button("same", "Same", "s", () => say(true)),
    button("different", "Different", "d", () => say(false)),
    button("skip", "Skip", "Space", () => say(null)),
    h("button", { class: "undo", onclick: undo }, icon("undo"), "Undo", h("kbd", {}, "⌫")),
    h("span", { class: "grow" }),
    h("span", { class: "pair soft" }, pair ? describe(pair) : ""),
  );
}

function describe(pair) {
  const said = Object.entries(pair.votes).map(([person, same]) => `${person}: ${same ? "same" : "different"}`);
  const state = pair.joined ? "one cluster now" : "apart now";
  return [KINDS[pair.kind] ?? pair.kind, percent(pair.score), state, flipped ? "second shown mirrored" : "", ...said]
    .filter(Boolean)
    .join(" · ");
}

function mirror() {
  flipped = !flipped;
  main.querySelectorAll(".side")[1]?.classList.toggle("flipped", flipped);
  drawDock(pairs[0]);
}

// --- steps ---

function say(same) {
  const pair = pairs.shift();
  if (!pair) return;
  outbox.add("/api/copies", {
    key: newKey(),
    level: pair.level,
    first: pair.first.id,
    second: pair.second.id,
    same,
  });
  if (asked.show === "open") remaining = Math.max(0, remaining - 1);
  toast({ true: "Same", false: "Different", null: "Skipped" }[same]);
  if (pairs.length || asked.show !== "open") show();
  else more();
}

async function undo() {
  await outbox.empty();
  try {
    const taken = await post("/api/copies/undo", { key: newKey() });
    toast(taken.pairs.length ? "Taken back" : "Nothing to undo");
    const again = taken.pairs.filter((pair) => pair.level === asked.level);
    const names = new Set(again.map(nameOf));
    pairs = [...again, ...pairs.filter((pair) => !names.has(nameOf(pair)))];
    if (asked.show === "open") remaining += again.length;
    show();
  } catch (error) {
    toast(error.message, true);
  }
}

onKey((event) => {
  const key = event.key.toLowerCase();
  if (isGoing()) return false;
  const onButton = event.target.closest?.("button, a") && event.target.matches(":focus-visible");
  if (onButton && ["enter", " "].includes(key)) return false;
  if (key === "backspace" || (key === "z" && event.ctrlKey)) undo();
  else if (event.ctrlKey) return false;
  else if (key === "s") say(true);
  else if (key === "d") say(false);
  else if (key === " ") say(null);
  else if (!pairs.length) return false;
  else if (key === "m") mirror();
  else if (key === "v") closely(pairs[0].first);
  else if (key === "w") closely(pairs[0].second);
  else return false;
  return true;
});
