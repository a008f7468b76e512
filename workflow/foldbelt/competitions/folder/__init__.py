"""A plain folder of images and masks: anybody's own data."""

METRIC = "mean_dice"
LABEL_COLUMN = True
"""Image labels may come from a column of meta.csv, which `data.label` names."""
SAMPLE = "sample_submission.csv"
