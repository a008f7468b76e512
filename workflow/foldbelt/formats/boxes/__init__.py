"""Files that list boxes: a csv, COCO's JSON, or a folder of VOC's XML files.

Read `rows` first: it says what every format gives. `reading` finds out which format a file has, and
`checking` holds the boxes against the images. All coordinates are pixels of the original image,
from 0, and x2, y2 say where a box ends: a box of one pixel in the upper left is (0, 0, 1, 1).
"""

from foldbelt.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
