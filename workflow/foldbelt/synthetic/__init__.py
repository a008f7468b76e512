"""Synthetic data sets in a competition's format, with a hidden truth, to try the whole workflow on.

Each data set is a plug-in: a module whose function of the same name takes the folder first and
then, without defaults, the keys of `data.synthetic` that it reads. It writes the competition's
folder, and beside it a table of the truth and another one, whose name ends in its constant BESIDE
(and further ones as its constant MORE says, where it has one).

Read `seismic` first: it plans sections, has `_geology` draw them, cuts tiles and writes. Likewise
`steel`, for which `_metal` draws sheets on a `_canvas` with the defects of `_defects`. `objects`
has masks, labels and boxes at once, in pictures of `_scenes`. `chest` has `_studies` plan patients,
studies and pictures, and draw these: a `_thorax` with `_shadows`, and its `_exposure`; it writes
them by `_dicom`, and `_chest_tables`.
"""

from foldbelt.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
