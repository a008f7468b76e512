"""Model channels: what a network sees of an image, made once and kept as uint8.

A recipe of the config names channels (``use``), a whitening, and the fit to the network size. Each
kind of channel is one module here, found by its name, with

``RANGE``
    (low, high) of its values where they are known beforehand, else None (fitted on train);
``COLUMNS``
    per-image columns of the data that it needs;
``FILTERED``
    whether zca and spectral whitening apply to it (they make sense for images only);
``names(colours)``
    names of its planes, for images of that many colour channels;
``planes(images, table)``
    (N, h, w, C) float32 from images uint8 (N, h, w[, 3]) and those columns.
"""

from foldbelt.channels._building import build
from foldbelt.channels.cumsum import cumsum
from foldbelt.channels.depth import depth
from foldbelt.channels.whitening import whiten

__all__ = ["build", "cumsum", "depth", "whiten"]
