// The sign-in page, for servers that others can reach.

import { get, post } from "./api.js";
import { h } from "./dom.js";

const project = await get("/api/project");
const next = new URLSearchParams(location.search).get("next") ?? "/";
const wanted = new URL(next, location.origin);
const target = wanted.origin === location.origin ? wanted.pathname + wanted.search : "/";
if (!project.sign_in || project.person) location.replace(target);

const name = h("input", { type: "text", name: "username", autocomplete: "username", required: true, autofocus: true });
const password = h("input", { type: "password", name: "password", autocomplete: "current-password", required: true });
const wrong = h("p", { role: "alert", class: "soft" });
const button = h("button", { class: "primary", type: "submit" }, "Sign in");
const form = h(
  "form",
  { class: "stack" },
  h("label", {}, "Name", name),
  h("label", {}, "Password", password),
  wrong,
  button,
);
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  button.disabled = true;
  try {
    await post("/api/session", { name: name.value, password: password.value });
    location.replace(target);
  } catch (error) {
    wrong.textContent = error.message;
    password.select();
  }
  button.disabled = false;
});
document
  .querySelector("main")
  .append(h("section", { class: "box sign-in" }, h("h1", {}, `Sign in to ${project.name}`), form));
