// The list of items, found by words.

import { h, number, pixels, price, plural } from "./dom.js";
import { load, onKey, start } from "./shell.js";

await start([[["/"], "Search"]]);
const main = document.querySelector("main");
const search = h("input", {
  type: "search",
  placeholder: "Title, brand, model, SKU or URL",
  "aria-label": "Search items",
  value: new URLSearchParams(location.search).get("query") ?? "",
});
const total = h("p", { class: "soft", role: "status" });
const cards = h("div", { class: "cards" });
const more = h("div", { class: "more" });
main.append(h("div", { class: "search" }, search, total), cards, more);
let cursor = null;
let loads = 0;

const near = new IntersectionObserver(
  (entries) => entries.some((entry) => entry.isIntersecting) && cursor !== null && next(),
);
near.observe(more);
let timer;
search.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(begin, 150);
});
onKey((event) => event.key === "/" && (search.focus(), true));
begin();

function begin() {
  history.replaceState(null, "", search.value ? `?query=${encodeURIComponent(search.value)}` : location.pathname);
  cursor = null;
  next(true);
}

async function next(afresh = false) {
  const mine = ++loads;
  const asked = cursor;
  cursor = null;
  const page = await load("/api/items", { query: search.value, cursor: asked, count: 48 });
  if (!page || mine !== loads) return;
  if (afresh) cards.replaceChildren();
  total.textContent = plural(page.total, "item");
  cards.append(...page.items.map(card));
  if (!page.total)
    cards.append(
      h(
        "div",
        { class: "empty-note" },
        h("h2", {}, "No items"),
        h("p", {}, search.value ? "Nothing matches these words." : "Crawl a site first: tamis crawl"),
      ),
    );
  cursor = page.cursor;
}

function card(item) {
  const image = item.cover
    ? h("img", {
        class: "cover",
        src: `${item.cover}&size=${pixels(300)}`,
        alt: "",
        loading: "lazy",
        decoding: "async",
      })
    : h("div", { class: "cover" });
  return h(
    "a",
    { class: "card", href: `/items/${item.id}` },
    image,
    h(
      "div",
      { class: "text" },
      h("span", { class: "title" }, item.title || "untitled"),
      h(
        "span",
        {},
        h("b", { class: "number" }, price(item.price, item.currency)),
        " ",
        item.vanished ? h("span", { class: "chip" }, "vanished") : null,
      ),
      h("span", { class: "soft" }, `${plural(item.pictures, "picture")} · ${item.source} · #${number(item.id)}`),
    ),
  );
}
