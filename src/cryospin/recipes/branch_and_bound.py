"""Branch and bound: how cryoSPARC and cryoDRGN2 find a first map, under our forward model.

Explore: stochastic gradient descent on the map with poses by a coarse-to-fine search under
bounds (Punjani et al. 2017, Zhong et al. 2021). The poses it ends with are final: no
refinement follows, nothing is polished. What differs from the programs themselves is said in
`explore.branch_and_bound` and `explore.bounded_search`: chiefly the noise model (whitened by
spectra), the half-sets (independent), and a bound that allows for the size of a cell.
"""

from __future__ import annotations

from cryospin.explore.branch_and_bound import BranchAndBound
from cryospin.recipes.unrefined import unrefined
from cryospin.reconstruct.abinitio import AbInitio


def recipe() -> AbInitio:
    return unrefined(BranchAndBound(), attempts=4)
