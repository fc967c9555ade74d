// A small WebGL viewer: meshes with coloured vertices under one orthographic camera that several
// canvases share, so that what is turned in one turns in all. View x is to the right, view y down
// and view z away, as in the page's pictures: right-handed, a map keeps its hand.
"use strict";

const VERTEX_SHADER = `
attribute vec3 position, normal, colour;
attribute float openness;
uniform mat3 rotation;
uniform float scale, depth;
varying vec3 facing, tint;
varying float open;
void main() {
  vec3 view = rotation * position;
  facing = rotation * normal;
  tint = colour;
  open = openness;
  gl_Position = vec4(view.x * scale, -view.y * scale, view.z * depth, 1.0);
}`;
// lit from the upper left, as report.surface lights its pictures
const FRAGMENT_SHADER = `
precision mediump float;
varying vec3 facing, tint;
varying float open;
void main() {
  vec3 normal = normalize(facing), light = normalize(vec3(-0.45, -0.60, -0.66));
  float lambert = max(dot(normal, light), 0.0);
  float highlight = pow(max(dot(normal, normalize(light + vec3(0.0, 0.0, -1.0))), 0.0), 40.0);
  vec3 lit = pow(tint, vec3(2.2)) * (0.55 * open + 0.65 * lambert * (0.3 + 0.7 * open));
  gl_FragColor = vec4(pow(lit + 0.08 * highlight * open, vec3(1.0 / 2.2)), 1.0);
}`;
const ATTRIBUTES = { position: 3, normal: 3, colour: 3, openness: 1 };

// rotation: nine numbers, row by row, of x_view = R x_object.
class Camera {
  constructor(rotation) {
    this.first = rotation;
    this.viewers = [];
    this.reset();
  }
  reset() { this.look(this.first); this.zoom = 1; }
  look(rotation) { this.rotation = Float64Array.from(rotation); this.redraw(); }
  // a turn by what a finger moved, in radians, around the view's own axes
  turn(right, down) {
    const [a, b, c, d] = [Math.cos(right), Math.sin(right), Math.cos(down), Math.sin(down)];
    // the near side (-z) follows the finger
    this.look(product([1, 0, 0, 0, c, -d, 0, d, c], product([a, 0, -b, 0, 1, 0, b, 0, a], this.rotation)));
  }
  magnify(factor) { this.zoom = Math.min(8, Math.max(0.5, this.zoom * factor)); this.redraw(); }
  redraw() {
    if (this.waiting || !this.viewers.length) return;
    this.waiting = requestAnimationFrame(() => { this.waiting = 0; this.viewers.forEach((v) => v.draw()); });
  }
}

function product(a, b) {
  const entry = (row, column) => [0, 1, 2].reduce((sum, k) => sum + a[3 * row + k] * b[3 * k + column], 0);
  return Array.from({ length: 9 }, (_, i) => entry(Math.floor(i / 3), i % 3));
}

// radius: of what must fit into the canvas, in the mesh's units. zooms: whether it obeys the zoom.
class Viewer {
  constructor(canvas, camera, radius, zooms = true) {
    Object.assign(this, { canvas, camera, radius, zooms });
    const options = { antialias: true, alpha: true, preserveDrawingBuffer: true };
    const gl = this.gl = canvas.getContext("webgl", options);
    if (!gl || !gl.getExtension("OES_element_index_uint")) throw new Error("no WebGL");
    this.program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX_SHADER], [gl.FRAGMENT_SHADER, FRAGMENT_SHADER]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(this.program, shader);
    }
    gl.linkProgram(this.program);
    if (!gl.getProgramParameter(this.program, gl.LINK_STATUS)) throw new Error("no WebGL program");
    gl.useProgram(this.program);
    gl.enable(gl.DEPTH_TEST);
    this.buffers = {};
    for (const name of [...Object.keys(ATTRIBUTES), "triangles"]) this.buffers[name] = gl.createBuffer();
    camera.viewers.push(this);
    new ResizeObserver(() => camera.redraw()).observe(canvas);
    listen(canvas, camera);
  }
  // mesh: flat arrays by the names of ATTRIBUTES, and triangles.
  show(mesh) {
    const gl = this.gl;
    for (const [name, width] of Object.entries(ATTRIBUTES)) {
      const place = gl.getAttribLocation(this.program, name);
      gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[name]);
      gl.bufferData(gl.ARRAY_BUFFER, mesh[name], gl.DYNAMIC_DRAW);
      gl.enableVertexAttribArray(place);
      gl.vertexAttribPointer(place, width, gl.FLOAT, false, 0, 0);
    }
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, this.buffers.triangles);
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, mesh.triangles, gl.DYNAMIC_DRAW);
    this.count = mesh.triangles.length;
    this.draw();
  }
  draw() {
    const gl = this.gl, side = Math.round(this.canvas.clientWidth * Math.min(devicePixelRatio || 1, 2));
    if (!side || this.count === undefined) return;
    if (this.canvas.width !== side) this.canvas.width = this.canvas.height = side;
    gl.viewport(0, 0, side, side);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    const [a, b, c, d, e, f, g, h, i] = this.camera.rotation, place = (name) => gl.getUniformLocation(this.program, name);
    gl.uniformMatrix3fv(place("rotation"), false, [a, d, g, b, e, h, c, f, i]);
    gl.uniform1f(place("scale"), (this.zooms ? this.camera.zoom : 1) / this.radius);
    gl.uniform1f(place("depth"), 0.5 / this.radius);
    gl.drawElements(gl.TRIANGLES, this.count, gl.UNSIGNED_INT, 0);
  }
}

// Drag turns, two fingers or the wheel zoom, a double click resets; arrows, + and - do it by key.
// The wheel zooms only once the canvas was clicked, and an upward swipe scrolls (touch-action in
// the style sheet): a reader who scrolls by must not get stuck.
function listen(canvas, camera) {
  const fingers = new Map();
  const apart = () => { const [p, q] = fingers.values(); return Math.hypot(p.x - q.x, p.y - q.y); };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    canvas.focus({ preventScroll: true });
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const now = { x: event.clientX, y: event.clientY }, distance = fingers.size === 2 ? apart() : 0;
    fingers.set(event.pointerId, now);
    if (distance) camera.magnify(apart() / distance);
    else if (fingers.size === 1) {
      const perPixel = 3.5 / canvas.clientWidth;
      camera.turn((now.x - before.x) * perPixel, (now.y - before.y) * perPixel);
    }
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => fingers.delete(event.pointerId));
  canvas.addEventListener("wheel", (event) => {
    if (document.activeElement !== canvas) return;
    event.preventDefault();
    camera.magnify(Math.exp(-0.0015 * event.deltaY));
  }, { passive: false });
  canvas.addEventListener("dblclick", () => { camera.reset(); });
  const turns = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] };
  canvas.addEventListener("keydown", (event) => {
    if (turns[event.key]) camera.turn(...turns[event.key]);
    else if (event.key === "+" || event.key === "-") camera.magnify(event.key === "+" ? 1.15 : 1 / 1.15);
    else return;
    event.preventDefault();
  });
}
