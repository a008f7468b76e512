"""A plain folder of images and masks: anybody's own data."""

METRIC = "mean_dice"
SAMPLE = "sample_submission.csv"
