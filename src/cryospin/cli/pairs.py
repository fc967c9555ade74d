"""`cryospin pairs`: the learned relation between two images."""

from __future__ import annotations

import sys
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Option

from cryospin.errors import UsageError
from cryospin.threads import configure_threads

if TYPE_CHECKING:
    from torch import Tensor

pairs = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Learn the relative orientation of two images of an unknown molecule.",
)


@pairs.callback()
def options() -> None:
    """Without it a group of one command would be that command."""


@pairs.command("train")
def train(
    out: Annotated[Path, Option(help="File to write (.safetensors).")],
    steps: Annotated[int, Option(min=1, help="0.3 s of a core each.")] = 10_000,
    made_up: Annotated[int, Option(min=0, help="Artificial molecules to learn from.")] = 300,
    models: Annotated[
        Path | None, Option(help="Folder of PDB or mmCIF files to learn from, too.")
    ] = None,
    without: Annotated[str, Option(help="NAME,... of models to leave out, for testing.")] = "",
    snr: Annotated[
        str, Option(help="LOW,HIGH in the full box, uniform in the logarithm.")
    ] = "0.03,3",
    seed: Annotated[int, Option(help="Same seed, same weights.")] = 0,
    device: Annotated[
        str, Option(help="auto, cpu, cuda or cuda:N; auto: a card if one can be used.")
    ] = "auto",
    threads: Annotated[int | None, Option(help="Default: all cores available.")] = None,
) -> None:
    """Train the network of recipe pairwise on simulated images.

    Stopped, it goes on where it was when called again: OUT.state keeps the last state.
    """
    if models is not None and not models.is_dir():
        raise UsageError(f"no such folder: {models}\n  fix: --models FOLDER, or leave it out")
    if not made_up and models is None:
        raise UsageError("nothing to learn from\n  fix: --made-up 300, or --models FOLDER")
    noise = _range(snr)
    from cryospin.devices import check_device_name, find_device

    check_device_name(device)
    configure_threads(threads)
    from cryospin.io.atomic import check_output_directory
    from cryospin.io.lock import sole_use
    from cryospin.io.outputs import check_output_file
    from cryospin.pairs.training import Training
    from cryospin.pairs.weights import save_network
    from cryospin.simulate.training_set import models_in, training_densities

    names = tuple(name.strip() for name in without.split(",") if name.strip())
    chosen = () if models is None else models_in(models, names)
    check_output_directory(out.parent)
    state = out.with_name(out.name + ".state")
    for file in (out, state):
        check_output_file(file, chosen)
    found, where = find_device(device)
    print(f"{made_up} made-up molecules, {len(chosen)} models; {where}", file=sys.stderr)
    densities = training_densities(made_up, chosen, seed)
    training = Training(steps=steps, snr=noise)
    losses: deque[Tensor] = deque(maxlen=100)

    def report(step: int, loss: Tensor) -> None:
        losses.append(loss)
        if step % 100 == 0 or step == steps:
            mean = float(sum(losses)) / len(losses)
            print(f"step {step} of {steps}: {mean:.3f} nats", file=sys.stderr, flush=True)

    told = {
        "command": f"cryospin pairs train --steps {steps} --made-up {made_up} --snr {snr} "
        f"--seed {seed}",
        "models": ",".join(path.name for path in chosen),
    }
    with sole_use(out, out.with_name(f".{out.name}.lock")):
        network = training.run(densities, seed, state, report, found)
        save_network(out, network, told)
        state.unlink(missing_ok=True)
    print(out)


def _range(text: str) -> tuple[float, float]:
    try:
        low, high = (float(word) for word in text.split(","))
    except ValueError:
        low = high = 0.0
    if not 0.0 < low <= high:
        raise UsageError(f"--snr must be two numbers above 0, got {text!r}\n  fix: --snr 0.03,3")
    return low, high
