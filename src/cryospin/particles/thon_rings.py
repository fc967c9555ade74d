"""Does the CTF the table claims explain the images' Thon rings, or does another one?

The mean power of a ring of frequencies is noise + signal * CTF^2. Groups of other defocus
have the same noise and signal but other rings, so how groups differ, shell by shell, tells
of the CTF alone (a smooth trend is taken out instead where there is one defocus only).
The defocus phase pi lambda dz s^2 is scaled by a common factor and the factor that fits best
is looked for: defocus in other units, another pixel size (1 / factor^(1/2)) and another
voltage (wavelength * factor) all look so, and only Cs tells them apart, a little.

Phase-flipped images have the same power. Where particles are centred well enough that the
mean over all views survives, it follows CTF or |CTF|; else the data cannot tell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from cryospin.ctf import electron_wavelength_angstrom
from cryospin.optics import CtfParameters
from cryospin.parallel import in_blocks
from cryospin.particles.ring_sums import RingSums
from cryospin.particles.ring_transfer import ring_squares, ring_transfers
from cryospin.types import ParticleStack

CONFIRMED, OTHER_FITS, UNEXPLAINED, SILENT = "confirmed", "other fits", "unexplained", "silent"

_FIRST_SHELL = 3  # below, gradients and normalisation rule
_MEMBERS = 16  # of a group, evenly spread over its defocus
_FACTORS = np.exp(np.arange(-2.53, 2.531, 0.012))  # 0.08 to 12.5
_FACTORS_AT_ONCE = 32
_SMOOTH = np.array([0.25, 0.5, 1.0, 0.5, 0.25])
_MODEL_ERROR = 0.03  # of the log power: what no sum over many images makes smaller
_RADIANS_PER_SHELL = 2.6  # faster rings than this are averaged out within a shell
_TREND_DEGREE = 6
_NOISE_FROM = 0.85  # of the shells
_TURNS = 3
_LEAST_CORRELATION = 0.35
_CLEAR = 1.4  # times less is left unexplained: no chance
_NEAR = 0.11  # in the logarithm of the factor: 11 % of defocus, 5.5 % of the pixel
_ASKED = 5.0  # standard deviations; real noise is not flat, which raises what is asked
_LEAST_SHELLS = 6
_BEYOND_NOISE = 1.5  # the measured oscillation's mean square, in units of the noise's
_VOLTAGES = (80.0, 100.0, 120.0, 200.0, 300.0)
_FLIP_SIGMAS = 60.0
_FLIP_SHARE = 0.3


@dataclass(frozen=True)
class ThonRings:
    """The claimed CTF against the measured power.

    verdict: CONFIRMED; OTHER_FITS: a scaled CTF is clearly better; UNEXPLAINED: groups differ
        more than noise lets them, but as no scale of the claimed CTF does (defocus values of
        other particles, say); SILENT: the power has no rings to compare.
    correlation: of measured and claimed oscillation, shells weighted by what they tell.
    best_factor, best_correlation: of the defocus phase.
    explanations: what would make the best factor, in words; empty unless OTHER_FITS.
    phase_flipped: True or False where the mean image tells, else None.
    declared_flipped: whether the table says so; None where it does of some particles only.
    """

    verdict: str
    correlation: float
    best_factor: float
    best_correlation: float
    explanations: tuple[str, ...]
    phase_flipped: bool | None
    groups: int
    finest_angstrom: float
    declared_flipped: bool | None = False


def compare_thon_rings(stack: ParticleStack, rings: RingSums) -> ThonRings:
    """Judge the claimed CTF by the sums of `audit_images`."""
    declared = np.unique(stack.phase_flipped)
    groups = np.flatnonzero(rings.count.numpy() > 0)
    if not len(groups):
        return ThonRings(SILENT, 0.0, 1.0, 0.0, (), None, 0, float("inf"))
    members = [_spread_members(stack, rings, int(group)) for group in groups]
    last = _last_shell(stack)
    shells = np.arange(_FIRST_SHELL, last + 1)
    weights = rings.count.numpy()[groups, None] * rings.population.numpy()[shells]
    weights = 1.0 / (1.0 / weights + _MODEL_ERROR**2)
    field = stack.box * stack.pixel_size_angstrom

    def squares(one: slice) -> np.ndarray:
        return ring_squares(members[one.start], shells / field, 1.0 / field, _FACTORS)

    models = np.stack(list(in_blocks(squares, len(members), 1)), axis=1)
    here = int(np.abs(np.log(_FACTORS)).argmin())
    among = _differ(models[here])
    power = _normalised_power(rings, groups, shells)
    measured = _relative(power, among)
    asked = _asked(power.mean(axis=0), models[here], weights) if among else 0.0
    level = _smooth_part(measured, 1)
    beyond_noise = float((weights * (measured - level) ** 2).mean())

    def compared(one: slice) -> np.ndarray:
        return _correlations(measured, models[one], weights, among)

    correlations = np.concatenate(list(in_blocks(compared, len(models), _FACTORS_AT_ONCE)))
    best = int(correlations.argmax())
    claimed = float(correlations[np.abs(np.log(_FACTORS)) < 0.5 * _NEAR].max())
    factor, highest = float(_FACTORS[best]), float(correlations[best])
    verdict = _verdict(correlations, claimed, factor, asked)
    if len(shells) < _LEAST_SHELLS or (beyond_noise < _BEYOND_NOISE and verdict != UNEXPLAINED):
        verdict = SILENT
    return ThonRings(
        verdict,
        claimed,
        factor,
        highest,
        _explanations(stack, factor) if verdict == OTHER_FITS else (),
        _phase_flipped(rings, groups, members, shells, field) if verdict == CONFIRMED else None,
        len(groups),
        field / last,
        bool(declared[0]) if len(declared) == 1 else None,
    )


def _verdict(correlations: np.ndarray, claimed: float, factor: float, asked: float) -> str:
    """`asked`: how many times their noise groups should differ by, were the claim true."""
    left = 1.0 - np.array([claimed, correlations.max(), np.median(correlations)]) ** 2
    ours, best, chance = np.maximum(left, 1e-6)
    if correlations.max() < _LEAST_CORRELATION:
        return UNEXPLAINED if asked > _ASKED else SILENT
    # a wrong scale fits in part too, where rings are slow: then nothing stands out
    at_an_end = correlations.argmax() in (0, len(correlations) - 1)
    if chance < _CLEAR * best or at_an_end:
        return SILENT
    if ours > _CLEAR * best and abs(np.log(factor)) > _NEAR:
        return OTHER_FITS
    return CONFIRMED if chance > _CLEAR * ours else SILENT


def _asked(mean: np.ndarray, models: np.ndarray, weights: np.ndarray) -> float:
    """Root mean square of what the claimed CTF predicts groups to differ by, over the noise.

    `mean`: power of all groups over the noise, so that what is above 1 follows CTF^2.
    """
    share = np.maximum(1.0 - 1.0 / mean, 0.0)
    expected = share * (models / np.maximum(models.mean(axis=0), 1e-6) - 1.0)
    return float(np.sqrt((weights * expected**2).mean()))


def _spread_members(stack: ParticleStack, rings: RingSums, group: int) -> CtfParameters:
    index = np.flatnonzero(rings.group == group)
    defocus = stack.ctf.defocus_u_angstrom.numpy() + stack.ctf.defocus_v_angstrom.numpy()
    ordered = index[np.argsort(defocus[index], kind="stable")]
    chosen = ordered[((np.arange(_MEMBERS) + 0.5) * len(ordered) / _MEMBERS).astype(int)]
    return stack.ctf.select(torch.as_tensor(chosen))


def _last_shell(stack: ParticleStack) -> int:
    """The last shell in which neighbouring rings are still apart, at the median defocus."""
    field = stack.box * stack.pixel_size_angstrom
    wavelength = electron_wavelength_angstrom(stack.ctf.voltage_kv).numpy()
    defocus = 0.5 * np.abs((stack.ctf.defocus_u_angstrom + stack.ctf.defocus_v_angstrom).numpy())
    per_shell = 4 * np.pi * float(np.median(wavelength * defocus)) / field**2
    limit = _RADIANS_PER_SHELL / max(per_shell, 1e-9)
    return int(np.clip(limit, 2 * _FIRST_SHELL + 2, stack.box // 2 - 1))


def _differ(model: np.ndarray) -> bool:
    """Whether groups have rings of their own, so that they can be compared with each other."""
    if len(model) < 3:
        return False
    along = (model - model.mean(axis=1, keepdims=True)).var()
    return bool((model - model.mean(axis=0)).var() > 0.1 * along)


def _normalised_power(rings: RingSums, groups: np.ndarray, shells: np.ndarray) -> np.ndarray:
    """Each group's power over that of its last shells, which are noise.

    Images are normalised to a background into which a large defocus spreads the particle.
    """
    power = rings.power.numpy()[groups]
    outer = power[:, int(_NOISE_FROM * power.shape[1]) :].mean(axis=1, keepdims=True)
    return (np.maximum(power, 1e-30) / np.maximum(outer, 1e-30))[:, shells]


def _relative(power: np.ndarray, among: bool) -> np.ndarray:
    """Power over the mean of all groups, or over its own trend, less 1; linear in CTF^2."""
    if among:
        return power / power.mean(axis=0) - 1.0
    logarithm = np.log(power)
    return np.exp(logarithm - _smooth_part(logarithm, _trend_degree(power))) - 1.0


def _trend_degree(values: np.ndarray) -> int:
    return min(_TREND_DEGREE, values.shape[-1] // 4)


def _smooth_part(values: np.ndarray, degree: int) -> np.ndarray:
    """The polynomial over shells, the last axis, that fits best."""
    shells = np.linspace(-1.0, 1.0, values.shape[-1])
    basis, _ = np.linalg.qr(np.polynomial.chebyshev.chebvander(shells, degree))
    return (values @ basis) @ basis.T


def _correlations(
    measured: np.ndarray, models: np.ndarray, weights: np.ndarray, among: bool
) -> np.ndarray:
    """Of (g, s) measured with each of (f, g, s) models, (f,).

    With one amplitude per shell, not negative and smooth over a few shells.
    Groups may differ in level and slope besides (thicker ice), found in turns.
    """
    if among:
        models = models - models.mean(axis=1, keepdims=True)
    else:
        models = models - _smooth_part(models, _trend_degree(models))
    under = _over_neighbours((weights * models**2).sum(axis=1))
    level = np.zeros_like(models)
    explained = level
    for _ in range(_TURNS):
        over = (weights * (measured - level) * models).sum(axis=1)
        amplitude = _over_neighbours(over) / np.maximum(under, 1e-12)
        explained = np.maximum(amplitude, 0.0)[:, None] * models
        if among:
            level = _smooth_part(measured - explained, 1)
    rest = measured - level
    total = (weights * rest**2).sum(axis=(1, 2))
    left = (weights * (rest - explained) ** 2).sum(axis=(1, 2))
    correlations: np.ndarray = np.sqrt(np.maximum(1.0 - left / np.maximum(total, 1e-30), 0.0))
    return correlations


def _over_neighbours(values: np.ndarray) -> np.ndarray:
    """Weighted sums over a few shells about each; nothing lies beyond the first and last."""
    reach = len(_SMOOTH) // 2
    beyond = np.pad(values, [(0, 0), (reach, reach)])
    windows = np.lib.stride_tricks.sliding_window_view(beyond, len(_SMOOTH), axis=1)
    sums: np.ndarray = windows @ _SMOOTH
    return sums


def _explanations(stack: ParticleStack, factor: float) -> tuple[str, ...]:
    pixel = stack.pixel_size_angstrom
    claimed = float(stack.ctf.voltage_kv.double().median())
    found = [f"a pixel size of {pixel / factor**0.5:.3f} Angstrom instead of {pixel:.3f}"]
    wavelengths = electron_wavelength_angstrom(stack.ctf.voltage_kv.new_tensor(_VOLTAGES)).numpy()
    own = float(electron_wavelength_angstrom(stack.ctf.voltage_kv.double().median()))
    for voltage, wavelength in zip(_VOLTAGES, wavelengths, strict=True):
        if voltage != claimed and abs(np.log(wavelength / own / factor)) < 0.5 * _NEAR:
            found.insert(0, f"{voltage:g} kV instead of {claimed:g}")
    unit = ""
    if abs(np.log(factor / 10)) < 0.5 * _NEAR:
        unit = " (nanometres written for Angstrom)"
    found.append(f"defocus values {factor:.3g} times what they are{unit}")
    return tuple(found)


def _phase_flipped(
    rings: RingSums,
    groups: np.ndarray,
    members: list[CtfParameters],
    shells: np.ndarray,
    field: float,
) -> bool | None:
    """Whether the mean of all images follows CTF or |CTF| over the groups; None: too weak."""
    measured = rings.mean_field.numpy()[np.ix_(groups, shells)]
    means = [ring_transfers(ctf, shells / field, 1.0 / field) for ctf in members]
    sums = 2 * rings.count.numpy()[groups, None] * rings.population.numpy()[shells]
    noise = rings.power.numpy()[np.ix_(groups, shells)] / sums
    explained = []
    for kind in (0, 1):
        model = np.stack([mean[kind] for mean in means])
        amplitude = (measured * model).sum(axis=0) / np.maximum((model**2).sum(axis=0), 1e-12)
        left = (measured - amplitude * model) ** 2 / noise
        explained.append((measured**2 / noise - left).sum(axis=0))
    # where the two models hardly differ nothing is learned, and nothing is counted
    difference = float((explained[0] - explained[1]).sum())
    apart = float(np.abs(explained[0] - explained[1]).sum())
    if abs(difference) < max(_FLIP_SIGMAS, _FLIP_SHARE * apart):
        return None
    return difference < 0
