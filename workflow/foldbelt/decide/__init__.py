"""From probabilities to masks: threshold, components, smallest area, gate, steps after them.

Read `stage` first. Data pass through in this order: `settings` holds what the config says,
`counted` counts the blends once, `searching` searches the grid on the counts, `selection` keeps the
axes of the grid and the steps (`steps`) that pay, `decision` is written, `masks` applies it.

`boxes` and `labels` decide how those of several members are fused and averaged; `outputs` checks
what both are given.

The search is exhaustive but touches every probability once, and its score is honest: every image is
scored with parameters found without its fold. ``params`` and ``score`` of the
:class:`Decision` it returns are what to use and what to report.
"""

from foldbelt.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
