// Shows the OpenAPI schema of the server as a page to read.

const operations = document.getElementById("operations");

function element(name, properties = {}, ...inside) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...inside);
  return made;
}

function resolve(schema, all) {
  return schema?.$ref ? all[schema.$ref.split("/").pop()] : schema ?? {};
}

// A schema in few words: "number, default 1", "one of auto, on, off".
function inWords(schema, all) {
  const found = resolve(schema, all);
  let words = found.type ?? "anything";
  if (found.enum) words = `one of ${found.enum.join(", ")}`;
  else if (found.const !== undefined) words = JSON.stringify(found.const);
  else if (found.anyOf) words = found.anyOf.map((each) => inWords(each, all)).join(" or ");
  else if (found.type === "array") words = `list of ${inWords(found.items, all)}`;
  else if (found.format === "binary" || found.contentMediaType) words = "file";
  else if (found.title && found.type === "object") words = found.title;
  if (found.default !== undefined) words += `, default ${JSON.stringify(found.default)}`;
  return words;
}

function table(title, rows) {
  if (!rows.length) return "";
  const cells = rows.map(([name, words, text]) => element("tr", {},
    element("td", {}, element("code", { textContent: name })),
    element("td", { textContent: words }), element("td", { className: "small", textContent: text ?? "" })));
  return element("div", {}, element("p", { className: "small", textContent: title }), element("table", {}, ...cells));
}

function properties(schema, all, prefix = "") {
  const found = resolve(schema, all);
  return Object.entries(found.properties ?? {}).flatMap(([name, value]) => {
    const inside = resolve(value, all);
    if (inside.properties) return properties(inside, all, `${prefix}${name}.`);
    return [[prefix + name, inWords(value, all), value.description]];
  });
}

function article(path, verb, operation, all) {
  const made = element("article", {}, element("h3", {},
    element("span", { className: "verb", textContent: verb.toUpperCase() }),
    element("code", { textContent: path }), element("span", { textContent: operation.summary ?? "" })));
  const content = operation.requestBody?.content ?? {};
  for (const [type, body] of Object.entries(content)) made.append(table(`Body, ${type}`, properties(body.schema, all)));
  for (const [code, answer] of Object.entries(operation.responses)) {
    if (code >= "300") continue;
    for (const [type, body] of Object.entries(answer.content ?? {})) {
      made.append(table(`Answer ${code}, ${type}`, type === "application/json" ? properties(body.schema, all) : []) || "");
      if (type !== "application/json") made.append(element("p", { className: "small", textContent: `Answer ${code}: ${type}` }));
    }
  }
  const refusals = Object.entries(operation.responses).filter(([code]) => code >= "400");
  made.append(table("Refusals", refusals.map(([code, answer]) => [code, answer.description, ""])));
  return made;
}

const answer = await fetch("api/openapi.json");
const schema = await answer.json();
const base = new URL(".", document.baseURI).href;
document.getElementById("example").textContent = [
  `curl -F files=@IMG_1.jpg -F files=@IMG_2.jpg -F files=@IMG_3.jpg ${base}api/brackets`,
  `curl --json '{"method": "mertens"}' ${base}api/brackets/BRACKET/jobs`,
  `curl ${base}api/jobs/JOB`,
  `curl -OJ ${base}api/jobs/JOB/file`,
].join("\n");
for (const [path, verbs] of Object.entries(schema.paths)) {
  for (const [verb, operation] of Object.entries(verbs)) {
    operations.append(article(path, verb, operation, schema.components.schemas));
  }
}
