// The questions about the current sample, and the item beside it.

import { evidenceWords, h, highlight, percent, pixels, price, webAddress } from "./dom.js";
import { look } from "./shell.js";

const DIGITS = "1234567890";
const MANY = 12;
/** From this many classes on only the attribute in focus shows its own. */
const CROWDED = 24;

/** What a machine proposes for an attribute of a sample, or null. */
export function proposalOf(sample, name) {
  const gold = sample.gold[name];
  return gold && gold.who !== "person" && gold.value !== null ? gold : null;
}

/** What people have said already, or null. */
export function knownOf(sample, name) {
  const gold = sample.gold[name];
  return gold && gold.who === "person" ? gold : null;
}

/** What stands at the right of an attribute: the answer, who gave it before, or what Enter would accept. */
function answerOf({ answered, value, known, proposal }) {
  if (answered) return [h("b", {}, value ?? "skipped")];
  if (known) return [known.value ? `${known.actor}: ${known.value}` : "people disagree"];
  if (!proposal) return [];
  return [
    h("span", { class: "value" }, proposal.value),
    `${proposal.actor} ${percent(proposal.confidence)}`,
    h("kbd", {}, "⏎"),
  ];
}

/** A small picture of the same item, which opens large. */
function other(sample, url) {
  const current = url === sample.image_url;
  return h(
    "button",
    {
      "aria-current": current ? "true" : null,
      "aria-label": current ? "this picture" : "another picture of the item",
      onclick: () => look(`${url}&size=${pixels(1000)}`, sample.item.title),
      onpointerdown: (event) => event.preventDefault(),
    },
    h("img", { src: `${url}&size=${pixels(96)}`, alt: "", loading: "lazy" }),
  );
}

export class Questions {
  /** `choose(name, value)`, `focusOn(name)` and `judge(verdict)` are called for clicks. */
  constructor(element, project, { choose, focusOn, judge }) {
    this.attributes = project.attributes.length ? project.attributes : [];
    this.choose = choose;
    this.focusOn = focusOn;
    this.asksVerdict = project.asked.includes("verdict");
    this.forms = new Map();
    const quiet = { onpointerdown: (event) => event.preventDefault() };
    this.verdicts = h(
      "div",
      { class: "verdicts", role: "radiogroup", "aria-label": "Verdict" },
      [
        ["keep", "k", "Keep"],
        ["questionable", "q", "Questionable"],
        ["reject", "r", "Reject"],
      ].map(([value, key, label]) =>
        h(
          "button",
          {
            class: value,
            role: "radio",
            "aria-checked": "false",
            data: { value },
            onclick: () => judge(value),
            ...quiet,
          },
          label,
          h("kbd", {}, key),
        ),
      ),
    );
    this.thing = h("article", { class: "thing" });
    const crowded = this.attributes.reduce((sum, one) => sum + one.classes.length, 0) > CROWDED;
    element.append(
      h(
        "div",
        { class: crowded ? "questions crowded" : "questions" },
        this.attributes.map((one) => this.#form(one)),
      ),
      this.verdicts,
      this.thing,
    );
  }

  #form(attribute) {
    const many = attribute.classes.length > MANY;
    const answer = h("span", { class: "answer" });
    const filter = many
      ? h("input", {
          class: "filter",
          type: "search",
          placeholder: `Type to find one of ${attribute.classes.length}`,
          "aria-label": `Find a class of ${attribute.name}`,
        })
      : null;
    const buttons = attribute.classes.map((value, place) =>
      h(
        "button",
        {
          class: "choice",
          role: "radio",
          tabindex: -1,
          "aria-checked": "false",
          data: { value },
          onpointerdown: (event) => event.preventDefault(),
          onclick: () => this.choose(attribute.name, value),
        },
        place < DIGITS.length ? h("kbd", {}, DIGITS[place]) : null,
        h("span", { class: "name" }, value),
        h("span", { class: "sure" }),
      ),
    );
    const choices = h(
      "div",
      { class: many ? "choices many" : "choices", role: "radiogroup", "aria-label": attribute.name },
      buttons,
    );
    const section = h(
      "section",
      { class: "question", data: { attribute: attribute.name }, onpointerdown: () => this.focusOn(attribute.name) },
      h(
        "header",
        {},
        h("h3", {}, attribute.name),
        h("span", { class: "help", title: attribute.help }, attribute.help),
        answer,
      ),
      filter,
      choices,
    );
    this.forms.set(attribute.name, { attribute, section, buttons, answer, filter });
    filter?.addEventListener("input", () => this.#narrow(attribute.name));
    filter?.addEventListener("keydown", (event) => this.#filterKey(event, attribute.name));
    return section;
  }

  #narrow(name) {
    const { buttons, filter } = this.forms.get(name);
    const text = filter.value.trim().toLowerCase();
    for (const button of buttons) button.hidden = !button.dataset.value.toLowerCase().includes(text);
  }

  #filterKey(event, name) {
    const form = this.forms.get(name);
    if (event.key === "Escape") {
      this.clearFilter(name);
      form.filter.blur();
    } else if (event.key === "Enter") {
      event.preventDefault();
      const first = form.buttons.find((button) => !button.hidden);
      this.clearFilter(name);
      form.filter.blur();
      if (first) this.choose(name, first.dataset.value);
    }
  }

  clearFilter(name) {
    const { filter } = this.forms.get(name);
    if (!filter) return;
    filter.value = "";
    this.#narrow(name);
  }

  /** Move to the field that finds a class by its letters, where there is one. */
  openFilter(name) {
    const filter = this.forms.get(name)?.filter;
    filter?.focus();
    return Boolean(filter);
  }

  /** Draw a sample; `focus` is the attribute that the keys are for. */
  show(sample, focus) {
    for (const [name, form] of this.forms) this.#showForm(form, sample, name === focus);
    this.showVerdict(sample);
    if (this.shown !== sample) this.#showThing(sample);
    this.shown = sample;
    this.forms.get(focus)?.section.scrollIntoView({ block: "nearest" });
  }

  #showForm({ attribute, section, buttons, answer }, sample, focused) {
    const { name } = attribute;
    const answered = sample.answers.has(name);
    const known = knownOf(sample, name);
    const value = answered ? sample.answers.get(name) : known?.value;
    const proposal = proposalOf(sample, name);
    section.dataset.focus = String(focused);
    answer.replaceChildren(...answerOf({ answered, value, known, proposal }));
    answer.title = proposal?.evidence ? `from “${proposal.evidence}”` : "";
    for (const button of buttons) {
      const proposed = !answered && !known && proposal?.value === button.dataset.value;
      button.setAttribute("aria-checked", String(button.dataset.value === value));
      button.classList.toggle("proposed", proposed);
      button.lastChild.style.width = proposed ? `${100 * proposal.confidence}%` : "0";
    }
  }

  showVerdict(sample) {
    const said = sample.answers.get("verdict") ?? (sample.verdict.cause === "person" ? sample.verdict.value : null);
    for (const button of this.verdicts.children)
      button.setAttribute("aria-checked", String(button.dataset.value === said));
  }

  #showThing(sample) {
    const { item } = sample;
    if (!item) {
      this.thing.replaceChildren(h("p", { class: "soft" }, "This picture belongs to no item."));
      return;
    }
    const words = evidenceWords(sample.claims);
    const facts = Object.entries(item.attributes).slice(0, 24);
    const address = webAddress(item.url);
    this.thing.replaceChildren(
      h("h2", {}, highlight(item.title, words)),
      h(
        "p",
        {},
        h("span", { class: "price number" }, price(item.price, item.currency)),
        item.seller ? h("span", { class: "soft" }, `  ${item.seller}`) : null,
      ),
      facts.length > 0 &&
        h(
          "dl",
          { class: "facts" },
          facts.map(([name, value]) => [h("dt", {}, name), h("dd", {}, highlight(String(value), words))]),
        ),
      h("p", { class: "description" }, highlight(item.description, words)),
      sample.gallery.length > 1 &&
        h(
          "div",
          { class: "others", "aria-label": "Pictures of the item" },
          sample.gallery.map((url) => other(sample, url)),
        ),
      h(
        "p",
        {},
        h("a", { href: `/items/${item.id}` }, "Item"),
        "   ",
        address ? h("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, "Listing") : null,
      ),
    );
    this.thing.scrollTop = 0;
  }
}
