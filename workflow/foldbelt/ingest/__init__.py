"""Raw files → data/train.h5 and data/test.h5: checked, at storage size, in HDF5.

What the files look like is known to the competition alone (`foldbelt.competitions`). Here is what
all competitions share. Read `part` first: it lists, checks and stores one part of the data, through
the stream of images in `streaming`.
"""

from foldbelt.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
