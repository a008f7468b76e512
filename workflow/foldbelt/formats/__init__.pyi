from .findings import Finding as Finding
from .findings import Spoilt as Spoilt
