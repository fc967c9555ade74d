"""Triton programs between a Fourier volume and its slices; see `programs`."""

import triton.language as tl

from cryospin.kernels.programs import function, parts, program, word


@function
def rotation_of(rotations, particle):
    """The nine numbers of one, row by row."""
    r = rotations + 9 * particle
    first, second, third = tl.load(r), tl.load(r + 1), tl.load(r + 2)
    fourth, fifth, sixth = tl.load(r + 3), tl.load(r + 4), tl.load(r + 5)
    return (
        first,
        second,
        third,
        fourth,
        fifth,
        sixth,
        tl.load(r + 6),
        tl.load(r + 7),
        tl.load(r + 8),
    )


@function
def _cell(kx, ky, rotation, margin):
    """The cell of the volume around each coefficient: fractions x, y, z within it, the sign of
    the imaginary part (-1 where the coefficient is read at its Friedel mate), and where the
    cell begins in the volume. `rotation` includes the oversampling."""
    x = kx * rotation[0] + ky * rotation[3]
    y = kx * rotation[1] + ky * rotation[4]
    z = kx * rotation[2] + ky * rotation[5]
    sign = tl.where(x < 0, -1.0, 1.0)
    x, y, z = x * sign, y * sign, z * sign
    # the fraction before the margin is added: a large sum would round it
    left, below, behind = tl.floor(x), tl.floor(y), tl.floor(z)
    row = margin + 1
    base = (behind.to(tl.int32) + margin).to(tl.int64) * (2 * margin + 1)
    base = (base + below.to(tl.int32) + margin) * row + left.to(tl.int32)
    return x - left, y - below, z - behind, sign, base


@function
def _corners(volume, base, margin, inside):
    """(re, im) at x, then at x + 1, for (y, z), (y+1, z), (y, z+1), (y+1, z+1)."""
    row = (margin + 1).to(tl.int64)
    plane = row * (2 * margin + 1)
    a, b = volume + base, volume + base + row
    c, d = a + plane, b + plane
    a0, a1 = tl.load(a, inside, 0), tl.load(a + 1, inside, 0)
    b0, b1 = tl.load(b, inside, 0), tl.load(b + 1, inside, 0)
    c0, c1 = tl.load(c, inside, 0), tl.load(c + 1, inside, 0)
    d0, d1 = tl.load(d, inside, 0), tl.load(d + 1, inside, 0)
    return a0, a1, b0, b1, c0, c1, d0, d1


@function
def _interpolate(x, y, z, a0, a1, b0, b1, c0, c1, d0, d1):
    """Value within a cell, and its slopes along x, y and z."""
    xa, xb, xc, xd = a1 - a0, b1 - b0, c1 - c0, d1 - d0
    a, b, c, d = a0 + x * xa, b0 + x * xb, c0 + x * xc, d0 + x * xd
    xlow, xhigh = xa + y * (xb - xa), xc + y * (xd - xc)
    ylow, yhigh = b - a, d - c
    low, high = a + y * ylow, c + y * yhigh
    return low + z * (high - low), xlow + z * (xhigh - xlow), ylow + z * (yhigh - ylow), high - low


@function
def sample(volume, kx, ky, rotation, margin, inside):
    """Value and slopes along the object's axes of the real part, then of the imaginary part."""
    x, y, z, sign, base = _cell(kx, ky, rotation, margin)
    a0, a1, b0, b1, c0, c1, d0, d1 = _corners(volume, base, margin, inside)
    a0, e0 = parts(a0)
    a1, e1 = parts(a1)
    b0, f0 = parts(b0)
    b1, f1 = parts(b1)
    c0, g0 = parts(c0)
    c1, g1 = parts(c1)
    d0, h0 = parts(d0)
    d1, h1 = parts(d1)
    re, re_x, re_y, re_z = _interpolate(x, y, z, a0, a1, b0, b1, c0, c1, d0, d1)
    im, im_x, im_y, im_z = _interpolate(x, y, z, e0, e1, f0, f1, g0, g1, h0, h1)
    # at a Friedel mate the slopes change sign, and so does the imaginary part
    return re, re_x * sign, re_y * sign, re_z * sign, im * sign, im_x, im_y, im_z


@program("volume", "rotations", "kx", "ky", "out", "length", "margin")
def slice_program(volume, rotations, kx, ky, out, length, margin, BLOCK: tl.constexpr):
    particle = tl.program_id(0).to(tl.int64)
    k = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = k < length
    fx, fy = tl.load(kx + k, inside, 0.0), tl.load(ky + k, inside, 0.0)
    rotation = rotation_of(rotations, particle)
    re, _, _, _, im, _, _, _ = sample(volume, fx, fy, rotation, margin, inside)
    tl.store(out + particle * length + k, word(re, im), inside)


@function
def _add(place, re, im, weight, inside, scale, HOW: tl.constexpr):
    """Add three numbers at `place`, in any order with all others.

    HOW: "atomics"; "vectors" (compute capability 9.0 and later): four floats in one
    transaction, the last of them nothing; "integers": multiples of 1 / scale, whose sum does
    not depend on the order.
    """
    if HOW == "vectors":
        tl.inline_asm_elementwise(
            """
            {
                .reg .pred inside;
                setp.ne.s32 inside, $5, 0;
                @inside red.global.add.v4.f32 [$1], {$2, $3, $4, 0f00000000};
                mov.u32 $0, 0;
            }
            """,
            "=r,l,f,f,f,r",
            [place.to(tl.int64, bitcast=True), re, im, weight, inside.to(tl.int32)],
            dtype=tl.int32,
            is_pure=False,
            pack=1,
        )
    else:
        if HOW == "integers":
            of_values, of_weights = tl.load(scale), tl.load(scale + 1)
            re, im = (re * of_values).to(tl.int64), (im * of_values).to(tl.int64)
            weight = (weight * of_weights).to(tl.int64)
        tl.atomic_add(place, re, inside, sem="relaxed")
        tl.atomic_add(place + 1, im, inside, sem="relaxed")
        tl.atomic_add(place + 2, weight, inside, sem="relaxed")


@program(
    "values",
    "weights",
    "rotations",
    "kx",
    "ky",
    "sums",
    "scale",
    "length",
    "value_stride",
    "weight_stride",
    "margin",
)
def insert_program(
    values,
    weights,
    rotations,
    kx,
    ky,
    sums,
    scale,
    length,
    value_stride,
    weight_stride,
    margin,
    HOW: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Add each coefficient to the 8 grid points around it; `sums` interleaves (re, im, weight,
    nothing), so that what is written together lies together. A block has at least as many
    coefficients as the program has threads, or "vectors" would add some of them twice."""
    particle = tl.program_id(0).to(tl.int64)
    k = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = k < length
    fx, fy = tl.load(kx + k, inside, 0.0), tl.load(ky + k, inside, 0.0)
    x, y, z, sign, base = _cell(fx, fy, rotation_of(rotations, particle), margin)
    re, im = parts(tl.load(values + particle * value_stride + k, inside, 0))
    im = im * sign
    weight = tl.load(weights + particle * weight_stride + k, inside, 0.0)
    row = (margin + 1).to(tl.int64)
    plane = row * (2 * margin + 1)
    for corner in tl.static_range(8):
        dx, dy, dz = corner % 2, corner // 2 % 2, corner // 4
        w = (x if dx else 1 - x) * (y if dy else 1 - y) * (z if dz else 1 - z)
        place = sums + 4 * (base + dz * plane + dy * row + dx)
        _add(place, w * re, w * im, w * weight, inside, scale, HOW)
