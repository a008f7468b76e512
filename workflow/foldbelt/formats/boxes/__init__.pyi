from .checking import Checked as Checked
from .checking import check as check
from .reading import read as read
from .rows import OBJECT as OBJECT
from .rows import BoxRow as BoxRow
from .rows import Listed as Listed
