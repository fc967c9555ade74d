"""Runs, poses and maps against the truth."""

from cryospin.evaluate.run import evaluate_run

__all__ = ["evaluate_run"]
