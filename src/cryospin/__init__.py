"""Ab-initio single-particle cryo-EM reconstruction. From Python: `from cryospin import api`."""

from importlib import import_module
from typing import Any

from cryospin.caches import provide_cache_folders

__all__ = ["__version__", "api"]

# before any module imports numba or matplotlib
provide_cache_folders()


def __getattr__(name: str) -> Any:
    """`api` and `__version__` when they are asked for: torch, and metadata, take long to import."""
    if name == "api":
        return import_module("cryospin.api")
    if name == "__version__":
        from cryospin.version import installed_version

        return installed_version()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
