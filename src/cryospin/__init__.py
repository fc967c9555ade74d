"""Ab-initio single-particle cryo-EM reconstruction."""

from cryospin.caches import provide_cache_folders

# before any module imports numba or matplotlib
provide_cache_folders()


def __getattr__(name: str) -> str:
    """`__version__`, looked up when it is asked for: the metadata takes long to import."""
    if name == "__version__":
        from cryospin.version import installed_version

        return installed_version()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
