"""Files that list masks: COCO's JSON with its segmentations, or a table of run lengths.

Read `rows` first: it says what both give, and how a mask is drawn of it. `reading` finds out which
format a file has and holds it against the images.
"""

from foldbelt.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
