"""How a run that was killed goes on: what it has found so far, on disk, part by part."""
