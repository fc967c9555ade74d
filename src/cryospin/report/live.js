// Keeps the page of a run at work up to date: loads the same file once more in a hidden frame,
// which hands over its panels, and takes over those that have changed. So nothing jumps, what the
// reader has scrolled to or turned stays, and a page opened as a file needs no server (a browser
// reads no other file for it). When a page answers that is not one of a run at work, it is the
// report at the end, and is loaded in this one's place.
"use strict";

// report.surface.view_rotation(20, 12)
const FROM_THE_SIDE = [-0.342, 0.9397, 0, 0.1954, 0.0711, -0.9781, -0.9192, -0.3345, -0.2079];
const EVERY_SECONDS = 3, SILENT_SECONDS = 60, HANDED_OVER = "?told";
const element = (id) => document.getElementById(id);
const freshness = () => element("freshness").dataset;

function told() {
  return {
    title: document.title,
    freshness: { ...freshness() },
    scene: element("scene").textContent,
    sections: [...document.querySelectorAll("main > section")].map((s) => [s.id, s.className, s.innerHTML, "keep" in s.dataset]),
  };
}

// Sections by their names, in the order of the newer page; one that is the same is left alone.
function takeOver(newer) {
  document.title = newer.title;
  const dataset = freshness();
  if (dataset.written !== newer.freshness.written) lastNews = Date.now();
  for (const name of new Set([...Object.keys(dataset), ...Object.keys(newer.freshness)])) {
    if (name in newer.freshness) dataset[name] = newer.freshness[name]; else delete dataset[name];
  }
  const names = new Set(newer.sections.map(([id]) => id));
  document.querySelectorAll("main > section").forEach((s) => { if (!names.has(s.id)) s.remove(); });
  let before = document.querySelector("main > header");
  for (const [id, className, html, keep] of newer.sections) {
    let section = element(id);
    if (!section) {
      section = document.createElement("section");
      section.id = id;
    }
    if (before.nextElementSibling !== section) before.after(section);
    if (section.className !== className) section.className = className;
    // what is drawn there stays
    if (shown.get(id) !== html && !(keep && shown.has(id))) {
      shown.set(id, html);
      section.innerHTML = html;
    }
    before = section;
  }
  draw(JSON.parse(newer.scene));
  tellAge();
}

let lastNews = Date.now(), unanswered = 0, frame = null;
const shown = new Map();

function ask() {
  if (document.hidden) return;
  if (frame) frame.remove();
  // a new frame each time: one that went elsewhere would be a step of the browser's "back"
  frame = document.createElement("iframe");
  frame.hidden = true;
  const asked = frame;
  frame.addEventListener("load", () => setTimeout(() => {
    if (asked.answered || asked !== frame) return;
    unanswered += 1;
    if (unanswered > 1) location.reload();
  }, 500));
  frame.src = location.pathname + HANDED_OVER + Date.now();
  document.body.append(frame);
}

// `cryospin watch` says at once when there is news (report.serve).
function listenTo(source) {
  source.addEventListener("page", ask);
  source.addEventListener("line", (event) => {
    const line = JSON.parse(event.data), table = document.querySelector("#events table");
    if (!table) return;
    const row = table.insertRow(0);
    for (const text of [line.time.slice(11, 19), `${line.stage}: ${line.event}`]) row.insertCell().textContent = text;
  });
}

function inWords(seconds) {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}

// The half-sets' maps under one camera, which turns slowly until the reader takes over.
const camera = new Camera(FROM_THE_SIDE), drawn = new Map();
let taken = matchMedia("(prefers-reduced-motion: reduce)").matches;

function draw(scene) {
  for (const [half, volume] of Object.entries(scene)) {
    const canvas = document.querySelector(`canvas[data-half="${half}"]`);
    if (!canvas || volume.level === null) continue;
    const before = drawn.get(half);
    if (before && before.bytes === volume.bytes && before.canvas === canvas) continue;
    try {
      const viewer = before && before.canvas === canvas ? before.viewer : viewerOn(canvas);
      viewer.radius = volume.radius;
      viewer.show(mapMesh(withEmptyBorder({ ...volume, data: bytes(volume.bytes) }), volume.level));
      drawn.set(half, { canvas, viewer, bytes: volume.bytes });
    } catch (error) { console.info(`${half}: ${error.message}`); }
  }
}

function viewerOn(canvas) {
  canvas.closest(".card").classList.add("live");
  for (const name of ["pointerdown", "keydown"]) canvas.addEventListener(name, () => { taken = true; });
  return new Viewer(canvas, camera, 1);
}

// Two clocks may differ, so the run's alone is not believed: news counts from when it came.
function tellAge() {
  const data = freshness(), written = Date.parse(data.written), clock = new Date(written).toLocaleTimeString();
  const age = Math.max(0, Date.now() - written) / 1000, here = (Date.now() - lastNews) / 1000;
  const silent = age > Math.max(SILENT_SECONDS, 4 * data.wait) && here > 2 * data.wait;
  element("freshness").classList.toggle("silent", silent || "ended" in data);
  element("freshness").textContent = "ended" in data
    ? `stopped at ${clock}`
    : silent
      ? `no news since ${clock}, for ${inWords(age)}: if the run was killed, --resume goes on`
      : `written ${clock}, ${inWords(Math.min(age, here))} ago`;
}

if (location.search.startsWith(HANDED_OVER)) {
  parent.postMessage(told(), location.protocol === "file:" ? "*" : location.origin);
} else {
  document.querySelectorAll("main > section").forEach((s) => shown.set(s.id, s.innerHTML));
  addEventListener("message", (event) => {
    if (!frame || event.source !== frame.contentWindow) return;
    frame.answered = true;
    unanswered = 0;
    takeOver(event.data);
  });
  setInterval(ask, 1000 * EVERY_SECONDS);
  setInterval(tellAge, 1000);
  document.addEventListener("visibilitychange", ask);
  if (document.documentElement.dataset.events) listenTo(new EventSource(document.documentElement.dataset.events));
  setInterval(() => { if (!taken && !document.hidden && drawn.size) camera.turn(0.012, 0); }, 60);
  draw(JSON.parse(element("scene").textContent));
  tellAge();
}
