from .mosaic import assemble as assemble
from .splitting import balance as balance
from .splitting import ids_of as ids_of
from .splitting import run as run
from .splitting import split as split
