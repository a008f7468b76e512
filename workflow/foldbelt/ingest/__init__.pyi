from .part import list_problems as list_problems
from .part import run as run
from .sample import keep_sample as keep_sample
from .streaming import resize_image as resize_image
from .streaming import resize_mask as resize_mask
