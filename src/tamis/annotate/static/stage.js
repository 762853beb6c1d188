// The picture of the current sample: the crop, or the whole picture with the crop marked, with a magnifier; below it
// what was done last.

import { h, icon } from "./dom.js";
import { wholeImage } from "./feed.js";

const RECENT = 12;

export class Stage {
  /** `actions`: `{undo, skip}`; `reopen(sample)` is called when one of the last samples is chosen. */
  constructor(element, actions, reopen) {
    this.whole = false;
    this.reopen = reopen;
    this.overlay = h("div", { class: "overlay top" });
    this.picture = h("div", { class: "picture", onclick: (event) => this.zoom(event) }, this.overlay);
    this.recent = h("div", { class: "recent", "aria-label": "Done last" });
    const quiet = { onpointerdown: (event) => event.preventDefault() };
    const button = (name, label, key, run) =>
      h(
        "button",
        { ...quiet, onclick: run, title: `${label} (${key})`, "aria-label": label },
        icon(name),
        h("span", { class: "label" }, label),
        h("kbd", {}, key),
      );
    element.append(
      this.picture,
      h(
        "div",
        { class: "shelf" },
        this.recent,
        h(
          "div",
          { class: "actions" },
          button("frame", "Whole", "f", () => this.toggleWhole()),
          button("undo", "Undo", "⌫", actions.undo),
          button("skip", "Skip", "Space", actions.skip),
        ),
      ),
    );
    addEventListener("resize", () => this.#placeFrame());
    this.showRecent([]);
  }

  show(sample) {
    this.sample = sample;
    this.picture.classList.remove("zoomed");
    this.draw();
  }

  draw() {
    const { sample } = this;
    const image = this.whole ? wholeImage(sample) : sample.crop_image;
    this.frame = this.whole ? h("div", { class: "frame" }) : null;
    this.picture.replaceChildren(this.overlay, image, ...(this.frame ? [this.frame] : []));
    this.#drawOverlay();
    this.#placeFrame();
    if (this.frame && !image.complete) image.addEventListener("load", () => this.#placeFrame(), { once: true });
  }

  /** Fill the place of the picture with a message. */
  showMessage(...children) {
    this.sample = null;
    this.picture.replaceChildren(h("div", { class: "nothing" }, children));
  }

  toggleWhole() {
    this.whole = !this.whole;
    if (this.sample) this.draw();
  }

  zoom(event) {
    if (!this.sample) return;
    const image = this.picture.querySelector("img");
    const box = image.getBoundingClientRect();
    const zoomed = this.picture.classList.toggle("zoomed");
    const across = event ? ((event.clientX - box.left) / box.width) * 100 : 50;
    const down = event ? ((event.clientY - box.top) / box.height) * 100 : 50;
    image.style.transformOrigin = zoomed ? `${across}% ${down}%` : "";
  }

  /** Show what was done last, the newest first: `[{sample, told}]`. */
  showRecent(steps) {
    if (!steps.length) {
      this.recent.replaceChildren(h("span", { class: "empty" }, "What you have done last appears here"));
      return;
    }
    const bySample = new Map();
    for (const { sample, told } of steps) bySample.set(sample, [told, ...(bySample.get(sample) ?? [])]);
    this.recent.replaceChildren(
      ...[...bySample]
        .slice(0, RECENT)
        .map(([sample, words]) => [sample, words.join(" · ")])
        .map(([sample, told]) =>
          h(
            "button",
            {
              title: `${told}: open again`,
              onclick: () => this.reopen(sample),
              onpointerdown: (event) => event.preventDefault(),
            },
            h("img", { src: sample.crop_image.src, alt: "" }),
            h("span", {}, told),
          ),
        ),
    );
  }

  #drawOverlay() {
    const { sample } = this;
    const { verdict } = sample;
    const chips = [];
    if (sample.position)
      chips.push(h("span", { class: "chip number" }, `${sample.position[0]} of ${sample.position[1]}`));
    if (sample.kind === "detected")
      chips.push(h("span", { class: "chip" }, `${sample.class_name} ${sample.score.toFixed(2)}`));
    if (verdict.value !== "keep" || verdict.cause === "person")
      chips.push(h("span", { class: `chip ${verdict.value}` }, verdict.reason));
    this.overlay.replaceChildren(...chips);
  }

  /** Lay the frame over the crop's place in the whole picture, which is fitted into its box. */
  #placeFrame() {
    if (!this.frame || !this.sample) return;
    const image = this.picture.querySelector("img");
    const [width, height] = this.sample.image_wh;
    const scale = Math.min(image.clientWidth / width, image.clientHeight / height);
    const left = image.offsetLeft + (image.clientWidth - width * scale) / 2;
    const top = image.offsetTop + (image.clientHeight - height * scale) / 2;
    const [x0, y0, x1, y1] = this.sample.crop;
    Object.assign(this.frame.style, {
      left: `${left + x0 * scale}px`,
      top: `${top + y0 * scale}px`,
      width: `${(x1 - x0) * scale}px`,
      height: `${(y1 - y0) * scale}px`,
    });
  }
}
