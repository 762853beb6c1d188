// One item: its pictures with their samples, its fields and raw record, its labels and their history.

import { evidenceWords, h, highlight, number, percent, pixels, price, webAddress, when } from "./dom.js";
import { followEvents, load, onKey, start } from "./shell.js";

const id = Number(location.pathname.split("/").pop());
await start([
  [["j"], "Next item"],
  [["p"], "Item before"],
]);
const main = document.querySelector("main");
await show();
followEvents(() => show());
onKey((event) => {
  const step = { j: 1, p: -1 }[event.key];
  if (!step || id + step < 1) return false;
  location.href = `/items/${id + step}`;
  return true;
});

async function show() {
  const item = await load(`/api/items/${id}`);
  if (!item) {
    if (!main.children.length)
      main.append(
        h(
          "div",
          { class: "empty-note" },
          h("h2", {}, `There is no item ${id}`),
          h("a", { href: "/items" }, "All items"),
        ),
      );
    return;
  }
  const { summary } = item;
  const words = evidenceWords(item.claims);
  const address = webAddress(summary.url);
  const opened = [...main.querySelectorAll("details[open]")].map((one) => one.dataset.name);
  main.replaceChildren(
    h(
      "p",
      {},
      h("a", { href: "/items" }, "Items"),
      h("span", { class: "soft" }, ` / ${item.source} / #${number(summary.id)}`),
    ),
    h("h1", {}, highlight(summary.title || "untitled", words)),
    h(
      "div",
      { class: "columns" },
      h(
        "div",
        { class: "stack" },
        h("div", { class: "gallery" }, item.pictures.map(shot)),
        summary.description
          ? h(
              "section",
              { class: "box" },
              h("h2", {}, "Description"),
              h("p", { class: "description" }, highlight(summary.description, words)),
            )
          : null,
        changes(item),
        history(item),
      ),
      h(
        "div",
        { class: "stack" },
        h(
          "section",
          { class: "box" },
          h("h2", {}, "Facts"),
          h(
            "dl",
            { class: "facts" },
            fact("Price", price(summary.price, summary.currency), item.sources.price),
            fact("Brand", summary.brand, item.sources.brand),
            fact("Model", summary.model, item.sources.model),
            fact("SKU", item.sku, item.sources.sku),
            fact("Seller", summary.seller, item.sources.seller),
            fact("Availability", item.availability, item.sources.availability),
            Object.entries(summary.attributes).map(([name, value]) => fact(name, highlight(String(value), words))),
            fact("First seen", when(item.first_seen)),
            fact("Last seen", when(item.last_seen)),
            item.vanished_at ? fact("Vanished", when(item.vanished_at)) : null,
            fact(
              "Address",
              address
                ? h("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, summary.url)
                : summary.url,
            ),
          ),
        ),
        h("section", { class: "box" }, h("h2", {}, "Labels of the item"), goldTable(item)),
        h(
          "section",
          { class: "box" },
          details("raw", "Raw record", h("pre", {}, JSON.stringify(item.raw, null, 2))),
          details("sources", "Where each field was read", h("pre", {}, JSON.stringify(item.sources, null, 2))),
        ),
      ),
    ),
  );
  for (const one of main.querySelectorAll("details")) one.open = opened.includes(one.dataset.name);
}

function fact(name, value, source) {
  return value === null || value === undefined || value === ""
    ? null
    : [h("dt", {}, name), h("dd", { title: source ? `read from ${source}` : null }, value)];
}

function details(name, label, content) {
  return h("details", { data: { name } }, h("summary", {}, label), content);
}

function shot(picture) {
  const view = h("div", { class: "view" });
  if (picture.image_url)
    view.append(
      h("img", {
        src: `${picture.image_url}&size=${pixels(320)}`,
        alt: `picture ${picture.position + 1}`,
        loading: "lazy",
      }),
    );
  else view.append(h("span", { class: "soft" }, picture.outcome ?? picture.state));
  for (const sample of picture.samples)
    if (picture.size_wh && sample.kind !== "whole") view.append(frame(sample, picture.size_wh));
  return h(
    "figure",
    { class: "shot" },
    view,
    h(
      "figcaption",
      {},
      h(
        "span",
        { class: "soft" },
        `${picture.position + 1}`,
        picture.size_wh ? ` · ${picture.size_wh.join(" × ")}` : "",
        picture.reason ? ` · ${picture.reason}` : "",
      ),
      picture.samples.map((sample) =>
        h(
          "div",
          { class: "labels" },
          h(
            "a",
            { class: `chip ${sample.verdict.value}`, href: `/?sample=${sample.id}`, title: sample.verdict.reason },
            sample.verdict.value,
          ),
          Object.entries(sample.gold).map(([name, gold]) =>
            h(
              "span",
              { class: "chip", title: `${name}, says ${gold.actor} (${percent(gold.confidence)})` },
              gold.disputed ? `${name}?` : gold.value,
            ),
          ),
        ),
      ),
    ),
  );
}

/** The crop's place in a picture that is fitted into a 4:3 box, in percent of the box. */
function frame(sample, [width, height]) {
  const scale = Math.min(4 / width, 3 / height);
  const left = (4 - width * scale) / 2;
  const top = (3 - height * scale) / 2;
  const [x0, y0, x1, y1] = sample.crop;
  const across = (x) => `${((left + x * scale) / 4) * 100}%`;
  const down = (y) => `${((top + y * scale) / 3) * 100}%`;
  return h("div", {
    class: "frame",
    style: {
      left: across(x0),
      top: down(y0),
      width: `${(((x1 - x0) * scale) / 4) * 100}%`,
      height: `${(((y1 - y0) * scale) / 3) * 100}%`,
    },
  });
}

function goldTable(item) {
  if (!item.claims.length) return h("p", { class: "soft" }, "Nobody has claimed anything of the item itself.");
  return h(
    "table",
    {},
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        ["Attribute", "Value", "Who", "Sure"].map((name) =>
          h("th", { class: name === "Sure" ? "number" : null }, name),
        ),
      ),
    ),
    h(
      "tbody",
      {},
      item.claims.map((claim) =>
        h(
          "tr",
          {},
          h("td", {}, claim.attribute),
          h(
            "td",
            {},
            item.gold[claim.attribute]?.value === claim.value ? h("b", {}, claim.value) : (claim.value ?? "skipped"),
          ),
          h("td", { title: claim.evidence }, claim.actor),
          h("td", { class: "number" }, percent(claim.confidence)),
        ),
      ),
    ),
  );
}

function history(item) {
  if (!item.history.length) return null;
  return h(
    "section",
    { class: "box" },
    details(
      "history",
      `History (${number(item.history.length)})`,
      h(
        "div",
        { class: "scroll" },
        h(
          "table",
          {},
          h(
            "thead",
            {},
            h(
              "tr",
              {},
              ["When", "Who", "What", "Attribute", "Value", "Because"].map((name) => h("th", {}, name)),
            ),
          ),
          h(
            "tbody",
            {},
            item.history.map((row) =>
              h(
                "tr",
                { class: row.retracted ? "retracted" : null },
                h("td", { class: "number" }, when(row.created_at)),
                h("td", {}, row.actor),
                h("td", {}, row.sample ? h("a", { href: `/?sample=${row.sample}` }, row.sample.slice(0, 6)) : "item"),
                h("td", {}, row.attribute),
                h("td", {}, row.retracts ? `took back #${row.retracts}` : (row.value ?? "skipped")),
                h("td", {}, row.evidence ?? ""),
              ),
            ),
          ),
        ),
      ),
    ),
  );
}

/** What the item was before, as the crawls noticed it: one line a field. */
function changes(item) {
  if (!item.changes.length) return null;
  const lines = item.changes.flatMap((change) => {
    const fields = Object.entries(change.fields);
    return fields.length ? fields.map(([name, values]) => [change, name, values]) : [[change, change.kind, null]];
  });
  return h(
    "section",
    { class: "box" },
    h("h2", {}, "What changed"),
    h(
      "div",
      { class: "scroll" },
      h(
        "table",
        {},
        h("thead", {}, h("tr", {}, ["Noticed", "What", "Before", "After"].map((name) => h("th", {}, name)))),
        h(
          "tbody",
          {},
          lines.map(([change, name, values]) =>
            h(
              "tr",
              { title: change.cause === "replay" ? "read otherwise from the same page" : null },
              h("td", {}, when(change.at)),
              h("td", {}, name),
              values
                ? values.map((value) => h("td", {}, written(value, name, item.summary.currency)))
                : h("td", { colspan: 2, class: "soft" }, change.reason ?? ""),
            ),
          ),
        ),
      ),
    ),
  );
}

function written(value, name, currency) {
  if (value === null || value === undefined || value === "") return "–";
  if (name === "price") return price(value, currency);
  if (Array.isArray(value)) return value.map(String).join(", ") || "–";
  if (typeof value === "object")
    return Object.entries(value).map(([key, one]) => `${key}: ${one}`).join(", ") || "–";
  return String(value);
}
