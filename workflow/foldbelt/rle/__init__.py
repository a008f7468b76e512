"""Run-length encoding as Kaggle's masks are written: down the columns, counted from 1.

A mask is a list of pairs "start length". The format of the salt and steel competitions; the tests
of this package state its rules. Reading (`decoding`) lies upstream of all training, and writing
(`encoding`) of submissions alone, so they are apart.
"""

from foldbelt.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
