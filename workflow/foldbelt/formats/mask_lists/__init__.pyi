from .reading import Checked as Checked
from .reading import read as read
from .rows import MaskRow as MaskRow
from .rows import draw as draw
