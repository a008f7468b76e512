from .images import run as run
from .predictor import VIEWS as VIEWS
from .predictor import Predictor as Predictor
