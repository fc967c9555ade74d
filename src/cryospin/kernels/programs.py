"""What the Triton programs for NVIDIA cards share. A program is run for each particle, or for each
block of one: `volume_programs`, `pose_programs`, `grid_programs`.

Complex arrays are walked as words of 64 bits, (re, im), taken apart in registers: half as many
loads. Places in large arrays are counted in 64 bits. Loops over bounds known at run time are
written with `while`: Triton's interpreter, in which the tests run without a card, has no other.

Numbers that vary from call to call (radius, lengths, strides) are not specialised on, or each
would cost a compilation of about a second.

Annotations stay objects in all of these modules: the interpreter looks for tl.constexpr among
them.
"""

from typing import Any

import triton
import triton.language as tl

function: Any = triton.jit


def program(*varying: str) -> Any:
    """A decorator: what is launched, whose arguments `varying` are not specialised on."""
    return triton.jit(do_not_specialize=list(varying))


@function
def parts(word):
    """(re, im) of a complex number."""
    re = word.to(tl.int32).to(tl.float32, bitcast=True)
    im = (word >> 32).to(tl.int32).to(tl.float32, bitcast=True)
    return re, im


@function
def word(re, im):
    low = re.to(tl.uint32, bitcast=True).to(tl.int64)
    high = im.to(tl.int32, bitcast=True).to(tl.int64)
    return (high << 32) | low


@function
def recentred(seen, phase):
    """(re, im) of an image's coefficients with the particle moved back to the centre, conj(s) x."""
    re, im = parts(seen)
    cos, sin = tl.cos(phase), tl.sin(phase)
    return cos * re - sin * im, cos * im + sin * re
