"""The kernels in Triton, for NVIDIA cards: one program per particle, or per block of one.

Complex arrays are walked as words of 64 bits, (re, im), taken apart in registers: half as many
loads. Places in large arrays are counted in 64 bits. Loops over bounds known at run time are
written with `while`: Triton's interpreter, in which the tests run without a card, has no other.

Numbers that vary from call to call (radius, lengths, strides) are not specialised on, or each
would cost a compilation of about a second.
"""

# annotations stay objects: Triton's interpreter looks for tl.constexpr among them

from typing import Any

import triton
import triton.language as tl

_function: Any = triton.jit


def _program(*varying: str) -> Any:
    return triton.jit(do_not_specialize=list(varying))


@_function
def _parts(word):
    """(re, im) of a complex number."""
    re = word.to(tl.int32).to(tl.float32, bitcast=True)
    im = (word >> 32).to(tl.int32).to(tl.float32, bitcast=True)
    return re, im


@_function
def _word(re, im):
    low = re.to(tl.uint32, bitcast=True).to(tl.int64)
    high = im.to(tl.int32, bitcast=True).to(tl.int64)
    return (high << 32) | low


@_function
def _rotation(rotations, particle):
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


@_function
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


@_function
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


@_function
def _interpolate(x, y, z, a0, a1, b0, b1, c0, c1, d0, d1):
    """Value within a cell, and its slopes along x, y and z."""
    xa, xb, xc, xd = a1 - a0, b1 - b0, c1 - c0, d1 - d0
    a, b, c, d = a0 + x * xa, b0 + x * xb, c0 + x * xc, d0 + x * xd
    xlow, xhigh = xa + y * (xb - xa), xc + y * (xd - xc)
    ylow, yhigh = b - a, d - c
    low, high = a + y * ylow, c + y * yhigh
    return low + z * (high - low), xlow + z * (xhigh - xlow), ylow + z * (yhigh - ylow), high - low


@_function
def _sample(volume, kx, ky, rotation, margin, inside):
    """Value and slopes along the object's axes of the real part, then of the imaginary part."""
    x, y, z, sign, base = _cell(kx, ky, rotation, margin)
    a0, a1, b0, b1, c0, c1, d0, d1 = _corners(volume, base, margin, inside)
    a0, e0 = _parts(a0)
    a1, e1 = _parts(a1)
    b0, f0 = _parts(b0)
    b1, f1 = _parts(b1)
    c0, g0 = _parts(c0)
    c1, g1 = _parts(c1)
    d0, h0 = _parts(d0)
    d1, h1 = _parts(d1)
    re, re_x, re_y, re_z = _interpolate(x, y, z, a0, a1, b0, b1, c0, c1, d0, d1)
    im, im_x, im_y, im_z = _interpolate(x, y, z, e0, e1, f0, f1, g0, g1, h0, h1)
    # at a Friedel mate the slopes change sign, and so does the imaginary part
    return re, re_x * sign, re_y * sign, re_z * sign, im * sign, im_x, im_y, im_z


@_program("volume", "rotations", "kx", "ky", "out", "length", "margin")
def slice_program(volume, rotations, kx, ky, out, length, margin, BLOCK: tl.constexpr):
    particle = tl.program_id(0).to(tl.int64)
    k = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = k < length
    fx, fy = tl.load(kx + k, inside, 0.0), tl.load(ky + k, inside, 0.0)
    rotation = _rotation(rotations, particle)
    re, _, _, _, im, _, _, _ = _sample(volume, fx, fy, rotation, margin, inside)
    tl.store(out + particle * length + k, _word(re, im), inside)


@_function
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


@_program(
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
    x, y, z, sign, base = _cell(fx, fy, _rotation(rotations, particle), margin)
    re, im = _parts(tl.load(values + particle * value_stride + k, inside, 0))
    im = im * sign
    weight = tl.load(weights + particle * weight_stride + k, inside, 0.0)
    row = (margin + 1).to(tl.int64)
    plane = row * (2 * margin + 1)
    for corner in tl.static_range(8):
        dx, dy, dz = corner % 2, corner // 2 % 2, corner // 4
        w = (x if dx else 1 - x) * (y if dy else 1 - y) * (z if dz else 1 - z)
        place = sums + 4 * (base + dz * plane + dy * row + dx)
        _add(place, w * re, w * im, w * weight, inside, scale, HOW)


@_function
def _recentred(seen, phase):
    """(re, im) of an image's coefficients with the particle moved back to the centre, conj(s) x."""
    re, im = _parts(seen)
    cos, sin = tl.cos(phase), tl.sin(phase)
    return cos * re - sin * im, cos * im + sin * re


@_function
def _turned(kx, ky, rotation, x, y, z):
    """Slopes along the object's axes, as derivatives with respect to the three turns of the view
    frame. `rotation` includes the oversampling, which makes slopes per Fourier pixel of them."""
    gx = rotation[0] * x + rotation[1] * y + rotation[2] * z
    gy = rotation[3] * x + rotation[4] * y + rotation[5] * z
    gz = rotation[6] * x + rotation[7] * y + rotation[8] * z
    return -ky * gz, kx * gz, ky * gx - kx * gy


@_program(
    "volume",
    "images",
    "ctf",
    "rotations",
    "shifts",
    "index",
    "kx",
    "ky",
    "loss",
    "gradient",
    "hessian",
    "length",
    "image_stride",
    "ctf_stride",
    "margin",
    "turn",
)
def pose_program(
    volume,
    images,
    ctf,
    rotations,
    shifts,
    index,
    kx,
    ky,
    loss,
    gradient,
    hessian,
    length,
    image_stride,
    ctf_stride,
    margin,
    turn,
    DERIVATIVES: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Loss, and with DERIVATIVES its gradient and Gauss-Newton matrix, of one pose. `shifts` are
    in pixels, `turn` is 2 pi / box: the phase of a pixel's shift at the first frequency."""
    pose = tl.program_id(0).to(tl.int64)
    image = tl.load(index + pose).to(tl.int64)
    rotation = _rotation(rotations, pose)
    tx, ty = tl.load(shifts + 2 * pose) * turn, tl.load(shifts + 2 * pose + 1) * turn
    zero = tl.zeros([BLOCK], tl.float32)
    total = zero
    # sums of products with the residual, then of the derivatives with one another
    g0, g1, g2, g3, g4 = zero, zero, zero, zero, zero
    h00, h01, h02, h03, h04 = zero, zero, zero, zero, zero
    h11, h12, h13, h14 = zero, zero, zero, zero
    h22, h23, h24 = zero, zero, zero
    h33, h34, h44 = zero, zero, zero
    first = 0
    while first < length:
        k = first + tl.arange(0, BLOCK)
        inside = k < length
        fx, fy = tl.load(kx + k, inside, 0.0), tl.load(ky + k, inside, 0.0)
        re, re_x, re_y, re_z, im, im_x, im_y, im_z = _sample(
            volume, fx, fy, rotation, margin, inside
        )
        c = tl.load(ctf + image * ctf_stride + k, inside, 0.0)
        re, im = c * re, c * im
        seen = tl.load(images + image * image_stride + k, inside, 0)
        seen_re, seen_im = _recentred(seen, fx * tx + fy * ty)
        r5 = tl.where(inside, seen_re - re, 0.0)
        i5 = tl.where(inside, seen_im - im, 0.0)
        total += r5 * r5 + i5 * i5
        if DERIVATIVES:
            r0, r1, r2 = _turned(fx, fy, rotation, c * re_x, c * re_y, c * re_z)
            i0, i1, i2 = _turned(fx, fy, rotation, c * im_x, c * im_y, c * im_z)
            # d/dt exp(-2 pi i k.t / d) = -2 pi i k / d, seen from the recentred frame
            u, v = turn * fx, turn * fy
            r3, i3, r4, i4 = u * im, -u * re, v * im, -v * re
            g0 += r0 * r5 + i0 * i5
            g1 += r1 * r5 + i1 * i5
            g2 += r2 * r5 + i2 * i5
            g3 += r3 * r5 + i3 * i5
            g4 += r4 * r5 + i4 * i5
            h00 += r0 * r0 + i0 * i0
            h01 += r0 * r1 + i0 * i1
            h02 += r0 * r2 + i0 * i2
            h03 += r0 * r3 + i0 * i3
            h04 += r0 * r4 + i0 * i4
            h11 += r1 * r1 + i1 * i1
            h12 += r1 * r2 + i1 * i2
            h13 += r1 * r3 + i1 * i3
            h14 += r1 * r4 + i1 * i4
            h22 += r2 * r2 + i2 * i2
            h23 += r2 * r3 + i2 * i3
            h24 += r2 * r4 + i2 * i4
            h33 += r3 * r3 + i3 * i3
            h34 += r3 * r4 + i3 * i4
            h44 += r4 * r4 + i4 * i4
        first += BLOCK
    tl.store(loss + pose, tl.sum(total, 0))
    if DERIVATIVES:
        out = gradient + 5 * pose
        tl.store(out, -2 * tl.sum(g0, 0))
        tl.store(out + 1, -2 * tl.sum(g1, 0))
        tl.store(out + 2, -2 * tl.sum(g2, 0))
        tl.store(out + 3, -2 * tl.sum(g3, 0))
        tl.store(out + 4, -2 * tl.sum(g4, 0))
        out = hessian + 25 * pose
        _store_both(out, 0, 0, h00)
        _store_both(out, 0, 1, h01)
        _store_both(out, 0, 2, h02)
        _store_both(out, 0, 3, h03)
        _store_both(out, 0, 4, h04)
        _store_both(out, 1, 1, h11)
        _store_both(out, 1, 2, h12)
        _store_both(out, 1, 3, h13)
        _store_both(out, 1, 4, h14)
        _store_both(out, 2, 2, h22)
        _store_both(out, 2, 3, h23)
        _store_both(out, 2, 4, h24)
        _store_both(out, 3, 3, h33)
        _store_both(out, 3, 4, h34)
        _store_both(out, 4, 4, h44)


@_function
def _store_both(out, row, column, products):
    value = 2 * tl.sum(products, 0)
    tl.store(out + 5 * row + column, value)
    tl.store(out + 5 * column + row, value)


@_program(
    "images",
    "ctf",
    "shifts",
    "kx",
    "ky",
    "places",
    "factors",
    "data",
    "power",
    "data_block",
    "power_block",
    "length",
    "image_stride",
    "ctf_stride",
    "count",
    "turn",
)
def fold_program(
    images,
    ctf,
    shifts,
    kx,
    ky,
    places,
    factors,
    data,
    power,
    data_block,
    power_block,
    length,
    image_stride,
    ctf_stride,
    count,
    turn,
    BLOCK: tl.constexpr,
):
    """An image's parity blocks: of C x s* at every shift (4, b, t, length), and of C^2
    (2, b, length). places, factors: (4, 2, length), the two coefficients that each number of a
    block is made of."""
    image = tl.program_id(0).to(tl.int64)
    j = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = j < length
    images += image * image_stride
    ctf += image * ctf_stride
    data += image * count * length
    for block in tl.static_range(4):
        at = 2 * block * length + j
        k, m = tl.load(places + at, inside, 0), tl.load(places + at + length, inside, 0)
        f, g = tl.load(factors + at, inside, 0.0), tl.load(factors + at + length, inside, 0.0)
        c, d = tl.load(ctf + k), tl.load(ctf + m)
        x, y = tl.load(images + k), tl.load(images + m)
        kx0, ky0, kx1, ky1 = tl.load(kx + k), tl.load(ky + k), tl.load(kx + m), tl.load(ky + m)
        if block < 2:
            out = power + block * power_block + image * length + j
            tl.store(out, f * c * c + g * d * d, inside)
        shift = 0
        while shift < count:
            tx, ty = tl.load(shifts + 2 * shift) * turn, tl.load(shifts + 2 * shift + 1) * turn
            x_re, x_im = _recentred(x, kx0 * tx + ky0 * ty)
            y_re, y_im = _recentred(y, kx1 * tx + ky1 * ty)
            value = f * c * x_re + g * d * y_re if block < 2 else f * c * x_im + g * d * y_im
            tl.store(data + block * data_block + shift * length + j, value, inside)
            shift += 1


@_function
def _half_turned(scores, norms, block, norm_block, inside):
    """Log-likelihoods of the four half-turned orientations, from the parity blocks
    (ee, oo, oe, eo) of <x, m> and (even, odd) of |m|^2; -inf outside."""
    ee, oo = tl.load(scores, inside, 0.0), tl.load(scores + block, inside, 0.0)
    oe, eo = tl.load(scores + 2 * block, inside, 0.0), tl.load(scores + 3 * block, inside, 0.0)
    even, odd = tl.load(norms, inside, 0.0), tl.load(norms + norm_block, inside, 0.0)
    outside = tl.where(inside, 0.0, float("-inf"))
    plain, mirrored = outside - even - odd, outside - even + odd
    return (
        2 * (ee + oo + oe + eo) + plain,
        2 * (ee + oo - oe - eo) + plain,
        2 * (ee - oo - oe + eo) + mirrored,
        2 * (ee - oo + oe - eo) + mirrored,
    )


@_program(
    "evidence",
    "inverse_temperature",
    "log_hypotheses",
    "block",
    "norm_block",
    "count",
    "orientations",
)
def weigh_program(
    scores,
    norms,
    evidence,
    inverse_temperature,
    log_hypotheses,
    block,
    norm_block,
    count,
    orientations,
    BLOCK: tl.constexpr,
):
    """Turn an image's block scores (4, b, t, g) into block weights, and its norms (2, b, g) into
    the weights' sums over shifts, both in place.

    Blocks (ee, oo, oe, eo) combine into the log-likelihoods of the four half-turned
    orientations, those into posterior weights, and the weights back into blocks.
    block, norm_block: how far apart blocks lie, b t g and b g.
    """
    image = tl.program_id(0).to(tl.int64)
    scores += image * count * orientations
    norms += image * orientations
    top, total = tl.full([BLOCK], -1e30, tl.float32), tl.zeros([BLOCK], tl.float32)
    first = 0
    while first < orientations:
        g = first + tl.arange(0, BLOCK)
        inside = g < orientations
        shift = 0
        while shift < count:
            l0, l1, l2, l3 = _half_turned(
                scores + shift * orientations + g, norms + g, block, norm_block, inside
            )
            l0, l1 = l0 * inverse_temperature, l1 * inverse_temperature
            l2, l3 = l2 * inverse_temperature, l3 * inverse_temperature
            higher = tl.maximum(top, tl.maximum(tl.maximum(l0, l1), tl.maximum(l2, l3)))
            total = total * tl.exp(top - higher) + (
                tl.exp(l0 - higher)
                + tl.exp(l1 - higher)
                + tl.exp(l2 - higher)
                + tl.exp(l3 - higher)
            )
            top = higher
            shift += 1
        first += BLOCK
    best = tl.max(top, 0)
    whole = tl.sum(total * tl.exp(top - best), 0)
    tl.store(evidence + image, best + tl.log(whole) - log_hypotheses)
    share = 1 / whole
    first = 0
    while first < orientations:
        g = first + tl.arange(0, BLOCK)
        inside = g < orientations
        even, odd = tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.float32)
        shift = 0
        while shift < count:
            at = scores + shift * orientations + g
            l0, l1, l2, l3 = _half_turned(at, norms + g, block, norm_block, inside)
            w0 = tl.exp(l0 * inverse_temperature - best) * share
            w1 = tl.exp(l1 * inverse_temperature - best) * share
            w2 = tl.exp(l2 * inverse_temperature - best) * share
            w3 = tl.exp(l3 * inverse_temperature - best) * share
            tl.store(at, w0 + w1 + w2 + w3, inside)
            tl.store(at + block, w0 + w1 - w2 - w3, inside)
            tl.store(at + 2 * block, w0 - w1 - w2 + w3, inside)
            tl.store(at + 3 * block, w0 - w1 + w2 - w3, inside)
            even += w0 + w1 + w2 + w3
            odd += w0 + w1 - w2 - w3
            shift += 1
        tl.store(norms + g, even, inside)
        tl.store(norms + norm_block + g, odd, inside)
        first += BLOCK


@_function
def _keep_best(score, best, at, shift):
    better = score > best
    return tl.where(better, score, best), tl.where(better, shift, at)


@_program("found", "near", "block", "norm_block", "count", "orientations", "hypotheses")
def peaks_program(
    scores,
    norms,
    quaternions,
    near,
    best_scores,
    best_shifts,
    found,
    block,
    norm_block,
    count,
    orientations,
    hypotheses,
    BLOCK: tl.constexpr,
):
    """Greedy peaks of an image: the best hypothesis, then the best of those not near one taken.

    quaternions: (4, 4 g), a component's after another's. best_scores, best_shifts: (b, 4, g),
    room to work in: every orientation's best score and the shift it is at.
    """
    image = tl.program_id(0).to(tl.int64)
    scores += image * count * orientations
    norms += image * orientations
    best_scores += image * 4 * orientations
    best_shifts += image * 4 * orientations
    first = 0
    while first < orientations:
        g = first + tl.arange(0, BLOCK)
        inside = g < orientations
        b0 = tl.full([BLOCK], float("-inf"), tl.float32)
        s0 = tl.zeros([BLOCK], tl.int32)
        b1, b2, b3, s1, s2, s3 = b0, b0, b0, s0, s0, s0
        shift = 0
        while shift < count:
            l0, l1, l2, l3 = _half_turned(
                scores + shift * orientations + g, norms + g, block, norm_block, inside
            )
            b0, s0 = _keep_best(l0, b0, s0, shift)
            b1, s1 = _keep_best(l1, b1, s1, shift)
            b2, s2 = _keep_best(l2, b2, s2, shift)
            b3, s3 = _keep_best(l3, b3, s3, shift)
            shift += 1
        tl.store(best_scores + g, b0, inside)
        tl.store(best_scores + orientations + g, b1, inside)
        tl.store(best_scores + 2 * orientations + g, b2, inside)
        tl.store(best_scores + 3 * orientations + g, b3, inside)
        tl.store(best_shifts + g, s0, inside)
        tl.store(best_shifts + orientations + g, s1, inside)
        tl.store(best_shifts + 2 * orientations + g, s2, inside)
        tl.store(best_shifts + 3 * orientations + g, s3, inside)
        first += BLOCK
    every = 4 * orientations
    # the last peak; none yet, and nothing is near it
    qx, qy, qz, qw = 0.0, 0.0, 0.0, 0.0
    peak = 0
    while peak < hypotheses:
        # what other threads of the program wrote is read from here on
        tl.debug_barrier()
        best = tl.full([BLOCK], float("-inf"), tl.float32)
        at = tl.zeros([BLOCK], tl.int32)
        first = 0
        while first < every:
            j = first + tl.arange(0, BLOCK)
            inside = j < every
            score = tl.load(best_scores + j, inside, float("-inf"))
            dot = qx * tl.load(quaternions + j, inside, 0.0)
            dot += qy * tl.load(quaternions + every + j, inside, 0.0)
            dot += qz * tl.load(quaternions + 2 * every + j, inside, 0.0)
            dot += qw * tl.load(quaternions + 3 * every + j, inside, 0.0)
            score = tl.where(tl.abs(dot) > near, float("-inf"), score)
            tl.store(best_scores + j, score, inside)
            best, at = _keep_best(score, best, at, j)
            first += BLOCK
        # of equals the first
        chosen = tl.min(tl.where(best == tl.max(best, 0), at, every), 0)
        qx, qy = tl.load(quaternions + chosen), tl.load(quaternions + every + chosen)
        qz = tl.load(quaternions + 2 * every + chosen)
        qw = tl.load(quaternions + 3 * every + chosen)
        out = found + (image * hypotheses + peak) * 3
        tl.store(out, (chosen // orientations).to(tl.int64))
        tl.store(out + 1, (chosen % orientations).to(tl.int64))
        tl.store(out + 2, tl.load(best_shifts + chosen).to(tl.int64))
        peak += 1
