"""TGS Salt Identification Challenge (Kaggle, 2018): seismic tiles, one class."""

METRIC = "salt_score"
SYNTHETIC = "seismic"
MARKS = ("train/images", "train/masks", "train.csv", "depths.csv")
"""Files and folders by which `foldbelt init` tells the layout."""
ONE_SIZE = True
"""All images are of one size, by the rules."""
BALANCED = ("coverage", "depth", "empty")
"""What folds balance in a recipe of `foldbelt init`."""
GROUPED = ("mosaic", "neighbouring tiles share their layers")
"""What folds keep together there, and why."""
SAMPLE = "sample_submission.csv"
