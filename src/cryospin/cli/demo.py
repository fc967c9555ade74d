"""`cryospin demo`: a molecule of its own, simulated, reconstructed and scored; no download."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from typer import Option

from cryospin.cli.progress import progress_display
from cryospin.threads import configure_threads

BOX, PIXEL_SIZE_ANGSTROM, SNR, MAX_SHIFT_PIXEL = 64, 3.5, 0.1, 3.0


def demo(
    out: Annotated[Path, Option(help="Folder to write into.")] = Path("demo-run"),
    particles: Annotated[int, Option(min=400, help="Number of images.")] = 3000,
    seed: Annotated[int, Option(help="Another seed, another molecule.")] = 1,
    threads: Annotated[int | None, Option(help="Default: all cores available.")] = None,
) -> None:
    """Simulate a molecule, reconstruct it from images alone, score it against the truth."""
    count = configure_threads(threads)
    from cryospin.cli.reconstruct import reconstruct
    from cryospin.evaluate.run import evaluate_run
    from cryospin.io.atomic import atomic_path, check_output_directory
    from cryospin.io.lock import LOCK, sole_use
    from cryospin.io.outputs import Outputs, check_outputs
    from cryospin.io.run_folder import EVALUATION
    from cryospin.reconstruct.outputs import RUN
    from cryospin.report import write_report
    from cryospin.simulate.dataset import DATASET, Microscope, needed_bytes, simulate
    from cryospin.simulate.molecule import chain_molecule
    from cryospin.simulate.poses import draw_poses
    from cryospin.simulate.transfer import draw_ctf

    data, run = out / "data", out / "run"
    poses = draw_poses(
        particles,
        max_shift_pixel=MAX_SHIFT_PIXEL,
        pixel_size_angstrom=PIXEL_SIZE_ANGSTROM,
        seed=seed,
    )
    microscope = Microscope(BOX, PIXEL_SIZE_ANGSTROM, SNR, draw_ctf(particles, seed), seed=seed)
    check_output_directory(out, needed_bytes(BOX, particles))
    with sole_use(out, out / LOCK):
        # all of it before the first file is written
        evaluation = Outputs((EVALUATION,))
        for place, outputs in ((data, DATASET), (run, RUN), (run, evaluation)):
            check_outputs(place, outputs)
        with progress_display() as progress:
            simulate(
                chain_molecule(seed), poses, microscope, data, threads=count, progress=progress
            )
        try:
            reconstruct(data / "particles.star", run, seed=seed, threads=threads)
        finally:
            # a run that did not converge is scored too: that is what the truth is for
            if (run / "result.json").exists():
                score = evaluate_run(run, data / "truth.star", data / "truth.mrc")
                with atomic_path(run / EVALUATION) as temporary:
                    temporary.write_text(json.dumps(score, indent=1))
                print(f"against the truth: {write_report(run)}")
