from ._building import build as build
from ._resizing import Resizer as Resizer
from ._whitening import whiten as whiten
from .cumsum import cumsum as cumsum
from .depth import depth as depth
