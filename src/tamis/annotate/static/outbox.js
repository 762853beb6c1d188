// Steps on their way to the server. A step is kept in the browser until the server has it, in the order in which it was
// taken, through a reload, a dead server and a lost answer: its key makes sending it twice harmless.

import { newKey, post, Refused } from "./api.js";

const FIRST_WAIT = 500;
const LONGEST_WAIT = 10_000;

export class Outbox extends EventTarget {
  /** `owner` names project and person: nobody sends what another person decided. */
  constructor(owner) {
    super();
    this.prefix = `tamis.outbox.${owner}.`;
    this.tab = sessionStorage.getItem("tamis.tab") ?? newKey();
    sessionStorage.setItem("tamis.tab", this.tab);
    this.steps = [];
    this.state = "saved";
    this.wait = FIRST_WAIT;
    addEventListener("online", () => this.hurry());
    document.addEventListener("visibilitychange", () => document.hidden || this.hurry());
  }

  get size() {
    return this.steps.length;
  }

  /** Take up what this tab, and tabs that are gone, left unsent. */
  async open() {
    const alive = await this.#aliveTabs();
    for (const key of Object.keys(localStorage)
      .filter((one) => one.startsWith(this.prefix))
      .sort()) {
      const tab = key.slice(this.prefix.length);
      if (tab !== this.tab && alive.has(tab)) continue;
      this.steps.push(...JSON.parse(localStorage.getItem(key)));
      localStorage.removeItem(key);
    }
    this.#keep();
    this.#send();
  }

  add(path, body) {
    this.steps.push({ path, body });
    this.#keep();
    this.#send();
  }

  /** Try again now. */
  hurry() {
    this.wait = FIRST_WAIT;
    clearTimeout(this.timer);
    this.timer = null;
    this.#send();
  }

  /** Resolves when everything is saved. */
  async empty() {
    while (this.size) await new Promise((resolve) => this.addEventListener("change", resolve, { once: true }));
  }

  /** Samples about which steps are on their way. */
  samples() {
    return new Set(this.steps.flatMap((step) => (step.body.claims ?? []).map((claim) => claim.sample)));
  }

  async #aliveTabs() {
    if (!navigator.locks) return new Set(); // plain HTTP beyond this machine: what is sent twice adds nothing
    navigator.locks.request(`tamis.tab.${this.tab}`, () => new Promise(() => {}));
    const { held } = await navigator.locks.query();
    return new Set(held.map((lock) => lock.name.replace("tamis.tab.", "")));
  }

  #keep() {
    if (this.steps.length) localStorage.setItem(this.prefix + this.tab, JSON.stringify(this.steps));
    else localStorage.removeItem(this.prefix + this.tab);
    this.#tell();
  }

  #tell(state) {
    this.state = state ?? (this.steps.length ? (this.timer ? "waiting" : "sending") : "saved");
    this.dispatchEvent(new Event("change"));
  }

  async #send() {
    if (this.sending || this.timer) return;
    this.sending = true;
    while (this.steps.length && !this.timer) {
      const step = this.steps[0];
      try {
        const answer = await post(step.path, step.body);
        this.wait = FIRST_WAIT;
        this.#done(step);
        this.dispatchEvent(new CustomEvent("sent", { detail: { step, answer } }));
      } catch (error) {
        if (error instanceof Refused && error.status !== 401) {
          this.#done(step);
          this.dispatchEvent(new CustomEvent("refused", { detail: { step, error } }));
        } else {
          if (error.status === 401) this.dispatchEvent(new Event("stranger"));
          this.timer = setTimeout(() => {
            this.timer = null;
            this.#send();
          }, this.wait);
          this.wait = Math.min(2 * this.wait, LONGEST_WAIT);
          this.#tell("waiting");
        }
      }
    }
    this.sending = false;
  }

  #done(step) {
    this.steps.splice(this.steps.indexOf(step), 1);
    this.#keep();
  }
}
