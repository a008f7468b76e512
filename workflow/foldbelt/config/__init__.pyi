from .resolving import SCHEMA as SCHEMA
from .resolving import complete as complete
from .resolving import load_schema as load_schema
from .resolving import merge as merge
from .resolving import resolve as resolve
