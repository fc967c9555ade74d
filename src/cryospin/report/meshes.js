// From a map as bytes to a coloured mesh, for the pages that show one.
"use strict";

const bytes = (text) => {
  const letters = atob(text), found = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) found[i] = letters.charCodeAt(i);
  return found;
};
const mixed = (from, to, part) => from.map((value, i) => value + (to[i] - value) * part);
// the colours of report.surface and of report.figures
const [CORE, MIDDLE, RIM] = [[0.95, 0.58, 0.24], [0.86, 0.84, 0.80], [0.20, 0.48, 0.74]];
const HEAT = [[0.953, 0.965, 0.980], [0.545, 0.722, 0.910], [0.169, 0.400, 0.678], [0.086, 0.208, 0.361]];

// The surface at a level, in Angstrom from the box centre, coloured by the distance from there.
function mapMesh(volume, level) {
  const mesh = isosurface(volume, level), [near, far] = volume.colour_radii;
  mesh.position = mesh.positions.map((value) => (value - volume.size / 2) * volume.voxel);
  mesh.normal = mesh.normals;
  mesh.colour = new Float32Array(mesh.position.length);
  for (let i = 0; i < mesh.position.length; i += 3) {
    const [x, y, z] = [mesh.position[i], mesh.position[i + 1], mesh.position[i + 2]];
    const radius = Math.sqrt(x * x + y * y + z * z);
    const place = Math.min(1, Math.max(0, (radius - near) / Math.max(far - near, 1e-6)));
    mesh.colour.set(place < 0.5 ? mixed(CORE, MIDDLE, 2 * place) : mixed(MIDDLE, RIM, 2 * place - 1), i);
  }
  return mesh;
}

// The border must be empty for a surface to be closed there; slices show it as it is.
function withEmptyBorder(volume) {
  const data = volume.data.slice(), n = volume.size;
  for (let a = 0; a < n; a++) for (let b = 0; b < n; b++) for (const c of [0, n - 1]) {
    data[a + n * (b + n * c)] = data[a + n * (c + n * b)] = data[c + n * (a + n * b)] = 0;
  }
  return { ...volume, data };
}
