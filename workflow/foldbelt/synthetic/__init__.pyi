from .chest import chest as chest
from .objects import objects as objects
from .seismic import DEMO_SECTIONS as DEMO_SECTIONS
from .seismic import MOST_TILES as MOST_TILES
from .seismic import TILE as TILE
from .seismic import seismic as seismic
from .steel import steel as steel
