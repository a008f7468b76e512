"""Metrics of masks from counts of pixels, a module each with a function `score`."""
