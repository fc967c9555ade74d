"""What a card makes of the kernels (rates, and errors against the float64 twins) and of whole runs.

    python benchmarks/gpu.py --out gpu         # gpu/gpu.json, gpu/gpu.md; 5 minutes, 8 GB of disk
    python benchmarks/gpu.py --rehearse        # on a CPU, toy sizes, the twins as if they were it

Figures are medians of several repetitions, after compilation, as the card's own clock has them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import roma
import torch
import whole_runs
from torch import Tensor

from cryospin.fourier.disk import FourierDisk
from cryospin.kernels import margin_for, reference
from cryospin.rotations.grid import OrientationGrid, view_half_turns

OVERSAMPLING = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rehearse", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("gpu"), help="folder for everything")
    parser.add_argument("--model", type=Path, help="to simulate; default: a made-up molecule")
    parser.add_argument("--only", choices=("kernels", "runs"))
    options = parser.parse_args()
    device = torch.device("cpu" if options.rehearse else options.device)
    options.out.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {"machine": machine(device)}
    told = []
    if options.only != "runs":
        results["kernels"] = kernels(device)
        told.append(markdown(results))
    if options.only != "kernels":
        results["runs"] = whole_runs.whole_runs(
            str(device), options.out, options.model, options.rehearse
        )
        told.append(whole_runs.markdown(results["runs"]))
    (options.out / "gpu.json").write_text(json.dumps(results, indent=2) + "\n")
    (options.out / "gpu.md").write_text("\n\n".join(told) + "\n")
    print("\n\n".join(told))


def machine(device: torch.device) -> dict[str, str]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU (rehearsal)"
    return {"device": name, "torch": torch.__version__}


def kernels(device: torch.device) -> dict[str, Any]:
    """Rates by radius, of the search, and errors; on a CPU a rehearsal at toy size."""
    torch.manual_seed(0)
    toy = device.type == "cpu"
    box = 16 if toy else 128
    counts = {7: 20, 4: 20} if toy else {63: 8192, 30: 16384, 12: 65536}
    return {
        "box": box,
        "by_radius": [
            rates(FourierDisk.of(box, radius), count, device) for radius, count in counts.items()
        ],
        "search": search(FourierDisk.of(box, 4 if toy else 12), device, toy),
    }


def backend(device: torch.device) -> Any:
    if device.type == "cpu":
        return reference
    from cryospin.kernels import cuda

    return cuda


def insertions(device: torch.device) -> dict[str, Callable[[], AbstractContextManager]]:
    """Each way of adding up, and what makes it the one that is used."""
    twin = backend(device)
    if twin is reference:
        return {"insert": nullcontext}
    from cryospin.kernels import cuda_sums

    ways: dict[str, Callable[[], AbstractContextManager]] = {
        "insert, atomics": lambda: patch.object(cuda_sums, "_adds_vectors", lambda device: False),
        "insert, deterministic": cuda_sums.deterministic_sums,
    }
    if cuda_sums._adds_vectors(device):
        ways["insert, vectors"] = nullcontext
    return ways


def rates(disk: FourierDisk, count: int, device: torch.device) -> dict[str, Any]:
    """Billion coefficients a second of each kernel, and its relative error."""
    twin, margin, size = backend(device), margin_for(disk.radius), len(disk)
    side = 2 * margin + 1
    volume = torch.randn(side, side, margin + 1, dtype=torch.complex64, device=device)
    rotations = roma.random_rotmat(count, device=device)
    images = torch.randn(count, size, dtype=torch.complex64, device=device)
    ctf = torch.rand(count, size, device=device)
    shifts = torch.randn(count, 2, device=device)
    pose = (volume, images, ctf, rotations, shifts, disk, None, OVERSAMPLING)
    portion = (images, ctf, rotations)

    def insert() -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = twin.insert_portions([portion], disk, margin, OVERSAMPLING)
        return found

    billions = count * size / 1e9
    work: dict[str, Callable[[], object]] = {
        "slice": lambda: twin.slice_volume(volume, rotations, disk, OVERSAMPLING),
        "losses": lambda: twin.pose_losses(*pose),
        "normal equations": lambda: twin.pose_normal_equations(*pose),
    }
    rate = {name: billions / seconds(call, device) for name, call in work.items()}
    repeatable = {}
    for name, how in insertions(device).items():
        with how():
            rate[name] = billions / seconds(insert, device)
            first, second = insert(), insert()
            repeatable[name] = all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    return {
        "radius": disk.radius,
        "coefficients": size,
        "particles": count,
        "billion coefficients / s": rate,
        "same bits twice": repeatable,
        "relative error": errors(volume, images, ctf, rotations, shifts, disk),
    }


def errors(
    volume: Tensor,
    images: Tensor,
    ctf: Tensor,
    rotations: Tensor,
    shifts: Tensor,
    disk: FourierDisk,
) -> dict[str, float]:
    """Against the twin in float64, of a few particles."""
    twin, margin = backend(volume.device), volume.shape[-1] - 1
    single = (volume, *(t[:64].contiguous() for t in (images, ctf, rotations, shifts)))
    exact = tuple(map(double, single))

    def insert(module: Any, tensors: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        _, values, weights, turns, _ = tensors
        found: tuple[Tensor, Tensor] = module.insert_portions(
            [(values, weights, turns)], disk, margin, OVERSAMPLING
        )
        return found

    found = {
        "slice": relative(
            twin.slice_volume(single[0], single[3], disk, OVERSAMPLING),
            reference.slice_volume(exact[0], exact[3], disk, OVERSAMPLING),
        )
    }
    expected = insert(reference, exact)
    for name, how in insertions(volume.device).items():
        with how():
            found[name] = max(map(relative, insert(twin, single), expected))
    normal = zip(
        ("loss", "gradient", "hessian"),
        twin.pose_normal_equations(*single, disk, None, OVERSAMPLING),
        reference.pose_normal_equations(*exact, disk, None, OVERSAMPLING),
        strict=True,
    )
    return found | {name: relative(ours, exactly) for name, ours, exactly in normal}


def search(disk: FourierDisk, device: torch.device, toy: bool) -> dict[str, Any]:
    """Images a second over a grid of poses: of a true map, with noise."""
    grid = OrientationGrid.of(*((1, 8) if toy else (4, 24)))
    base = grid.base.to(device)
    count = 20 if toy else 25_000
    side = torch.linspace(-4.0, 4.0, 3, device=device)
    shifts = torch.cartesian_prod(side, side)
    margin = margin_for(disk.radius)
    volume = torch.randn(
        2 * margin + 1, 2 * margin + 1, margin + 1, dtype=torch.complex64, device=device
    )
    twin = backend(device)
    # a likelihood ratio of some tens of nats between the true pose and none
    slices = twin.slice_volume(volume, base, disk, OVERSAMPLING) * (40 / len(disk)) ** 0.5
    true = torch.randint(len(base), (count,), device=device)
    ctf = torch.rand(count, len(disk), device=device)
    images = ctf * slices[true] + torch.randn(count, len(disk), dtype=slices.dtype, device=device)
    quaternions = roma.rotmat_to_unitquat(view_half_turns(device)[:, None] @ base)
    near = float(np.cos(0.5 * np.radians(1.8 * grid.spacing_degrees)))
    weights = (slices, images, ctf, shifts, disk, 1.0, None)
    peaks = (slices, images, ctf, shifts, disk, quaternions, near, 4)
    rate = {
        "grid_weights": count / seconds(lambda: twin.grid_weights(*weights), device),
        "grid_peaks": count / seconds(lambda: twin.grid_peaks(*peaks), device),
    }
    few = (slices, images[:200], ctf[:200], shifts)
    exact = tuple(map(double, few))
    ours = twin.grid_weights(*few, disk, 1.0, None)
    exactly = reference.grid_weights(*exact, disk, 1.0, None)
    found = twin.grid_peaks(*few, disk, quaternions, near, 4)
    best = reference.grid_peaks(*exact, disk, quaternions.double(), near, 4)
    return {
        "radius": disk.radius,
        "images": count,
        "shifts": len(shifts),
        "orientations": 4 * len(base),
        "images / s": rate,
        "relative error": {
            "numerator": relative(ours[0], exactly[0]),
            "denominator": relative(ours[1], exactly[1]),
        },
        "largest error of the evidence, nats": float((ours[2] - exactly[2]).abs().max()),
        "same peaks": [float(same) for same in (found == best).all(-1).double().mean(0)],
    }


def double(tensor: Tensor) -> Tensor:
    return tensor.to(torch.complex128 if tensor.is_complex() else torch.float64)


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found.to(expected.dtype) - expected).norm() / expected.norm())


def seconds(work: Callable[[], object], device: torch.device, repeats: int = 5) -> float:
    """Median time of one call, after two to compile and to warm up."""
    for _ in range(2):
        work()
    if device.type == "cpu":
        took = []
        for _ in range(repeats):
            start = time.perf_counter()
            work()
            took.append(time.perf_counter() - start)
        return statistics.median(took)
    events = [torch.cuda.Event(enable_timing=True) for _ in range(repeats + 1)]
    events[0].record()
    for event in events[1:]:
        work()
        event.record()
    torch.cuda.synchronize(device)
    steps = zip(events[:-1], events[1:], strict=True)
    return statistics.median(before.elapsed_time(after) / 1e3 for before, after in steps)


def markdown(results: dict[str, Any]) -> str:
    measured = results["kernels"]
    radii = measured["by_radius"]
    lines = [
        f"{results['machine']['device']}, torch {results['machine']['torch']}, "
        f"box {measured['box']}",
        "",
        "| billion coefficients / s (relative error) | "
        + " | ".join(f"radius {each['radius']:g}" for each in radii)
        + " |",
        "|---|" + "---|" * len(radii),
    ]
    for name in radii[0]["billion coefficients / s"]:
        cells = []
        for each in radii:
            error = each["relative error"].get(name.replace("normal equations", "hessian"))
            error = each["relative error"]["loss"] if name == "losses" else error
            cells.append(f"{each['billion coefficients / s'][name]:.3g} ({error:.1g})")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    looked = measured["search"]
    lines += ["", f"| {looked['shifts']} shifts x {looked['orientations']} | images / s |"]
    lines += ["|---|---|"]
    lines += [f"| {name} | {rate:.4g} |" for name, rate in looked["images / s"].items()]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
