"""What the images of a job are, and what of them its model learns, before any is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from foldbelt import registry, store
from foldbelt.channels._resizing import Resizer
from foldbelt.config import stages
from foldbelt.config.stage_settings import StageSettings
from foldbelt.files import InputError, Problem, raise_all
from foldbelt.train import box_targets, labels
from foldbelt.train.arguments import Job
from foldbelt.train.data_source import Source


@dataclass(frozen=True)
class Facts:
    """What a job knows of its images.

    Attributes
    ----------
    attrs
        Of the channels file.
    resizer
        Between storage size and network size.
    main
        The model's main output, ``mask``, ``label`` or ``box``.
    classes, width
        Numbers of classes of masks and of labels.
    objects
        Classes of boxes, where the model learns them.
    masks_matter
        Whether masks are learnt.
    pads
        Whether images are padded.
    planes
        Of a mask as it is held: its classes, and where pixels do not count, if any do not.
    derived
        Whether labels say what masks show.
    told
        What the weights file says of the labels.
    """

    attrs: Mapping[str, Any]
    resizer: Resizer
    main: str
    classes: int
    width: int
    objects: Sequence[str]
    masks_matter: bool
    pads: bool
    planes: int
    derived: bool
    told: Mapping[str, Any]

    @classmethod
    def of(cls, train: Source, job: Job, stage: StageSettings, model: Mapping[str, Any]) -> "Facts":
        """Look at the training images.

        Parameters
        ----------
        train
            The training images.
        job, stage, model
            As for `foldbelt.train.task.load`.

        Raises
        ------
        InputError
            If the stage or the model asks for what they have not.
        """
        attrs = store.attrs(train.channels)
        resizer = Resizer.of(attrs)
        problems = stages.missing_in_images(stage, resizer.size, attrs["names"])
        raise_all(
            [Problem(f"stages.{job.stage}.{key}", why) for key, why in problems],
            f"Stage {job.stage} asks what the channels {train.channels} do not have",
        )
        classes, width = train.classes(), labels.width(train)
        main = registry.main_output(model)
        objects = box_targets.names(train) if main == "box" else []
        _check_truth(main, classes, width, objects, train, model)
        pads = bool(resizer.padding().any())
        if objects and pads and resizer.mode == "pad-reflect":
            raise InputError(
                f"{model['name']!r} would be taught that mirrored objects are none: "
                f"{train.channels} are padded by their mirror images, and boxes are not mirrored. "
                "Set the channels' resize_mode to resize or pad-edge."
            )
        derived = labels.follow_from_masks(train, classes, width)
        if stage.blackout and width and not derived:
            raise InputError(
                f"stages.{job.stage}.blackout is {stage.blackout}, but the labels of {train.masks} "
                "are not those of its masks, so nobody knows what blackening a mask does to them; "
                "set it to 0."
            )
        return cls(
            attrs=attrs,
            resizer=resizer,
            main=main,
            classes=classes,
            width=width,
            objects=objects,
            masks_matter=main == "mask" or bool(stage.loss.auxiliary),
            pads=pads,
            planes=classes + (train.has_ignore() or pads),
            derived=derived,
            told=labels.described(train, derived, model.get("labels")),
        )

    @property
    def learnt(self) -> int:
        """Number of classes of the masks that are learnt."""
        return self.classes if self.masks_matter else 0

    @property
    def shape(self) -> dict[str, Any]:
        """What the network and its weights file must know of the data."""
        names = ("scale", "offset", "resize_mode", "size", "source")
        made = {
            "in_channels": len(self.attrs["names"]),
            "mask_channels": self.classes,
            "label_classes": len(self.told.get("labels", range(self.width))),
            "channels": self.attrs["names"],
            **{name: self.attrs[name] for name in names},
            **self.told,
        }
        return made | ({"box_names": self.objects} if self.objects else {})


def _check_truth(
    main: str,
    classes: int,
    width: int,
    objects: Sequence[str],
    train: Source,
    model: Mapping[str, Any],
) -> None:
    """Refuse a model whose main output the training images have no truth of."""
    has = {"mask": classes > 0, "label": width > 0, "box": bool(objects)}
    cures = {"mask": "data.masks", "label": "data.label", "box": "data.boxes"}
    if not has[main]:
        raise InputError(
            f"{model['name']!r} predicts a {main}, and {train.masks} has none to learn from; see "
            f"{cures[main]}, or take another architecture."
        )
    if stages.teaches_masks(model) and not classes:
        raise InputError(
            f"{model['name']!r} is to learn masks, too, and {train.masks} has none; draw them from "
            "boxes (data.masks: from_boxes), or leave out mask_reduction."
        )
