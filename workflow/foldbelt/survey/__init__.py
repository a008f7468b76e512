"""Synthetic data to try the whole line on."""

from foldbelt.survey.seismic import DEMO_SECTIONS, MOST_TILES, TILE, seismic
from foldbelt.survey.steel import steel

__all__ = ["DEMO_SECTIONS", "MOST_TILES", "TILE", "seismic", "steel"]
