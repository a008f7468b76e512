"""SIIM-FISABIO-RSNA COVID-19 Detection (Kaggle, 2021): chest radiographs, studies and boxes."""

METRIC = "mean_dice"
SYNTHETIC = "chest"
MARKS = ("train", "train_study_level.csv", "train_image_level.csv")
"""Files and folders by which `foldbelt init` tells the layout."""
MASKS = False
"""As `data.masks`, where the config does not say: there are none unless they are made of boxes."""
GROUP = "patient"
"""As `folds.*.group`, where the config does not say."""
STRATIFY = ("class", "boxes")
"""As `folds.*.stratify`, where the config does not say."""
OUTPUTS = ("labels", "boxes")
"""What a run decides on unless its config says otherwise; masks only teach."""
LABELS = ("negative", "typical", "indeterminate", "atypical", "none")
"""The first four are of a study and exclude each other; the last is of an image."""
LABEL_GROUPS = (("negative", "typical", "indeterminate", "atypical"),)
"""Labels that exclude each other."""
LABEL_LEVELS = {"study": ("negative", "typical", "indeterminate", "atypical")}
"""Column of the per-image table → labels that all images with the same value share."""
BOXES = ("opacity",)
"""The classes of boxes."""
CLASSES = ("negative", "typical", "indeterminate", "atypical", "none", "opacity")
"""Their mean is the score; a class that is not predicted counts 0."""
JOINT = {"none": "none", "negative": "negative", "box": "opacity"}
"""What a config says in `joint` unless it says otherwise."""
MODELS = {
    "none": {"stage": "none", "labels": ("none",), "reason": "is there nothing in the image?"},
    "detector": {"stage": "box", "labels": (), "reason": "of opacities"},
}
"""Models beside that of the first of `LABEL_GROUPS` in a recipe of `foldbelt init`."""
SAMPLE = "sample_submission.csv"
