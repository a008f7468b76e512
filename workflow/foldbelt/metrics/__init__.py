"""Scores of masks, labels and boxes, as the competitions define them.

A metric of masks is a module of its name in `counts`, which scores counts of pixels: what a search
over thresholds has at hand. `masks` applies it to masks. So a job depends on the metric it uses and
on no other. `boxes` scores boxes; `ranked` does so over and over, for searches and intervals.
`labels` scores image labels.
"""

from foldbelt.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
