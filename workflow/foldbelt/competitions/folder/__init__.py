"""A plain folder of images and masks: anybody's own data."""

METRIC = "mean_dice"
SYNTHETIC = "objects"
LABEL_COLUMN = True
"""Image labels may come from a column or a table, which `data.label` names."""
ANNOTATIONS = True
"""There may be boxes (`data.boxes`), and no masks (`data.masks`)."""
COLOUR = True
"""Images may be kept in colour (`data.image_mode`)."""
BANDS = True
"""Images may have any number of bands (`data.bands`)."""
SAMPLE = "sample_submission.csv"
