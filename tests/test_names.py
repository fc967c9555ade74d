import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cryospin.names import ImageNames, chosen

STACKS = ("a.mrcs", "b/a.mrcs", "unused.mrcs", "é.mrcs", "b/a.mrcs")
places = st.lists(st.tuples(st.sampled_from([0, 1, 3, 4]), st.integers(0, 1234567)), max_size=20)


def names_of(some: list[tuple[int, int]]) -> ImageNames:
    stack, number = np.array(some, dtype=np.int64).reshape(-1, 2).T
    return ImageNames.of(STACKS, stack, number)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(some=places)
def test_names_are_as_if_written_one_by_one(some: list[tuple[int, int]]) -> None:
    written = tuple(f"{i:06d}@{STACKS[k]}" if i else STACKS[k] for k, i in some)
    names = names_of(some)
    assert len(names) == len(written) and tuple(names) == written
    assert names == written and written == names and names == names_of(some)
    assert names != (*written, "more") and tuple(names[i] for i in range(len(names))) == written
    rows = np.arange(len(names))[::2]
    assert names[rows] == written[::2] == names[::2] == chosen(written, rows)
    assert chosen(names, rows[::-1]) == written[::2][::-1]
    if written:
        assert written[-1] in names and names.index(written[-1]) == written.index(written[-1])


@settings(derandomize=True, deadline=None, max_examples=60)
@given(some=places)
def test_only_stacks_in_use_are_kept_and_each_once(some: list[tuple[int, int]]) -> None:
    names = names_of(some)
    assert sorted(names.stacks) == sorted({STACKS[k] for k, _ in some})
    few = names[np.arange(len(names))[:1]]
    assert len(few.stacks) == min(len(names), 1)


def test_more_names_than_are_made_at_once() -> None:
    names = ImageNames.of(("a",), np.zeros(10000, dtype=np.int64), np.arange(1, 10001))
    assert [*names] == [f"{i:06d}@a" for i in range(1, 10001)]
