"""Names in the folder of a run, for those who write it and those who read it."""

NOT_CONVERGED = "not_converged"
"""Where a run that failed keeps its maps, out of the way of scripts that look for map.mrc."""

PAGE = "report.html"
"""What is to be read of it, while it is at work and afterwards."""

EVALUATION = "evaluation.json"
"""Errors against a truth, where somebody has asked for them (`cryospin evaluate`)."""


def class_folder(number: int) -> str:
    """Where a run with several classes keeps one of them, counted from 1."""
    return f"class_{number:02d}"


COEFFICIENTS = ".coefficients"
"""Suffix of a file with the images' coefficients, where memory does not hold them; a note of the
same name, in JSON, says of which run they are."""

CHECKPOINTS, LOG = "checkpoints", "log.jsonl"
