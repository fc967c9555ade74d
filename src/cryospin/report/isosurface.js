// Isosurface of a density by naive surface nets (Gibson 1998): one vertex in each cell that the
// surface crosses, at the mean of its crossings; one quad around each crossed grid edge. It has
// half the triangles of marching cubes and better-shaped ones, and is made anew in some tens of
// milliseconds when the contour level is moved. Loops are plain where they run over all voxels.
"use strict";

// corner c of a cell lies at x = c & 1, y = c >> 1 & 1, z = c >> 2; edges join corners one apart
const EDGES = [];
for (let a = 0; a < 8; a++) for (const axis of [1, 2, 4]) if (!(a & axis)) EDGES.push([a, a | axis]);

// volume: {data: Uint8Array [z, y, x], size, low, high}; level in the map's units.
// Returns positions and normals in voxels, openness in [0, 1] (how much sky a vertex sees), and
// triangles, as flat typed arrays.
function isosurface(volume, level) {
  const n = volume.size, data = volume.data;
  const threshold = 255 * (level - volume.low) / (volume.high - volume.low);
  const solid = new Uint8Array(data.length);
  for (let i = 0; i < data.length; i++) solid[i] = data[i] >= threshold ? 1 : 0;
  const vertexOf = new Int32Array(data.length).fill(-1), positions = [], triangles = [];
  const down = n, deep = n * n, steps = [1, down, deep];
  for (let z = 0; z < n - 1; z++) for (let y = 0; y < n - 1; y++) {
    let at = n * (y + n * z);
    // of the eight corners' bits the four at x become known as those at x + 1 of the cell before
    let inside = (solid[at] | solid[at + down] << 2 | solid[at + deep] << 4 | solid[at + down + deep] << 6) << 1;
    for (let x = 0; x < n - 1; x++, at++) {
      const next = at + 1;
      inside = inside >> 1 & 0x55 | solid[next] << 1 | solid[next + down] << 3 | solid[next + deep] << 5 | solid[next + down + deep] << 7;
      if (inside === 0 || inside === 255) continue;
      vertexOf[at] = positions.length / 3;
      pushVertex(positions, data, n, at, x, y, z, inside, threshold);
      // the three grid edges that leave this cell's first corner; the cells around each are known
      for (let axis = 0; axis < 3; axis++) {
        if ((inside & 1) === (inside >> (1 << axis) & 1)) continue;
        const u = steps[(axis + 1) % 3], v = steps[(axis + 2) % 3];
        const a = vertexOf[at], b = vertexOf[at - u], c = vertexOf[at - u - v], d = vertexOf[at - v];
        if (b >= 0 && c >= 0 && d >= 0) triangles.push(a, b, c, a, c, d);
      }
    }
  }
  const surface = { positions: Float32Array.from(positions), triangles: Uint32Array.from(triangles) };
  surface.normals = outwardNormals(volume, surface.positions);
  surface.openness = openness(solid, n, surface);
  return surface;
}

function pushVertex(positions, data, n, at, x, y, z, inside, threshold) {
  const value = (corner) => data[at + (corner & 1) + n * ((corner >> 1 & 1) + n * (corner >> 2))];
  let px = 0, py = 0, pz = 0, crossings = 0;
  for (const [a, b] of EDGES) {
    if ((inside >> a & 1) === (inside >> b & 1)) continue;
    const from = value(a), part = (threshold - from) / (value(b) - from), axis = a ^ b;
    px += (a & 1) + (axis === 1 ? part : 0);
    py += (a >> 1 & 1) + (axis === 2 ? part : 0);
    pz += (a >> 2) + (axis === 4 ? part : 0);
    crossings++;
  }
  positions.push(x + px / crossings, y + py / crossings, z + pz / crossings);
}

// Unit vectors down the density's gradient, by central differences around each vertex.
function outwardNormals(volume, positions) {
  const normals = new Float32Array(positions.length);
  for (let i = 0; i < positions.length; i += 3) {
    const x = positions[i], y = positions[i + 1], z = positions[i + 2];
    const gx = sampled(volume, x - 1, y, z) - sampled(volume, x + 1, y, z);
    const gy = sampled(volume, x, y - 1, z) - sampled(volume, x, y + 1, z);
    const gz = sampled(volume, x, y, z - 1) - sampled(volume, x, y, z + 1);
    const length = Math.sqrt(gx * gx + gy * gy + gz * gz) || 1;
    normals[i] = gx / length;
    normals[i + 1] = gy / length;
    normals[i + 2] = gz / length;
  }
  return normals;
}

// Trilinear; beyond the box as at its border.
function sampled({ data, size: n }, x, y, z) {
  x = Math.min(Math.max(x, 0), n - 1.001);
  y = Math.min(Math.max(y, 0), n - 1.001);
  z = Math.min(Math.max(z, 0), n - 1.001);
  const i = x | 0, j = y | 0, k = z | 0, u = x - i, v = y - j, w = z - k;
  let total = 0;
  for (let c = 0; c < 2; c++) for (let b = 0; b < 2; b++) {
    const at = i + n * (j + b + n * (k + c));
    total += (data[at] * (1 - u) + data[at + 1] * u) * (b ? v : 1 - v) * (c ? w : 1 - w);
  }
  return total;
}

// The share of empty space in a cube a little above each vertex: what shades grooves and channels.
function openness(solid, n, { positions, normals }) {
  const reach = Math.max(2, Math.round(n / 16));
  let means = Float32Array.from(solid);
  for (let axis = 0; axis < 3; axis++) means = runningMeans(means, n, n ** axis, reach);
  const blurred = { data: means, size: n }, open = new Float32Array(positions.length / 3);
  for (let i = 0; i < open.length; i++) {
    const [x, y, z] = [0, 1, 2].map((axis) => positions[3 * i + axis] + reach * normals[3 * i + axis]);
    open[i] = Math.max(0, 1 - 1.6 * sampled(blurred, x, y, z));
  }
  return open;
}

// Mean over 2 reach + 1 voxels along the axis of the given step; beyond the box there is nothing.
function runningMeans(values, n, step, reach) {
  const means = new Float32Array(values.length), share = 1 / (2 * reach + 1), period = n * step;
  for (let block = 0; block < values.length; block += period) for (let start = block; start < block + step; start++) {
    let sum = 0;
    for (let i = -reach; i < n; i++) {
      if (i + reach < n) sum += values[start + (i + reach) * step];
      if (i > reach) sum -= values[start + (i - reach - 1) * step];
      if (i >= 0) means[start + i * step] = sum * share;
    }
  }
  return means;
}
