"""Bad input in, clear error out, for every command: one table.

A row is a command, what is wrong with its input, the exit code, and words of the message: the
file, row, column and value at fault and the cure, as far as they apply. In every case nothing is
written, nothing lost, and no traceback shown.
"""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from bad_inputs import (
    Spoil,
    cs_without,
    cut,
    fingerprints,
    full_disk,
    gone,
    holds,
    images,
    nothing,
    only,
    pickle_with_code,
    replaced,
    stack_of_box,
    stack_of_images,
    value,
    without,
    without_optics,
    write_inputs,
)
from cryospin.cli.main import build_app, main

SIMULATE = "simulate map.mrc --out out --particles 5 --box 16 --pixel-size 6 --snr 1"
RECONSTRUCT = "reconstruct particles.star --out out"
EVALUATE = "evaluate run --truth truth.star --map truth.mrc"
LAUNCH = "launch particles.star --out out"
PAPER = "bench paper --models . --out out"
SWITCH = "bench switch --models . --out out"

TABLE: list[tuple[str, Spoil, int, tuple[str, ...]]] = [
    # demo
    ("demo --out out --particles 10", nothing, 2, ("--particles", "400")),
    ("demo --out text.txt/below --particles 400", nothing, 5, ("text.txt/below", "is a file")),
    ("demo --out out --threads 0", nothing, 2, ("--threads", "at least 1")),
    ("demo --out out --particles 400", full_disk, 5, ("GB are free", "fix:")),
    # simulate
    (SIMULATE.replace("map.mrc", "none.pdb"), nothing, 2, ("no such file", "none.pdb")),
    (SIMULATE.replace("map.mrc", "text.txt"), nothing, 2, ("text.txt", ".pdb")),
    (SIMULATE.replace("map.mrc", "run"), nothing, 2, ("run",)),
    (SIMULATE.replace("map.mrc", "model.pdb"), holds("model.pdb", "no atom"), 3, ("model.pdb",)),
    (
        SIMULATE.replace("map.mrc", "model.pdb"),
        holds("model.pdb", b"\xff\0\x80"),
        3,
        ("model.pdb",),
    ),
    (SIMULATE, holds("map.mrc", "no map"), 3, ("map.mrc",)),
    (SIMULATE, cut("map.mrc"), 3, ("map.mrc", "bytes")),
    (SIMULATE.replace("map.mrc", "nan.mrc"), nothing, 3, ("nan.mrc", "NaN")),
    (SIMULATE.replace("map.mrc", "empty.mrc"), nothing, 3, ("empty.mrc",)),
    (SIMULATE.replace("--box 16", "--box 17"), nothing, 2, ("--box", "even", "17")),
    (SIMULATE.replace("--box 16", "--box -16"), nothing, 2, ("--box", "equal to 16")),
    (SIMULATE.replace("size 6", "size 1"), nothing, 2, ("wide", "use a pixel of")),
    (SIMULATE.replace("size 6", "size -6"), nothing, 2, ("--pixel-size", "equal to 0.1")),
    (SIMULATE.replace("--snr 1", "--snr 0"), nothing, 2, ("--snr", "0")),
    (SIMULATE.replace("--snr 1", "--snr nan"), nothing, 2, ("--snr", "greater")),
    (SIMULATE.replace("particles 5", "particles 0"), nothing, 2, ("--particles", "equal to 1")),
    (SIMULATE.replace("particles 5", "particles few"), nothing, 2, ("--particles", "integer")),
    (SIMULATE + " --max-shift -1", nothing, 2, ("--max-shift", "equal to 0")),
    (SIMULATE + " --threads 0", nothing, 2, ("--threads",)),
    (SIMULATE + " --views side", nothing, 2, ("--views", "uniform")),
    (SIMULATE + " --assembly", nothing, 2, ("--assembly", "atomic model")),
    (SIMULATE + " --ctf-from none.npz", nothing, 2, ("no such file", "none.npz")),
    (SIMULATE + " --ctf-from text.txt", nothing, 3, ("text.txt",)),
    (SIMULATE + " --ctf-from particles.star", without("rlnDefocusU"), 3, ("rlnDefocusU",)),
    (SIMULATE.replace("--out out", "--out text.txt"), nothing, 5, ("text.txt", "is a file")),
    (SIMULATE, full_disk, 5, ("GB are free", "fix:")),
    (SIMULATE + " --fractions 1,2", nothing, 2, ("--fractions 1,2", "1 positive number")),
    (SIMULATE + " --fractions half", nothing, 2, ("--fractions half", "0.6,0.3,0.1")),
    (SIMULATE + " --junk 1", nothing, 2, ("--junk", "0.95")),
    (SIMULATE + " --remove A", nothing, 2, ("--remove", "one atomic model", "fix:")),
    (SIMULATE + " --hinge A", nothing, 2, ("--hinge", "one atomic model", "fix:")),
    (SIMULATE.replace("map.mrc", "model.pdb") + " --remove B", nothing, 2, ("chain 'B'", "has A")),
    (SIMULATE.replace("map.mrc", "model.pdb") + " --remove A", nothing, 2, ("whole model",)),
    (SIMULATE.replace("map.mrc", "model.pdb") + " --hinge A:9", nothing, 2, ("A:9", "1 to 1")),
    (
        SIMULATE.replace("map.mrc", "model.pdb") + " --hinge A --remove A",
        nothing,
        2,
        ("--remove and --hinge exclude each other",),
    ),
    (SIMULATE + " --hinge A --hinge-steps 1", nothing, 2, ("--hinge-steps", "2")),
    # check
    ("check none.star", nothing, 3, ("none.star",)),
    ("check run", nothing, 3, ("run",)),
    ("check none.mrcs", nothing, 3, ("none.mrcs", "no such file")),
    ("check none.cs", nothing, 3, ("none.cs", "no such file")),
    ("check none.txt", nothing, 3, ("none.txt", "no such file")),
    ("check none.pkl", nothing, 3, ("none.pkl", "no such file")),
    ("check particles.mrcs", gone("particles.ctf.pkl"), 3, ("no CTF", ".star or .cs", "ctf.pkl")),
    ("check particles.ctf.pkl", nothing, 3, ("names no images", "beside")),
    ("check particles.star", without_optics("rlnAmplitudeContrast"), 3, ("add", "0.1, or 0.07")),
    ("check particles.star", without_optics("rlnVoltage"), 3, ("rlnVoltage", "add", "kV")),
    ("check text.txt", nothing, 3, ("text.txt",)),
    ("check particles.star", holds("particles.star", ""), 3, ("particles.star", "fix:")),
    ("check particles.star", only(0), 3, ("particles.star", "no rows")),
    ("check particles.star", only(1), 3, ("particles.star", "1 particle", "fix:")),
    ("check particles.star", cut("particles.star", 0.7), 3, ("particles.star",)),
    ("check particles.star", without("rlnImageName"), 3, ("rlnImageName", "fix:")),
    ("check particles.star", without("rlnDefocusU"), 3, ("rlnDefocusU", "fix:")),
    (
        "check particles.star",
        value("rlnDefocusU", 7, "deep"),
        3,
        ("particles.star", "row 7", "rlnDefocusU", "deep"),
    ),
    ("check particles.star", value("rlnDefocusU", 7, "nan"), 3, ("row 7", "rlnDefocusU", "nan")),
    (
        "check particles.star",
        value("rlnDefocusU", 7, "-9e9"),
        3,
        ("row 7", "rlnDefocusU", "-9e+09"),
    ),
    (
        "check particles.star",
        value("rlnImageName", 3, "x@a.mrcs"),
        3,
        ("row 3", "x@a.mrcs", "fix:"),
    ),
    (
        "check particles.star",
        value("rlnImageName", 3, "000001@particles.mrcs"),
        3,
        ("row 3", "also in row 1", "duplicate"),
    ),
    (
        "check particles.star",
        value("rlnImageName", 3, "000999@particles.mrcs"),
        3,
        ("row 3", "image 999", "which holds 120"),
    ),
    ("check particles.star", stack_of_images(32), 3, ("row 1", "32 x 32 pixels, not 16 x 16")),
    ("check particles.star", value("rlnOpticsGroup", 5, "9"), 3, ("row 5", "rlnOpticsGroup", "9")),
    ("check particles.star", replaced("particles.star", " 300.0", " -300.0"), 3, ("rlnVoltage",)),
    ("check particles.star", gone("particles.mrcs"), 3, ("row 1", "particles.mrcs", "not exist")),
    ("check particles.star", cut("particles.mrcs"), 3, ("particles.mrcs", "bytes", "fix:")),
    ("check particles.star", holds("particles.mrcs", "x"), 3, ("particles.mrcs",)),
    ("check particles.star", stack_of_box(17), 3, ("box", "17", "even")),
    ("check particles.star", images(30, float("nan")), 3, ("row 1", "30 of 120", "NaN", "fix:")),
    ("check particles.star", images(30, 1.0), 3, ("row 1", "30 of 120", "same value")),
    ("check particles.cs", holds("particles.cs", "no table"), 3, ("particles.cs",)),
    ("check particles.cs", cut("particles.cs"), 3, ("particles.cs",)),
    ("check particles.cs", cs_without("ctf/"), 3, ("particles.cs", "ctf/", "passthrough")),
    ("check particles.cs", cs_without("blob/"), 3, ("particles.cs", "blob/path")),
    ("check particles.cs", cs_without("uid"), 3, ("particles.cs", "uid")),
    ("check particles.star --threads -1", nothing, 2, ("--threads",)),
    # reconstruct: what check says, and its own options
    (RECONSTRUCT.replace("particles.star", "none.star"), nothing, 3, ("none.star",)),
    (RECONSTRUCT, only(1), 3, ("particles.star", "1 particle", "fix:")),
    (RECONSTRUCT, cut("particles.mrcs"), 3, ("particles.mrcs", "bytes")),
    (RECONSTRUCT, value("rlnDefocusU", 7, "nan"), 3, ("row 7", "rlnDefocusU")),
    ("reconstruct particles.star", nothing, 2, ("--out",)),
    (
        RECONSTRUCT + " --recipe exhaustiv",
        nothing,
        2,
        ("exhaustiv", "fix: did you mean exhaustive"),
    ),
    (RECONSTRUCT + " --symmetry Q3", nothing, 2, ("Q3", "fix:")),
    (RECONSTRUCT + " --symmetry C0", nothing, 2, ("C0",)),
    (RECONSTRUCT + " --device cuda", nothing, 2, ("cuda", "fix:")),
    (RECONSTRUCT + " --device abacus", nothing, 2, ("abacus", "cpu")),
    (RECONSTRUCT + " --threads 0", nothing, 2, ("--threads",)),
    (RECONSTRUCT + " --particle-diameter -5", nothing, 2, ("--particle-diameter", "equal to 1")),
    (RECONSTRUCT + " --max-resolution 0", nothing, 2, ("--max-resolution",)),
    (RECONSTRUCT + " --max-shift -1", nothing, 2, ("--max-shift",)),
    (RECONSTRUCT + " --batch-size 0", nothing, 2, ("--batch-size",)),
    (RECONSTRUCT + " --initial-map none.mrc", nothing, 3, ("none.mrc",)),
    (RECONSTRUCT + " --initial-map nan.mrc", nothing, 3, ("nan.mrc", "NaN")),
    (RECONSTRUCT + " --classes 0", nothing, 2, ("classes must be 1 to 50", "auto", "0")),
    (RECONSTRUCT + " --classes 51", nothing, 2, ("classes must be 1 to 50", "51")),
    (RECONSTRUCT + " --classes several", nothing, 2, ("classes must be 1 to 50", "several")),
    (RECONSTRUCT + " --classes 2 --recipe pairwise", nothing, 2, ("finds one structure", "fix:")),
    (RECONSTRUCT + " --classes 2 --initial-map map.mrc", nothing, 2, ("initial map", "fix:")),
    (RECONSTRUCT + " --classes 2", nothing, 3, ("120 particles are too few for 2", "fix:")),
    ("reconstruct run --out out --select-class 1", nothing, 2, ("run with classes", "fix:")),
    ("reconstruct run --out out --select-class 0", nothing, 2, ("--select-class", "equal to 1")),
    (RECONSTRUCT.replace("--out out", "--out text.txt"), nothing, 5, ("text.txt", "is a file")),
    (RECONSTRUCT, full_disk, 5, ("GB are free", "fix:")),
    (
        "reconstruct particles.star --out run --resume",
        holds("run/result.json", "{"),
        3,
        ("run/result.json", "not a run's result", "fix:"),
    ),
    ("reconstruct none.mrcs --out out", nothing, 3, ("none.mrcs", "no such file")),
    ("reconstruct particles.mrcs --out out", gone("particles.ctf.pkl"), 3, ("no CTF", "ctf.pkl")),
    # launch: what reconstruct says, before anything is computed, and its own options
    (LAUNCH.replace("particles.star", "none.star"), nothing, 3, ("none.star",)),
    (LAUNCH, cut("particles.mrcs"), 3, ("particles.mrcs", "bytes")),
    (LAUNCH, value("rlnDefocusU", 7, "nan"), 3, ("row 7", "rlnDefocusU")),
    ("launch particles.star", nothing, 2, ("--out",)),
    (LAUNCH + " --seeds 0", nothing, 2, ("--seeds", "equal to 1")),
    (LAUNCH + " --seeds 1001", nothing, 2, ("seeds", "1 to 1000", "1001")),
    (LAUNCH + " --recipe exhaustiv", nothing, 2, ("exhaustiv", "fix: did you mean exhaustive")),
    (LAUNCH + " --symmetry Q3", nothing, 2, ("Q3", "fix:")),
    (LAUNCH + " --classes 1,several", nothing, 2, ("classes must be 1 to 50", "several")),
    (LAUNCH + " --classes 1,2", nothing, 3, ("120 particles are too few for 2", "fix:")),
    (LAUNCH + " --initial-map nan.mrc", nothing, 3, ("nan.mrc", "NaN")),
    (LAUNCH + " --cpus 4", nothing, 2, ("--cpus", "fix: add --slurm")),
    (LAUNCH + " --slurm --time 'an hour'", nothing, 2, ("--time", "an hour", "one word")),
    (LAUNCH.replace("--out out", "--out ."), nothing, 2, ("is an input or holds one", "fix:")),
    (LAUNCH.replace("--out out", "--out text.txt"), nothing, 5, ("text.txt", "is a file")),
    (LAUNCH, full_disk, 5, ("GB are free", "fix:")),
    # work and join
    ("work nowhere", nothing, 3, ("nowhere/jobs.json", "No such file", "fix:")),
    ("work run", nothing, 3, ("run/jobs.json", "cryospin launch")),
    ("work run", holds("run/jobs.json", "{"), 3, ("run/jobs.json", "jobs of a campaign", "fix:")),
    (
        "work run",
        holds("run/jobs.json", '{"program": "cryospin", "version": "9.0", "format": 9}'),
        3,
        ("run/jobs.json", "9.0", "format 9", "fix:"),
    ),
    ("work run --job 0", nothing, 2, ("--job", "equal to 1")),
    ("work run --lost-after 0", nothing, 2, ("--lost-after", "equal to 2")),
    ("join nowhere", nothing, 3, ("nowhere/jobs.json", "fix:")),
    ("join run", holds("run/jobs.json", "[]"), 3, ("run/jobs.json", "cryospin launch")),
    # evaluate
    ("evaluate nowhere --truth truth.star", nothing, 2, ("no such file", "fix:")),
    ("evaluate run --truth none.star", nothing, 2, ("no such file", "none.star")),
    ("evaluate run --truth particles.star", nothing, 3, ("particles.star", "rlnAngleRot")),
    (
        EVALUATE,
        value("rlnAngleTilt", 9, "None", "truth.star"),
        3,
        ("truth.star", "row 9", "rlnAngleTilt", "None", "fix:"),
    ),
    (
        EVALUATE,
        value("rlnOriginXAngst", 9, "nan", "truth.star"),
        3,
        ("truth.star", "row 9", "rlnOriginXAngst", "nan", "fix:"),
    ),
    (EVALUATE, replaced("truth.star", "@part", "@other"), 3, ("none of its images",)),
    (EVALUATE, holds("truth.star", "x"), 3, ("truth.star",)),
    (EVALUATE, holds("run/result.json", "{"), 3, ("run/result.json", "not JSON", "fix:")),
    (EVALUATE + " --symmetry Q3", nothing, 2, ("Q3",)),
    (EVALUATE.replace("truth.mrc", "none.mrc"), nothing, 2, ("no such file", "none.mrc")),
    (EVALUATE.replace("truth.mrc", "nan.mrc"), nothing, 3, ("nan.mrc", "NaN")),
    (EVALUATE, cut("run/map.mrc"), 3, ("run/map.mrc", "bytes")),
    # fsc
    ("fsc map.mrc none.mrc", nothing, 2, ("no such file", "none.mrc")),
    ("fsc map.mrc run", nothing, 2, ("run",)),
    ("fsc map.mrc text.txt", nothing, 3, ("text.txt",)),
    ("fsc map.mrc cut.mrc", nothing, 3, ("cut.mrc", "bytes")),
    ("fsc map.mrc small.mrc", nothing, 3, ("16 and 8 voxels", "fix:")),
    ("fsc map.mrc coarse.mrc", nothing, 3, ("6.0000 and 12.0000", "fix:")),
    ("fsc map.mrc slab.mrc", nothing, 3, ("slab.mrc", "16 x 16 x 8", "no cube", "fix:")),
    ("fsc map.mrc nan.mrc", nothing, 3, ("nan.mrc", "NaN", "fix:")),
    ("fsc map.mrc no_voxel.mrc", nothing, 3, ("no_voxel.mrc", "voxel size", "fix:")),
    ("fsc odd.mrc odd.mrc --align", nothing, 3, ("15 voxels", "even", "fix:")),
    ("fsc map.mrc truth.mrc --mask small.mrc", nothing, 3, ("16 and 8 voxels",)),
    ("fsc map.mrc truth.mrc --mask empty.mrc", nothing, 3, ("mask",)),
    # convert
    (
        "convert truth.star x.cs",
        value("rlnAngleRot", 4, "<NA>", "truth.star"),
        3,
        ("truth.star", "row 4", "rlnAngleRot", "<NA>", "fix:"),
    ),
    (
        "convert truth.star x.star --like particles.star",
        value("rlnAngleRot", 4, "nan", "truth.star"),
        3,
        ("truth.star", "row 4", "rlnAngleRot", "nan", "fix:"),
    ),
    ("convert none.star x.cs", nothing, 3, ("none.star",)),
    ("convert particles.star x.npz", nothing, 2, ("x.npz", "what format", ".star")),
    ("convert particles.star x.star --to cryosparc", nothing, 2, ("ends in .cs",)),
    ("convert particles.star x.star --to eman", nothing, 2, ("--to", "eman", "relion-3.1")),
    ("convert particles.star particles.star", nothing, 2, ("is the input", "fix:")),
    ("convert particles.star run/none/x.cs", nothing, 5, ("x.cs", "folder does not exist")),
    ("convert particles.star x.cs --like none.star", nothing, 3, ("none.star",)),
    (
        "convert particles.star x.star --like truth.star",
        replaced("truth.star", "@part", "@other"),
        3,
        ("row 1", "000001@particles.mrcs", "truth.star", "fix:"),
    ),
    ("convert particles.star x.cs", full_disk, 5, ("x.cs", "disk is full", "fix:")),
    ("convert particles.cs x.star", holds("particles.cs", b"\x93NUMPY\1\0"), 3, ("particles.cs",)),
    ("convert particles.cs x.star --passthrough none.cs", nothing, 3, ("none.cs",)),
    ("convert particles.poses.pkl x.star", nothing, 3, ("names no images", "beside")),
    ("convert particles.txt x.star", pickle_with_code, 3, ("particles.poses.pkl", "mkdir")),
    ("convert particles.txt x.star", gone("particles.ctf.pkl"), 3, ("ctf", "fix:")),
    ("convert particles.txt x.star", holds("particles.txt", "none.mrcs"), 3, ("none.mrcs",)),
    ("convert particles.txt x.star", cut("particles.poses.pkl"), 3, ("particles.poses.pkl",)),
    # report
    ("report nowhere", nothing, 3, ("nowhere", "cryospin reconstruct")),
    ("report text.txt", nothing, 3, ("text.txt",)),
    ("report run", holds("run/result.json", "{"), 3, ("run/result.json", "run's result", "fix:")),
    ("report run", holds("run/result.json", "[]"), 3, ("run/result.json",)),
    ("report run", full_disk, 5, ("report.html", "disk is full")),
    ("report run nowhere", nothing, 3, ("nowhere", "cryospin reconstruct")),
    ("report run --out x.html", nothing, 2, ("--out is for two runs", "fix:")),
    ("report run run --out run/result.json", nothing, 2, ("result.json is the input", "fix:")),
    ("report run run --out gone/x.html", nothing, 5, ("gone/x.html", "folder")),
    # watch
    ("watch nowhere", nothing, 2, ("nowhere: no such folder", "fix:")),
    ("watch .", nothing, 2, ("not the folder of a run", "fix:")),
    ("watch run --port 99999", nothing, 2, ("--port",)),
    # flip-hand
    ("flip-hand nowhere", nothing, 2, ("nowhere", "fix:")),
    ("flip-hand run --out run", nothing, 2, ("run is an input or holds one", "fix:")),
    ("flip-hand run", gone("run/map.mrc"), 2, ("no finished map in run", "fix:")),
    ("flip-hand run", gone("run/particles.star"), 3, ("run/particles.star",)),
    ("flip-hand run", without("rlnAngleRot", "run/particles.star"), 3, ("rlnAngleRot",)),
    ("flip-hand run", holds("run/result.json", "{"), 3, ("run/result.json", "JSON", "fix:")),
    ("flip-hand run", cut("run/half2.mrc"), 3, ("run/half2.mrc", "bytes")),
    ("flip-hand run --out text.txt", nothing, 5, ("text.txt", "is a file")),
    # mask
    ("mask none.mrc --out x.mrc", nothing, 3, ("none.mrc",)),
    ("mask nan.mrc --out x.mrc", nothing, 3, ("nan.mrc", "NaN")),
    ("mask slab.mrc --out x.mrc", nothing, 3, ("slab.mrc", "no cube")),
    ("mask empty.mrc --out x.mrc", nothing, 3, ("empty.mrc", "nothing stands out", "fix:")),
    ("mask map.mrc --out x.mrc --radius -1", nothing, 2, ("--radius", "equal to 0.1")),
    ("mask map.mrc --out x.mrc --radius 20 --lowpass 9", nothing, 2, ("--radius", "fix:")),
    ("mask map.mrc --out x.mrc", full_disk, 5, ("x.mrc", "disk is full")),
    ("symmetry none.mrc truth.mrc", nothing, 3, ("none.mrc",)),
    ("symmetry nan.mrc truth.mrc", nothing, 3, ("nan.mrc", "NaN")),
    ("symmetry slab.mrc", nothing, 3, ("slab.mrc", "no cube")),
    ("symmetry map.mrc", nothing, 2, ("both half-maps", "--resolution")),
    ("symmetry map.mrc --resolution 0", nothing, 2, ("--resolution",)),
    ("symmetry map.mrc --resolution 20 --out map.mrc", nothing, 2, ("map.mrc", "fix:")),
    ("symmetry map.mrc --resolution 20 --out x.mrc", full_disk, 5, ("x.mrc", "disk is full")),
    # lowpass
    ("lowpass none.mrc 20 --out x.mrc", nothing, 3, ("none.mrc",)),
    ("lowpass map.mrc 3 --out x.mrc", nothing, 2, ("3 Angstrom", "at least 12")),
    ("lowpass map.mrc nan --out x.mrc", nothing, 2, ("nan", "fix:")),
    ("lowpass map.mrc fine --out x.mrc", nothing, 2, ("resolution", "number")),
    ("lowpass map.mrc 20 --out run", nothing, 5, ("run", "folder", "fix:")),
    ("lowpass map.mrc 20 --out none/x.mrc", nothing, 5, ("x.mrc", "folder does not exist")),
    # crop
    ("crop none.mrc --out x.mrc --box 8", nothing, 3, ("none.mrc",)),
    ("crop map.mrc --out x.mrc", nothing, 2, ("nothing to do", "--box")),
    ("crop map.mrc --out x.mrc --box 9", nothing, 3, ("9", "even")),
    ("crop map.mrc --out x.mrc --box -8", nothing, 3, ("-8", "fix:")),
    ("crop map.mrc --out x.mrc --pixel-size 0", nothing, 2, ("--pixel-size",)),
    ("crop map.mrc --out x.mrc --pixel-size nan", nothing, 2, ("--pixel-size", "greater")),
    ("crop map.mrc --out x.mrc --box 100000", nothing, 5, ("memory",)),
    ("crop map.mrc --out x.mrc --box 8", full_disk, 5, ("x.mrc", "disk is full")),
    # postprocess
    ("postprocess half1.mrc none.mrc --out out", nothing, 3, ("none.mrc",)),
    ("postprocess half1.mrc small.mrc --out out", nothing, 3, ("16 and 8 voxels", "fix:")),
    ("postprocess half1.mrc coarse.mrc --out out", nothing, 3, ("6.0000 and 12.0000",)),
    ("postprocess half1.mrc half2.mrc --out out --mask small.mrc", nothing, 3, ("16 and 8",)),
    ("postprocess half1.mrc empty.mrc --out out", nothing, 3, ("agree", "fix:")),
    ("postprocess half1.mrc half2.mrc --out text.txt", nothing, 5, ("text.txt", "is a file")),
    ("postprocess half1.mrc half2.mrc --out out", full_disk, 5, ("GB are free",)),
    # posterior
    ("posterior nowhere --particle 1", nothing, 3, ("nowhere", "fix:")),
    ("posterior run", nothing, 2, ("--particle",)),
    ("posterior run --particle 0", nothing, 3, ("no row 0", "from 1 to 120")),
    ("posterior run --particle 121", nothing, 3, ("no row 121", "from 1 to 120")),
    ("posterior run --particle 000007@else.mrcs", nothing, 3, ("000007@else.mrcs", "nearest")),
    ("posterior run --particle 1 --nside 0", nothing, 2, ("--nside",)),
    ("posterior run --particle 1", gone("particles.mrcs"), 3, ("particles.mrcs", "fix:")),
    ("posterior run --particle 1", gone("particles.star"), 3, ("particles.star", "fix:")),
    ("posterior run --particle 1", holds("run/result.json", "{"), 3, ("run/result.json", "JSON")),
    # variability
    ("variability text.txt", nothing, 3, ("text.txt", "fix:", "reconstruct")),
    ("variability run", gone("run/map.mrc"), 3, ("run/map.mrc", "has no map", "fix:")),
    ("variability run", holds("run/result.json", "{"), 3, ("run/result.json", "fix:")),
    ("variability run", gone("particles.mrcs"), 3, ("particles.mrcs", "fix:")),
    ("variability run", gone("run/mask.mrc"), 3, ("run/mask.mrc",)),
    ("variability run", cut("run/particles.star", 0.7), 3, ("particles.star",)),
    ("variability run --components 0", nothing, 2, ("--components", "equal to 1")),
    ("variability run --components 21", nothing, 2, ("components", "1 to 20", "21")),
    ("variability run --components 9", nothing, 3, ("60 images", "9 components", "3 components")),
    ("variability run --iterations 0", nothing, 2, ("--iterations", "equal to 1")),
    ("variability run --resolution 90", nothing, 2, ("resolution", "24 Angstrom or finer")),
    ("variability run --mask none.mrc", nothing, 3, ("none.mrc",)),
    ("variability run --out run", nothing, 2, ("is an input or holds one", "fix:")),
    ("variability run --out text.txt", nothing, 5, ("text.txt", "is a file")),
    ("variability run --threads 0", nothing, 2, ("--threads", "at least 1")),
    # bench
    (PAPER + " --recipes exhaustiv", nothing, 2, ("exhaustiv", "fix: did you mean exhaustive")),
    (PAPER + " --parts table9", nothing, 2, ("table9",)),
    (PAPER + " --seeds one", nothing, 2, ("--seeds", "one", "fix:")),
    (PAPER + " --structures no_such_model", nothing, 2, ("no_such_model",)),
    (PAPER + " --particles 3", nothing, 2, ("--particles", "equal to 100")),
    (SWITCH + " --steps soon", nothing, 2, ("--steps", "soon", "fix:")),
    (SWITCH + " --snrs loud", nothing, 2, ("--snrs", "loud", "fix:")),
    ("bench epochs particles.star --out x.npz --recipe exhaustive", nothing, 2, ("epochs",)),
    ("bench epochs none.star --out x.npz --recipe amortized", nothing, 3, ("none.star",)),
    # downsample
    ("downsample particles.mrcs --out out --box 8", gone("particles.ctf.pkl"), 3, ("no CTF",)),
    ("downsample none.star --out out --box 8", nothing, 3, ("none.star", "no such file")),
    ("downsample particles.star --out out --box 9", nothing, 2, ("--box", "even", "got 9")),
    ("downsample particles.star --out out --box 16", nothing, 2, ("--box", "less than")),
    # pairs
    ("pairs train", nothing, 2, ("--out",)),
    ("pairs train --out x.safetensors --steps 0", nothing, 2, ("--steps", "equal to 1")),
    # the command line itself
    ("fly", nothing, 2, ("fly",)),
    ("check particles.star --fly", nothing, 2, ("--fly",)),
]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound inputs")
    write_inputs(folder)
    return folder


@pytest.fixture
def folder(sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of them to spoil, under a name with a space."""
    place = Path(shutil.copytree(sound, tmp_path / "a place"))
    monkeypatch.chdir(place)
    return place


def run(command: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(shlex.split(command))
    return int(stop.value.code or 0)


@pytest.mark.parametrize(
    ("command", "spoil", "code", "words"),
    TABLE,
    ids=[row[0] + " " + str(n) for n, row in enumerate(TABLE)],
)
def test_bad_input_is_one_message_and_an_exit_code(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    spoil: Spoil,
    code: int,
    words: tuple[str, ...],
) -> None:
    with monkeypatch.context() as patch:
        spoil(folder, patch)
        before = fingerprints(folder)
        assert run(command) == code
    said = capsys.readouterr().err
    assert [word for word in words if word not in said] == [], said
    assert "Traceback" not in said
    fix = said.partition("fix:")[2]
    assert {*re.findall(r"--[a-z][a-z-]+", fix)} <= options_of(command, fix)
    after = fingerprints(folder)
    assert {name for name in before | after if before.get(name) != after.get(name)} == set()


def options_of(command: str, fix: str) -> set[str]:
    """What the command at hand understands, or else another that the fix tells of by name."""
    found: set[str] = set()
    for words in (command.split(), re.findall(r"cryospin ([a-z-]+)", fix)):
        group: Any = build_app()
        for word in words:
            if word in getattr(group, "commands", {}):
                group = group.commands[word]
                found |= {name for option in group.params for name in option.opts}
    return found


def test_every_command_is_in_the_table() -> None:
    assert set(build_app().commands) <= {command.split()[0] for command, *_ in TABLE}


@pytest.mark.parametrize(
    "command",
    [
        "check particles.star",
        "convert particles.star 'of cryosparc.cs'",
        "fsc map.mrc truth.mrc",
        "mask map.mrc --out 'a mask.mrc'",
        "lowpass map.mrc 20 --out 'of 20 A.mrc'",
        "evaluate run --truth truth.star",
        "flip-hand run --out 'the other hand'",
    ],
)
def test_sound_input_below_a_path_with_spaces(folder: Path, command: str) -> None:
    """The same folder, when nothing in it is spoilt."""
    assert run(command) == 0


@pytest.mark.parametrize(
    ("label", "token"),
    [
        ("rlnAngleRot", "nan"),
        ("rlnAngleTilt", "None"),
        ("rlnOriginYAngst", "<NA>"),
        ("rlnRandomSubset", '""'),
        ("rlnMaxValueProbDistribution", "inf"),
    ],
)
def test_a_value_that_is_not_needed_is_told_of_once(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    label: str,
    token: str,
) -> None:
    value(label, 7, token, "truth.star")(folder, monkeypatch)
    assert run("check truth.star --table-only") == 0
    printed = capsys.readouterr()
    told = [line for line in (printed.out + printed.err).splitlines() if label in line]
    assert len(told) == 1 and "row 7" in told[0] and repr(token) in told[0]
