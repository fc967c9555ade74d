"""The recipes that train an encoder, from poses near the truth: do they get closer to it?

    python benchmarks/near_poses.py run near --models DIR --recipes cryoposenet amortized
    python benchmarks/near_poses.py table near/near_poses.jsonl

`run` simulates centered images (`cryospin simulate`), turns each true pose by an angle of its own,
uniform from 0 to --degrees about a random axis, fits encoder and volume to these poses, and trains
on as the recipe does; --degrees 0 fits nothing: random weights. All images are one set, none held
out. A training ends early where an epoch of the encoder has less than --until degrees. Each run is
a line of near_poses.jsonl, `table` prints them: errors are medians over the images, after the best
global rotation and hand.

--encoder connected: fully connected layers on images of 24x24 pixels in place of the published
VGG, at a seventieth of its time. vgg16: the VGG on images of 16x16 pixels.
"""

from __future__ import annotations

import argparse
import json
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import roma
import torch
from torch import Tensor, nn

from cryospin.bench.datasets import Conditions, Dataset, simulated
from cryospin.bench.structures import Structure
from cryospin.evaluate.poses import match_particles
from cryospin.explore.encoder import PYRAMID_SIGMAS_PIXEL, PoseEncoder
from cryospin.explore.heads import PoseHeads
from cryospin.explore.setting import Setting
from cryospin.explore.snapshot import Snapshot
from cryospin.explore.warm_start import WarmStart
from cryospin.fourier.disk import FourierDisk
from cryospin.io.formats import poses_of
from cryospin.io.relion import read_particles
from cryospin.particles.diameter import particle_size
from cryospin.particles.prepare import prepare_particles
from cryospin.recipes import find_recipe
from cryospin.reconstruct.amortised import AmortisedTraining
from cryospin.rotations.align import align_rotations
from cryospin.threads import configure_threads


class NearEnough(Exception):
    """Ends a training from within its watch."""


RECIPES = ("cryospin-paper", "amortized", "cryoposenet", "cryoai-explicit", "cryoai")
SIDE, WIDTH, FEATURES = 24, 512, 256
LOOKS = (1, 5, 10, 20, 40)  # epochs the table has a figure of


class Connected(nn.Module):
    """Two fully connected layers of 512 units and one of 256."""

    def __init__(self, generator: torch.Generator):
        super().__init__()
        layers: list[nn.Module] = [nn.Flatten()]
        sizes = (len(PYRAMID_SIGMAS_PIXEL) * SIDE**2, WIDTH, WIDTH, FEATURES)
        for inner, outer in zip(sizes[:-1], sizes[1:], strict=True):
            linear = nn.Linear(inner, outer)
            for parameter in (linear.weight, linear.bias):
                nn.init.uniform_(parameter, -(inner**-0.5), inner**-0.5, generator=generator)
            layers += [linear, nn.LayerNorm(outer), nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)


def connected(
    disk: FourierDisk, heads: int, shift_range_pixel: float, generator: torch.Generator
) -> PoseEncoder:
    backbone = Connected(generator)
    return PoseEncoder(
        disk, SIDE, backbone, PoseHeads(FEATURES, heads, shift_range_pixel, generator)
    )


ENCODERS = {
    "connected": connected,
    "vgg": PoseEncoder.vgg,
    "vgg16": partial(PoseEncoder.vgg, side=16),
}


def turned(rotations: Tensor, degrees: float, seed: int) -> Tensor:
    """Each by an angle of its own, uniform up to `degrees`, about a random axis."""
    rng, count = np.random.default_rng(seed), len(rotations)
    axes = nn.functional.normalize(torch.as_tensor(rng.normal(size=(count, 3))), dim=-1)
    angles = torch.as_tensor(np.radians(degrees) * rng.uniform(size=(count, 1)))
    return roma.rotvec_to_rotmat(axes * angles) @ rotations


def run(asked: argparse.Namespace, dataset: Dataset, recipe: str) -> dict[str, Any]:
    """One training, as a line of the ledger."""
    stack, truth = match_particles(read_particles(dataset.particles), read_particles(dataset.truth))
    true = poses_of(truth).rotations.double()
    size = particle_size(stack, asked.seed, 0.0)
    particles = prepare_particles(
        stack, mask_diameter_angstrom=size.mask_diameter_angstrom, seed=asked.seed
    )
    given = turned(true, asked.degrees, asked.seed)
    start = None
    if asked.degrees:
        centred = torch.zeros(len(true), 2)
        start = WarmStart(stack.uids, given.float(), centred, asked.taught)
    began, errors = time.process_time(), list[dict[str, Any]]()

    def watch(seen: Snapshot) -> None:
        told = f"{recipe} {seen.stage} {seen.epoch}"
        if seen.stage == "encoder" and seen.epoch % asked.every and seen.epoch != 1:
            return
        off = align_rotations(seen.rotations.double(), true).errors_degrees
        found = {
            "stage": seen.stage,
            "epoch": seen.epoch,
            "median": round(float(off.median()), 2),
            "beyond_10": round(float((off > 10).double().mean()), 3),
            "loss": round(seen.loss, 1),
            "usage": [round(float(share), 3) for share in seen.usage],
            "processor_seconds": round(time.process_time() - began, 1),
        }
        errors.append(found)
        print(told, json.dumps(found), flush=True)
        if seen.stage == "encoder" and float(off.median()) < asked.until:
            raise NearEnough

    search = find_recipe(recipe).starts.search
    assert isinstance(search, AmortisedTraining)
    search = replace(
        search,
        encoder=replace(search.encoder, epochs=asked.epochs or search.encoder.epochs),
        held_out=0,
        last_radius=asked.radius,
        make_encoder=ENCODERS[asked.encoder],
        start=start,
        watch=watch,
    )
    support = size.support_radius(stack.box * stack.pixel_size_angstrom)
    setting = Setting(torch.eye(3)[None], 0.0, support, asked.seed, asked.seed)
    with suppress(NearEnough):
        search.run(particles, setting)
    return {
        "recipe": recipe,
        "encoder": asked.encoder,
        "structure": asked.structure,
        "particles": asked.particles,
        "box": asked.box,
        "snr": asked.snr,
        "radius": min(asked.radius, particles.disk.radius),
        "seed": asked.seed,
        "degrees": asked.degrees,
        "given": round(float(align_rotations(given, true).errors_degrees.median()), 2),
        "taught_epochs": asked.taught if asked.degrees else 0,
        "images_seen": errors[-1]["epoch"] * len(true),
        "errors": errors,
        "machine": asked.machine,
        "date": time.strftime("%Y-%m-%d"),
    }


def table(ledger: Path) -> None:
    """Of all runs: markdown."""
    names = ("recipe", "encoder", "on", "given", "fitted", "after epochs of training", "at the end")
    print("| " + " | ".join((*names, "images seen", "processor s")) + " |")
    print("|" + "---|" * (len(names) + 2))
    for line in ledger.read_text().splitlines():
        row = json.loads(line)
        errors = row["errors"]
        first = errors[0]["median"] if row["degrees"] else "–"
        way = [found for found in errors[:-1] if found["epoch"] in LOOKS]
        steps = ", ".join(f"{found['epoch']}: {found['median']:.1f}" for found in way)
        given = f"{row['given']:.1f}" if row["degrees"] else "random"
        on = f"{row['structure']}, {row['particles']:,} x {row['box']}"
        end = f"{errors[-1]['median']:.2f} ({100 * errors[-1]['beyond_10']:.0f} %)"
        cells = (row["recipe"], row["encoder"], on, given, first, steps, end)
        spent = f"{row['images_seen']:,}", f"{errors[-1]['processor_seconds']:.0f}"
        print("| " + " | ".join(map(str, (*cells, *spent))) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("place", type=Path)
    parser.add_argument("--models", type=Path)
    parser.add_argument("--recipes", nargs="+", default=RECIPES, choices=RECIPES)
    parser.add_argument("--structure", default="4zxb")
    parser.add_argument("--particles", type=int, default=2000)
    parser.add_argument("--box", type=int, default=64)
    parser.add_argument("--snr", type=float, default=0.1)
    parser.add_argument("--degrees", type=float, default=20.0)
    parser.add_argument("--taught", type=int, default=80, help="epochs")
    parser.add_argument("--epochs", type=int, help="of the encoder; default the recipe's")
    parser.add_argument("--encoder", default="connected", choices=ENCODERS)
    parser.add_argument("--until", type=float, default=0.0, help="degrees")
    parser.add_argument("--radius", type=float, default=63.0, help="Fourier pixels to train on")
    parser.add_argument("--every", type=int, default=10, help="epochs between two looks")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--machine", default="")
    asked = parser.parse_args()
    if asked.what == "table":
        return table(asked.place)
    configure_threads(asked.threads)
    structure = Structure(asked.structure)
    conditions = Conditions(asked.particles, asked.box, asked.snr)
    folder = asked.place / conditions.label(structure, asked.seed)
    dataset = simulated(structure, conditions, asked.seed, asked.models, folder)
    for recipe in asked.recipes:
        row = run(asked, dataset, recipe)
        with open(asked.place / "near_poses.jsonl", "a") as file:
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
