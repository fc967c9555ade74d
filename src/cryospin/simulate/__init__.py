"""Data with a known truth, made by another way than the one that reconstructs it."""
