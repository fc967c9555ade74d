"""Names in the folder of a run, for those who write it and those who read it."""

NOT_CONVERGED = "not_converged"
"""Where a run that failed keeps its maps, out of the way of scripts that look for map.mrc."""

EVALUATION = "evaluation.json"
"""Errors against a truth, where somebody has asked for them (`cryospin evaluate`)."""

CHECKPOINTS, LOG = "checkpoints", "log.jsonl"
