"""The published twin network on images of one molecule: trained on some, judged on others."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import roma
import torch

from cryospin.bench.ledger import Row
from cryospin.bench.pair_cases import PairCase, aligned, made
from cryospin.fourier.disk import coefficients_to_images
from cryospin.pairs.distances import (
    DistanceRecovery,
    distances_between,
    error_modulo_distances_degrees,
)
from cryospin.pairs.twin import TwinTraining, predicted_distances

_TRAINING_IMAGES = 5000


def twin_row(case: PairCase, models: Path, folder: Path, steps: int) -> Row:
    """Errors as published (modulo O(4)) and modulo what images leave open."""
    data = made(replace(case, particles=_TRAINING_IMAGES + case.particles), models, folder)
    batch = data.particles.images()
    images = coefficients_to_images(batch.coefficients, batch.disk)
    rotations = data.truth.rotations.double()
    began = time.perf_counter()
    training = TwinTraining(steps=steps)
    network = training.run(images[:_TRAINING_IMAGES], rotations[:_TRAINING_IMAGES], case.seed)
    seconds = time.perf_counter() - began
    unseen, true = images[_TRAINING_IMAGES:], rotations[_TRAINING_IMAGES:]
    predicted = predicted_distances(network, unseen)
    actual = distances_between(true)
    found = DistanceRecovery().run(predicted, case.seed)
    published = error_modulo_distances_degrees(found, roma.rotmat_to_unitquat(true))
    turned = roma.unitquat_to_rotmat(found)
    errors = aligned(turned, true, case.structure.symmetry).errors_degrees
    return {
        "structure": case.structure.name,
        "snr_in_particle": case.snr_in_particle,
        "steps": steps,
        "distance_error": float(torch.rad2deg((predicted - actual).abs().mean())),
        "mean_modulo_distances": float(published.mean()),
        "mean": float(errors.mean()),
        "seconds": round(seconds, 1),
    }
