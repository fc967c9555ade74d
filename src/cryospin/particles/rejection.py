"""Bad particles are set aside with their reason, and never silently."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cryospin.errors import BadDataError
from cryospin.io.relion import RelionTable, columns_of_rows
from cryospin.io.star import StarBlock, StarFile, quoted
from cryospin.io.star_writer import write_star
from cryospin.particles.audit import row_of
from cryospin.particles.image_audit import DUPLICATE, REASONS, ImageAudit
from cryospin.types import ParticleStack

MOST_BAD = 0.1
"""A larger share of bad particles says that something is wrong with the stack as a whole."""

REASON_COLUMN = "cryospinReason"


def reasons_of(stack: ParticleStack, audit: ImageAudit) -> list[tuple[int, str]]:
    """Each rejected particle and why, in the table's order."""
    found = [(int(i), reason) for reason in REASONS for i in audit.bad[reason]]
    told = []
    for particle, reason in sorted(found):
        if reason == DUPLICATE:
            reason += f" ({stack.uids[audit.original_of[particle]]})"
        told.append((particle, reason))
    return told


def sound_particles(
    stack: ParticleStack, audit: ImageAudit, allow_bad: bool = False, least: int = 100
) -> ParticleStack:
    """The stack without its bad particles.

    Raises
    ------
    BadDataError: more than a tenth is bad and `allow_bad` is not set, or fewer than `least`
        are left; names the first bad particle and counts them by reason.
    """
    bad = reasons_of(stack, audit)
    if not bad:
        return stack
    left = len(stack) - len(bad)
    first, why = bad[0]
    if (len(bad) > MOST_BAD * len(stack) and not allow_bad) or left < least:
        counts = ", ".join(f"{len(audit.bad[r])} with {r}" for r in REASONS if len(audit.bad[r]))
        fix = "extract the particles again, or remove these rows"
        if left >= least:
            fix += "; reconstruct --allow-bad goes on with the others"
        problem = f"{len(bad)} of {len(stack)} images are bad ({counts}), first {stack.uids[first]}"
        row, file = row_of(stack, first), stack.source
        raise BadDataError(f"{problem}: {why}", file=file, row=row, column="rlnImageName", fix=fix)
    keep = np.ones(len(stack), dtype=bool)
    keep[audit.rejected] = False
    return stack.select(np.flatnonzero(keep))


def write_rejected(path: Path | str, stack: ParticleStack, audit: ImageAudit) -> int:
    """The bad rows of the table as they were, with a column of reasons; returns how many.

    No file where there are none. Of a table that is no STAR file, names and reasons only.

    Raises
    ------
    ResourceError: the disk does not take it.
    """
    bad = reasons_of(stack, audit)
    path = Path(path)
    path.unlink(missing_ok=True)
    if not bad:
        return 0
    reasons = [quoted(reason) for _, reason in bad]
    table = stack.table
    if isinstance(table, RelionTable):
        columns = columns_of_rows(stack.select(np.array([particle for particle, _ in bad])))
        block = table.particles.with_table(columns | {REASON_COLUMN: reasons})
        write_star(path, StarFile(dict(table.star.blocks) | {table.name: block}))
    else:
        names = [quoted(stack.uids[particle]) for particle, _ in bad]
        columns = {"rlnImageName": names, REASON_COLUMN: reasons}
        write_star(path, StarFile({"particles": StarBlock(columns=columns)}))
    return len(bad)
