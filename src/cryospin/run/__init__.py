"""A run from table to report, as `cryospin reconstruct` makes it; for Python in `cryospin.api`.

Nothing here prints. `reconstruct` and `job` import nothing heavy: what is already done, or asked
for wrongly, is told before torch is imported.
"""
