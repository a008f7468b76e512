"""Where a set of images comes from."""

from collections.abc import Sequence
from dataclasses import dataclass

from foldbelt import store


@dataclass(frozen=True)
class Source:
    """Where a set of images comes from.

    Attributes
    ----------
    channels, masks
        Files with `x`, and with `mask` (and perhaps `ignore`).
    ids
        The images.
    """

    channels: str
    masks: str
    ids: Sequence[str]

    def classes(self) -> int:
        """Number of mask classes; 0 where the images have no masks."""
        if not store.has(self.masks, "mask"):
            return 0
        mask = store.read(self.masks, "mask", self.ids[:1])
        return 1 if mask.ndim == 3 else mask.shape[3]

    def has_ignore(self) -> bool:
        """Tell whether some pixels may be unlabelled."""
        return store.has(self.masks, "ignore")
