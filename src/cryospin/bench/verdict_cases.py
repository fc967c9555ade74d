"""Particle stacks that can be solved, that cannot, and that lie about themselves."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from cryospin.bench.datasets import FILLED
from cryospin.bench.processes import run_command
from cryospin.bench.structures import Structure, model_file
from cryospin.errors import CryospinError
from cryospin.io.mrc import read_map, write_map
from cryospin.io.star import StarBlock, StarFile, read_star
from cryospin.io.star_writer import write_star
from cryospin.simulate.models import read_model
from cryospin.types import DensityMap
from cryospin.volumes.gridded import spherical_support

BALL, SHELL = "ball", "shell"
NOISE_SNR = 1e-6
SHIFT_PIXEL = 2.0


@dataclass(frozen=True)
class Truth:
    """What the particles of one molecule should become."""

    table: Path
    map: Path
    symmetry: str


@dataclass(frozen=True)
class Case:
    """One stack. structures: NAME or NAME:SYMMETRY, BALL or SHELL; two are mixed half and half.

    claimed: pixel size in the table over the true one. junk: share of images that are noise.
    """

    kind: str
    structures: tuple[str, ...]
    seed: int = 1
    particles: int = 2000
    box: int = 48
    snr: float = 0.1
    views: str = "uniform"
    claimed: float = 1.0
    junk: float = 0.0

    @property
    def key(self) -> str:
        fields = asdict(self)
        names = "+".join(name.replace(":", "-") for name in fields.pop("structures"))
        changed = [f"{k}{v:g}" for k, v in fields.items() if k not in ("kind", "views")]
        return "_".join([self.kind, names.lower(), self.views, *changed])

    @property
    def has_poses(self) -> bool:
        """Whether there is anything to find, told truthfully."""
        return (
            self.snr > NOISE_SNR and self.claimed == 1.0 and self.structures[0] not in (BALL, SHELL)
        )


def cases(fresh: int = 0) -> tuple[Case, ...]:
    """Those of docs/verdicts.md; `fresh` is added to every seed, for images not seen before."""
    six = ("3jb9", "2cg9:C2", "1u6g", "3sn6", "7DDO", "6vxx:C3")
    found = [Case("plain", (name,), seed) for seed, name in enumerate(six, 1)]
    found += [Case("noisy", (name,), 2, particles=4000, snr=0.03) for name in six[:4]]
    found += [
        Case("few", (name,), 4, particles=count)
        for count in (100, 200, 400, 800)
        for name in ("5gjv", "1igy:C2", "4zxb")
    ]
    noise = Case("noise", ("3jb9",), particles=400, snr=NOISE_SNR)
    found += [replace(noise, seed=seed) for seed in range(5, 11)]
    found += [Case("featureless", (BALL,), seed) for seed in range(4)]
    found += [Case("featureless", (SHELL,), seed) for seed in range(3)]
    found += [
        Case("wrong pixel size", (name,), 5, claimed=factor)
        for factor in (0.8, 1.25)
        for name in ("5gjv", "3sn6", "adk_open")
    ]
    found += [Case("one view", (name,), 6, views="pole") for name in six[:5]]
    found += [Case("equator", (name,), 7, views="equator") for name in ("1u6g", "3jb9", "4zxb")]
    mixed = (("3jb9", "1u6g"), ("2cg9:C2", "4zxb"), ("3sn6", "7DDO"), ("5gjv", "1igy:C2"))
    found += [Case("two molecules", pair, 8) for pair in (*mixed, ("adk_open", "1e6v:C2"))]
    found += [Case("half junk", (name,), 9, junk=0.5) for name in six[1:5]]
    found += [Case("very noisy", (name,), 3, particles=3000, snr=0.01) for name in six[3:]]
    return tuple(replace(case, seed=case.seed + fresh) for case in found)


def made(case: Case, models: Path, folder: Path) -> tuple[Path, tuple[Truth, ...]]:
    """The case's table of particles, simulated into `folder` unless it is there, and truths."""
    parts = _parts(case, models, folder)
    table = folder / "particles.star"
    truths = tuple(
        Truth(_truth_table(part), _claimed_map(part, case.claimed), Structure.parse(name).symmetry)
        for part, name in zip(parts, case.structures, strict=False)
    )
    if not table.exists():
        _write_joined(table, parts, case.claimed)
    return table, truths


def _parts(case: Case, models: Path, folder: Path) -> list[Path]:
    """Folders of what the stack is made of, the junk last."""
    junk = round(case.junk * case.particles)
    count = (case.particles - junk) // len(case.structures)
    pixel = max(_pixel_size(name, case, models, folder) for name in case.structures)
    parts = [
        _simulated(replace(case, particles=count), name, pixel, models, folder / f"part{number}")
        for number, name in enumerate(case.structures, 1)
    ]
    if junk:
        noise = replace(case, particles=junk, snr=NOISE_SNR)
        parts.append(_simulated(noise, case.structures[0], pixel, models, folder / "junk"))
    return parts


def _pixel_size(name: str, case: Case, models: Path, folder: Path) -> float:
    if name in (BALL, SHELL):
        return 4.0
    model = model_file(Structure.parse(name).name, models)
    return round(read_model(model, 3.0).radius_angstrom / (FILLED * case.box), 2)


def _simulated(case: Case, name: str, pixel: float, models: Path, out: Path) -> Path:
    if (out / "particles.star").exists():
        return out
    if name in (BALL, SHELL):
        out.parent.mkdir(parents=True, exist_ok=True)
        # beside: an output folder holds no input
        model = out.with_name(f"{out.name}_{name}.mrc")
        density = spherical_support(case.box, FILLED * case.box, 2.0)
        if name == SHELL:
            density = density - spherical_support(case.box, 0.24 * case.box, 2.0)
        write_map(model, DensityMap(density, pixel))
    else:
        model = model_file(Structure.parse(name).name, models)
    words = ["--particles", case.particles, "--box", case.box, "--pixel-size", pixel]
    words += [
        "--snr",
        case.snr,
        "--max-shift",
        SHIFT_PIXEL,
        "--views",
        case.views,
        "--seed",
        case.seed,
    ]
    ended = run_command("simulate", model, "--out", out, *words)
    if ended.exit_code != 0:
        raise CryospinError(f"simulating {name} failed:\n{ended.complaint}")
    return out


def _claimed_map(part: Path, claimed: float) -> Path:
    """The true map under the pixel size the table claims."""
    if claimed == 1.0:
        return part / "truth.mrc"
    path = part / "claimed.mrc"
    if not path.exists():
        true = read_map(part / "truth.mrc")
        write_map(path, DensityMap(true.values, true.pixel_size_angstrom * claimed))
    return path


def _write_joined(table: Path, parts: list[Path], claimed: float) -> None:
    """One table over the stacks of all parts, each on micrographs of its own."""
    columns: dict[str, list[str]] = {}
    for part in parts:
        star = _renamed(part, "particles.star")
        for name, values in star.blocks["particles"].columns.items():
            columns.setdefault(name, []).extend(values)
    optics = star.blocks["optics"].columns
    size = float(optics["rlnImagePixelSize"][0])
    told = {**optics, "rlnImagePixelSize": [f"{size * claimed:.6f}"]}
    blocks = {"optics": StarBlock(columns=told), "particles": StarBlock(columns={**columns})}
    write_star(table, StarFile(blocks))


def _truth_table(part: Path) -> Path:
    """The true poses of a part under the names its images have in the joined table."""
    path = part.parent / f"{part.name}.star"
    if not path.exists():
        write_star(path, _renamed(part, "truth.star"))
    return path


def _renamed(part: Path, table: str) -> StarFile:
    """A table of a part as seen from the folder above it."""
    star = read_star(part / table)
    columns = dict(star.blocks["particles"].columns)
    columns["rlnImageName"] = [v.replace("@", f"@{part.name}/") for v in columns["rlnImageName"]]
    columns["rlnMicrographName"] = [f"{part.name}_{v}" for v in columns["rlnMicrographName"]]
    return StarFile({**star.blocks, "particles": StarBlock(columns=columns)})
