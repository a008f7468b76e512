"""Coverage of an image in classes: empty, then up to 10, 25, 50, 75 and 100 %."""

import numpy as np

# Upper bounds of the coverage classes; empty images are a class of their own.
BOUNDS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)


def coverage_class(coverage: np.ndarray) -> np.ndarray:
    """Class of each coverage (N,) in [0, 1]: 0 for empty, then up to 10, 25, 50, 75 and 100 %."""
    return np.searchsorted(BOUNDS, np.asarray(coverage, np.float64), side="left").clip(0, 5)


def class_name(number: int) -> str:
    """Name a coverage class, as '10–25 %'."""
    if number == 0:
        return "empty"
    return f"{100 * BOUNDS[number - 1]:.0f}–{100 * BOUNDS[number]:.0f} %"
