"""The checker that `pytest --jaxtyping` puts on every annotated function (see conftest)."""

from __future__ import annotations

from beartype import BeartypeConf, beartype

# `float` takes an int, as it does for mypy (PEP 484) and in everyday calls
checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
