"""Prediction: a trained model on images, whole or in windows, averaged over views and scales.

Read `images` first. Blocks of images pass from the channels file to `predictor`, which makes the
views, calls the network (in the windows of `windows`, if there are any), undoes the views, averages
and returns to storage size; then `images` writes them. By `overlapping`, a block is predicted while
the next one is read and the last ones are rounded and written.
"""

from foldbelt.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
