"""CryoSPIN's two stages as they are fast here, end to end at toy size."""

from __future__ import annotations

import roma
import torch

from cryospin.explore.running_map import RunningMap
from cryospin.explore.setting import Setting
from cryospin.explore.snapshot import Snapshot
from cryospin.explore.winner_search import EncoderState, WinnerSearch
from cryospin.fourier.disk import FourierDisk
from cryospin.poses import Assignment, PoseHypotheses
from cryospin.reconstruct.direct_stage import DirectStage, with_mirror_mates
from cryospin.reconstruct.semi_amortised import SemiAmortised
from cryospin.reconstruct.switching import SwitchRule
from cryospin.refine.halves import HalfSet, sums_of
from cryospin.volumes.gridded import map_to_volume
from phantoms import Blobs, PlantedParticles, angles_degrees, random_turns

BOX, COUNT = 32, 200
BLOBS = Blobs.random(4, spread=4.0, sigma=1.3)
PLANTED = PlantedParticles.of(BLOBS, FourierDisk.of(BOX), COUNT, 5, signal=300.0, largest_shift=1.0)
IDENTITY = torch.eye(3)[None]
SETTING = Setting(IDENTITY, 1.0, seed=1)


def test_both_stages_hand_on_a_pose_and_its_rivals() -> None:
    seen: list[Snapshot] = []
    method = SemiAmortised(
        search=WinnerSearch(heads=3, batch=40, width=32, march=20),
        switch=SwitchRule(every=10, most_steps=30),
        direct=DirectStage(rounds=2, choosing=1),
        watch=seen.append,
    )
    told: list[tuple[str, int, int]] = []
    found = method.run(PLANTED.particles, SETTING, lambda *now: told.append(now))
    assert found.hypotheses is not None
    assert found.hypotheses.rotations.shape == (COUNT, 1 + 3, 3, 3)
    assert found.radius == method.last_radius and found.uncertainty > 0
    stages = [snapshot.stage for snapshot in seen]
    checks = stages.count("encoder")
    assert 2 <= checks <= 3 and stages == ["encoder"] * checks + ["direct"] * 2
    assert [snapshot.epoch for snapshot in seen] == list(range(1, checks + 3))
    assert all(snapshot.rotations.shape == (COUNT, 3, 3) for snapshot in seen)
    assert torch.isclose(seen[0].usage.sum(), torch.tensor(1.0))
    assert told[-1] == ("encoder", 10 * checks, 30)
    again = method.run(PLANTED.particles, SETTING)
    assert again.hypotheses is not None
    assert torch.equal(again.hypotheses.rotations, found.hypotheses.rotations)


def test_the_direct_stage_settles_poses_from_candidates_near_them() -> None:
    """One candidate 12 degrees off, two anywhere: it ends at the true poses, in its own frame."""
    generator = torch.Generator().manual_seed(3)
    off = torch.randn(COUNT, 3, generator=generator)
    off = 0.21 * off / off.norm(dim=1, keepdim=True)
    near = roma.rotvec_to_rotmat(off) @ PLANTED.rotations.float()
    elsewhere = random_turns(2 * COUNT, 8).float().view(COUNT, 2, 3, 3)
    hypotheses = PoseHypotheses(
        torch.cat([elsewhere, near[:, None]], dim=1), torch.zeros(COUNT, 3, 2)
    )
    particles = PLANTED.particles
    running = RunningMap.of(particles, 12.0, 0.42)
    volume = map_to_volume(BLOBS.density(BOX).float(), BOX, 12.0)
    (half,) = DirectStage(rounds=5).run((volume,), (hypotheses,), particles, running, SETTING)
    error = angles_degrees(half.rotations, PLANTED.rotations)
    assert error.median() < 2 and (error < 8).double().mean() > 0.9


def test_mirror_mates_look_alike_where_the_map_is_its_mirror_image() -> None:
    """A molecule and its mirror image in one map: half of the poses are those of the other hand,
    and each one's mate is that of the true one."""
    mirror = torch.diag(torch.tensor([1.0, 1.0, -1.0]))
    true = PLANTED.rotations.float()
    # the mirrored molecule gives an image at M R M that the molecule gives at R
    swapped = torch.arange(COUNT) % 2 == 0
    poses = torch.where(swapped[:, None, None], mirror @ true @ mirror, true)
    search = WinnerSearch(heads=1, batch=40, width=32, last_radius=9.0, first_radius=9.0)
    particles = PLANTED.particles
    state = EncoderState(search, particles, torch.arange(COUNT).numpy(), SETTING)
    shifts = PLANTED.shifts_pixel.float()
    half = HalfSet(particles, Assignment.known(poses, shifts))
    state.sums = (sums_of(half, 9.0, IDENTITY),)
    (density,) = state.densities()
    both = with_mirror_mates(half.poses.alone(), density, particles, state.radius)
    assert both.rotations.shape == (COUNT, 2, 3, 3)
    mate = angles_degrees(both.rotations[swapped, 1], true[swapped])
    assert mate.median() < 3
