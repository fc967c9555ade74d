"""report.html of a run directory: one offline page, verdict first."""

from cryospin.report.page import write_report

__all__ = ["write_report"]
