"""Poses drawn at random, each from (seed, particle index) alone."""

from __future__ import annotations

from typing import Literal

import numpy as np
import roma
import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.io.conventions import euler_to_rotation
from cryospin.particles.draws import generator_for
from cryospin.types import Poses

Views = Literal["uniform", "equator", "pole", "cones"]
PREFERRED_FRACTION = 0.9
EQUATOR_LATITUDE_DEGREES = 20.0
POLE_DISTANCE_DEGREES = 25.0
CONES, FRACTION_IN_CONES, CONE_DEGREES = 3, 0.8, 30.0


def draw_poses(
    particles: int,
    *,
    max_shift_pixel: float,
    pixel_size_angstrom: float,
    views: Views = "uniform",
    seed: int,
) -> Poses:
    """Draw random poses. In-plane angles are uniform, and shifts are uniform in a square.

    Parameters
    ----------
    particles : int
        Their number.
    max_shift_pixel : float
        x and y of a shift lie within this distance of 0.
    pixel_size_angstrom : float
        Converts shifts to Angstrom.
    views : str
        "uniform": all orientations are equally likely. "equator": 90 % of the view directions
        lie within 20 degrees of the plane normal to the molecule's z axis. "pole": 90 % lie
        within 25 degrees of that axis. Inside and outside of these regions they are uniform.
        "cones": 80 % lie, evenly, within 30 degrees of one of three directions that the seed
        draws, the others anywhere.
    seed : int
        Particle i has the same pose, whatever the number of particles.

    Returns
    -------
    Poses
        Shifts in Angstrom, confidence 1.
    """
    uniform = np.stack([generator_for(seed, "pose", i).random(6) for i in range(particles)])
    cosine_tilt = 2.0 * uniform[:, 0] - 1.0
    if views == "equator":
        cosine_tilt = _near_equator(cosine_tilt, uniform[:, 5])
    elif views == "pole":
        cosine_tilt = _near_pole(cosine_tilt, uniform[:, 5])
    elif views == "cones":
        inside = uniform[:, 5] < FRACTION_IN_CONES
        cosine_tilt = np.where(inside, _in_cap(cosine_tilt, CONE_DEGREES), cosine_tilt)
    angles = np.stack(
        [
            360.0 * uniform[:, 1] - 180.0,
            np.degrees(np.arccos(cosine_tilt)),
            360.0 * uniform[:, 2] - 180.0,
        ],
        axis=1,
    )
    shifts = (2.0 * uniform[:, 3:5] - 1.0) * max_shift_pixel * pixel_size_angstrom
    rotations = euler_to_rotation(torch.from_numpy(angles))
    if views == "cones":
        rotations = rotations @ _turns_of_cones(uniform[:, 5], seed)
    return Poses(rotations, torch.from_numpy(shifts), torch.ones(particles))


def _near_equator(height: np.ndarray, chooser: np.ndarray) -> np.ndarray:
    """Heights uniform in [-1, 1] moved into the band about 0, or (for a few) outside it."""
    edge = np.sin(np.radians(EQUATOR_LATITUDE_DEGREES))
    outside = np.sign(height) * (edge + (1.0 - edge) * np.abs(height))
    return np.where(chooser < PREFERRED_FRACTION, height * edge, outside)


def _near_pole(height: np.ndarray, chooser: np.ndarray) -> np.ndarray:
    """Heights uniform in [-1, 1] moved into the cap about 1, or (for a few) outside it."""
    edge = np.cos(np.radians(POLE_DISTANCE_DEGREES))
    outside = -1.0 + 0.5 * (1.0 + edge) * (1.0 + height)
    return np.where(chooser < PREFERRED_FRACTION, _in_cap(height, POLE_DISTANCE_DEGREES), outside)


def _in_cap(height: np.ndarray, degrees: float) -> np.ndarray:
    """Heights uniform in [-1, 1] moved into the cap of so many degrees about 1."""
    return 1.0 - 0.5 * (1.0 - np.cos(np.radians(degrees))) * (1.0 - height)


def _turns_of_cones(chooser: np.ndarray, seed: int) -> Float[Tensor, "n 3 3"]:
    """From each image's cone, about the seed's direction, to the cap about z."""
    drawn = torch.as_tensor(generator_for(seed, "cones").normal(size=(CONES, 4)))
    turns = roma.unitquat_to_rotmat(drawn / drawn.norm(dim=1, keepdim=True))
    cone = torch.as_tensor(chooser / FRACTION_IN_CONES * CONES).long()
    # those outside are anywhere, and stay there
    return torch.cat([turns, torch.eye(3, dtype=turns.dtype)[None]])[cone.clamp_max(CONES)]
