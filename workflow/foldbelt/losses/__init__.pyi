from ._building import WeightedSum as WeightedSum
from ._building import build as build
from .lovasz import lovasz_hinge as lovasz_hinge
