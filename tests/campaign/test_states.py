"""How far jobs are, told by what is in the folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cryospin.campaign.claims import _this_process
from cryospin.campaign.plan import CLAIMS, Campaign, planned
from cryospin.campaign.states import BROKEN, ENDED, STOPPED, WAITING, WORKING, state_of

GONE = {"process": 2**22 + 1}


@pytest.mark.parametrize(
    ("file", "claim", "state", "told", "to_be_done", "suspect"),
    [
        (None, None, WAITING, "waiting", True, False),
        (None, {}, WORKING, "working (start): process ", False, False),
        (
            "log.jsonl",
            {},
            WORKING,
            "working (refine, 12.0 Angstrom so far): process ",
            False,
            False,
        ),
        ("log.jsonl", None, STOPPED, "stopped", True, False),
        ("log.jsonl", {"outcome": "interrupted"}, STOPPED, "stopped", True, False),
        ("log.jsonl", GONE, STOPPED, "its worker is gone: process ", True, True),
        (None, GONE, STOPPED, "its worker is gone: process ", True, True),
        (None, {"outcome": "failed", "problem": "a hole"}, BROKEN, "failed: a hole", True, True),
        ("result.json", None, ENDED, "ended", False, False),
        ("result.json", {}, ENDED, "ended", False, False),
        ("result.json", GONE, ENDED, "ended", False, False),
        ("result.json", {"outcome": "ended"}, ENDED, "ended", False, False),
    ],
)
def test_states(
    tmp_path: Path,
    file: str | None,
    claim: dict[str, Any] | None,
    state: str,
    told: str,
    to_be_done: bool,
    suspect: bool,
) -> None:
    campaign = Campaign(tmp_path, tmp_path / "particles.star", {}, planned(1, [1]))
    run = campaign.run(1)
    for folder in (tmp_path / CLAIMS, campaign.folder_of(run)):
        folder.mkdir()
    if file is not None:
        told_so_far = {"stage": "refine", "event": "joined", "resolution_angstrom": 12.0}
        (campaign.folder_of(run) / file).write_text(json.dumps(told_so_far))
    if claim is not None:
        (tmp_path / CLAIMS / "seed-1.0001").write_text(json.dumps(_this_process() | claim))
    found = state_of(campaign, run)
    assert found.state == state and found.told.startswith(told)
    assert (found.is_to_be_done, found.is_suspect) == (to_be_done, suspect)
