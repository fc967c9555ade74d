"""What is read of a run's folder, and what is wrong with one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cryospin.errors import BadDataError
from cryospin.io.mrc import read_images
from cryospin.variability.finished import read_finished_run


def test_particles_are_where_the_run_found_them(varied_run: Path) -> None:
    run = read_finished_run(varied_run)
    assert run.stack.files == (varied_run.parent / "data" / "particles.mrcs",)
    assert len(run.poses) == len(run.half_set) == 240 and {*run.half_set.tolist()} == {1, 2}
    assert varied_run / "mask.mrc" in run.inputs and run.stack.source in run.inputs


def test_images_have_the_sign_that_the_run_gave_them(spoilt: Path) -> None:
    before = read_images(read_finished_run(spoilt).stack, np.array([0]))
    result = json.loads((spoilt / "result.json").read_text())
    result["settings"]["screening"] = {"contrast_inverted": True}
    (spoilt / "result.json").write_text(json.dumps(result))
    assert (read_images(read_finished_run(spoilt).stack, np.array([0])) == -before).all()


def test_without_its_source_the_runs_own_table_will_do(spoilt: Path, varied_run: Path) -> None:
    result = json.loads((spoilt / "result.json").read_text())
    result["settings"]["particles"] = str(spoilt / "gone.star")
    (spoilt / "result.json").write_text(json.dumps(result))
    with pytest.raises(BadDataError, match="gone.star, back"):
        read_finished_run(spoilt)
    stack = spoilt / "particles.mrcs"
    stack.symlink_to(varied_run.parent / "data" / "particles.mrcs")
    assert read_finished_run(spoilt).stack.files == (stack,)


def test_a_run_that_did_not_converge_is_refused(spoilt: Path) -> None:
    (spoilt / "map.mrc").unlink()
    with pytest.raises(BadDataError, match="has no map\n"):
        read_finished_run(spoilt)
    (spoilt / "class_02").mkdir()
    (spoilt / "class_02" / "map.mrc").touch()
    with pytest.raises(BadDataError, match="(?s)of its classes.*give .*class_02"):
        read_finished_run(spoilt)
    (spoilt / "not_converged").mkdir()
    with pytest.raises(BadDataError, match="did not converge"):
        read_finished_run(spoilt)


def test_half_sets_are_needed(spoilt: Path) -> None:
    table = spoilt / "particles.star"
    table.write_text(table.read_text().replace("_rlnRandomSubset", "_rlnOther"))
    with pytest.raises(BadDataError, match="rlnRandomSubset: half-sets are missing"):
        read_finished_run(spoilt)
