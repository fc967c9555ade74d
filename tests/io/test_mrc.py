import warnings
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cryospin.errors import BadDataError, CryospinError, ResourceError
from cryospin.io.mrc import StackWriter, read_images, read_map, write_map
from cryospin.io.mrc_header import read_header
from cryospin.optics import CtfParameters, Optics
from cryospin.types import DensityMap, ParticleStack

BOX = 6


def pixels(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, 20.0, (count, BOX, BOX)).astype(np.float32)


def stack_of(
    files: list[Path], file_index: list[int], slice_index: list[int], box: int = BOX
) -> ParticleStack:
    ones = torch.ones(len(file_index))
    return ParticleStack(
        source=Path("in.star"),
        table=None,
        rows=np.arange(len(file_index)),
        uids=tuple(map(str, range(len(file_index)))),
        files=tuple(files),
        file_index=np.array(file_index),
        slice_index=np.array(slice_index),
        box=box,
        pixel_size_angstrom=1.5,
        optics=(Optics("a", 1.5, 300.0, 2.7, 0.1),),
        optics_group=np.zeros(len(file_index), dtype=np.int64),
        ctf=CtfParameters(*[ones] * 7),
    )


def write_stack(
    path: Path,
    images: np.ndarray,
    byte_order: str = "<",
    extra: int = 0,
    told: tuple[float, float, float] | None = None,
    imod: tuple[int, int] | None = None,
) -> None:
    """A stack in the type of `images`, as old software writes it: no stamp, no MAP id.

    told: the header's smallest, largest and mean value; imod: IMOD's stamp and flags.
    """
    header = np.zeros((), dtype=mrcfile.dtypes.HEADER_DTYPE.newbyteorder(byte_order))
    header["nz"], header["ny"], header["nx"] = images.shape
    kinds = {"i1": 0, "u1": 0, "i2": 1, "f4": 2, "u2": 6, "f2": 12}
    header["mode"] = kinds[images.dtype.str[1:]]
    header["nsymbt"] = extra
    if told is not None:
        header["dmin"], header["dmax"], header["dmean"] = told
    if imod is not None:
        words = np.array(imod, dtype=byte_order + "i4").tobytes()
        header["extra2"] = bytes(40) + words + bytes(36)
    data = images.astype(images.dtype.newbyteorder(byte_order))
    path.write_bytes(header.tobytes() + bytes(extra) + data.tobytes())


@pytest.mark.parametrize("extra", [0, 160])
@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("kind", ["i1", "i2", "f4", "u2", "f2"])
def test_all_modes_and_byte_orders(tmp_path: Path, kind: str, byte_order: str, extra: int) -> None:
    images = np.abs(pixels(3)).astype(kind)
    write_stack(tmp_path / "a.mrcs", images, byte_order, extra)
    stack = stack_of([tmp_path / "a.mrcs"], [0, 0, 0], [0, 1, 2])
    read = read_images(stack, np.arange(3))
    assert read.dtype == torch.float32
    np.testing.assert_array_equal(read.numpy(), images.astype(np.float32))


@pytest.mark.parametrize("kind", ["i1", "f4"])
def test_any_order_of_slices(tmp_path: Path, kind: str) -> None:
    """Runs of neighbours are read in one piece; a slice may be asked for twice."""
    images = np.stack([pixels(3), pixels(3) + 1, pixels(3) + 2]).reshape(9, BOX, BOX).astype(kind)
    for name, part in zip("ab", np.split(images, [5]), strict=True):
        write_stack(tmp_path / f"{name}.mrcs", part, "<", 0)
    files, slices = np.repeat([0, 1], [5, 4]), np.concatenate([np.arange(5), np.arange(4)])
    stack = stack_of([tmp_path / "a.mrcs", tmp_path / "b.mrcs"], files.tolist(), slices.tolist())
    index = np.array([4, 0, 1, 2, 2, 8, 3, 6, 7, 5])
    read = read_images(stack, index).numpy()
    np.testing.assert_array_equal(read, images[index].astype(np.float32))


STAMP = 1146047817


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize(
    ("told", "imod", "kind", "reason"),
    [
        # IMOD's flag decides, whatever else the header says
        ((0, 255, 128), (STAMP, 0), "u1", "unsigned bytes (IMOD's flag)"),
        (None, (STAMP, 0), "u1", "unsigned bytes (IMOD's flag)"),
        ((0, 100, 50), (STAMP, 2), "u1", "unsigned bytes (IMOD's flag)"),
        ((0, 255, 128), (STAMP, 1), "i1", "signed bytes (IMOD's flag)"),
        ((-128, 127, 0), (STAMP, 3), "i1", "signed bytes (IMOD's flag)"),
        # without its stamp the flags are nothing
        ((-128, 127, 0), (7, 0), "i1", "signed bytes (MRC2014)"),
        ((0, 255, 128), (7, 1), "u1", "unsigned bytes (the header's largest value is 255)"),
        ((12, 128, 90.5), None, "u1", "unsigned bytes (the header's largest value is 128)"),
        # nothing of this needs more than a signed byte, or is of bytes at all
        (None, None, "i1", "signed bytes (MRC2014)"),
        ((0, 127, 60), None, "i1", "signed bytes (MRC2014)"),
        ((-1, 200, 60), None, "i1", "signed bytes (MRC2014)"),
        ((0, 4000, 60), None, "i1", "signed bytes (MRC2014)"),
        ((0, 200, 300), None, "i1", "signed bytes (MRC2014)"),
        ((float("nan"), 200, 100), None, "i1", "signed bytes (MRC2014)"),
    ],
)
def test_whether_bytes_are_signed(
    tmp_path: Path,
    told: tuple[float, float, float] | None,
    imod: tuple[int, int] | None,
    kind: str,
    reason: str,
    byte_order: str,
) -> None:
    images = np.arange(3 * BOX * BOX).reshape(3, BOX, BOX).astype("u1") + np.uint8(90)
    write_stack(tmp_path / "a.mrcs", images, byte_order, 0, told, imod)
    header = read_header(tmp_path / "a.mrcs")
    assert (header.dtype.kind, header.number_format) == (kind[0], reason)
    read = read_images(stack_of([tmp_path / "a.mrcs"], [0] * 3, [0, 1, 2]), np.arange(3))
    np.testing.assert_array_equal(read.numpy(), images.view(kind).astype(np.float32))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("i2", "16-bit integers"),
        ("f4", "32-bit floats"),
        ("u2", "unsigned 16-bit integers"),
        ("f2", "16-bit floats"),
    ],
)
def test_other_numbers_are_what_their_mode_says(tmp_path: Path, kind: str, words: str) -> None:
    """Only bytes are in doubt."""
    write_stack(tmp_path / "a.mrcs", np.ones((2, 4, 4), kind), told=(0, 255, 9), imod=(STAMP, 0))
    header = read_header(tmp_path / "a.mrcs")
    assert (header.dtype.str[1:], header.number_format) == (kind, words)


def test_images_come_in_the_order_asked_for(tmp_path: Path) -> None:
    first, second = pixels(4, seed=1), pixels(3, seed=2)
    files = [tmp_path / "a.mrcs", tmp_path / "b.mrcs"]
    write_stack(files[0], first)
    write_stack(files[1], second)
    places = [(1, 2), (0, 3), (1, 0), (0, 0), (0, 3)]
    stack = stack_of(files, [f for f, _ in places], [s for _, s in places])
    index = np.array([4, 0, 2, 1, 3])
    expected = [(first, second)[places[i][0]][places[i][1]] for i in index]
    np.testing.assert_array_equal(read_images(stack, index).numpy(), expected)
    assert read_images(stack, index[:0]).shape == (0, BOX, BOX)


def test_stacks_that_do_not_fit_the_table(tmp_path: Path) -> None:
    path = tmp_path / "a.mrcs"
    write_stack(path, pixels(3))
    stack = stack_of([path], [0], [3])
    with pytest.raises(BadDataError, match="image 4 of a stack of 3"):
        read_images(stack, np.array([0]))
    with pytest.raises(BadDataError, match="images are 6 x 6, not 8"):
        read_images(replace(stack, box=8), np.array([0]))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BadDataError, match="truncated: .* 1 fewer"):
        read_images(stack, np.array([0]))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(BadDataError, match="1000 bytes are too few"):
        read_images(stack, np.array([0]))
    path.unlink()
    with pytest.raises(BadDataError, match="No such file"):
        read_images(stack, np.array([0]))


def test_files_that_are_no_mrc(tmp_path: Path) -> None:
    path = tmp_path / "a.mrcs"
    path.write_bytes(b"data_particles\n" * 100)
    with pytest.raises(BadDataError, match="not an MRC file"):
        read_header(path)
    path.write_bytes(bytes(2000))
    with pytest.raises(BadDataError, match="not an MRC file"):
        read_header(path)
    mrcfile.write(path, np.zeros((2, 2, 2), np.complex64), overwrite=True)
    with pytest.raises(BadDataError, match="mode 4 is not supported"):
        read_header(path)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(words=st.dictionaries(st.integers(0, 24), st.integers(-(2**31), 2**31 - 1), max_size=4))
def test_headers_of_nonsense_raise_our_errors_only(
    tmp_path_factory: pytest.TempPathFactory, words: dict[int, int]
) -> None:
    path = tmp_path_factory.getbasetemp() / "nonsense.mrc"
    write_map(path, DensityMap(torch.from_numpy(pixels(BOX)), 1.0))
    content = np.frombuffer(path.read_bytes(), "<i4").copy()
    content[list(words)] = list(words.values())
    path.write_bytes(content.tobytes())
    try:
        read_map(path)
    except CryospinError as error:
        assert error.exit_code == 3


def test_stack_writer(tmp_path: Path) -> None:
    images = pixels(5)
    with StackWriter(tmp_path / "a.mrcs", BOX, 1.5, 5) as writer:
        writer.append(images[:2])
        writer.append(images[2:2])
        writer.append(images[2:].astype(np.float64))
        assert not (tmp_path / "a.mrcs").exists()
    with mrcfile.open(tmp_path / "a.mrcs") as other:
        np.testing.assert_array_equal(other.data, images)
        assert other.is_image_stack()
        assert other.voxel_size.x == other.voxel_size.z == pytest.approx(1.5)
        assert other.header.rms == pytest.approx(images.std(), rel=1e-6)
        assert (other.header.dmin, other.header.dmax) == (images.min(), images.max())
    assert mrcfile.validate(tmp_path / "a.mrcs")


def test_stack_writer_wants_what_was_announced(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="3 of 5 images were written"),
        StackWriter(tmp_path / "a.mrcs", BOX, 1.5, 5) as writer,
    ):
        writer.append(pixels(3))
    with (
        pytest.raises(ValueError, match="after 3 of"),
        StackWriter(tmp_path / "a.mrcs", BOX, 1.5, 5) as writer,
    ):
        writer.append(pixels(3))
        writer.append(pixels(3))
    with pytest.raises(KeyboardInterrupt), StackWriter(tmp_path / "a.mrcs", BOX, 1.5, 5) as writer:
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_stack_writer_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    writer = StackWriter(tmp_path / "file" / "a.mrcs", BOX, 1.5, 5)
    with pytest.raises(ResourceError, match="a part of this path is a file"), writer:
        raise AssertionError("the block must not run")


def test_disk_filling_up_while_writing(tmp_path: Path) -> None:
    with (
        pytest.raises(ResourceError, match="the disk is full"),
        # stands for a disk that fills up: every flush to this device fails so
        open("/dev/full", "wb", buffering=0) as full,
        StackWriter(tmp_path / "a.mrcs", BOX, 1.5, 100) as writer,
    ):
        writer._output.close()
        writer._output = full
        writer.append(pixels(100))
    assert list(tmp_path.iterdir()) == []


def test_map_round_trip_and_header(tmp_path: Path) -> None:
    density = DensityMap(torch.from_numpy(pixels(BOX)), 1.25)
    write_map(tmp_path / "map.mrc", density)
    again = read_map(tmp_path / "map.mrc")
    assert torch.equal(again.values, density.values)
    assert again.pixel_size_angstrom == pytest.approx(1.25)
    with mrcfile.open(tmp_path / "map.mrc") as other:
        header = other.header
        assert (header.mode, header.ispg, header.nversion) == (2, 1, 20140)
        assert (header.mapc, header.mapr, header.maps) == (1, 2, 3)
        assert (header.nxstart, header.nystart, header.nzstart) == (0, 0, 0)
        assert header.origin.tolist() == (0.0, 0.0, 0.0)
        assert header.cella.tolist() == (7.5, 7.5, 7.5)
        assert header.dmean == pytest.approx(density.values.mean().item(), abs=1e-5)
        assert other.is_volume()
    assert mrcfile.validate(tmp_path / "map.mrc")


def test_map_with_other_axis_order(tmp_path: Path) -> None:
    values = pixels(BOX)
    write_map(tmp_path / "map.mrc", DensityMap(torch.from_numpy(values), 1.0))
    with mrcfile.open(tmp_path / "map.mrc", "r+") as other:
        # the fastest axis of the file is z, then x, then y: values[y, x, z] in the file
        other.header.mapc, other.header.mapr, other.header.maps = 3, 1, 2
    read = read_map(tmp_path / "map.mrc").values.numpy()
    np.testing.assert_array_equal(read, np.transpose(values, (2, 0, 1)))


def test_map_that_is_no_cube(tmp_path: Path) -> None:
    with mrcfile.new(tmp_path / "map.mrc") as other:
        other.set_data(np.ones((3, 4, 5), np.float32))
        other.voxel_size = 2.0
    with pytest.raises(BadDataError, match="5 x 4 x 3 is no cube"):
        read_map(tmp_path / "map.mrc")
    padded = read_map(tmp_path / "map.mrc", pad_to_cube=True).values
    assert padded.shape == (6, 6, 6)
    assert padded.sum() == 60
    # voxel n // 2 of the file is voxel d // 2 of the cube
    assert padded[3 - 1 : 3 + 2, 3 - 2 : 3 + 2, 3 - 2 : 3 + 3].min() == 1


@pytest.mark.parametrize("voxel", [(0.0, 0.0, 0.0), (1.0, 1.0, 1.2), (np.nan, 1.0, 1.0)])
def test_map_without_a_voxel_size(tmp_path: Path, voxel: tuple[float, ...]) -> None:
    with warnings.catch_warnings(), mrcfile.new(tmp_path / "map.mrc") as other:
        warnings.simplefilter("ignore")
        other.set_data(np.ones((4, 4, 4), np.float32))
        other.voxel_size = voxel
    with pytest.raises(BadDataError, match="voxel size"):
        read_map(tmp_path / "map.mrc")


def test_map_of_nan(tmp_path: Path) -> None:
    values = torch.from_numpy(pixels(BOX))
    values[1, 2, 3] = torch.nan
    write_map(tmp_path / "map.mrc", DensityMap(values, 1.0))
    with pytest.raises(BadDataError, match="1 voxels are NaN"):
        read_map(tmp_path / "map.mrc")
