// Brings the page to life: the map's surface with its contour level, the sphere of views, and
// slices through the volume. Where a step fails (no WebGL, an old browser), the still pictures
// that the page came with stay.
"use strict";

const scene = JSON.parse(document.getElementById("scene").textContent);
const element = (id) => document.getElementById(id);

function attempt(id, work) {
  const panel = element(id);
  if (!panel) return;
  try { work(panel); panel.classList.add("live"); } catch (error) { console.info(`${id}: ${error.message}`); }
}

// A unit sphere, dark where the particle was seen often.
function sphereMesh({ rows, columns, levels }) {
  const position = [], colour = [], triangles = [];
  for (let row = 0; row < rows; row++) for (let column = 0; column < columns; column++) {
    const tilt = Math.PI * row / (rows - 1), turn = 2 * Math.PI * column / columns;
    position.push(Math.sin(tilt) * Math.cos(turn), Math.sin(tilt) * Math.sin(turn), Math.cos(tilt));
    const place = 3 * levels[row * columns + column] / 255, from = Math.min(2, Math.floor(place));
    colour.push(...mixed(HEAT[from], HEAT[from + 1], place - from));
    if (row + 1 === rows) continue;
    const [here, next] = [row * columns + column, row * columns + (column + 1) % columns];
    triangles.push(here, next, next + columns, here, next + columns, here + columns);
  }
  const flat = Float32Array.from(position);
  return {
    position: flat, normal: flat, colour: Float32Array.from(colour),
    openness: new Float32Array(rows * columns).fill(1), triangles: Uint32Array.from(triangles),
  };
}

// One slice as grey levels; axis 0, 1, 2 is the normal x, y, z; rows are turned so that up is up.
function drawSlice(canvas, volume, axis, index) {
  const n = volume.size, [low, high] = volume.grey;
  const steps = [1, n, n * n], [across, up] = [[1, 2], [0, 2], [0, 1]][axis].map((a) => steps[a]);
  canvas.width = canvas.height = n;
  const context = canvas.getContext("2d"), picture = context.createImageData(n, n);
  for (let row = 0; row < n; row++) for (let column = 0; column < n; column++) {
    const value = volume.data[index * steps[axis] + column * across + (n - 1 - row) * up];
    const grey = 255 * (value - low) / (high - low);
    picture.data.set([grey, grey, grey, 255], 4 * (row * n + column));
  }
  context.putImageData(picture, 0, 0);
}

const volume = scene.volume, camera = new Camera(scene.views[scene.first]);

function bringViewer(panel) {
  const viewer = new Viewer(panel.querySelector("canvas"), camera, volume.radius);
  const slider = element("level"), [least, most] = [0.25 * volume.level, 0.8 * volume.high];
  const closed = withEmptyBorder(volume);
  const show = () => {
    const level = least + (most - least) * slider.value / 1000;
    viewer.show(mapMesh(closed, level));
    element("level-value").textContent = `${level.toPrecision(3)} (${(level / volume.sigma).toFixed(1)} σ)`;
  };
  slider.value = 1000 * (volume.level - least) / (most - least);
  slider.addEventListener("input", show);
  show();
  document.querySelectorAll("[data-view]").forEach((picture) => {
    const look = () => { camera.zoom = 1; camera.look(scene.views[picture.dataset.view]); };
    picture.addEventListener("click", look);
    picture.addEventListener("keydown", (event) => { if (event.key === "Enter") look(); });
  });
  element("reset").addEventListener("click", () => {
    slider.value = 1000 * (volume.level - least) / (most - least);
    camera.reset();
    show();
  });
}

function bringSphere(panel) {
  const viewer = new Viewer(panel.querySelector("canvas"), camera, 1.05, false);
  viewer.show(sphereMesh({ ...scene.sphere, levels: bytes(scene.sphere.bytes) }));
}

function bringSlices(panel) {
  const slider = element("depth"), canvases = [...panel.querySelectorAll("canvas")], middle = volume.size / 2;
  slider.max = middle - 1;
  slider.min = -slider.max;
  const show = () => {
    canvases.forEach((canvas, axis) => drawSlice(canvas, volume, axis, middle + Number(slider.value)));
    element("depth-value").textContent = `${(slider.value * volume.voxel).toFixed(0)} Å`;
  };
  slider.addEventListener("input", show);
  show();
}

// after the first paint: the page can be read before its programs have run
setTimeout(() => {
  volume.data = bytes(volume.bytes);
  attempt("slices", bringSlices);
  attempt("viewer", bringViewer);
  attempt("sphere", bringSphere);
  document.documentElement.dataset.ready = performance.now().toFixed(0);
}, 0);
