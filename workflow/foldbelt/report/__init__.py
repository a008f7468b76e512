"""Figures and pages of the report, one module a category.

Line figures are SVG and tile panels PNG; both hold neither times nor versions, so that the same
inputs give the same bytes. Titles state what was found, computed from the data shown.
"""
