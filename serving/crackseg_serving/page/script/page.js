// The page: what a person does on one side, what the server answers on the other. The only part that knows all others.

import { arrivals } from "./arrivals.js";
import { allToGeoJson, save, toCsv, toGeoJson } from "./downloads.js";
import { counted, cracks, percent, totals } from "./figures.js";
import { photographsOf, stem } from "./files.js";
import { List, tell } from "./list.js";
import { Picture } from "./picture.js";
import { Queue } from "./queue.js";
import { modelInfo, Patience, segment } from "./server.js";
import { Table } from "./table.js";

const LARGEST_SHOWN = 24e6; // pixels; larger photographs are shown smaller, for a phone's memory
const LARGEST_DRAWN = 50e6; // pixels; to have a larger one drawn by the server would take minutes of its time
const at = (id) => document.getElementById(id);

let model = null; // what the server said of it last
let photographs = [];
let shown = null;

const patience = new Patience();
const queue = new Queue(find, progressed);
const list = new List(at("photographs"), open);
const table = new Table(at("cracks"), select);
const picture = new Picture(at("stage"), select, (percentage) => (at("zoom").textContent = `${percentage} %`));

// The model

async function introduce() {
  try {
    model = await modelInfo();
  } catch (refusal) {
    notice(refusal.message);
    setTimeout(introduce, 1000 * (refusal.retryAfter || 5));
    return;
  }
  notice("");
  const { name, version, digest, limits, provider, thresholdPercent } = model;
  document.title = `${name} ${version} – CrackSeg`;
  at("model-name").textContent = name;
  at("model-version").textContent = version;
  at("model-digest").textContent = digest;
  at("provider").textContent = `${provider.replace("ExecutionProvider", "")}, threshold ${thresholdPercent} % · `;
  const most = `up to ${Math.floor(limits.bytes / 2 ** 20)} MiB and ${Math.floor(limits.pixels / 1e6)} megapixels each`;
  at("kinds").textContent = `JPEG, PNG, TIFF, WebP or BMP, ${most}. They are sent only to this server, which does not keep them.`;
}

function notice(sentence, bad = false) {
  at("notice").textContent = sentence;
  at("notice").classList.toggle("bad", bad);
  at("notice").hidden = !sentence;
}

function say(sentence) {
  at("said").textContent = sentence;
}

// Photographs come in

async function take(entries) {
  const scale = scaleGiven();
  let arrived;
  try {
    arrived = await photographsOf(await entries);
  } catch (error) {
    return notice(`The chosen files could not be read: ${error.message}`, true);
  }
  const { photographs: found, leftOut } = arrived;
  const rest = leftOut ? ` ${leftOut === 1 ? "1 other file was" : `${leftOut} other files were`} left out.` : "";
  if (!found.length) {
    notice("None of the chosen files is a photograph.", true);
    return say(at("notice").textContent);
  }
  notice(leftOut ? `${counted(found.length)} added.${rest}` : "");
  say(`Looking for cracks in ${counted(found.length)}.${rest}`);
  start(found.map((one) => ({ ...one, scale, state: "waiting", answer: null, sentence: "" })));
}

function start(fresh) {
  at("main").classList.remove("empty");
  photographs.push(...fresh);
  list.add(fresh);
  queue.add(fresh);
  progressed();
}

/** The scale in the field, as the server reads it; "" for none or nonsense. */
function scaleGiven() {
  const given = at("scale").value.trim().replace(",", ".");
  const sane = given === "" || (Number(given) > 0 && Number.isFinite(Number(given)));
  at("scale").setAttribute("aria-invalid", !sane);
  at("scale-hint").textContent = sane
    ? "If the scale of the photographs is given, lengths come in millimetres too."
    : "The scale must be a number above 0. Until then, lengths come in pixels only.";
  return sane ? given : "";
}

// The work on each

async function find(photograph, signal) {
  become(photograph, "working");
  try {
    if (model && photograph.file.size > model.limits.bytes) {
      throw new Error(`The file is larger than the ${model.limits.bytes} bytes that this server accepts.`);
    }
    photograph.answer = await patience.ask(async () => (await segment(photograph, "json", signal)).json(), signal, busy);
    become(photograph, "done");
    if (model && photograph.answer.model.digest !== model.digest) introduce(); // a rollout has moved on
    if (photographs.length === 1) say(`${photograph.name}: ${summary(photograph)}`);
    if (!shown || shown === photograph) show(photograph);
  } catch (error) {
    const cancelled = error.name === "AbortError";
    photograph.sentence = cancelled ? "" : error.message;
    become(photograph, cancelled ? "cancelled" : "failed");
    if (!cancelled) say(`${photograph.name}: ${error.message}`);
  }
}

function become(photograph, state) {
  if (!photographs.includes(photograph)) return;
  photograph.state = state;
  list.update(photograph);
}

function busy(seconds, sentence) {
  at("count").textContent = `${tell(photographs, at("bar"), at("count"))}. Continuing in ${seconds} s: ${sentence}`;
}

let wasBusy = false;
function progressed() {
  const words = tell(photographs, at("bar"), at("count"));
  const some = photographs.length > 0;
  at("progress").hidden = !some;
  at("cancel").hidden = !queue.busy;
  at("clear").hidden = queue.busy || !some;
  at("again").hidden = queue.busy || !photographs.some((one) => one.state === "failed" || one.state === "cancelled");
  at("all").hidden = queue.busy || photographs.filter((one) => one.state === "done").length < 2;
  if (wasBusy && !queue.busy && photographs.length > 1) say(words);
  wasBusy = queue.busy;
  offerScale();
}

function again(some) {
  for (const one of some) {
    one.scale = scaleGiven();
    become(one, "waiting");
  }
  queue.add(some);
  progressed();
}

function offerScale() {
  const scale = scaleGiven();
  at("apply").hidden = queue.busy || !photographs.some((one) => one.state === "done" && one.scale !== scale);
}

function clear() {
  photographs = [];
  shown = null;
  list.clear();
  at("result").hidden = true;
  at("main").classList.add("empty");
  progressed();
  at("choose").focus();
}

// One photograph is shown

function summary({ answer }) {
  return `${cracks(answer.measurements.crackCount)}, ${percent(answer.measurements)} of the picture`;
}

/** Shows what a person has chosen, and goes there where it is out of sight, as on a phone. */
function open(photograph) {
  show(photograph);
  if (at("result").getBoundingClientRect().top > innerHeight / 2) at("result").scrollIntoView();
}

function show(photograph) {
  const { answer, name } = (shown = photograph);
  const { image, measurements } = answer;
  at("result").hidden = false;
  list.show(photograph);
  at("name").textContent = name;
  origin(photograph);
  at("canvas").setAttribute("aria-label", `${name}: ${summary(photograph)}`);
  at("totals").replaceChildren(...totals(measurements).map(figure));
  at("nothing").hidden = measurements.crackCount > 0;
  at("scroller").hidden = !measurements.cracks.length;
  table.show(measurements);
  picture.show(image.width, image.height, measurements.cracks);
  look(photograph);
}

function origin({ answer }, more = "") {
  const { image, model: by, thresholdPercent } = answer;
  at("origin").textContent = `${image.width} × ${image.height} ${image.format}, by ${by.name} ${by.version} at ${thresholdPercent} %${more}`;
}

function figure([name, value, unit]) {
  const pair = document.createElement("div");
  const [term, words, small] = ["dt", "dd", "small"].map((tag) => document.createElement(tag));
  term.textContent = name;
  small.textContent = unit;
  words.append(`${value} `, ...(unit ? [small] : []));
  pair.append(term, words);
  return pair;
}

/** Brings the photograph itself onto the canvas: as the browser reads it, else (TIFF) as the server draws it. */
async function look(photograph) {
  const { width, height } = photograph.answer.image;
  const share = Math.min(1, Math.sqrt(LARGEST_SHOWN / (width * height)));
  const size = share < 1 ? { resizeWidth: Math.round(width * share), resizeHeight: Math.round(height * share) } : {};
  let image = await createImageBitmap(photograph.file, size).catch(() => null);
  if (!image) {
    const drawn = width * height <= LARGEST_DRAWN ? await drawnBy(photograph, "overlay-jpeg") : null;
    image = drawn && (await createImageBitmap(drawn, size).catch(() => null));
    if (shown === photograph) {
      origin(photograph, image ? "; this browser cannot read it: shown as the server draws it" : "; this browser cannot show it");
    }
  }
  if (shown === photograph && image) picture.background(image);
}

function select(number) {
  const crack = shown.answer.measurements.cracks[number - 1];
  picture.select(number, crack?.boundingBox);
  table.select(number);
}

// Downloads

const JSON_TYPE = "application/json";

async function downloadOne(form) {
  const photograph = shown;
  const name = stem(photograph.name);
  if (form === "csv") return save(toCsv([photograph], false), `${name}.csv`, "text/csv");
  if (form === "json") return save(JSON.stringify(photograph.answer), `${name}.json`, JSON_TYPE);
  if (form === "geojson") return save(JSON.stringify(toGeoJson(photograph)), `${name}.geojson`, "application/geo+json");
  const drawn = await drawnBy(photograph, form);
  if (drawn) save(drawn, `${name}.${form}.png`);
}

/** The server's picture of a photograph; null, and a notice, where there is none. */
async function drawnBy(photograph, output) {
  try {
    const { signal } = new AbortController();
    return await patience.ask(async () => (await segment(photograph, output, signal)).blob(), signal, () => {});
  } catch (refusal) {
    notice(`${photograph.name}: ${refusal.message}`, true);
    return null;
  }
}

function downloadAll(form) {
  const done = photographs.filter((one) => one.state === "done");
  if (form === "csv") save(toCsv(done, true), "cracks.csv", "text/csv");
  if (form === "json") save(JSON.stringify(done.map(({ name, answer }) => ({ name, result: answer }))), "cracks.json", JSON_TYPE);
  if (form === "geojson") save(JSON.stringify(allToGeoJson(done)), "cracks.geojson", "application/geo+json");
}

// What a person does

arrivals(take);
at("scale").addEventListener("input", offerScale);
at("scale").addEventListener("keydown", (event) => event.key === "Enter" && !at("apply").hidden && at("apply").click());
at("apply").addEventListener("click", () => again(photographs.filter((one) => one.state === "done")));
at("again").addEventListener("click", () => again(photographs.filter((one) => ["failed", "cancelled"].includes(one.state))));
at("cancel").addEventListener("click", () => {
  for (const one of queue.cancel()) become(one, "cancelled");
  say("Cancelled.");
  progressed();
});
at("clear").addEventListener("click", clear);
at("fit").addEventListener("click", () => picture.fit());
at("in").addEventListener("click", () => picture.in());
at("out").addEventListener("click", () => picture.out());
at("opacity").addEventListener("input", () => {
  picture.opacity = at("opacity").value / 100;
  at("opacity-value").textContent = `${at("opacity").value} %`;
});
for (const mode of document.querySelectorAll("[name=mode]")) {
  mode.addEventListener("change", () => {
    picture.mode = mode.value;
    at("opacity").disabled = mode.value !== "overlay";
  });
}
at("one").addEventListener("click", (event) => event.target.dataset.form && downloadOne(event.target.dataset.form));
at("all").addEventListener("click", (event) => event.target.dataset.form && downloadAll(event.target.dataset.form));

introduce();
