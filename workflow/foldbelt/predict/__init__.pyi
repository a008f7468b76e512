from .images import FLIPS as FLIPS
from .images import run as run
from .predictor import Predictor as Predictor
