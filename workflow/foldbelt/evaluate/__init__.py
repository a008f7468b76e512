"""Scores of members, rounds and the product, by class and by label; ablations.

Read `scores` first.
"""
