// The dashboard: progress by step, verdicts, class distributions, what failed and why, and who did how much.

import { h, number, plural } from "./dom.js";
import { load, start } from "./shell.js";

const EVERY = 4000;
const KINDS = [
  ["done", "of-keep"],
  ["skipped", "of-rest"],
  ["unreadable", "of-questionable"],
  ["failed", "of-reject"],
  ["pending", "of-machine"],
];
await start();
const main = document.querySelector("main");
for (;;) {
  if (!document.hidden) await show();
  await new Promise((resolve) => setTimeout(resolve, EVERY));
}

async function show() {
  const board = await load("/api/dashboard");
  if (!board) return;
  const rows = (name) => board.inventory[name]?.rows ?? 0;
  main.replaceChildren(
    h(
      "div",
      { class: "tiles" },
      figure(rows("items"), "items"),
      figure(rows("pictures"), "pictures"),
      figure(rows("images"), "images"),
      figure(sum(board.verdicts), "samples"),
      figure(board.total - board.remaining, `of ${number(board.total)} labelled`),
      figure(sum(board.people), "labels by people"),
    ),
    h(
      "div",
      { class: "boxes" },
      verdicts(board),
      outcomes("Pages", board.inventory.pages),
      outcomes("Pictures", board.inventory.pictures),
      Object.entries(board.classes).map(([name, counts]) => classes(name, counts)),
      people(board),
    ),
    steps(board),
    failures(board),
  );
}

function sum(counts) {
  return Object.values(counts).reduce((total, count) => total + count, 0);
}

function figure(amount, label) {
  return h("div", { class: "tile-number" }, h("b", {}, number(amount)), h("span", { class: "soft" }, label));
}

function box(title, ...children) {
  return h("section", { class: "box" }, h("h2", {}, title), children);
}

function nothing(text) {
  return h("p", { class: "soft" }, text);
}

/** Rows of `[label, [[amount, class]], text, address]` as bars against the longest. */
function bars(rows) {
  const longest = Math.max(1, ...rows.map(([, parts]) => parts.reduce((all, [amount]) => all + amount, 0)));
  return h(
    "div",
    { class: "bars" },
    rows.map(([label, parts, text, address]) => [
      address ? h("a", { href: address }, label) : h("span", {}, label),
      h(
        "span",
        { class: "track" },
        parts.map(([amount, kind]) => h("i", { class: kind, style: { width: `${(100 * amount) / longest}%` } })),
      ),
      h("span", { class: "number soft" }, text),
    ]),
  );
}

function verdicts(board) {
  const rows = ["keep", "questionable", "reject"].map((value) => [
    value,
    [[board.verdicts[value] ?? 0, `of-${value}`]],
    number(board.verdicts[value] ?? 0),
    `/review?attribute=verdict&value=${value}&show=all`,
  ]);
  const causes = Object.entries(board.causes).sort((a, b) => b[1] - a[1]);
  return box(
    "Verdicts",
    bars(rows),
    causes.length > 0 &&
      h(
        "p",
        { class: "soft" },
        `Because: ${causes.map(([cause, count]) => `${cause.replaceAll("_", " ")} ${number(count)}`).join(", ")}`,
      ),
  );
}

function outcomes(title, { parts }) {
  const rows = Object.entries(parts).map(([outcome, count]) => [
    outcome.replaceAll("_", " "),
    [[count, outcome === "ok" ? "of-keep" : outcome === "pending" ? "of-machine" : "of-questionable"]],
    number(count),
  ]);
  return rows.length > 0 && box(title, bars(rows));
}

function steps(board) {
  const amounts = (stage) => KINDS.map(([name]) => stage[name]);
  return h(
    "section",
    { class: "box wide" },
    h("h2", {}, "Steps"),
    h(
      "table",
      {},
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          h("th", {}, "Step"),
          h("th", {}, ""),
          KINDS.map(([name]) => h("th", { class: "number" }, name)),
          h("th", { class: "number" }, "seconds"),
        ),
      ),
      h(
        "tbody",
        {},
        board.stages.map((stage) =>
          h(
            "tr",
            { class: stage.idle ? "soft" : null },
            h("td", { title: stage.help }, stage.stage),
            h("td", { class: "meter" }, stage.idle ?? meter(amounts(stage))),
            amounts(stage).map((amount) => h("td", { class: "number" }, amount ? number(amount) : "")),
            h("td", { class: "number" }, stage.seconds ? number(Math.round(stage.seconds)) : ""),
          ),
        ),
      ),
    ),
    h(
      "div",
      { class: "legend" },
      KINDS.map(([name, kind]) => h("span", {}, h("i", { class: kind }), name)),
    ),
  );
}

function meter(amounts) {
  const total = Math.max(
    1,
    amounts.reduce((all, one) => all + one, 0),
  );
  return h(
    "span",
    { class: "track" },
    amounts.map((amount, place) => h("i", { class: KINDS[place][1], style: { width: `${(100 * amount) / total}%` } })),
  );
}

function classes(name, counts) {
  const known = counts.filter((one) => one.value !== null);
  const rest = counts.find((one) => one.value === null);
  const rows = known.map((one) => [
    one.value,
    [
      [one.person, "of-person"],
      [one.machine, "of-machine"],
    ],
    number(one.person + one.machine),
    `/review?attribute=${encodeURIComponent(name)}&value=${encodeURIComponent(one.value)}&show=all`,
  ]);
  const notes = [
    rest.person ? `${number(rest.person)} disputed` : "",
    rest.unknown ? `${number(rest.unknown)} not labelled` : "",
  ].filter(Boolean);
  return box(
    name,
    bars(rows),
    h(
      "div",
      { class: "legend" },
      h("span", {}, h("i", { class: "of-person" }), "people"),
      h("span", {}, h("i", { class: "of-machine" }), "machines"),
      notes.map((note) => h("span", {}, note)),
    ),
  );
}

function people(board) {
  const rows = Object.entries(board.people).map(([name, count]) => [name, [[count, "of-person"]], number(count)]);
  return box("People", rows.length ? bars(rows) : nothing("Nobody has labelled anything yet."));
}

function failures(board) {
  if (!board.failures.length)
    return h("section", { class: "box wide" }, h("h2", {}, "Failures"), nothing("Nothing failed."));
  const count = board.failures.reduce((all, one) => all + one.count, 0);
  return h(
    "section",
    { class: "box wide" },
    h("h2", {}, "Failures"),
    h("p", { class: "soft" }, `${plural(count, "row")} failed; try them again with tamis retry STEP`),
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, h("th", {}, "Step"), h("th", {}, "Why"), h("th", { class: "number" }, "Rows"))),
      h(
        "tbody",
        {},
        board.failures.map((one) =>
          h("tr", {}, h("td", {}, one.step), h("td", {}, one.reason), h("td", { class: "number" }, number(one.count))),
        ),
      ),
    ),
  );
}
