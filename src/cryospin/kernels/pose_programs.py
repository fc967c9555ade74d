"""The Triton program that scores poses, and says where better ones are; see `programs`."""

import triton.language as tl

from cryospin.kernels.programs import function, program, recentred
from cryospin.kernels.volume_programs import rotation_of, sample


@function
def _turned(kx, ky, rotation, x, y, z):
    """Slopes along the object's axes, as derivatives with respect to the three turns of the view
    frame. `rotation` includes the oversampling, which makes slopes per Fourier pixel of them."""
    gx = rotation[0] * x + rotation[1] * y + rotation[2] * z
    gy = rotation[3] * x + rotation[4] * y + rotation[5] * z
    gz = rotation[6] * x + rotation[7] * y + rotation[8] * z
    return -ky * gz, kx * gz, ky * gx - kx * gy


@program(
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
    rotation = rotation_of(rotations, pose)
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
        re, re_x, re_y, re_z, im, im_x, im_y, im_z = sample(
            volume, fx, fy, rotation, margin, inside
        )
        c = tl.load(ctf + image * ctf_stride + k, inside, 0.0)
        re, im = c * re, c * im
        seen = tl.load(images + image * image_stride + k, inside, 0)
        seen_re, seen_im = recentred(seen, fx * tx + fy * ty)
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


@function
def _store_both(out, row, column, products):
    value = 2 * tl.sum(products, 0)
    tl.store(out + 5 * row + column, value)
    tl.store(out + 5 * column + row, value)
