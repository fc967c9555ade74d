"""HEALPix directions against astropy-healpix and against what equal area implies."""

import numpy as np
import pytest
from astropy_healpix import HEALPix

from cryospin.rotations.healpix import healpix_directions


@pytest.mark.parametrize("nside", [1, 2, 4, 8, 16, 64])
def test_agrees_with_astropy(nside):
    longitude, latitude = HEALPix(nside, order="ring").healpix_to_lonlat(np.arange(12 * nside**2))
    lon, lat = longitude.rad, latitude.rad
    expected = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)
    np.testing.assert_allclose(healpix_directions(nside), expected, atol=1e-12)


@pytest.mark.parametrize("nside", [1, 3, 5, 6])  # also where nside is no power of two
def test_unit_vectors_with_isotropic_second_moment(nside):
    directions = healpix_directions(nside)
    assert directions.shape == (12 * nside**2, 3)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1.0, atol=1e-12)
    np.testing.assert_allclose(directions.mean(axis=0), 0.0, atol=1e-12)
    # points of equal weight integrate z^2 up to the error of the pixelisation
    moment = directions.T @ directions / len(directions)
    np.testing.assert_allclose(moment, np.eye(3) / 3, atol=0.1 / nside**2)


def test_nside_must_be_positive():
    with pytest.raises(ValueError, match="nside"):
        healpix_directions(0)
