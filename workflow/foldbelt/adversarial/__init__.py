"""Can training images be told from test images, and by what?

Read `judging` first: every image is described (`features`), judged by a classifier that has not
seen it (`separating`), and what comes out is the column `test_likeness`. `likeness` reads it, and
weighs scores by it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
