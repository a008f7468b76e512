"""Severstal: Steel Defect Detection (Kaggle, 2019): pictures of sheets, classes of defects."""

METRIC = "mean_dice"
SYNTHETIC = "steel"
MARKS = ("train_images", "train.csv")
"""Files and folders by which `foldbelt init` tells the layout."""
ONE_SIZE = True
"""All images are of one size, by the rules."""
COLOUR = True
"""Images may be kept in colour (`data.image_mode`)."""
BALANCED = ("classes",)
"""What folds balance in a recipe of `foldbelt init`."""
SAMPLE = "sample_submission.csv"
