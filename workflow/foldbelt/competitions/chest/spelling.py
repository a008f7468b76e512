"""What the competition's tables call things.

They are apart from `form`, lest the way in which submissions are read and written be upstream of
images, and so of all trainings.
"""

STUDY, IMAGE = "_study", "_image"
"""Endings of ids."""

NONE, OPACITY = "none", "opacity"
"""Classes of an image and of its boxes."""

IDS = ("id", "Id")
"""How the column of ids is called."""
