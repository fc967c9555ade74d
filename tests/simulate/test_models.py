from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cryospin.errors import UsageError
from cryospin.io.mrc import write_map
from cryospin.simulate.maps import MapMolecule
from cryospin.simulate.models import read_model
from cryospin.simulate.molecule import chain_molecule
from cryospin.types import DensityMap


def test_kind_is_told_by_the_name(tmp_path: Path) -> None:
    values = chain_molecule(1, domains=2, residues_per_domain=40).voxelize(32, 4.0)
    write_map(tmp_path / "a.mrc", DensityMap(torch.from_numpy(values), 4.0))
    assert isinstance(read_model(tmp_path / "a.mrc", 4.0), MapMolecule)
    with pytest.raises(UsageError, match="atomic model"):
        read_model(tmp_path / "a.mrc", 4.0, assembly=True)
    with pytest.raises(UsageError, match="not a kind"):
        read_model(tmp_path / "a.txt.gz", 4.0)
    for name in ("a.pdb", "a.CIF.gz", "b.mrc.gz"):
        with pytest.raises(UsageError, match="no such file"):
            read_model(tmp_path / name, 4.0)
