"""Methods side by side: the same images, each recipe in a process of its own, one table."""
