// What all pages share: the bar, who is asking, help, theme, messages, what others do meanwhile.

import { get, post, Refused, settings, Unreachable } from "./api.js";
import { h, icon, keys } from "./dom.js";
import { Outbox } from "./outbox.js";

const PAGES = [
  ["/", "Annotate"],
  ["/review", "Review"],
  ["/copies", "Copies"],
  ["/items", "Items"],
  ["/dashboard", "Dashboard"],
];
const COMMON_KEYS = [
  [["?"], "This help"],
  [["g", "a"], "Annotate"],
  [["g", "r"], "Review"],
  [["g", "c"], "Copies"],
  [["g", "i"], "Items"],
  [["g", "d"], "Dashboard"],
];
const EVENTS_EVERY = 2000;

/** Draw the frame, find out who is asking, and return `{project, outbox}`. `shortcuts`: `[[keys], what]`. */
export async function start(shortcuts = []) {
  const bar = drawBar();
  document.body.prepend(bar.element);
  followSettings();
  const project = await untilReached(() => get("/api/project"));
  document.title = `${document.title} · ${project.name}`;
  bar.name.textContent = project.name;
  await greet(project);
  bar.person.textContent = project.person ?? "";
  bar.person.hidden = !project.person;
  bar.person.addEventListener("click", () => leave(project));
  const outbox = new Outbox(`${project.name}.${project.person}`);
  followOutbox(outbox, bar.saved, project);
  await outbox.open();
  const help = drawHelp(shortcuts);
  bar.help.addEventListener("click", () => help.showModal());
  listenToCommonKeys(help);
  return { project, outbox };
}

function drawBar() {
  const name = h("span", { class: "project" });
  const saved = h(
    "span",
    { class: "saved", role: "status", data: { state: "saved" } },
    h("span", { class: "word" }, "Saved"),
  );
  const person = h("button", { class: "plain", hidden: true, title: "Somebody else is annotating" });
  const theme = h(
    "button",
    { class: "plain icon-button", "aria-label": "Light or dark", title: "Light or dark", onclick: switchTheme },
    icon("moon"),
  );
  const help = h(
    "button",
    { class: "plain icon-button", "aria-label": "Keys and help", title: "Keys and help (?)" },
    icon("help"),
  );
  const here = location.pathname;
  const current = (path) =>
    path === "/" ? here === "/" : here.startsWith(path) || (path === "/items" && here.startsWith("/items"));
  const element = h(
    "header",
    { class: "bar" },
    h("a", { class: "brand", href: "/" }, icon("sieve"), "tamis", name),
    h(
      "nav",
      { "aria-label": "Pages" },
      PAGES.map(([path, label]) => h("a", { href: path, "aria-current": current(path) ? "page" : null }, label)),
    ),
    h("span", { class: "grow" }),
    saved,
    person,
    theme,
    help,
  );
  return { element, name, saved, person, help };
}

function switchTheme() {
  const dark = document.documentElement.dataset.theme
    ? document.documentElement.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  const theme = dark ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  localStorage.setItem("tamis.theme", theme);
}

async function untilReached(work) {
  for (let wait = 500; ; wait = Math.min(2 * wait, 5000)) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof Unreachable)) throw error;
      toast("The server does not answer; trying again", true);
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }
}

// --- who ---

/** Make sure that the project knows who is asking: a name from the address or a question, or the sign-in page. */
async function greet(project) {
  const given = new URLSearchParams(location.search).get("person");
  if (project.sign_in) {
    if (project.person) return;
    location.replace(`/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`);
    await new Promise(() => {});
  }
  if (given && given !== project.person) project.person = (await post("/api/person", { name: given })).person;
  if (!project.person) project.person = await askName();
}

function askName() {
  const input = h("input", {
    type: "text",
    name: "name",
    required: true,
    maxlength: 100,
    autocomplete: "name",
    autofocus: true,
  });
  const wrong = h("p", { class: "soft", role: "alert" });
  const form = h(
    "form",
    { class: "stack" },
    h("label", {}, "Your name", input),
    wrong,
    h("button", { class: "primary", type: "submit" }, "Start"),
  );
  const dialog = h(
    "dialog",
    { "aria-labelledby": "who" },
    h("header", {}, h("h1", { id: "who" }, "Who is annotating?")),
    h("p", { class: "soft" }, "Every label keeps the name of the person who gave it."),
    form,
  );
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      try {
        const { person } = await post("/api/person", { name: input.value });
        dialog.close();
        dialog.remove();
        resolve(person);
      } catch (error) {
        wrong.textContent = error.message;
      }
    });
  });
}

async function leave(project) {
  await post("/api/session/end", {});
  location.href = project.sign_in ? "/sign-in" : location.pathname;
}

// --- messages ---

let toasts;

/** Say something for a moment. */
export function toast(text, bad = false) {
  toasts ??= document.body.appendChild(h("div", { class: "toasts", role: "status" }));
  const one = h("div", { class: bad ? "toast bad" : "toast" }, text);
  toasts.replaceChildren(one);
  setTimeout(() => one.remove(), bad ? 5000 : 2200);
}

/** A banner while the settings on disk are wrong, or other ones hold than those that the page was drawn under. */
function followSettings() {
  const text = h("span", {});
  const reload = h("button", { onclick: () => location.reload() }, "Reload");
  const close = h("button", { class: "plain", "aria-label": "Close", onclick: () => banner.remove() }, "Close");
  const banner = h("div", { class: "banner", role: "alert" }, text, reload, close);
  settings.addEventListener("change", ({ detail: { changed, problem } }) => {
    text.textContent = problem || "The project's settings changed: what is shown here was judged by the ones before.";
    banner.classList.toggle("bad", Boolean(problem));
    reload.hidden = !changed;
    if (problem || changed) document.body.append(banner);
    else banner.remove();
  });
}

function followOutbox(outbox, element, project) {
  const word = element.querySelector(".word");
  const show = () => {
    element.dataset.state = outbox.state;
    const text = { saved: "Saved", sending: "Saving", waiting: `${outbox.size} not saved yet` }[outbox.state];
    if (word.textContent !== text) word.textContent = text;
    element.title = outbox.state === "waiting" ? "Kept in this browser, and sent again until the server has it" : "";
  };
  outbox.addEventListener("change", show);
  outbox.addEventListener("refused", (event) => toast(`Not accepted: ${event.detail.error.message}`, true));
  outbox.addEventListener("stranger", () => project.sign_in && location.reload());
  show();
}

// --- keys ---

function drawHelp(shortcuts) {
  const list = (entries) =>
    h(
      "ul",
      { class: "keys" },
      entries.map(([names, what]) => h("li", {}, what, keys(...names))),
    );
  const close = h("button", { class: "plain", "aria-label": "Close" }, "Close");
  const dialog = h(
    "dialog",
    { "aria-labelledby": "help" },
    h("header", {}, h("h1", { id: "help" }, "Keys"), close),
    list(shortcuts),
    h("p", { class: "soft" }, " "),
    list(COMMON_KEYS),
  );
  close.addEventListener("click", () => dialog.close());
  document.body.append(dialog);
  return dialog;
}

let going = 0;

function listenToCommonKeys(help) {
  onKey((event) => {
    if (event.key === "?") help.showModal();
    else if (event.key === "g") going = Date.now();
    else if (Date.now() - going < 1000 && { a: 1, r: 1, c: 1, i: 1, d: 1 }[event.key]) {
      location.href = { a: "/", r: "/review", c: "/copies", i: "/items", d: "/dashboard" }[event.key];
    } else return false;
    return true;
  });
}

/** Whether `g` was just pressed: then the next letter names a page. */
export const isGoing = () => Date.now() - going < 1000;

/** Call `handle` for keys that are not meant for a field, a dialog or the browser; true says that it took the key. */
export function onKey(handle) {
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.metaKey || event.altKey || (event.ctrlKey && event.key !== "z")) return;
    if (
      document.querySelector("dialog[open]") ||
      event.target.closest?.("input:not([type=range]), select, textarea, summary")
    )
      return;
    if (handle(event)) event.preventDefault();
  });
}

/** Show a picture as large as the window allows, until any key or click. */
export function look(source, text) {
  const dialog = h(
    "dialog",
    {
      class: "preview",
      onclick: () => dialog.close(),
      onclose: () => dialog.remove(),
      onkeydown: () => dialog.close(),
    },
    h("img", { src: source, alt: text }),
    h("p", { class: "soft" }, text),
  );
  document.body.append(dialog);
  dialog.showModal();
}

// --- others ---

/** Call `handle` with the labels that people, this one included, add from now on. */
export async function followEvents(handle) {
  let since = -1;
  const seen = new Set();
  for (;;) {
    if (!document.hidden) {
      try {
        const { cursor, events } = await get("/api/events", { since });
        const fresh = events.filter((event) => !seen.has(event.id));
        for (const event of fresh) seen.add(event.id);
        since = cursor;
        if (fresh.length) handle(fresh);
      } catch (error) {
        if (!(error instanceof Unreachable || error instanceof Refused)) throw error;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, EVENTS_EVERY));
  }
}

/** Fetch for a page; what goes wrong is said, and null returned. */
export async function load(path, query) {
  try {
    return await get(path, query);
  } catch (error) {
    toast(error instanceof Unreachable ? "The server does not answer" : error.message, true);
    return null;
  }
}
