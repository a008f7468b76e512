"""What is held out: groups that must stay together, strata, and the split.

Read `splitting` first. Groups come from `mosaic` (tiles of one section), `foldbelt.copies` (copies
and near copies) or a column of the data. `strata` makes bins of the columns in which folds should
be alike. Then `splitting` assigns whole groups to folds.
"""

from foldbelt.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
