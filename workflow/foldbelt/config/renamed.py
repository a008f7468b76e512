"""Keys of the config that had another name once: refused, with the name they have now."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from foldbelt.registry import suggest

RENAMED = {
    "blend.optimise": "blend.search",
    "channels.*.fit": "channels.*.resize_mode",
    "data.color": "data.image_mode",
    "data.survey": "data.synthetic",
    "decision.steps.components.least": "decision.steps.components.min_area",
    "decision.steps.holes.most": "decision.steps.holes.max_area",
    "folds.*.duplicates": "folds.*.duplicate_distance",
    "folds.*.first": "folds.*.first_fold_by",
    "models.*.architecture.dropout": "models.*.architecture.label_dropout",
    "predict.tiles": "predict.windows",
    "pseudo.most": "pseudo.max_images",
    "pseudo.share": "pseudo.min_confident_share",
    "stages.*.label_weight": (
        "is a weight in loss.label now, as in loss: {mask: {bce: 1}, label: {bce: 0.1}}"
    ),
}
"""Old key → new key, where `*` is any name; or old key → a sentence that says what to write."""


def renamed(key: str) -> str | None:
    """Say what is to be written for a key that had another name once; None for any other key.

    Parameters
    ----------
    key
        With all keys above it, joined by dots.

    Examples
    --------
    >>> renamed("channels.base.fit")
    'is named resize_mode now'
    >>> renamed("channels.base.size") is None
    True
    """
    for old, new in RENAMED.items():
        if fnmatchcase(key, old) and key.count(".") == old.count("."):
            return new if " " in new else f"is named {new.rpartition('.')[2]} now"
    return None


def unknown_key(key: str, known: Iterable[str]) -> str:
    """Say what is wrong with a key that does not exist: its new name, or the nearest known one.

    Examples
    --------
    >>> unknown_key("predict.tiles", ["windows", "tta"])
    'unknown key; it is named windows now'
    >>> unknown_key("predict.windws", ["windows", "tta"])
    "unknown key; did you mean 'windows'?"
    """
    now = renamed(key)
    return f"unknown key; it {now}" if now else "unknown key" + suggest(key.split(".")[-1], known)
