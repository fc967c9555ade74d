"""How far each job of a campaign is, told by its claims and its run's folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryospin.campaign.claims import FAILED, LOST_AFTER_SECONDS, Claim, newest_claim
from cryospin.campaign.plan import CLAIMS, Campaign, PlannedRun
from cryospin.io.run_folder import LOG
from cryospin.report.unfinished import result_from_log
from cryospin.run.finished import has_ended

ENDED, WORKING, STOPPED, BROKEN, WAITING = "ended", "working", "stopped", "failed", "waiting"


@dataclass(frozen=True)
class State:
    """state: ENDED (with any verdict), WORKING, STOPPED (the next worker goes on with it), BROKEN
    (by an error; the next worker tries again) or WAITING. claim: the newest. stage: of the run, as
    far as it has come."""

    run: PlannedRun
    state: str
    claim: Claim | None
    stage: str | None = None

    @property
    def told(self) -> str:
        """The state in words."""
        if self.state == WORKING:
            return f"working ({self.stage or 'start'}): {self.claim}"
        if self.state == BROKEN and self.claim is not None:
            return f"failed: {self.claim.problem}"
        if self.state == STOPPED and self.claim is not None and self.claim.outcome is None:
            return f"its worker is gone: {self.claim}"
        return self.state

    @property
    def is_to_be_done(self) -> bool:
        return self.state in (WAITING, STOPPED, BROKEN)

    @property
    def is_suspect(self) -> bool:
        """Whether the last worker on it failed, or died: what did that may do it again."""
        left = self.state == STOPPED and self.claim is not None and self.claim.outcome is None
        return left or self.state == BROKEN


def state_of(
    campaign: Campaign, run: PlannedRun, lost_after_seconds: float = LOST_AFTER_SECONDS
) -> State:
    """Raises ResourceError where the folder of claims cannot be written to, as looking needs."""
    folder = campaign.folder_of(run)
    claim = newest_claim(campaign.folder / CLAIMS, run.name, lost_after_seconds)
    if has_ended(folder):
        return State(run, ENDED, claim)
    if claim is not None and claim.is_held:
        return State(run, WORKING, claim, _stage(folder / LOG))
    if claim is not None and claim.outcome == FAILED:
        return State(run, BROKEN, claim)
    begun = claim is not None or (folder / LOG).exists()
    return State(run, STOPPED if begun else WAITING, claim)


def _stage(log: Path) -> str | None:
    told = result_from_log(log) if log.exists() else {}
    reached = told.get("agreement_angstrom")
    so_far = "" if reached is None else f", {reached:.1f} Angstrom so far"
    return f"{told['stage']}{so_far}" if told else None
