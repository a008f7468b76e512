"""From probabilities to masks: threshold, components, smallest area, gate, steps after them.

The search is exhaustive but touches every probability once, and its score is honest: every image is
scored with parameters fitted without its fold. ``params`` and ``score`` of the
:class:`Decision` it returns are what to use and what to report.
"""

from foldbelt.decide.counting import Counts, counts
from foldbelt.decide.decision import Decision, apply, load, save
from foldbelt.decide.grid import search, search_counts
from foldbelt.decide.masks import Masks, Surroundings
from foldbelt.decide.stage import member, run, tabulate_components

__all__ = [
    "Counts",
    "Decision",
    "Masks",
    "Surroundings",
    "apply",
    "counts",
    "load",
    "member",
    "run",
    "save",
    "search",
    "search_counts",
    "tabulate_components",
]
