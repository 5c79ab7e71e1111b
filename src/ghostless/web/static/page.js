// The page: what is on it and what happens when something is pressed. `viewer.js` draws, `api.js`
// speaks to the server.

import {
  droppedFiles, getBracket, getJobs, getOptions, removeBracket, removeJob, sendMask, startExport, startFusing, untilOver, upload,
} from "./api.js";
import { Brush, NOBODY } from "./brush.js";
import { Methods } from "./methods.js";
import { Tone } from "./tone.js";
import { Picture, Viewer } from "./viewer.js";

const $ = (id) => document.getElementById(id);
const WORDS = {
  read: "Reading", exposure: "Finding exposures", align: "Aligning", deghost: "Removing ghosts",
  fuse: "Fusing", merge: "Merging radiance", "tone map": "Tone mapping", write: "Writing", preview: "Making previews",
};
const ALIGN_WORDS = {
  auto: "Automatic", homography: "Homography", affine: "Affine", shift: "Shift", flow: "Automatic and optical flow",
  network: "Automatic and network", none: "None (tripod)",
};
const DEGHOST_WORDS = { auto: "Automatic", on: "All that moved", off: "Off" };
const LEGENDS = {
  ghosts: "Magenta: replaced by what the reference photo shows",
  weights: "Yellow: counts much here. Violet: hardly at all",
  attention: "Yellow: what the network looks at. Violet: what it passes over",
};

const state = {
  offer: null, preset: {}, bracket: null, results: [], busy: false, fusing: null, uploading: null,
  asked: "", fused: "[]", toned: "", toning: false, sharp: "", sharpening: 0, before: null,
};
const viewer = new Viewer($("canvas"), $("divider"), (shown) => {
  $("zoom-value").textContent = shown.right ? `${Math.round(100 * shown.scale)} %` : "";
});

const brush = new Brush(viewer, () => { keepStrokes(); tellBrush(); });
const methods = new Methods($("method"), $("method-list"), {
  onChoice: () => { showMethod(); showNext(); },
  isNamed: (method) => Object.keys(ownOfPreset(method)).length > 0,
});
const tone = new Tone($("sliders"), $("tone-reset"), () => showTone());

// ---- small things ----

function element(name, properties = {}, ...inside) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...inside);
  return made;
}

function fill(select, choices, chosen = null) {
  select.replaceChildren(...choices.map(([value, text, properties]) => element("option", { value, textContent: text, ...properties })));
  if (chosen !== null && choices.some(([value]) => value === chosen)) select.value = chosen;
}

function complain(error) {
  $("alert-text").textContent = error.message ?? String(error);
  $("alert").hidden = false;
}

function hush() {
  $("alert").hidden = true;
}

// Hide what may have the focus, and give it to something that is there.
function hideAndFocus(id, next) {
  const had = $(id).contains(document.activeElement);
  $(id).hidden = true;
  if (had) next.focus({ preventScroll: true });
}

const onPhone = () => window.matchMedia("(max-width: 960px)").matches;

const signed = (number) => `${number > 0.005 ? "+" : number < -0.005 ? "−" : ""}${Math.abs(number).toFixed(1).replace(/\.0$/, "")}`;
const inWords = (name) => name.replaceAll("_", " ").replace(/^./, (letter) => letter.toUpperCase());
const numberOf = (id) => ($(id).value === "" ? Number.NaN : Number($(id).value));

function exposureOf(frame) {
  const shutter = frame.shutter_seconds;
  const parts = [];
  if (shutter) parts.push(shutter < 0.3 ? `1/${Math.round(1 / shutter)} s` : `${Number(shutter.toPrecision(3))} s`);
  if (frame.aperture_f_number) parts.push(`f/${Number(frame.aperture_f_number.toPrecision(3))}`);
  if (frame.iso) parts.push(`ISO ${Math.round(frame.iso)}`);
  return parts.join("  ") || "no EXIF";
}

// ---- dark and light ----

const THEMES = { system: "as the system", dark: "dark", light: "light" };

function setTheme(name) {
  if (name === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  $("theme").setAttribute("aria-label", `Colours: ${THEMES[name]}`);
  $("theme").title = `Colours: ${THEMES[name]}`;
  $("theme").dataset.theme = name;
  try {
    localStorage.setItem("theme", name);
  } catch { /* private windows keep nothing */ }
}

$("theme").onclick = () => {
  const names = Object.keys(THEMES);
  setTheme(names[(names.indexOf($("theme").dataset.theme) + 1) % names.length]);
};

// ---- uploading ----

function isPhoto(file) {
  const name = file.name.toLowerCase();
  return !name.startsWith(".") && (file.type.startsWith("image/") || state.offer.photo_suffixes.some((suffix) => name.endsWith(suffix)));
}

async function take(files, fromFolder) {
  hush();
  if (!state.offer || state.uploading || !files.length) return;
  const { limits } = state.offer;
  // Folders hold other things too, and hands slip; what looks like no bracket is for the server to judge.
  const likely = files.filter(isPhoto);
  const photos = fromFolder || likely.length > 1 || files.length > limits.frames ? likely : files;
  const leftOut = fromFolder ? [] : files.filter((file) => !photos.includes(file)).map((file) => file.name);
  const bytes = photos.reduce((sum, file) => sum + file.size, 0);
  if (photos.length < 2 || photos.length > limits.frames) {
    complain(`Expected 2 to ${limits.frames} photos of one scene, found ${photos.length}. Give one bracket at a time.`);
    return;
  }
  if (bytes > limits.bracket_bytes) {
    complain(`Expected at most ${Math.round(limits.bracket_bytes / 1e6)} MB, found ${Math.round(bytes / 1e6)} MB.`);
    return;
  }
  await leaveBracket();
  showStart(true);
  const sending = upload(photos, (fraction) => {
    $("upload-text").textContent = fraction < 1 ? `Uploading ${photos.length} photos` : "Reading the photos";
    if (fraction < 1) $("upload-bar").value = fraction;
    else $("upload-bar").removeAttribute("value");
  });
  state.uploading = sending;
  try {
    const bracket = await sending.bracket;
    if (bracket) {
      if (leftOut.length) bracket.notes.push(`Left out, for they look like no photos: ${leftOut.join(", ")}`);
      openBracket(bracket);
    } else showStart(false);
  } catch (error) {
    showStart(false);
    complain(error);
  } finally {
    state.uploading = null;
  }
}

function showStart(uploading) {
  $("start").hidden = false;
  $("work").hidden = true;
  $("again").hidden = true;
  $("drop").hidden = uploading;
  $("upload").hidden = !uploading;
  $("upload-bar").value = 0;
  (uploading ? $("upload-stop") : $("files")).focus({ preventScroll: true });
}

async function leaveBracket() {
  const { bracket } = state;
  state.bracket = null;
  state.results = [];
  setBrush(false);
  visitAddress("");
  if (bracket) forget(bracket.id);
  if (bracket) await removeBracket(bracket.id).catch(() => null); // it may be gone already
}

window.addEventListener("beforeunload", (event) => {
  if (state.uploading) event.preventDefault();
});
$("files").onchange = (event) => {
  take([...event.target.files], false).finally(() => { event.target.value = ""; });
};
$("folder").onchange = (event) => {
  take([...event.target.files], true).finally(() => { event.target.value = ""; });
};
$("upload-stop").onclick = () => state.uploading?.stop();
$("again").onclick = async () => {
  hush();
  await leaveBracket();
  showStart(false);
  showRecent();
};
document.addEventListener("dragover", (event) => {
  if (![...event.dataTransfer.types].includes("Files")) return;
  event.preventDefault();
  document.body.classList.add("over");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("over");
});
document.addEventListener("drop", async (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  const folder = [...event.dataTransfer.items].some((item) => item.webkitGetAsEntry?.()?.isDirectory);
  take(await droppedFiles(event.dataTransfer), folder).catch(complain);
});

// ---- the bracket ----

const framePicture = (frame, index) =>
  new Picture(frame.name, `api/brackets/${state.bracket.id}/frames/${index}/preview.jpg`, frame.width, frame.height);

function openBracket(bracket) {
  state.bracket = bracket;
  visitAddress(bracket.id);
  remember(bracket.id);
  brush.reset(bracket.frames[0].width, bracket.frames[0].height, keptStrokes(bracket.id));
  $("start").hidden = true;
  $("work").hidden = false;
  $("again").hidden = false;
  $("frames").replaceChildren(...bracket.frames.map(frameCard));
  $("notes").replaceChildren(...bracket.notes.map((note) => element("li", { textContent: note })));
  const photos = bracket.frames.map((frame, index) => [String(index), frame.name]);
  fill($("reference"), [["auto", "Automatic"], ...photos], "auto");
  fill($("brush-source"), [...photos.map(([index, name]) => [index, `Keep ${name}`]), [NOBODY, "Replace nothing"], [Brush.UNDECIDED, "Rub out"]]);
  brush.source = $("brush-source").value;
  $("download").hidden = $("told").hidden = true;
  state.fused = "[]";
  methods.show(bracket.frames);
  showMethod();
  refreshChoices();
  $("right").value = `frame:${bracket.reference}`;
  look();
  showNext();
  $("fuse").focus({ preventScroll: true });
}

function frameCard(frame, index) {
  const reference = state.bracket.frames[state.bracket.reference];
  const relative = frame.stops - reference.stops;
  const picture = element("img", {
    src: `api/brackets/${state.bracket.id}/frames/${index}/thumbnail.jpg`, alt: "", loading: "lazy",
  });
  const button = element("button", { type: "button", className: "look", title: `Look at ${frame.name}` }, picture);
  button.setAttribute("aria-label", `Look at ${frame.name}, ${signed(relative)} stops`);
  button.onclick = () => {
    const shown = $("right").value.startsWith("result") ? $("left") : $("right");
    shown.value = `frame:${index}`;
    look();
  };
  const stops = element("input", { type: "number", step: "any", value: String(Number(relative.toFixed(2))) });
  stops.dataset.found = stops.value;
  stops.setAttribute("aria-label", `Exposure of ${frame.name} in stops, from ${frame.stops_source ?? "nowhere"}`);
  const name = element("p", { className: "name", textContent: frame.name, title: frame.name });
  const source = frame.stops_source === "exif" ? "EV" : `EV, from ${frame.stops_source}`;
  const facts = element("div", { className: "facts" }, name,
    element("p", { className: "small", textContent: exposureOf(frame) }),
    element("label", {}, stops, source));
  const card = element("li", { className: "frame" }, button, facts);
  if (index === state.bracket.reference) {
    card.classList.add("reference");
    card.append(element("span", { className: "badge", textContent: "reference" }));
  }
  return card;
}

// The stops as the user changed them, in the order of the upload; null if nothing was changed.
function changedStops() {
  const inputs = [...$("frames").querySelectorAll("input")];
  if (inputs.every((input) => input.value === input.dataset.found)) return null;
  const stops = [];
  inputs.forEach((input, index) => { stops[state.bracket.frames[index].number] = Number(input.value); });
  return stops;
}

// ---- options ----

const chosenMethod = () => methods.chosen;

function showMethod() {
  const method = chosenMethod();
  methods.mark();
  $("method-text").textContent = methods.inWords(method);
  $("tone").hidden = method.output !== "linear";
  showDeghosting();
  $("settings").replaceChildren(...Object.entries(method.settings).map(([name, schema]) => settingInput(name, schema)).filter(Boolean));
}

function settingInput(name, schema) {
  let input;
  if (schema.enum) {
    input = element("select");
    fill(input, schema.enum.map((value) => [value, inWords(value)]), schema.default);
  } else if (schema.type === "number" || schema.type === "integer") {
    input = element("input", { type: "number", step: schema.type === "integer" ? "1" : "any", value: String(schema.default) });
  } else if (schema.type === "boolean") {
    input = element("input", { type: "checkbox", checked: schema.default });
    input.dataset.setting = name;
    return element("label", { className: "check" }, input, inWords(name));
  } else {
    return null; // what has several types is for the API
  }
  input.dataset.setting = name;
  return element("label", {}, inWords(name), input);
}

// What the preset says of a group of settings, or of a method's own, by the names in it. What the
// page has no input for goes along with what it has.
const ofPreset = (group) => Object.fromEntries(
  Object.entries(state.preset).filter(([name]) => name.startsWith(`${group}.`)).map(([name, value]) => [name.slice(group.length + 1), value]),
);
const ownOfPreset = (method) => Object.fromEntries(
  Object.entries({ ...ofPreset("method"), ...ofPreset(method.name) }).filter(([name]) => name in method.settings),
);

function methodSettings() {
  const method = chosenMethod();
  const settings = ownOfPreset(method);
  for (const input of $("settings").querySelectorAll("[data-setting]")) {
    const { setting } = input.dataset;
    if (!(setting in method.settings)) continue; // of the method before, in the midst of a change
    const value = input.type === "checkbox" ? input.checked : input.type === "number" ? Number(input.value) : input.value;
    if (value !== method.settings[setting].default) settings[setting] = value;
    else delete settings[setting];
  }
  return settings;
}

// What would do nothing is not asked for: the server refuses it.
const findsGhosts = () => $("deghost").value === "on" || ($("deghost").value === "auto" && !chosenMethod().deghosts);
const showDeghosting = () => { $("sensitivity").parentElement.hidden = !findsGhosts(); };
$("deghost").onchange = showDeghosting;

function request() {
  const deghost = findsGhosts() ? { ...ofPreset("deghost"), sensitivity: numberOf("sensitivity") } : {};
  deghost.mode = $("deghost").value;
  const asked = {
    method: methods.asked,
    method_settings: methodSettings(),
    stops: changedStops(),
    reference: $("reference").value === "auto" ? null : Number($("reference").value),
    align: { ...ofPreset("align"), model: $("align").value, crop: $("crop").checked },
    deghost,
    tone: tone.values,
  };
  if (!$("tone").hidden) {
    asked.tone_map = { ...ofPreset("tone_map"), operator: $("operator").value, exposure_stops: numberOf("tone-exposure"), saturation: numberOf("tone-saturation") };
  }
  return asked;
}

// A preset sets all that it names, and everything else to what it is at the start.
function applyPreset() {
  const preset = state.offer.presets.find((each) => each.name === $("preset").value);
  const options = preset?.options ?? {};
  state.preset = options;
  $("preset-text").textContent = preset?.summary ?? "";
  methods.choose(options.method ?? "auto");
  showMethod();
  $("align").value = options["align.model"] ?? "auto";
  $("deghost").value = options["deghost.mode"] ?? "auto";
  $("sensitivity").value = String(options["deghost.sensitivity"] ?? 1);
  showDeghosting();
  $("crop").checked = options["align.crop"] ?? false;
  $("operator").value = options["tone_map.operator"] ?? "auto";
  tone.set(Object.fromEntries(Object.keys(tone.neutral).map((name) => [name, options[`tone.${name}`]])));
  showTone();
  $("tone-exposure").value = String(options["tone_map.exposure_stops"] ?? 0);
  $("tone-saturation").value = String(options["tone_map.saturation"] ?? 1);
  $("reference").value = options.reference ?? "auto";
  if (!$("reference").value) $("reference").value = "auto"; // fewer photos than the preset thinks
  const own = ownOfPreset(chosenMethod());
  for (const input of $("settings").querySelectorAll("[data-setting]")) {
    const value = own[input.dataset.setting];
    if (value === undefined) continue;
    if (input.type === "checkbox") input.checked = value;
    else input.value = String(value);
  }
  const formats = state.offer.formats;
  const wanted = formats.findIndex((each) => each.suffix === `.${options.format ?? "jpg"}` && each.hdr === (options.hdr ?? false));
  $("format").value = String(Math.max(0, wanted));
  showFormat();
  $("quality").value = String(options["write.quality"] ?? 95);
  if (options["write.depth"]) $("depth").value = String(options["write.depth"]);
  showOperator();
}
$("preset").onchange = applyPreset;

// ---- fusing ----

$("options").onsubmit = async (event) => {
  event.preventDefault();
  if (state.busy) return;
  hush();
  const { bracket } = state;
  setBusy(true);
  try {
    const asked = request();
    const before = [asking(), painted()];
    asked.keep = await sendMasks(bracket);
    await follow(bracket, await startFusing(bracket.id, asked), before);
  } catch (error) {
    if (state.bracket === bracket) complain(error);
  } finally {
    setBusy(false);
  }
};

// The masks as the request names them; they are the server's then.
async function sendMasks(bracket) {
  const kept = [];
  for (const { source, png } of await brush.masks()) {
    const { id } = await sendMask(bracket.id, png);
    kept.push({ frame: source === NOBODY ? null : Number(source), mask: id });
  }
  return kept;
}

// Wait for a job that fuses, and show its result. asked: what the page asked for it.
async function follow(bracket, job, [asked, strokes]) {
  state.fusing = job;
  try {
    const done = await untilOver(job, tellProgress);
    if (state.bracket !== bracket || done.state !== "done") return;
    Object.assign(state, { asked, fused: strokes });
    addResult(done);
  } catch (error) {
    if (!job.stopped) throw error;
  } finally {
    state.fusing = null;
  }
}

function setBusy(busy) {
  state.busy = busy;
  state.pace = null;
  const fusing = document.activeElement === $("fuse");
  $("fuse").setAttribute("aria-disabled", String(busy)); // not disabled: the focus stays
  $("progress-bar").value = 0;
  $("progress-text").textContent = busy ? "Starting" : "";
  if (!busy) return hideAndFocus("progress", $("fuse"));
  $("progress").hidden = false;
  if (!onPhone()) $("progress").scrollIntoView({ block: "nearest" });
  else if (fusing) $("stop").focus({ preventScroll: true }); // it stands in the button's place
}

function tellProgress(job) {
  const waiting = job.state === "queued";
  const text = waiting ? `Waiting: ${job.ahead} ${job.ahead === 1 ? "job" : "jobs"} before` : WORDS[job.stage] ?? "Starting";
  const told = text + (waiting ? "" : remaining(job.fraction));
  if ($("progress-text").textContent !== told) $("progress-text").textContent = told;
  $("progress-bar").value = job.fraction;
}

// What is left, by the pace since the job was first seen at work; only where it is worth telling.
function remaining(fraction) {
  const now = performance.now() / 1000;
  state.pace ??= { since: now, from: fraction };
  const { since, from } = state.pace;
  if (now - since < 3 || fraction - from < 0.05) return "";
  const left = ((1 - fraction) * (now - since)) / (fraction - from);
  if (left < 5) return "";
  return left < 90 ? `, about ${5 * Math.ceil(left / 5)} s left` : `, about ${Math.ceil(left / 60)} minutes left`;
}

$("stop").onclick = async () => {
  if (!state.fusing) return;
  state.fusing.stopped = true;
  await removeJob(state.fusing.id).catch(complain);
};

function addResult(job) {
  const { method } = job.report;
  methods.learn(method, job.report.stages.find((stage) => stage.name === "fuse")?.seconds);
  $("method-text").textContent = methods.inWords(chosenMethod());
  const same = state.results.filter((result) => result.method === method).length;
  const title = same ? `${method} ${same + 1}` : method;
  state.results.push({ job, method, title });
  const right = $("right").value;
  refreshChoices();
  // The result before stays beside the new one.
  $("left").value = right.startsWith("result") ? right : `frame:${referenceOf(job)}`;
  $("right").value = `result:${state.results.length - 1}`;
  $("download").hidden = $("told").hidden = false;
  look();
  showTone();
  tellBrush();
  showNext();
  $("save-text").textContent = "";
  if (onPhone()) $("bar").scrollIntoView({ block: "start" });
}

// What there is to do next stands out: fusing, or once that is done downloading.
function showNext() {
  const toFuse = !state.results.length || asking() !== state.asked || painted() !== state.fused;
  $("fuse").classList.toggle("primary", toFuse);
  $("save").classList.toggle("primary", !toFuse);
  document.body.classList.toggle("finished", !toFuse);
}
for (const id of ["options", "frames"]) {
  for (const kind of ["input", "change"]) $(id).addEventListener(kind, showNext);
}

// What Fuse would ask for, but the tone, which needs no fusing; and what was painted.
const asking = () => JSON.stringify({ ...request(), tone: null });
const painted = () => JSON.stringify(brush.strokes);

const referenceOf = (job) => job.report.frames.findIndex((frame) => frame.reference);

function refreshChoices() {
  const results = state.results.map((result, index) => [`result:${index}`, result.title]);
  const photos = state.bracket.frames.map((frame, index) => [`frame:${index}`, frame.name]);
  fill($("right"), [...results, ...photos], $("right").value);
  fill($("left"), [["none", "Nothing"], ...results, ...photos], $("left").value);
}

// ---- looking ----

const chosenResult = () => {
  const [kind, index] = $("right").value.split(":");
  return kind === "result" ? state.results[Number(index)] : null;
};

// What a choice stands for. Beside a result photos are shown as they were aligned to it.
function pictureOf(choice) {
  const [kind, text] = choice.split(":");
  if (kind === "none" || !kind) return null;
  const index = Number(text);
  const result = kind === "result" ? state.results[index] : chosenResult();
  const name = kind === "result" ? "picture" : `frame-${index}`;
  const view = result?.job.views.find((each) => each.name === name);
  if (!view) return framePicture(state.bracket.frames[index], index);
  const title = kind === "result" ? result.title : state.bracket.frames[index].name;
  const place = { left: view.left, top: view.top };
  if (kind === "result" && state.toned) {
    // Every pixel of it once the sliders rest.
    const tile = state.sharp === state.toned ? state.offer.tile : 0;
    const tiles = { tile, tiles: `api/jobs/${result.job.id}/toned`, query: `?${state.toned}` };
    return new Picture(title, tonedAddress(result, state.toned), view.width, view.height, { ...tiles, ...place });
  }
  const address = `api/jobs/${result.job.id}/views/${name}`;
  return new Picture(title, `${address}/preview.jpg`, view.width, view.height, { tile: view.tile, tiles: address, ...place });
}

function look() {
  const left = $("left").value === $("right").value ? null : pictureOf($("left").value);
  const right = pictureOf($("right").value);
  viewer.show(left, right);
  const two = viewer.isDivided || viewer.isBeside;
  $("mode").parentElement.hidden = !left;
  $("tag-left").hidden = !two;
  $("tag-right").hidden = !right;
  $("tag-left").textContent = left?.title ?? "";
  $("tag-right").textContent = right?.title ?? "";
  $("canvas").setAttribute("aria-label", two ? `${right.title}, beside ${left.title}` : right?.title ?? "Picture");
  showLayers();
  showReport();
  showBrush();
}

function showLayers() {
  const result = chosenResult();
  const layers = result?.job.layers ?? [];
  const nameOf = (layer) => (layer.frame === null ? "" : state.bracket.frames[layer.frame].name);
  const words = { ghosts: "Ghosts replaced in ", weights: "Weight of ", attention: "Attention" };
  const before = $("layer").value;
  fill($("layer"), [["", "None"], ...layers.map((layer) => [layer.name, words[layer.kind] + nameOf(layer)])], before);
  $("layer").parentElement.hidden = !layers.length;
  const layer = layers.find((each) => each.name === $("layer").value);
  $("legend").hidden = !layer;
  $("legend-text").textContent = layer ? LEGENDS[layer.kind] : "";
  viewer.setLayer(layer ? `api/jobs/${result.job.id}/layers/${layer.name}.png` : null, $("opacity").value / 100);
}

function showReport() {
  const result = chosenResult();
  $("download").hidden = $("told").hidden = $("by-hand").hidden = !result;
  if (!result) return;
  const { report } = result.job;
  const row = (...cells) => element("tr", {}, ...cells.map((cell) => element("td", { textContent: cell })));
  const frames = report.frames.map((frame) => row(frame.file, frame.reference ? "reference" : frame.model,
    frame.reference || frame.deghosted_share === null ? "" : `${(100 * frame.deghosted_share).toFixed(1)} % replaced`));
  const stages = report.stages.map((stage) => row(WORDS[stage.name] ?? stage.name, `${stage.seconds.toFixed(1)} s`, ""));
  $("report").replaceChildren(
    element("table", {}, ...frames, ...stages, row(`${report.width} × ${report.height}`, report.method, "")),
    ...report.notes.map((note) => element("p", { textContent: note })),
  );
}

for (const id of ["right", "left"]) $(id).onchange = () => { look(); showTone(); };
$("layer").onchange = showLayers;
$("opacity").oninput = showLayers;
$("mode").onchange = () => { viewer.setMode($("mode").value); look(); };
$("zoom-in").onclick = () => viewer.zoomBy(1.5);
$("zoom-out").onclick = () => viewer.zoomBy(1 / 1.5);
$("zoom-fit").onclick = () => viewer.fit();
$("zoom-pixels").onclick = () => viewer.zoomTo(1);
$("alert").addEventListener("focusin", (event) => {
  if (!$("alert").contains(event.relatedTarget)) state.before = event.relatedTarget;
});
$("alert-close").onclick = () => hideAndFocus("alert", state.before?.isConnected ? state.before : $("main"));
$("method").onchange = showMethod;
$("operator").onchange = showOperator;

function showOperator() {
  const operator = state.offer.tone_map.find((each) => each.name === $("operator").value);
  $("operator-text").textContent = operator ? inWords(operator.summary) : "";
}

// ---- tone by hand ----

const tonedAddress = (result, query) => `api/jobs/${result.job.id}/toned.jpg?${query}`;

// Show results as the sliders say. One picture is asked for at a time, and the last is shown.
async function showTone() {
  clearTimeout(state.sharpening);
  state.sharpening = setTimeout(sharpen, 300);
  if (state.toning) return;
  state.toning = true;
  try {
    while (state.toned !== tone.query || needed(tone.query).length) {
      const { query } = tone;
      await Promise.all(needed(query).map((address) => viewer.load(address)));
      state.toned = query;
      if (state.bracket) look();
      if (query !== tone.query) continue;
      break;
    }
  } catch (error) {
    complain(error);
  } finally {
    state.toning = false;
  }
}

// Have single pixels toned too, where somebody looks at them.
function sharpen() {
  if (state.toning || state.toned !== tone.query) state.sharpening = setTimeout(sharpen, 300);
  else if (state.sharp !== state.toned) {
    state.sharp = state.toned;
    if (state.bracket) look();
  }
}

// Addresses of toned pictures that are looked at and not there yet.
function needed(query) {
  if (!query) return [];
  const shown = [$("right").value, $("left").value].filter((choice) => choice.startsWith("result"));
  const addresses = shown.map((choice) => tonedAddress(state.results[Number(choice.split(":")[1])], query));
  return addresses.filter((address) => !viewer.has(address));
}

// ---- ghosts by hand ----

// Masks have the photos' size, and are laid over the photos as they were aligned.
const canPaint = () => Boolean(chosenResult()?.job.views.some((each) => each.name === "picture"));

function showBrush() {
  const can = canPaint();
  if (can) $("brush").hidden = false;
  else {
    hideAndFocus("brush", $("right"));
    setBrush(false);
  }
}

function setBrush(active) {
  $("brush").setAttribute("aria-pressed", String(active));
  $("brush-bar").hidden = !active;
  brush.setActive(active);
  tellBrush();
}

function tellBrush() {
  const areas = brush.sources.length;
  const done = areas && painted() === state.fused;
  for (const id of ["brush-undo", "brush-clear", "brush-save"]) {
    if (brush.strokes.length) $(id).hidden = false;
    else hideAndFocus(id, $("brush"));
  }
  const what = done ? "The result is as painted." : "Press Fuse to have it so.";
  $("brush-text").textContent = areas ? what : "Paint which photo an area comes from. By keyboard: arrow keys, Space, Z.";
  if (state.bracket) showNext();
}

$("brush").onclick = () => {
  const active = $("brush").getAttribute("aria-pressed") !== "true";
  setBrush(active);
  if (active && onPhone()) document.querySelector(".glass").scrollIntoView({ block: "start" });
};
$("brush-close").onclick = () => { setBrush(false); $("brush").focus(); };
$("brush-source").onchange = () => { brush.source = $("brush-source").value; };
$("brush-size").oninput = () => { brush.share = numberOf("brush-size"); viewer.draw(); };
$("brush-undo").onclick = () => brush.undo();
$("brush-clear").onclick = () => brush.clear();
$("brush-save").onclick = async () => {
  for (const { source, png } of await brush.masks()) {
    const name = source === NOBODY ? NOBODY : state.bracket.frames[Number(source)].name.replace(/\.[^.]*$/, "");
    const address = URL.createObjectURL(png);
    element("a", { href: address, download: `${name}-mask.png` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
  }
};

// Strokes outlast a reload of this tab.
function keepStrokes() {
  if (!state.bracket) return;
  try {
    sessionStorage.setItem(`strokes ${state.bracket.id}`, JSON.stringify(brush.strokes));
  } catch { /* private windows keep nothing */ }
}

function keptStrokes(id) {
  try {
    return JSON.parse(sessionStorage.getItem(`strokes ${id}`)) ?? [];
  } catch {
    return [];
  }
}

// ---- finding it again: the address has the bracket's name, the browser the names of today's ----

function visitAddress(id) {
  const address = `${location.pathname}${location.search}${id ? `#${id}` : ""}`;
  if (location.hash.slice(1) !== id) history.replaceState(null, "", address);
}

function remembered() {
  try {
    return JSON.parse(localStorage.getItem("brackets")) ?? [];
  } catch {
    return [];
  }
}

function rememberAll(ids) {
  try {
    localStorage.setItem("brackets", JSON.stringify(ids.slice(0, 12)));
  } catch { /* private windows keep nothing */ }
}

const remember = (id) => rememberAll([id, ...remembered().filter((each) => each !== id)]);
const forget = (id) => rememberAll(remembered().filter((each) => each !== id));

// The brackets that this browser brought and that the server has still.
async function showRecent() {
  const cards = [];
  for (const id of remembered()) {
    const bracket = await getBracket(id).catch(() => null);
    if (!bracket) {
      forget(id);
      continue;
    }
    const picture = element("img", { src: `api/brackets/${id}/frames/${bracket.reference}/thumbnail.jpg`, alt: "" });
    const name = bracket.frames[bracket.reference].name;
    const button = element("button", { type: "button" }, picture, element("span", { textContent: `${name}, ${bracket.frames.length} photos` }));
    button.onclick = () => find(id);
    cards.push(element("li", {}, button));
  }
  $("recent-list").replaceChildren(...cards);
  $("recent").hidden = !cards.length;
}

// Open a bracket with its results, and go on waiting for what runs.
async function find(id) {
  hush();
  let bracket, jobs;
  try {
    bracket = await getBracket(id);
    jobs = await getJobs(id);
  } catch {
    forget(id);
    visitAddress("");
    complain("These photos are no longer here: they go after a time without use. Drop them again.");
    return;
  }
  openBracket(bracket);
  const before = [asking(), painted()];
  for (const job of jobs.filter((each) => each.state === "done")) {
    tone.set(job.request.tone);
    Object.assign(state, { asked: before[0], fused: job.request.keep.length ? before[1] : "[]" });
    addResult(job);
  }
  const running = jobs.find((each) => each.state === "queued" || each.state === "running");
  if (!running) return;
  setBusy(true);
  await follow(bracket, running, before).catch(complain).finally(() => setBusy(false));
}

window.addEventListener("hashchange", () => {
  const id = location.hash.slice(1);
  if (id && id !== state.bracket?.id && !state.uploading) find(id);
});

// ---- downloading ----

const chosenFormat = () => state.offer.formats[Number($("format").value)];

function showFormat() {
  const format = chosenFormat();
  fill($("depth"), format.depths.map((depth) => [String(depth), String(depth)]));
  $("depth").parentElement.hidden = format.depths.length < 2;
  $("quality").parentElement.hidden = !format.lossy;
}
$("format").onchange = showFormat;

$("download").onsubmit = async (event) => {
  event.preventDefault();
  hush();
  const result = chosenResult();
  const format = chosenFormat();
  if ($("save").getAttribute("aria-disabled") === "true") return;
  $("save").setAttribute("aria-disabled", "true");
  try {
    const started = await startExport(result.job.id, {
      format: format.suffix, hdr: format.hdr, depth: Number($("depth").value), tone: tone.values,
      ...(format.lossy ? { quality: Number($("quality").value) } : {}),
    });
    const done = await untilOver(started, (job) => {
      $("save-text").textContent = `${WORDS[job.stage] ?? "Preparing"} ${Math.round(100 * job.fraction)} %`;
    });
    element("a", { href: `api/jobs/${done.id}/file`, download: done.file }).click();
    $("save-text").textContent = `Saved as ${done.file}`;
  } catch (error) {
    $("save-text").textContent = "";
    complain(error);
  } finally {
    $("save").setAttribute("aria-disabled", "false");
  }
};

// ---- start ----

async function start() {
  let theme = "system";
  try {
    theme = localStorage.getItem("theme") ?? theme;
  } catch { /* private windows keep nothing */ }
  setTheme(THEMES[theme] ? theme : "system");
  $("folder-choice").hidden = !("webkitdirectory" in $("folder"));
  const offer = (state.offer = await getOptions());
  const minutes = Math.round(offer.limits.keep_seconds / 60);
  $("terms").textContent = `2 to ${offer.limits.frames} photos, up to ${Math.round(offer.limits.bracket_bytes / 1e6)} MB together: JPEG, PNG, TIFF, WebP, AVIF, HEIC, camera RAW, EXR. `
    + `They go to this server only, and are removed after ${minutes} ${minutes === 1 ? "minute" : "minutes"} without use.`;
  methods.offer(offer.methods, offer.auto_method, offer.auto_methods);
  fill($("align"), offer.align.map((name) => [name, ALIGN_WORDS[name] ?? inWords(name)]));
  fill($("deghost"), offer.deghost.map((name) => [name, DEGHOST_WORDS[name] ?? inWords(name)]));
  fill($("operator"), [["auto", "Automatic"], ...offer.tone_map.map((each) => [each.name, inWords(each.name)])]);
  fill($("format"), offer.formats.map((format, index) => [String(index), `${format.name} (${format.suffix})`]));
  fill($("preset"), [["", "None"], ...offer.presets.map((preset) => [preset.name, inWords(preset.name)])]);
  fill($("reference"), [["auto", "Automatic"]]);
  tone.build(offer.tone);
  applyPreset();
  if (location.hash.length > 1) await find(location.hash.slice(1));
  if (!state.bracket) await showRecent();
}

start().catch(complain);
