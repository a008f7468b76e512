from .arguments import Inputs as Inputs
from .arguments import Job as Job
from .arguments import Machine as Machine
from .arguments import Outputs as Outputs
from .job import run as run
