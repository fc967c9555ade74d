"""Continuous variability of a finished run: a mean map and a few components, poses fixed."""
