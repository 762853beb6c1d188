// The annotation page. A key press changes the page at once; what it means for the database goes through the outbox.

import { newKey, post } from "./api.js";
import { h, number, plural } from "./dom.js";
import { Feed, prepare } from "./feed.js";
import { proposalOf, Questions } from "./questions.js";
import { followEvents, isGoing, onKey, start, toast } from "./shell.js";
import { Stage } from "./stage.js";

const DIGITS = "1234567890";
const RECENT = 40;
const VERDICT_KEYS = { k: "keep", q: "questionable", r: "reject" };
const SHORTCUTS = [
  [["1", "…", "0"], "Choose a class"],
  [["/"], "Find a class by its letters"],
  [["Enter"], "Accept the proposal"],
  [["⇧", "Enter"], "Accept all proposals"],
  [["Tab"], "Next attribute (⇧ back)"],
  [["Space"], "Skip the sample"],
  [["⌫"], "Undo, also across samples"],
  [["k"], "Keep"],
  [["q"], "Questionable"],
  [["r"], "Reject"],
  [["f"], "Whole picture or crop"],
  [["z"], "Magnify"],
  [["o"], "Open the item"],
  [["s"], "Second opinion on what others answered"],
  [["Esc"], "To the bar on top"],
];

const { project, outbox } = await start(SHORTCUTS);
const told = document.querySelector("#told");
const feed = new Feed(outbox, project.lease);
const stage = new Stage(document.querySelector(".stage"), { undo, skip }, reopen);
const questions = new Questions(document.querySelector(".panel"), project, { choose, focusOn, judge });
const steps = []; // taken on this page and not undone, the last one at the end
const ofItems = new Map(); // answers about items, for their other pictures
let sample = null;
let focus = null;

feed.addEventListener("filled", () => {
  drawProgress();
  if (!sample) advance();
});
feed.addEventListener("lost", () => {
  toast("Somebody else has this sample now");
  feed.current = sample = null;
  advance();
});
outbox.addEventListener("change", () => !sample && outbox.size === 0 && feed.fill());
setInterval(() => !sample && feed.fill(), 5000);
if (!(await showWanted())) feed.fill();
followEvents(hearOthers);

// --- what is on the screen ---

/** Show the samples that the address asks for, `?sample=ID`. */
async function showWanted() {
  const id = new URLSearchParams(location.search).get("sample");
  if (!id) return false;
  const response = await fetch(`/api/samples?ids=${encodeURIComponent(id)}`);
  if (!response.ok) return false;
  const [wanted] = await response.json();
  feed.goBackTo(wanted);
  showSample(wanted);
  feed.fill();
  return true;
}

function advance() {
  do {
    sample = feed.next();
    if (sample) recall(sample);
  } while (sample && sample.asked.length && !openNames().length);
  if (sample) showSample(sample);
  else showEnd();
  drawProgress();
}

/** Another picture of the same item may have answered what is asked of this one. */
function recall(one) {
  for (const attribute of project.attributes) {
    const key = `${one.item?.id}:${attribute.name}`;
    if (attribute.scope === "item" && ofItems.has(key) && !one.answers.has(attribute.name))
      one.answers.set(attribute.name, ofItems.get(key));
  }
}

function showSample(one) {
  sample = prepare(one);
  focus = openNames()[0] ?? project.attributes[0]?.name ?? null;
  document.body.dataset.sample = sample.id;
  stage.show(sample);
  questions.show(sample, focus);
  questions.verdicts.hidden = questions.thing.hidden = false;
  tell(`${sample.item?.title ?? "sample"}. ${focus ?? "verdict"}?`);
}

function showEnd() {
  delete document.body.dataset.sample;
  if (!feed.reached) {
    stage.showMessage(h("h1", {}, "Loading samples"));
    return;
  }
  const others = feed.remaining > 0;
  stage.showMessage(
    h(
      "h1",
      {},
      feed.total === 0 ? "No samples yet" : others ? "Nothing left for you just now" : "All samples are labelled",
    ),
    h(
      "p",
      {},
      feed.total === 0
        ? "Samples appear here once pictures were downloaded and inspected: run `tamis run`."
        : others
          ? `${plural(feed.remaining, "sample")} still ask something: others have them on the screen, or you passed them over.`
          : `${plural(feed.total, "sample")} are done. New ones appear here by themselves.`,
    ),
    h("p", {}, h("a", { class: "button", href: "/review" }, "Review the classes")),
  );
  questions.verdicts.hidden = questions.thing.hidden = true;
}

function drawProgress() {
  const bar = document.querySelector(".progress");
  const done = feed.total ? (feed.total - feed.remaining) / feed.total : 0;
  bar.firstElementChild.style.transform = `scaleX(${done})`;
  bar.setAttribute("aria-valuenow", String(Math.round(100 * done)));
  bar.title = `${number(feed.total - feed.remaining)} of ${plural(feed.total, "sample")} done`;
}

/** Say it to screen readers. */
function tell(text) {
  told.textContent = text;
}

/** Attributes that are asked and have no answer yet. */
function openNames() {
  return sample.asked.filter((name) => !sample.answers.has(name));
}

function attributeOf(name) {
  return [...project.attributes, project.verdict].find((one) => one.name === name);
}

// --- steps ---

/** Take one step: claims about the current sample that belong together. */
function take(claims, words) {
  const key = newKey();
  const before = new Map(sample.answers);
  outbox.add("/api/labels", {
    key,
    claims: claims.map(([attribute, value]) => ({ sample: sample.id, attribute, value })),
  });
  for (const [name, value] of claims) {
    sample.answers.set(name, value);
    if (attributeOf(name)?.scope === "item" && sample.item) ofItems.set(`${sample.item.id}:${name}`, value);
  }
  steps.push({ key, sample, before, focus, told: words });
  stage.showRecent(steps.slice(-RECENT).reverse());
  tell(words);
}

function choose(name, value) {
  if (!sample) return;
  take([[name, value]], value);
  moveOn();
}

function moveOn() {
  const open = openNames();
  if (!open.length) return advance();
  const order = project.attributes.map((one) => one.name);
  focusOn(open.find((name) => order.indexOf(name) > order.indexOf(focus)) ?? open[0]);
}

function focusOn(name) {
  if (!sample) return;
  focus = name;
  questions.show(sample, focus);
}

function accept(all) {
  const names = all ? openNames() : [focus];
  const claims = names.map((name) => [name, name && proposalOf(sample, name)?.value]).filter(([, value]) => value);
  if (claims.length) {
    take(claims, claims.map(([, value]) => value).join(", "));
    moveOn();
  } else if (!openNames().length) advance();
  else toast(`Nothing is proposed for ${focus ?? "the verdict"}`);
}

function skip() {
  if (!sample) return;
  const open = openNames();
  if (open.length)
    take(
      open.map((name) => [name, null]),
      "skipped",
    );
  advance();
}

function judge(verdict) {
  if (!sample) return;
  take([["verdict", verdict]], verdict);
  if (verdict === "reject" || !openNames().length) advance();
  else questions.show(sample, focus);
}

async function undo() {
  const step = steps.pop();
  if (!step) return undoEarlier();
  outbox.add("/api/undo", { key: newKey(), step: step.key });
  for (const name of step.sample.answers.keys()) {
    if (!step.before.has(name) && step.sample.item) ofItems.delete(`${step.sample.item.id}:${name}`);
  }
  step.sample.answers = step.before;
  goTo(step.sample);
  focusOn(step.focus);
  stage.showRecent(steps.slice(-RECENT).reverse());
  tell(`undone: ${step.told}`);
}

/** Undo what was done before this page was loaded. */
async function undoEarlier() {
  await outbox.empty();
  try {
    const { claims, samples } = await post("/api/undo", { key: newKey() });
    if (!claims.length) toast("Nothing to undo");
    else
      toast(
        `Undone: ${claims
          .map((claim) => claim.value ?? "skipped")
          .slice(0, 3)
          .join(", ")}${claims.length > 3 ? ` and ${claims.length - 3} more` : ""}`,
      );
    if (samples.length) goTo(samples[0]);
  } catch (error) {
    toast(error.message, true);
  }
}

function goTo(one) {
  feed.goBackTo(one);
  showSample(one);
  drawProgress();
}

function reopen(one) {
  if (one !== sample) goTo(one);
}

// --- keys ---

onKey((event) => {
  if (event.key === "Escape") {
    document.querySelector(".bar a").focus();
    return true;
  }
  const elsewhere =
    event.target.closest?.(".bar, .splitter, .thing a, dialog") && event.target.matches(":focus-visible");
  if (elsewhere && ["Tab", "Enter", " ", "ArrowLeft", "ArrowRight"].includes(event.key)) return false;
  if (event.key === "Backspace" || (event.key === "z" && event.ctrlKey)) {
    undo();
    return true;
  }
  if (event.key === "s" && !isGoing()) {
    toggleSecondOpinion();
    return true;
  }
  return Boolean(sample) && !isGoing() && onSampleKey(event);
});

function onSampleKey(event) {
  const { key } = event;
  if (DIGITS.includes(key)) {
    const value = attributeOf(focus)?.classes[DIGITS.indexOf(key)];
    if (value && !event.repeat) choose(focus, value);
  } else if (key === "Tab") cycle(event.shiftKey ? -1 : 1);
  else if (key === "Enter") !event.repeat && accept(event.shiftKey);
  else if (key === " ") !event.repeat && skip();
  else if (key in VERDICT_KEYS) !event.repeat && judge(VERDICT_KEYS[key]);
  else if (key === "f") stage.toggleWhole();
  else if (key === "z") stage.zoom();
  else if (key === "/") return questions.openFilter(focus);
  else if (key === "o" && sample.item) location.href = `/items/${sample.item.id}`;
  else return false;
  return true;
}

function cycle(direction) {
  const names = project.attributes.map((one) => one.name);
  if (names.length) focusOn(names[(names.indexOf(focus) + direction + names.length) % names.length]);
}

async function toggleSecondOpinion() {
  feed.secondOpinion = !feed.secondOpinion;
  toast(feed.secondOpinion ? "Second opinions: also what others have answered" : "Only what nobody has answered");
  feed.current = sample = null;
  await feed.restart();
}

// --- others ---

/** Show at once what others decide about the sample on the screen or its item. */
function hearOthers(events) {
  for (const event of events) {
    if (event.actor === project.person || event.retracts) continue;
    for (const one of [sample, ...feed.ahead].filter(Boolean)) {
      if (event.sample !== one.id && (event.item === null || event.item !== one.item?.id)) continue;
      one.gold[event.attribute] = {
        value: event.value,
        who: "person",
        actor: event.actor,
        confidence: 1,
        disputed: false,
        evidence: null,
      };
      if (event.value !== null && !feed.secondOpinion) one.asked = one.asked.filter((name) => name !== event.attribute);
      if (one === sample) questions.show(sample, focus);
    }
  }
}

// --- width of the panel ---

const splitter = document.querySelector(".splitter");

function setWidth(width) {
  const kept = Math.round(Math.min(Math.max(width, 300), innerWidth - 360));
  document.documentElement.style.setProperty("--panel", `${kept}px`);
  localStorage.setItem("tamis.panel", String(kept));
}

if (localStorage.getItem("tamis.panel")) setWidth(Number(localStorage.getItem("tamis.panel")));
splitter.addEventListener("pointerdown", (event) => splitter.setPointerCapture(event.pointerId));
splitter.addEventListener(
  "pointermove",
  (event) => splitter.hasPointerCapture(event.pointerId) && setWidth(innerWidth - event.clientX),
);
splitter.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: 24, ArrowRight: -24 }[event.key];
  if (step) setWidth(document.querySelector(".panel").offsetWidth + step);
});
