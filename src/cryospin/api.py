"""Everything that is meant to be called from Python, under one name each.

    from cryospin import api

    run = api.reconstruct("particles.star", "run", tell=print)

Verbs are functions, nouns frozen dataclasses of tensors; docs/python-api.md shows them at work.
What is not here may be imported from where it is, but may change.

The names are not in `cryospin` itself: `cryospin.reconstruct`, `.simulate` and `.evaluate` are
its packages, and a name that is a function until somebody imports the package of that name would
be a trap. So `import cryospin` is quick, and this module is where torch is imported.
"""

from cryospin.errors import (
    BadDataError,
    CryospinError,
    InterruptedRunError,
    ResourceError,
    UsageError,
)
from cryospin.evaluate.run import evaluate_run as evaluate
from cryospin.fourier.fsc import fourier_shell_correlation, resolution_at
from cryospin.fourier.image_batch import ImageBatch
from cryospin.io.formats import read_particles_of_any_kind as read_particles
from cryospin.io.mrc import read_images, read_map, write_map
from cryospin.kernels import insert_slices, pose_normal_equations, slice_volume
from cryospin.optics import CtfParameters, Optics
from cryospin.particles.check import check
from cryospin.reconstruct.result import Evidence, Result, Verdict
from cryospin.run.finished import Run
from cryospin.run.reconstruct import reconstruct
from cryospin.simulate.dataset import Microscope, simulate
from cryospin.simulate.mixture import Mixture, draw_mixture
from cryospin.simulate.models import read_model
from cryospin.simulate.molecule import chain_molecule
from cryospin.simulate.poses import draw_poses
from cryospin.simulate.states import Hinge, read_structures
from cryospin.simulate.transfer import draw_ctf
from cryospin.types import Classes, DensityMap, ParticleStack, Poses
from cryospin.variability.front import WrittenVariability, variability
from cryospin.volumes.map_fsc import fsc
from cryospin.volumes.point_group import PointGroup, find_point_group

__all__ = [
    "BadDataError",
    "Classes",
    "CryospinError",
    "CtfParameters",
    "DensityMap",
    "Evidence",
    "Hinge",
    "ImageBatch",
    "InterruptedRunError",
    "Microscope",
    "Mixture",
    "Optics",
    "PointGroup",
    "ParticleStack",
    "Poses",
    "ResourceError",
    "Result",
    "Run",
    "UsageError",
    "Verdict",
    "WrittenVariability",
    "chain_molecule",
    "check",
    "draw_ctf",
    "draw_mixture",
    "draw_poses",
    "evaluate",
    "find_point_group",
    "fourier_shell_correlation",
    "fsc",
    "insert_slices",
    "pose_normal_equations",
    "read_images",
    "read_map",
    "read_model",
    "read_particles",
    "read_structures",
    "reconstruct",
    "resolution_at",
    "simulate",
    "slice_volume",
    "variability",
    "write_map",
]
