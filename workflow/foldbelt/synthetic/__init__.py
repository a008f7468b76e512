"""Synthetic data sets in a competition's format, with a hidden truth, to try the whole line on.

One plug-in a data set: a module whose function of the same name takes the folder first and then,
without defaults, the keys of `data.synthetic` that it reads. It writes the competition's folder,
and beside it a table of the truth and one more that its constant BESIDE names.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
