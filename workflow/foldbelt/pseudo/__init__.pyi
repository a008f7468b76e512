from .admission import ORDERS as ORDERS
from .admission import RULES as RULES
from .admission import SOURCES as SOURCES
from .admission import half_of as half_of
from .admission import run as run
from .masks import share_confident as share_confident
