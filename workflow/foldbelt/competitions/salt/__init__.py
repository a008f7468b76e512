"""TGS Salt Identification Challenge (Kaggle, 2018): seismic tiles, one class."""

METRIC = "salt_score"
SYNTHETIC = "seismic"
SAMPLE = "sample_submission.csv"
