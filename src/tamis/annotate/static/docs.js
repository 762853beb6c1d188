// The documentation of the API, drawn from its own description.

import { h } from "./dom.js";
import { load, start } from "./shell.js";

await start();
const main = document.querySelector("main");
const api = await load("/api/openapi.json");
const groups = new Map();
for (const [path, methods] of Object.entries(api.paths)) {
  for (const [method, operation] of Object.entries(methods)) {
    const group = operation.tags?.[0] ?? "other";
    groups.set(group, [...(groups.get(group) ?? []), { path, method, operation }]);
  }
}
main.append(
  h("h1", {}, "The JSON API"),
  ...api.info.description
    .trim()
    .split("\n\n")
    .map((text) => h("p", { class: "prose" }, text.replaceAll("`", ""))),
  h("p", {}, h("a", { href: "/api/openapi.json" }, "OpenAPI description")),
  h(
    "div",
    { class: "stack" },
    [...groups].map(([group, operations]) =>
      h("section", { class: "box" }, h("h2", {}, group), operations.map(drawOperation)),
    ),
  ),
  h("h2", { class: "prose" }, "Documents"),
  h(
    "div",
    { class: "stack" },
    Object.entries(api.components.schemas)
      .filter(([name]) => !name.includes("ValidationError"))
      .map(drawSchema),
  ),
);

function drawOperation({ path, method, operation }) {
  const body = operation.requestBody?.content["application/json"]?.schema;
  const answer = operation.responses["200"]?.content?.["application/json"]?.schema;
  return h(
    "div",
    { class: "operation" },
    h("div", {}, h("span", { class: "method" }, method.toUpperCase()), h("code", {}, path)),
    h("p", {}, operation.description),
    operation.parameters?.length > 0 &&
      h(
        "ul",
        { class: "soft" },
        operation.parameters.map((one) =>
          h(
            "li",
            {},
            h("code", {}, one.name),
            ` ${typeName(one.schema)}${one.required ? "" : ", optional"}${one.description ? `: ${one.description}` : ""}`,
          ),
        ),
      ),
    h(
      "p",
      { class: "soft" },
      [body && `takes ${typeName(body)}`, answer && `answers ${typeName(answer)}`].filter(Boolean).join("; "),
    ),
  );
}

function drawSchema([name, schema]) {
  return h(
    "details",
    { class: "box", id: name },
    h("summary", {}, name),
    h("p", { class: "soft" }, schema.description ?? ""),
    h(
      "ul",
      {},
      Object.entries(schema.properties ?? {}).map(([field, one]) =>
        h(
          "li",
          {},
          h("code", {}, field),
          h("span", { class: "soft" }, ` ${typeName(one)}${one.description ? `: ${one.description}` : ""}`),
        ),
      ),
    ),
  );
}

function typeName(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(typeName).join(" or ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" or ");
  if (schema.type === "array")
    return schema.items
      ? `list of ${typeName(schema.items)}`
      : `list (${(schema.prefixItems ?? []).map(typeName).join(", ")})`;
  return schema.type ?? "anything";
}
