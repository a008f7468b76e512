from .loading import Model as Model
from .loading import load as load
from .predicting import predict as predict
from .validating import validate as validate
from .writing import write as write
