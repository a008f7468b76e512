from .kinds import Pixels as Pixels
from .kinds import Undecodable as Undecodable
from .masks import Meaning as Meaning
from .masks import Read as Read
from .masks import read_mask as read_mask
from .reading import header as header
from .reading import read as read
