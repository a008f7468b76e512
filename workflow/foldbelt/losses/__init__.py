"""Losses by name: `build` sums what a stage's config asks for, of one output.

One module a family. Its `build(**options)` returns a module whose
``forward(logits, target, ignore=None)`` gives a scalar float32 tensor, for

- logits (N, K, H, W), any floating dtype (computed in float32, also under autocast),
- target (N, K, H, W), uint8 or floating, 0 to 1,
- ignore (N, 1, H, W), bool, or None: pixels that change neither the value nor the gradient.

A module that says ``LABELS = True`` can judge image labels, as maps of one pixel. One that says
``EXCLUSIVE = True`` needs logits of exclusive classes, see `foldbelt.models._heads.exclusive`.

Losses are found at run time, never imported from here: a changed one must alter the fingerprint of
the models that name it and of no others. The names of outputs (`mask`, `label`, `box`) are reserved
for the config, where losses are given by output.
"""

from foldbelt.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
