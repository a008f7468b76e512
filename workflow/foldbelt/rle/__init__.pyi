from .decoding import check as check
from .decoding import decode as decode
from .encoding import encode as encode
