from .findings import Finding as Finding
from .findings import UnusableImage as UnusableImage
