// Samples ahead of the one on the screen: leased, fetched and decoded before they are needed.

import { get, post, postLast } from "./api.js";
import { pixels } from "./dom.js";

const AHEAD = 8;
const LOW = 5;
const REMEMBERED = 200;

export class Feed extends EventTarget {
  constructor(outbox, lease) {
    super();
    this.outbox = outbox;
    this.ahead = [];
    this.done = []; // ids that were on the screen, the last ones
    this.current = null;
    this.remaining = this.total = 0;
    this.secondOpinion = false;
    setInterval(() => this.renew(), (lease * 1000) / 3);
    addEventListener("pagehide", () => this.release());
  }

  /** Make the next sample the current one; null when there is none just now. */
  next() {
    if (this.current) this.#remember(this.current.id);
    this.current = this.ahead.shift() ?? null;
    this.fill();
    return this.current;
  }

  /** Put a sample on the screen before the current one, which comes next again. */
  goBackTo(sample) {
    if (this.current && this.current.id !== sample.id) this.ahead.unshift(this.current);
    this.ahead = this.ahead.filter((one) => one.id !== sample.id);
    this.done = this.done.filter((id) => id !== sample.id);
    this.current = prepare(sample);
  }

  /** Forget a sample that somebody else has, or that asks nothing any more. */
  drop(id) {
    this.ahead = this.ahead.filter((one) => one.id !== id);
  }

  async fill() {
    if (this.filling || this.ahead.length >= LOW) return;
    this.filling = true;
    try {
      const held = [this.current?.id, ...this.ahead.map((one) => one.id), ...this.done].filter(Boolean);
      const answer = await get("/api/queue", {
        count: AHEAD,
        holding: held.join(","),
        second_opinion: this.secondOpinion || null,
      });
      const known = new Set([this.current?.id, ...this.ahead.map((one) => one.id), ...this.done]);
      this.ahead.push(...answer.samples.filter((one) => !known.has(one.id)).map(prepare));
      this.remaining = answer.remaining;
      this.total = answer.total;
      this.reached = true;
    } catch {
      this.reached = false; // the outbox says so already
    }
    this.filling = false;
    this.dispatchEvent(new Event("filled"));
  }

  /** Give back what is ahead and start anew. */
  async restart() {
    const ids = this.ahead.map((one) => one.id);
    this.ahead = [];
    if (ids.length) await post("/api/leases/release", { samples: ids });
    await this.fill();
  }

  async renew() {
    const ids = [this.current, ...this.ahead].filter(Boolean).map((one) => one.id);
    if (!ids.length) return;
    try {
      const { lost } = await post("/api/leases/renew", { samples: ids });
      lost.forEach((id) => this.drop(id));
      if (lost.includes(this.current?.id)) this.dispatchEvent(new Event("lost"));
    } catch {
      // no answer: the next renewal tells
    }
  }

  release() {
    const ids = [this.current, ...this.ahead].filter(Boolean).map((one) => one.id);
    if (ids.length) postLast("/api/leases/release", { samples: ids });
  }

  #remember(id) {
    this.done.push(id);
    const onTheirWay = this.outbox.samples();
    while (this.done.length > REMEMBERED && !onTheirWay.has(this.done[0])) this.done.shift();
  }
}

/** Start loading and decoding the pictures of a sample. */
export function prepare(sample) {
  if (!sample.crop_image) {
    sample.answers ??= new Map();
    sample.crop_image = picture(`${sample.crop_url}&size=${pixels(900)}`, sample.item?.title ?? "sample");
    sample.crop_image.decode().catch(() => {});
  }
  return sample;
}

/** The whole picture of a sample, loaded when it is first asked for. */
export function wholeImage(sample) {
  sample.whole_image ??= picture(
    `${sample.image_url}&size=${pixels(1200)}`,
    `whole picture: ${sample.item?.title ?? ""}`,
  );
  return sample.whole_image;
}

function picture(source, text) {
  const image = new Image();
  image.src = source;
  image.alt = text;
  image.draggable = false;
  return image;
}
