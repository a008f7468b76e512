"""Networks by name: `build` makes what a model's `architecture` describes.

One module an architecture. Its ``build(in_channels, mask_channels, label_classes, *, options…)``
returns a module whose ``forward(x)`` takes images (N, C, H, W) of any size and gives a dict: logits
"mask" (N, K, H, W) and what its heads add, "label" (N, L), "depth" (N, 1) and, in training, "deep",
a list of (N, K, H, W). A module that says ``MASKS = False`` gives "label", perhaps with "aux",
masks (N, K, h, w) that only teach, or "box" if it says ``BOXES = True``; its `build` then has an
argument `box_classes`. A `build` with an argument `variant` gets what follows the slash in its
name. `blocks`, `heads`, `weights` and the modules with an underscore are what they share, and
`encoders` holds encoders of foldbelt's own.
"""

from foldbelt.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
