import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryospin.io import tokens as tokens_module
from cryospin.io.decimals import parsed
from cryospin.io.tokens import Tokens, number

decimals = st.one_of(
    st.floats(-1e9, 1e9).map("{:.6f}".format),
    st.from_regex(r"[+-]?[0-9]{0,9}\.?[0-9]{0,9}", fullmatch=True),
    st.floats().map(repr),
    st.sampled_from(["", "-", "+.", "1-2", "1.2.3", "--1", "nan", "None", "1_0", " 1", "é", '"7"']),
)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(written=st.lists(decimals, min_size=1, max_size=30))
def test_bits_are_those_of_float(written: list[str]) -> None:
    """Of what is parsed; of the rest nothing is claimed."""
    values, plain = parsed(Tokens.of(written).array)
    for text, value, ok in zip(written, values.tolist(), plain.tolist(), strict=True):
        if ok:
            assert (value, math.copysign(1, value)) == (float(text), math.copysign(1, float(text)))
        else:
            assert sum(map(str.isdigit, text)) in (0, *range(16, 40)) or not plain_looking(text)


def plain_looking(text: str) -> bool:
    return text.lstrip("+-").replace(".", "", 1).isdigit() and not text.startswith(("--", "+-"))


@pytest.mark.parametrize("others", [[], ["1e5", "inf", "None", '"2.5"', "123456789012345678"]])
def test_columns_are_the_same_either_way(
    others: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = np.random.default_rng(0).normal(scale=1e4, size=20000)
    tokens = Tokens.of([*(f"{value:.6f}" for value in drawn), *others])
    monkeypatch.setattr(tokens_module, "_COMPILED_FROM", 10**9)
    plainly = tokens.numbers()
    monkeypatch.setattr(tokens_module, "_COMPILED_FROM", 0)
    np.testing.assert_array_equal(tokens.numbers(), plainly)
    np.testing.assert_array_equal(plainly[: len(drawn)], [float(text) for text in tokens[:20000]])
    np.testing.assert_array_equal(plainly[len(drawn) :], [*map(number, others)])
