"""Where poses of single images go, epoch by epoch, over their log-posterior: the paper's Fig. 4."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import rc_context

from cryospin.bench.curves import Truth, in_frame
from cryospin.bench.figures import colour_of, panels, write_svg
from cryospin.bench.oracle import scaled_truth
from cryospin.bench.watched import Watched
from cryospin.explore.view_posterior import OneImage, posterior_near
from cryospin.report.figures import INK, STYLE
from cryospin.report.posterior import draw_zoom, gnomonic

_RADIUS = 12.0  # Fourier pixels of the posterior
_REACH_DEGREES, _COUNT = 30.0, 41


@dataclass(frozen=True)
class Landscape:
    """One image around its true pose.

    pose: (3, 3). near: (g, g), log-posterior over view directions in the true map at the true
    shift, maximum 0, on the plane that `report.posterior.gnomonic` draws. paths: by recipe, view
    directions (e, 3) in the truth's frame.
    """

    uid: str
    pose: np.ndarray
    near: np.ndarray
    paths: dict[str, np.ndarray]


def landscapes(seen: dict[str, Watched], truth: Truth, images: int = 3) -> list[Landscape]:
    """Of the first images: simulated in random order, so any are as good as any.

    A path is in the frame of its recipe's last epoch.
    """
    particles = truth.particles
    rotations = truth.poses.rotations
    shifts_pixel = truth.poses.shifts_angstrom.float()  # `Truth` has them in pixels
    volume = scaled_truth(truth.dataset.true_map, rotations, shifts_pixel, particles)
    found = []
    frames = {name: truth.aligned(watched.rotations[-1], "C1") for name, watched in seen.items()}
    for row in range(min(images, len(particles))):
        image = OneImage(volume, particles.batch(slice(row, row + 1), _RADIUS))
        pose, shift = rotations[row].float(), shifts_pixel[row, None]
        near = posterior_near(image, pose, shift, _REACH_DEGREES, _COUNT).log_posterior
        paths = {
            name: in_frame(watched.rotations[:, row], frames[name])[:, 2].numpy()
            for name, watched in seen.items()
        }
        found.append(
            Landscape(particles.uids[row], pose.numpy(), near.view(_COUNT, _COUNT).numpy(), paths)
        )
    return found


@rc_context(STYLE)
def paths_figure(found: list[Landscape], path: Path) -> Path:
    """A panel for each image; a path's last epoch is a dot, the true view a cross."""
    figure, axes = panels(len(found), height=4.6)
    for place, landscape in zip(axes, found, strict=True):
        draw_zoom(place, landscape.near, _REACH_DEGREES)
        for name, directions in landscape.paths.items():
            x, y = gnomonic(directions, landscape.pose, _REACH_DEGREES)
            place.plot(x, y, "-", color=colour_of(name), linewidth=1.1, label=name)
            place.plot(x[-1:], y[-1:], "o", color=colour_of(name), markersize=6)
        place.plot(0, 0, "x", color=INK, markersize=8)
        place.set_title(landscape.uid, size=9.5, loc="left", color=INK)
    axes[0].legend(loc="lower left")
    return write_svg(figure, path)
