"""Model channels: what a network sees of an image, made once and kept as uint8.

A recipe of the config names channels (``use``), a whitening, and a resize mode. Read `_building`
first. Data pass through the channels' modules, `_whitening`, quantisation (in `_building`) and
`_resizing`, which pads with `_padding`.

Each kind of channel is a plug-in, one module here of the channel's name, with

``RANGE``
    (low, high) of its values where they are known beforehand, else None (fitted on train);
``COLUMNS``
    per-image columns of the data that it needs;
``FILTERED``
    whether imagenet, zca and spectral whitening apply to it (they make sense for images only);
``names(colours)``
    names of its planes, for images of that many colour channels;
``planes(images, table)``
    (N, h, w, C) float32 from images uint8 (N, h, w[, 3]) and a mapping of columns, each (N,).
"""

from foldbelt.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
