"""Training of the pair network: at each step images of a few molecules, never seen before.

A step is a function of (seed, step): training that was stopped goes on from its last state to
the same end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.errors import BadDataError
from cryospin.fourier.disk import FourierDisk
from cryospin.io.atomic import atomic_path
from cryospin.journal.tree import packed, unpacked
from cryospin.pairs.lines import MARGIN
from cryospin.pairs.network import PairNetwork, PairNetworkShape, network_input
from cryospin.pairs.synthetic import synthetic_particles
from cryospin.pairs.targets import surprise
from cryospin.parallel import CPU
from cryospin.particles.draws import generator_for
from cryospin.rotations.sampling import random_rotations
from cryospin.volumes.gridded import map_to_volume

TrainingReport = Callable[[int, Float[Tensor, ""]], None]
"""Called with the step and its loss, which lies where training does."""


@dataclass(frozen=True)
class Training:
    """Hyper-parameters.

    images: of each of `molecules` in a step; all their pairs are trained on.
    snr: range the full box's signal-to-noise ratio is drawn from, evenly in its logarithm; a
        share `clean` of steps has hardly any noise. no_ctf: share of steps without transfer.
    shift_pixel: what centring leaves, per axis, of the box given.
    """

    steps: int = 6000
    molecules: int = 2
    images: int = 20
    rate: float = 2e-3
    snr: tuple[float, float] = (0.03, 3.0)
    clean: float = 0.15
    no_ctf: float = 0.15
    shift_pixel: float = 0.5
    box: int = 64
    save_every: int = 200
    shape: PairNetworkShape = PairNetworkShape()

    def run(
        self,
        densities: Sequence[Float[Tensor, "g g g"]],
        seed: int,
        state: Path | None = None,
        report: TrainingReport = lambda step, loss: None,
        device: torch.device = CPU,
    ) -> PairNetwork:
        """densities: of molecules, on grids of any size across the field of view of a box.

        state: a file that is written as training goes on, and read where it is there.
        device: where to train; seed and state mean the same on all. The network is on the CPU.
        """
        generator = torch.Generator().manual_seed(seed)
        network = PairNetwork(self.shape, generator).to(device)
        densities = [density.to(device) for density in densities]
        optimiser = torch.optim.AdamW(network.parameters(), lr=self.rate, weight_decay=1e-4)
        first = self._resumed(network, optimiser, state, seed)
        for step in range(first, self.steps):
            for group in optimiser.param_groups:
                group["lr"] = self.rate * self._schedule(step)
            loss = self._loss(network, densities, seed, step)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            report(step + 1, loss.detach())
            if state is not None and (step + 1) % self.save_every == 0:
                self._keep(network, optimiser, state, seed, step + 1)
        return network.cpu().eval().requires_grad_(False)

    def _schedule(self, step: int) -> float:
        """Up over the first steps, down as a cosine."""
        warm = min(200, max(1, self.steps // 10))
        return min((step + 1) / warm, 0.5 + 0.5 * float(np.cos(np.pi * step / self.steps)))

    def _loss(
        self, network: PairNetwork, densities: Sequence[Tensor], seed: int, step: int
    ) -> Tensor:
        rng = generator_for(seed, "pair training", step)
        losses = []
        for _ in range(self.molecules):
            density = densities[int(rng.integers(len(densities)))]
            losses.append(self._loss_of(network, density, rng))
        return torch.cat(losses).mean()

    def _loss_of(
        self, network: PairNetwork, density: Tensor, rng: np.random.Generator
    ) -> Float[Tensor, " p"]:
        """Surprise, in nats, at all pairs of some images of one molecule."""
        low, high = np.log(self.snr)
        snr = 1e3 if rng.random() < self.clean else float(np.exp(rng.uniform(low, high)))
        disk = FourierDisk.of(self.box, self.shape.last_radius + MARGIN)
        volume = map_to_volume(density, self.box, disk.radius)
        made = synthetic_particles(
            volume,
            random_rotations(self.images, rng).to(volume.device, non_blocking=True),
            disk,
            pixel_size_angstrom=float(rng.uniform(2.0, 5.0)),
            rng=rng,
            snr=snr,
            defocus_um=None if rng.random() < self.no_ctf else (0.8, 3.0),
            largest_shift_pixel=self.shift_pixel * float(rng.random()),
        )
        lines, clarity = network_input(made.particles, made.power, self.shape)
        features = network(lines.values, clarity)
        one, other = torch.triu_indices(self.images, self.images, 1, device=volume.device)
        rows = made.rotations[:, :2]
        blocks = rows[one] @ rows[other].mT
        logits = network.logits(features.select(one), features.select(other))
        return surprise(logits, blocks, self.shape)

    def _keep(
        self,
        network: PairNetwork,
        optimiser: torch.optim.Optimizer,
        state: Path,
        seed: int,
        step: int,
    ) -> None:
        moments = [
            (optimiser.state[p]["step"], optimiser.state[p]["exp_avg"],
             optimiser.state[p]["exp_avg_sq"])
            for p in network.parameters()
        ]  # fmt: skip
        tree = {
            "step": step,
            "asked": repr((self, seed)),
            "weights": dict(network.state_dict()),
            "moments": moments,
        }
        with atomic_path(state) as temporary:
            temporary.write_bytes(packed(tree))

    def _resumed(
        self,
        network: PairNetwork,
        optimiser: torch.optim.Optimizer,
        state: Path | None,
        seed: int,
    ) -> int:
        """Steps done already."""
        if state is None or not state.exists():
            return 0
        fix = f"remove {state} to begin anew"
        try:
            tree = unpacked(state.read_bytes())
            asked = tree["asked"]
        except (ValueError, KeyError, TypeError) as error:
            raise BadDataError("no state of a training", file=state, fix=fix) from error
        if asked != repr((self, seed)):
            raise BadDataError("a training with other settings", file=state, fix=fix)
        network.load_state_dict(tree["weights"])
        for parameter, moments in zip(network.parameters(), tree["moments"], strict=True):
            step, *averages = moments
            first, second = (average.to(parameter.device) for average in averages)
            # the number of steps stays on the CPU, where torch counts it
            optimiser.state[parameter] = {"step": step, "exp_avg": first, "exp_avg_sq": second}
        return int(tree["step"])
