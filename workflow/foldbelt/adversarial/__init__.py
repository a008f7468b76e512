"""Adversarial validation: can a classifier tell training images from test images, and how?

Read `judging` first: every image is described by numbers (`features`) and judged by a classifier
that was not trained on it (`separating`). The result is the column `test_likeness`. Folds and
pseudo-labels read it with `likeness`, and `weighting` weights scores by it.
"""

from foldbelt.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
