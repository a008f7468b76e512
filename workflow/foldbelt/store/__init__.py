"""Images, masks and probabilities in HDF5, written whole or not at all, and read by id.

One row an image, one chunk a row: a random row costs one small read. The same content gives the
same bytes (no timestamps, sorted names), whatever the machine. Masks of several classes lie
bit-packed. Per-image columns lie in the group ``table``, one dataset a column; strings are
fixed-length UTF-8, missing ones empty. Attributes are JSON text, so they come back as they went in.

>>> with Writer("x.h5", table=table, attrs={"source": "demo"}) as out:    # doctest: +SKIP
...     out.create("image", (101, 101), "uint8")
...     out.put("image", 0, images[:256])
...     out.put("image", 256, images[256:])
>>> read("x.h5", "image", ids=["b", "a"])                                 # doctest: +SKIP
"""

from foldbelt.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
