from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryospin.errors import BadDataError
from cryospin.io.image_files import image_uid
from cryospin.io.relion_images import image_locations, image_uids
from cryospin.io.tokens import Tokens

# what RELION writes, and what it does not
numbers = st.sampled_from(["000001@", "1@", "42@", "1234567@", ""])
stacks = st.sampled_from(["a.mrcs", "./a.mrcs", "b/é.mrc:mrcs", "b/é.MRC:mrc", "x@y.mrcs", "a"])
names = st.lists(st.tuples(numbers, stacks).map("".join), min_size=1, max_size=12)


def place(name: str) -> tuple[int, str]:
    """One name after another: what the arrays must say."""
    number, at, stack = name.partition("@")
    number, stack = (number, stack) if at else ("1", name)
    for ending in (":mrcs", ":mrc"):
        stack = stack.removesuffix(ending)
    return int(number) - 1, stack


@settings(derandomize=True, deadline=None, max_examples=60)
@given(written=names.filter(lambda some: not any(name == "x@y.mrcs" for name in some)))
def test_files_slices_and_uids(written: list[str]) -> None:
    tokens = Tokens.of(written)
    files, file_index, slice_index, uids = image_locations(tokens, Path("folder/t.star"))
    places = [place(name) for name in written]
    assert slice_index.tolist() == [slice_index for slice_index, _ in places]
    assert [files[i].name for i in file_index] == [Path(stack).name for _, stack in places]
    order = [*dict.fromkeys(stack.removeprefix("./") for _, stack in places)]
    assert [str(file) for file in files] == [f"folder/{stack}" for stack in order]
    assert uids == image_uids(tokens) == tuple(image_uid(*each) for each in places)


@pytest.mark.parametrize(
    "name", ["000000@a.mrcs", "x@a.mrcs", "@a.mrcs", "1@", "1234567890@a.mrcs", "-1@a", "1@:mrcs"]
)
def test_what_is_no_name_of_an_image(name: str) -> None:
    with pytest.raises(BadDataError, match="is no image name") as refusal:
        image_locations(Tokens.of(["000001@a.mrcs", name]), Path("t.star"))
    assert refusal.value.row == 2
    assert repr(name) in refusal.value.problem
    assert image_uids(Tokens.of(["2@a.mrcs", name])) == ("000002@a.mrcs", name)
