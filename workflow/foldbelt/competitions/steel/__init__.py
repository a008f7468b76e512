"""Severstal: Steel Defect Detection (Kaggle, 2019): pictures of sheets, classes of defects."""

METRIC = "mean_dice"
SYNTHETIC = "steel"
SAMPLE = "sample_submission.csv"
