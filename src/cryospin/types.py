"""The nouns that flow between the layers: frozen records of tensors.

One letter dictionary for shapes: n particles, b particles of a batch, h hypotheses,
k Fourier coefficients, d box, s shells. Conventions are told in docs/conventions.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cryospin.errors import BadDataError
from cryospin.names import chosen
from cryospin.optics import CtfParameters, Optics

Unread = dict[str, BadDataError]
"""What of a table is no number where no number is needed (poses, confidences, half-sets, classes,
coordinates), and the error that names its first value: for whoever does need it."""


@dataclass(frozen=True)
class Poses:
    """A pose per particle; NaN where a table has none for it (`known`).

    Parameters
    ----------
    rotations : Tensor
        (n, 3, 3): `x_view = R x_object`, column vectors in xyz, projection along view z.
        Equals RELION's matrix A(rot, tilt, psi).
    shifts_angstrom : Tensor
        (n, 2), displacement of the particle from the box centre (x, y):
        `image(x) = projection(x - t)`. RELION's origin is its negative.
    confidence : Tensor
        (n,) in [0, 1]: posterior weight of this pose among those considered.
    """

    rotations: Float[Tensor, "n 3 3"]
    shifts_angstrom: Float[Tensor, "n 2"]
    confidence: Float[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.rotations)

    @property
    def known(self) -> Bool[Tensor, " n"]:
        return self.rotations.isfinite().all(2).all(1) & self.shifts_angstrom.isfinite().all(1)

    def select(self, index: Int[Tensor, " b"] | slice) -> Poses:
        return Poses(self.rotations[index], self.shifts_angstrom[index], self.confidence[index])


@dataclass(frozen=True)
class Classes:
    """Which of several structures each particle shows.

    Parameters
    ----------
    number : Tensor, shape (n,)
        Of the class, counted from 0; -1 for a particle of none of them (junk). Tables count from 1
        and have 0 for none.
    posterior : Tensor, shape (n, c), or None
        Probability of each of c classes. What a row lacks to 1 is the probability of none. None:
        only the numbers are known.
    """

    number: Int[Tensor, " n"]
    posterior: Float[Tensor, "n c"] | None = None

    def __len__(self) -> int:
        return len(self.number)

    @property
    def count(self) -> int:
        """How many classes there are, as far as the particles show."""
        if self.posterior is not None:
            return self.posterior.shape[1]
        return int(self.number.max()) + 1 if len(self) else 0

    def select(self, index: Int[Tensor, " b"] | slice) -> Classes:
        """Some of the particles.

        Parameters
        ----------
        index : Tensor or slice
            Their rows, in the order wanted.

        Returns
        -------
        Classes
            Of these particles.
        """
        posterior = None if self.posterior is None else self.posterior[index]
        return Classes(self.number[index], posterior)


@dataclass(frozen=True)
class DensityMap:
    """A map on a cubic grid, centred on voxel d // 2, protein bright.

    Parameters
    ----------
    values : Tensor
        (d, d, d), indexed [z, y, x].
    pixel_size_angstrom : float
        Edge of a voxel.
    """

    values: Float[Tensor, "d d d"]
    pixel_size_angstrom: float

    @property
    def box(self) -> int:
        return self.values.shape[-1]


@dataclass(frozen=True)
class NotModelled:
    """Columns of a table that say of the images what the forward model leaves out.

    what: in the field's words, "anisotropic magnification".
    cost: what leaving it out does, with a number where one is known.
    """

    columns: tuple[str, ...]
    what: str
    cost: str

    def __str__(self) -> str:
        return f"not modelled: {self.what} ({', '.join(self.columns)}); {self.cost}"


@dataclass(frozen=True)
class ParticleStack:
    """Particles as their metadata describe them. Pixels stay on disk until `read_images`.

    Parameters
    ----------
    source : Path
        The table the particles were read from.
    table : object
        The original table, untouched, so that no column is lost when it is written again.
    rows : array
        (n,), the row (0-based) of each particle in `table`.
    uids : sequence of str
        The image of each particle, "index@stack". It does not depend on the order of rows, but
        is not unique if a table has several rows of one image (symmetry expansion).
    files : tuple of Path
        The image stacks.
    file_index, slice_index : array
        (n,): image i is slice `slice_index[i]` (0-based) of `files[file_index[i]]`.
    box : int
        Image size in pixels.
    pixel_size_angstrom : float
        Of the images.
    optics : tuple of Optics
        The optics groups.
    optics_group : array
        (n,): `optics[optics_group[i]]` holds for particle i.
    ctf : CtfParameters
        Of each particle.
    poses : Poses or None
        Those of the table, if any. Ab-initio reconstruction never uses them.
    half_set : array or None
        (n,), 1 or 2, if the table says so.
    micrographs : array or None
        (n,), where the particle was picked, if the table says so.
    coordinates_angstrom : array or None
        (n, 2), x and y from the corner of the micrograph, NaN if unknown. If the optics do not
        know the pixel size of the micrographs, another is assumed.
    image_sign : array or None
        (n,), +1 or -1: the factor that makes protein bright, as the table declares it. None:
        it is bright as it is.
    tubes : array or None
        (n,), a number for each helical tube (filament) that segments were cut from, -1 for a
        particle of none; None if the table has no tubes.
    not_modelled : tuple of NotModelled
        What the table says about the images that is not used here.
    original_names : sequence of str or None
        The image that each was made from, named like `uids`, if the table says so.
    unread : dict
        Columns with values that are not numbers, and the error for a caller who needs them.
    companions : tuple of Path
        Other files of metadata: passthroughs of a .cs, cryoDRGN's arrays.
    classes : Classes or None
        Those of the table, if it has more than one.
    """

    source: Path
    table: Any
    rows: Int[np.ndarray, " n"]
    uids: Sequence[str]
    files: tuple[Path, ...]
    file_index: np.ndarray
    slice_index: np.ndarray
    box: int
    pixel_size_angstrom: float
    optics: tuple[Optics, ...]
    optics_group: np.ndarray
    ctf: CtfParameters
    poses: Poses | None = None
    half_set: np.ndarray | None = None
    micrographs: np.ndarray | None = None
    coordinates_angstrom: np.ndarray | None = None
    image_sign: np.ndarray | None = None
    tubes: np.ndarray | None = None
    not_modelled: tuple[NotModelled, ...] = ()
    original_names: Sequence[str] | None = None
    unread: Unread = field(default_factory=dict)
    companions: tuple[Path, ...] = ()
    classes: Classes | None = None

    def __len__(self) -> int:
        return len(self.uids)

    @property
    def coordinates_pixel(self) -> np.ndarray | None:
        """In pixels of the micrograph, as tables count them, (n, 2)."""
        if self.coordinates_angstrom is None:
            return None
        sizes = np.array([group.coordinate_pixel_size_angstrom for group in self.optics])
        return self.coordinates_angstrom / sizes[self.optics_group][:, None]

    @property
    def phase_flipped(self) -> Bool[np.ndarray, " n"]:
        """Whether images were phase-flipped (`Optics`)."""
        return np.array([group.phase_flipped for group in self.optics])[self.optics_group]

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Every file the particles come from."""
        return (self.source, *self.companions, *self.files)

    def select(self, index: np.ndarray) -> ParticleStack:
        """Select particles.

        Parameters
        ----------
        index : array
            Rows of the stack, in any order.

        Returns
        -------
        ParticleStack
            In the order of `index`; `table` stays whole.
        """
        rows = torch.as_tensor(index)
        return replace(
            self,
            rows=self.rows[index],
            uids=chosen(self.uids, index),
            file_index=self.file_index[index],
            slice_index=self.slice_index[index],
            optics_group=self.optics_group[index],
            ctf=self.ctf.select(rows),
            poses=None if self.poses is None else self.poses.select(rows),
            half_set=None if self.half_set is None else self.half_set[index],
            classes=None if self.classes is None else self.classes.select(rows),
            micrographs=None if self.micrographs is None else self.micrographs[index],
            coordinates_angstrom=(
                None if self.coordinates_angstrom is None else self.coordinates_angstrom[index]
            ),
            image_sign=None if self.image_sign is None else self.image_sign[index],
            tubes=None if self.tubes is None else self.tubes[index],
            original_names=(
                None if self.original_names is None else chosen(self.original_names, index)
            ),
        )
