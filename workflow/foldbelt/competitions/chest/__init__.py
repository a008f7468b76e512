"""SIIM-FISABIO-RSNA COVID-19 Detection (Kaggle, 2021): chest radiographs, studies and boxes."""

METRIC = "mean_dice"
SYNTHETIC = "chest"
ANNOTATIONS = True
"""There are boxes, and no masks unless they are drawn from them."""
OUTPUTS = ("labels", "boxes")
"""What a run decides on unless its config says otherwise; masks only teach."""
LABELS = ("negative", "typical", "indeterminate", "atypical", "none")
"""The first four are of a study and exclude each other; the last is of an image."""
CLASSES = ("negative", "typical", "indeterminate", "atypical", "none", "opacity")
"""Their mean is the score; a class that is not predicted counts 0."""
SAMPLE = "sample_submission.csv"
