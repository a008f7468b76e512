"""Augmentation: albumentations' transforms by name, seeded sample by sample."""

from foldbelt.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
