"""Pixels of image files as a viewer shows them, and what the values of a mask mean.

Read `kinds` first: it says what every decoder gives. `reading` chooses the decoder by the file's
content, `tiff` is the one for TIFF, `masks` looks at the values of a mask, `ranges` at the grey
values of images of more than eight bits.
"""

from foldbelt.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
