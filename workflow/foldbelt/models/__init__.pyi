from ._building import build as build
from ._pretrained import fetch as fetch
from ._saved import load_model as load_model
