"""Triton programs of images against a grid of poses; see `programs`."""

import triton.language as tl

from cryospin.kernels.programs import function, program, recentred


@program(
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
            x_re, x_im = recentred(x, kx0 * tx + ky0 * ty)
            y_re, y_im = recentred(y, kx1 * tx + ky1 * ty)
            value = f * c * x_re + g * d * y_re if block < 2 else f * c * x_im + g * d * y_im
            tl.store(data + block * data_block + shift * length + j, value, inside)
            shift += 1


@function
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


@program(
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


@function
def _keep_best(score, best, at, shift):
    better = score > best
    return tl.where(better, score, best), tl.where(better, shift, at)


@program("found", "near", "block", "norm_block", "count", "orientations", "hypotheses")
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
