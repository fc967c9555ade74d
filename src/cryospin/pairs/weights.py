"""Trained weights on disk: one safetensors file that says what it is. Reading it runs no code."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from cryospin.errors import BadDataError, UsageError
from cryospin.io.atomic import atomic_path
from cryospin.pairs.network import PairNetwork, PairNetworkShape

FORMAT = "cryospin pair network"
VERSION = "1"
_FIX = "train anew: cryospin pairs train --out FILE.safetensors"


def save_network(path: Path, network: PairNetwork, told: dict[str, str]) -> None:
    """told: how it was trained, as words beside the weights."""
    about = {
        "format": FORMAT,
        "version": VERSION,
        "shape": json.dumps(asdict(network.shape)),
        **told,
    }
    tensors = {name: value.contiguous() for name, value in network.state_dict().items()}
    with atomic_path(path) as temporary:
        # `save_file` would leave a file that only its owner may read
        temporary.write_bytes(safetensors.torch.save(tensors, about))


def load_network(path: Path) -> PairNetwork:
    """Ready to be asked.

    Raises
    ------
    UsageError: no such file. BadDataError: no weights of this program, or of another version.
    """
    if not path.is_file():
        raise UsageError(f"no such file: {path}\n  fix: {_FIX}")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
        tensors = safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise BadDataError(f"no safetensors file ({error})", file=path, fix=_FIX) from error
    if about.get("format") != FORMAT:
        raise BadDataError("no weights of a pair network", file=path, fix=_FIX)
    if about.get("version") != VERSION:
        raise BadDataError(
            f"weights of version {about.get('version')}, this program reads version {VERSION}",
            file=path,
            fix=_FIX,
        )
    try:
        shape = PairNetworkShape(**json.loads(about["shape"]))
        network = PairNetwork(shape, torch.Generator())
        network.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise BadDataError("its weights do not fit its shape", file=path, fix=_FIX) from error
    return network.eval().requires_grad_(False)
