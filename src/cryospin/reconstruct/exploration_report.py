"""How the half-sets came to their first poses: what a verdict and `result.json` need of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class StartReport:
    """One random start of a half-set; attempts and starts count from 1.

    rising: whether the evidence still rose when it was stopped; None: nobody looked.
    agrees_to_shell: where its map falls below an FSC of 0.5 with the best start's; None: not
        compared. rival: whether it explains held-out images as well by another map.
    """

    attempt: int
    start: int
    score: float
    rising: bool | None = None
    agrees_to_shell: float | None = None
    rival: bool | None = None

    def summary(self) -> dict[str, Any]:
        """For `result.json`: what is known."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class ExplorationReport:
    """agreed: whether the maps of the halves did, which nothing is refined without.

    agreement_radius: Fourier pixels to which they share FSC 0.5; None where both began with one
        given map (`from_a_map`).
    half1, half2: all starts there were. still_rising: halves whose search was stopped while the
        evidence rose.
    evidence: of the halves, as `Exploration` has it.
    """

    agreed: bool
    agreement_radius: float | None = None
    half1: tuple[StartReport, ...] = ()
    half2: tuple[StartReport, ...] = ()
    still_rising: int = 0
    from_a_map: bool = False
    evidence: tuple[Float[Tensor, " h1"] | None, Float[Tensor, " h2"] | None] = field(
        default=(None, None), compare=False, repr=False
    )

    @property
    def rivals(self) -> int | None:
        """Rival maps among the starts; None where no starts were compared."""
        compared = [start.rival for start in (*self.half1, *self.half2) if start.rival is not None]
        return sum(compared) if compared else None

    def summary(self) -> dict[str, Any]:
        """For `result.json` (docs/outputs.md)."""
        if self.from_a_map:
            return {"initial_map": True, "agreed": self.agreed}
        return {
            "half1": [start.summary() for start in self.half1],
            "half2": [start.summary() for start in self.half2],
            "still_rising": self.still_rising,
            "agreement_radius": self.agreement_radius,
            "agreed": self.agreed,
        }
