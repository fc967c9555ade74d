import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryospin.io.tokens import Tokens, number, unquoted

steady = settings(derandomize=True, deadline=None, max_examples=60)

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=9)
numerals = st.one_of(
    st.floats().map(repr), st.integers().map(str), st.floats().map("{:.6f}".format), texts
)


@steady
@given(written=st.lists(texts, max_size=9))
def test_texts_come_back(written: list[str]) -> None:
    tokens = Tokens.of(written)
    assert [*tokens] == written and len(tokens) == len(written)
    assert tokens == written and written == tokens and tokens == Tokens.of(written)
    assert tokens != [*written, "more"]
    assert [tokens[i] for i in range(len(written))] == written
    rows = np.arange(len(written))[::-2]
    assert [*tokens[rows]] == written[::-2] and [*tokens[1:3]] == written[1:3]


@steady
@given(written=st.lists(numerals, max_size=9))
def test_numbers_are_those_of_each_token(written: list[str]) -> None:
    found = Tokens.of(written).numbers()
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [number(text) for text in written])


@pytest.mark.parametrize(
    "text", ["1", "-2.5e-3", '"7"', "1e400", "nan", "inf", "None", "", "0x10", "1,5", "1_0", "١٢"]
)
def test_what_is_a_number(text: str) -> None:
    """As Python says, quoted or not; what is not finite is none."""
    try:
        expected = float(text.strip('"'))
    except ValueError:
        expected = math.nan
    expected = expected if math.isfinite(expected) else math.nan
    for others in ([], ["1.5"], ["None"]):
        np.testing.assert_equal(Tokens.of([text, *others]).numbers()[0], expected)


@steady
@given(written=st.lists(st.sampled_from(["a", "'b c'", '"', "''", "it's", "\"d'", '"é"'])))
def test_unquoted_is_that_of_each_token(written: list[str]) -> None:
    assert Tokens.of(written).unquoted() == [unquoted(text) for text in written]


@steady
@given(written=st.lists(st.sampled_from(["b", "a", "é", "aa", ""])))
def test_distinct_texts_are_sorted(written: list[str]) -> None:
    distinct, which = Tokens.of(written).distinct()
    assert [*distinct] == sorted({*written})
    assert [distinct[int(i)] for i in which] == written


def test_which_are_one_of_some_texts() -> None:
    tokens = Tokens.of(["None", "", "x"])
    assert tokens.are("", "None").tolist() == [True, True, False]
    assert Tokens.repeated("ab", 3) == ["ab"] * 3
