"""Run-length encoding as Kaggle's masks are written: down the columns, counted from 1.

A mask is a list of pairs "start length". The format of the salt and steel competitions; the tests
of this package state its rules. Reading (`decoding`) lies upstream of all training, and writing
(`encoding`) of submissions alone, so they are apart.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
