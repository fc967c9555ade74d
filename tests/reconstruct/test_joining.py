"""Half 2 goes into the frame of half 1, whatever frame and hand it was found in."""

from __future__ import annotations

import torch

from cryospin.explore.setting import Setting
from cryospin.fourier.disk import FourierDisk
from cryospin.reconstruct.joining import superimposed
from cryospin.rotations.align import align_rotations
from phantoms import Blobs, PlantedParticles, random_turns

RADIUS = 8.0
IDENTITY = torch.eye(3)[None]
BLOBS = Blobs.random(1, spread=3.5, sigma=1.0)
PLANTED = [
    PlantedParticles.of(BLOBS, FourierDisk.of(32), 200, seed, signal=60.0) for seed in (1, 2)
]


def test_a_half_in_another_frame_is_turned_back() -> None:
    """The grid is one voxel for 2 pixels, and alignment is to a small part of that."""
    first, second = (planted.half_set() for planted in PLANTED)
    turn = random_turns(1, 9)[0].float()
    elsewhere = second.with_poses(rotations=second.rotations @ turn)
    found, agreement = superimposed((first, elsewhere), RADIUS, Setting(IDENTITY, 0.0))
    assert agreement == RADIUS
    both = torch.cat([first.rotations, found.rotations])
    true = torch.cat([planted.rotations.float() for planted in PLANTED])
    assert align_rotations(both, true).errors_degrees.max() < 2.0


def test_maps_of_nothing_in_common_do_not_agree() -> None:
    first, second = (planted.half_set() for planted in PLANTED)
    wrong = second.with_poses(rotations=random_turns(len(second.rotations), 5).float())
    _, agreement = superimposed((first, wrong), RADIUS, Setting(IDENTITY, 0.0))
    assert agreement < 5.0
