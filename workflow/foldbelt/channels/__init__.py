"""Model channels: what a network sees of an image, made once and kept as uint8.

A recipe of the config names channels (``use``), a whitening, and the fit to the network size. Each
kind of channel is one module here, found by its name, with

``RANGE``
    (low, high) of its values where they are known beforehand, else None (fitted on train);
``COLUMNS``
    per-image columns of the data that it needs;
``FILTERED``
    whether zca and spectral whitening apply to it (they make sense for images only);
``names(colours)``
    names of its planes, for images of that many colour channels;
``planes(images, table)``
    (N, h, w, C) float32 from images uint8 (N, h, w[, 3]) and those columns.
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from foldbelt.channels._building import build
from foldbelt.channels.whitening import whiten

if TYPE_CHECKING:  # imported when they are asked for, see below
    from foldbelt.channels.cumsum import cumsum
    from foldbelt.channels.depth import depth

__all__ = ["build", "cumsum", "depth", "whiten"]


class _Room(ModuleType):
    """A package whose members' functions go by the members' names: `channels.cumsum(image)`.

    They are not imported here, because then they would be part of every recipe's code, and a change
    of one would redo the channels of recipes that do not use it.
    """

    def __getattr__(self, name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        importlib.import_module(f"{self.__name__}.{name}")
        return self.__dict__[name]

    def __setattr__(self, name: str, value: Any) -> None:
        """Bind a member's function where Python, on importing the member, binds the module."""
        super().__setattr__(name, getattr(value, name, value) if name in __all__ else value)


sys.modules[__name__].__class__ = _Room
