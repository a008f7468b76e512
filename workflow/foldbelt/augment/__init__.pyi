from ._transforms import Augment as Augment
from ._transforms import images_of as images_of
