"""Kernels compiled or loaded before a run is the first to need them.

The CPU's are compiled by a process of their own. numba keeps what it compiles, so this happens
once after each installation. The process that compiles a parallel loop runs another copy of it
than those that load it later: last bits differ, and a run that was killed and resumed would not
be that of one process.
"""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from threading import Thread

import numba
import torch

from cryospin.fourier.disk import FourierDisk
from cryospin.kernels import grid_loops, loops, margin_for
from cryospin.kernels.dispatch import twin_of
from cryospin.parallel import CPU


def compile_once() -> None:
    """See to it that this process will load the kernels. Where nothing can be kept, or the other
    process fails, they are compiled when they are needed."""
    with suppress(OSError):
        done = _mark()
        if done.exists():
            return
        command = [sys.executable, "-m", __name__]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            done.touch()


def _mark() -> Path:
    """A file beside the compiled code: of this source, numba and machine: processors differ."""
    folder = Path(loops.normal_equations_loop.stats.cache_path)
    digest = hashlib.sha256(f"{numba.__version__} {platform.node()}".encode())
    for module in (loops, grid_loops):
        source = Path(str(module.__file__))
        # numba compiles anew what has another time of change
        digest.update(f"{source} {source.stat().st_mtime_ns}".encode() + source.read_bytes())
    return folder / f"compiled.{digest.hexdigest()[:16]}"


def load_meanwhile(device: torch.device) -> None:
    """Load a card's kernels and libraries while something else is computed: it takes a second."""
    Thread(target=call_all, args=(device,), name="kernels").start()


def call_all(device: torch.device = CPU) -> None:
    """Each kernel once, on next to nothing, with arrays as they come."""
    disk = FourierDisk.of(16, 4)
    margin, count = margin_for(4), 3
    rotations = torch.eye(3, device=device).repeat(count, 1, 1)
    shifts = torch.zeros(count, 2, device=device)
    images = torch.ones(count, len(disk), dtype=torch.complex64, device=device)
    ctf = torch.ones(count, len(disk), device=device)
    twin = twin_of(images)
    volume, _ = twin.insert_portions([(images, ctf, rotations)], disk, margin, 2)
    slices = twin.slice_volume(volume, rotations, disk, 2)
    given = volume, images, ctf, rotations, shifts, disk, None, 2
    twin.pose_losses(*given)
    twin.pose_normal_equations(*given)
    twin.grid_weights(slices, images, ctf, shifts, disk, 1.0, None)
    quaternions = torch.zeros(4, count, 4, device=device)
    twin.grid_peaks(slices, images, ctf, shifts, disk, quaternions, 0.5, 2)


if __name__ == "__main__":
    call_all()
