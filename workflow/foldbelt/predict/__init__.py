"""A trained model on images: whole or in windows, from several views, brought back to storage size.

Read `images` first: it reads blocks, has `predictor` average the views, and writes; `windows` cuts
large images.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
