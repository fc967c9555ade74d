"""The data set as it lies on disk: truth, noise, independence of threads, bounded memory."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cryospin.errors import ResourceError, UsageError
from cryospin.io.mrc import read_images, read_map
from cryospin.io.record import RECORD
from cryospin.io.relion import read_particles
from cryospin.particles.audit import audit_table
from cryospin.particles.image_audit import audit_images
from cryospin.particles.rejection import reasons_of
from cryospin.simulate import dataset
from cryospin.simulate.dataset import BLOCK, Microscope, simulate
from cryospin.simulate.molecule import chain_molecule
from cryospin.simulate.poses import draw_poses
from cryospin.simulate.projection import GaussianMolecule
from cryospin.simulate.transfer import draw_ctf, neutral_ctf
from cryospin.types import Poses

BOX, PIXEL = 32, 7.0
# not a multiple of the block, so that the last one is filled up
COUNT = 4 * BLOCK + 5


@pytest.fixture(scope="module")
def molecule() -> GaussianMolecule:
    return chain_molecule(1, domains=4, residues_per_domain=60)


def poses(count: int = COUNT, max_shift: float = 2.0, seed: int = 1) -> Poses:
    return draw_poses(count, max_shift_pixel=max_shift, pixel_size_angstrom=PIXEL, seed=seed)


def microscope(count: int = COUNT, snr: float = 0.1, **changes: object) -> Microscope:
    return replace(Microscope(BOX, PIXEL, snr, draw_ctf(count, seed=1), seed=1), **changes)


def images_of(folder: Path, name: str = "particles.star") -> np.ndarray:
    stack = read_particles(folder / name)
    return read_images(stack, np.arange(len(stack))).numpy()


def test_files_say_what_was_simulated(tmp_path: Path, molecule: GaussianMolecule) -> None:
    simulate(molecule, poses(), microscope(), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "particles.star", "particles.mrcs", "truth.star", "truth.mrc", RECORD
    }  # fmt: skip
    blind, truth = (read_particles(tmp_path / name) for name in ("particles.star", "truth.star"))
    assert blind.poses is None and truth.poses is not None
    audit_table(blind)
    assert not reasons_of(blind, audit_images(blind))
    assert (blind.box, blind.pixel_size_angstrom, len(blind)) == (BOX, PIXEL, COUNT)
    # tables keep six decimals of a degree and of an Angstrom
    assert torch.allclose(truth.poses.rotations.double(), poses().rotations, atol=1e-6)
    assert torch.allclose(truth.poses.shifts_angstrom.double(), poses().shifts_angstrom, atol=1e-4)
    given = microscope().ctf.defocus_u_angstrom
    assert torch.allclose(blind.ctf.defocus_u_angstrom.double(), given, atol=0.01)
    assert len(set(blind.micrographs)) == 2


def test_optics_groups_are_the_microscopes_found(
    tmp_path: Path, molecule: GaussianMolecule
) -> None:
    ctf = draw_ctf(COUNT, seed=1)
    mixed = replace(ctf, voltage_kv=torch.where(torch.arange(COUNT) % 3 == 0, 200.0, 300.0))
    simulate(molecule, poses(), microscope(ctf=mixed), tmp_path)
    stack = read_particles(tmp_path / "particles.star")
    assert len(stack.optics) == 2
    assert torch.equal(stack.ctf.voltage_kv.double(), mixed.voltage_kv.double())


def test_map_projected_along_z_is_the_image_at_identity(
    tmp_path: Path, molecule: GaussianMolecule
) -> None:
    identity = Poses(torch.eye(3)[None], torch.zeros(1, 2), torch.ones(1))
    ideal = microscope(1, snr=float("inf"), ctf=neutral_ctf(1))
    simulate(molecule, identity, ideal, tmp_path)
    image = images_of(tmp_path)[0]
    density = read_map(tmp_path / "truth.mrc").values.numpy()
    # float32, and a Fourier transform of the padded image there and back
    assert np.abs(density.sum(axis=0) - image).max() < 1e-5 * image.max()
    assert image[BOX // 2 - 4 : BOX // 2 + 4, BOX // 2 - 4 : BOX // 2 + 4].mean() > image.mean()


@pytest.mark.parametrize("exponent", [0.0, 2.0])
def test_snr_is_the_one_asked_for(
    tmp_path: Path, molecule: GaussianMolecule, exponent: float
) -> None:
    noisy = microscope(snr=0.2, noise_exponent=exponent)
    result = simulate(molecule, poses(), noisy, tmp_path / "noisy")
    simulate(molecule, poses(), replace(noisy, snr=float("inf")), tmp_path / "clean")
    clean = images_of(tmp_path / "clean").astype(np.float64)
    noise = images_of(tmp_path / "noisy") - clean
    asked = clean.var(axis=(1, 2)).mean() / 0.2
    assert np.isclose(result.noise_sigma**2, asked, rtol=1e-5)
    # 136,000 pixels, ten times fewer independent ones where the noise is coloured
    assert abs(noise.var() / asked - 1.0) < (0.02 if exponent == 0.0 else 0.06)
    assert result.snr_in_particle > 0.2


def test_threads_change_no_bit(tmp_path: Path, molecule: GaussianMolecule) -> None:
    for threads in (1, 3):
        simulate(
            molecule, poses(), microscope(noise_exponent=1.0), tmp_path / f"{threads}",
            threads=threads,
        )  # fmt: skip
    one, three = (tmp_path / f"{threads}" for threads in (1, 3))
    for path in one.iterdir():
        assert path.read_bytes() == (three / path.name).read_bytes(), path.name


def test_a_particle_does_not_depend_on_those_after_it(
    tmp_path: Path, molecule: GaussianMolecule
) -> None:
    few = BLOCK + 3
    for count in (few, COUNT):
        clean = microscope(count, snr=float("inf"))
        simulate(molecule, poses(count), clean, tmp_path / f"{count}")
    many = images_of(tmp_path / f"{COUNT}")
    assert np.array_equal(images_of(tmp_path / f"{few}"), many[:few])


def test_progress_counts_to_the_end(tmp_path: Path, molecule: GaussianMolecule) -> None:
    told = []
    simulate(molecule, poses(), microscope(), tmp_path, progress=lambda *news: told.append(news))
    for step in ("images", "noise"):
        counts = [done for name, done, total in told if name == step]
        assert counts == sorted(counts) and counts[-1] == COUNT


def test_odd_box_and_large_molecule_are_refused(tmp_path: Path, molecule: GaussianMolecule) -> None:
    with pytest.raises(UsageError, match="even"):
        simulate(molecule, poses(), microscope(box=33), tmp_path / "new")
    with pytest.raises(UsageError, match="pixel of .* or more"):
        simulate(molecule, poses(), microscope(pixel_size_angstrom=1.0), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_shifts_out_of_the_box_are_warned_about(tmp_path: Path, molecule: GaussianMolecule) -> None:
    result = simulate(molecule, poses(max_shift=14.0), microscope(), tmp_path)
    assert any("out of the box" in warning for warning in result.warnings)
    assert not simulate(molecule, poses(max_shift=1.0), microscope(), tmp_path).warnings


def test_output_that_cannot_be_written(tmp_path: Path, molecule: GaussianMolecule) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ResourceError):
        simulate(molecule, poses(), microscope(), tmp_path / "file")


def test_interruption_leaves_nothing_that_looks_finished(
    tmp_path: Path, molecule: GaussianMolecule, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulate(molecule, poses(), microscope(), tmp_path)

    def interrupted(*_: object, **__: object) -> torch.Tensor:
        raise KeyboardInterrupt

    monkeypatch.setattr(dataset, "draw_noise", interrupted)
    with pytest.raises(KeyboardInterrupt):
        simulate(molecule, poses(), microscope(), tmp_path)
    # the earlier run's stack may stand, but no table that points into it
    assert not list(tmp_path.glob("*.star")) and not list(tmp_path.glob(".*.tmp"))


MEASURE = """
import resource, sys
from pathlib import Path
from cryospin.simulate.dataset import Microscope, simulate
from cryospin.simulate.molecule import chain_molecule
from cryospin.simulate.poses import draw_poses
from cryospin.simulate.transfer import draw_ctf
molecule = chain_molecule(1, domains=1, residues_per_domain=5)
for count in (1024, 5120):
    poses = draw_poses(count, max_shift_pixel=1.0, pixel_size_angstrom=3.0, seed=0)
    microscope = Microscope(64, 3.0, 0.1, draw_ctf(count, 0))
    simulate(molecule, poses, microscope, Path(sys.argv[1]), threads=2)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_memory_does_not_grow_with_the_stack(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path)], capture_output=True, text=True, check=True
    )
    small, large = map(int, done.stdout.split())
    # the stacks differ by 67 MB, in each of two buffers if they were held; tables and poses
    # take 5, the allocator what it likes
    assert large - small < 40
