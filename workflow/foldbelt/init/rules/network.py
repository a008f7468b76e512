"""Rules of the section `models`: one network, sized to the images and to the machine."""

import os
from collections.abc import Iterator
from pathlib import Path

from foldbelt.init import scale
from foldbelt.init.facts import Facts
from foldbelt.init.rules.training import exclusive
from foldbelt.init.table import Choice, Chosen, Item, plain, rule

PRIOR = 0.1
"""Share of a class's pixels below which every pixel starts from a prior."""
FEW = 300
"""Images below which a smaller encoder is taken."""
_AT = "models.base.architecture"
_COLOURS = (1, 3)  # bands of images that are like ImageNet's


def cached(encoder: str) -> bool:
    """Tell whether timm's weights of an encoder lie on this machine already."""
    home = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface"))
    return any((home / "hub").glob(f"models--timm--{encoder}.*/snapshots/*/model.safetensors"))


@rule("models.base.stages, channels, folds", "the one stage of this recipe")
def model(facts: Facts, chosen: Chosen) -> Iterator[Choice]:
    """One model, trained in one stage: more of either is for when this one works."""
    yield Choice("models.base.stages", ["base"], "one model; more make a blend")


@rule(
    "models.base.architecture",
    "U-Net (Ronneberger et al. 2015) as in nnU-Net, with encoders of timm on a GPU; "
    "sizes by our benchmarks",
)
def network(facts: Facts, chosen: Chosen) -> Iterator[Choice]:
    """Masks: a U-Net. On a GPU its encoder is resnet18, or resnet34 from 300 images on. On a CPU it
    is resnet18 where 30 epochs of it fit, else the smallest that timm has, with a narrow decoder.
    Labels: a classifier, boxes: a detector, on the same encoder, on a CPU on the smallest. Weights
    of timm where they lie on this machine; else from scratch."""
    gpu, masks = bool(facts.machine.gpus), facts.kind == "masks"
    made = scale.of(facts)
    encoder = ("resnet18" if facts.train < FEW else "resnet34") if gpu else scale.SMALLEST
    why = f"{facts.train} images" if gpu else "no GPU: the smallest of timm"
    if masks and not gpu:
        encoder, fitting = made.encoder, scale.epochs(facts, made, scale.folds(facts))
        why = (
            f"no GPU; about {fitting:.0f} epochs of it fit into {facts.machine.hours:g} h, by a "
            "fixed estimate"
        )
    name = {"masks": "unet", "labels": "classifier", "boxes": "detector"}[facts.kind]
    yield Choice(f"{_AT}.name", name, f"for {facts.kind}")
    yield Choice(f"{_AT}.encoder", encoder, why)
    if facts.kind == "boxes":
        yield Choice(f"{_AT}.pyramid_channels", 64, "narrow: few classes")
        yield Choice(f"{_AT}.head_convs", 2, "likewise")
    decoder = scale.ENCODERS[encoder].decoder if masks and not gpu else None
    if decoder is not None:
        yield Choice(f"{_AT}.decoder_channels", list(decoder), "most of the time goes there")
    here = cached(encoder)
    yield Choice(
        f"{_AT}.weights",
        "timm" if here else None,
        "they lie on this machine" if here else "none on this machine",
        ""
        if here
        else (
            "is there a network? then write timm: it fetches them once, and they help most "
            "with few images; and whiten: imagenet in channels.base"
        ),
    )


@rule("channels.base.whiten", "timm: the colours by which its weights were trained")
def whitening(facts: Facts, chosen: Chosen) -> Iterator[Choice]:
    """Where weights of timm are taken, grey values and colours are centred and scaled as they were
    for those; else by the training images themselves (`standard`, the default)."""
    if chosen[f"{_AT}.weights"] == "timm" and facts.bands in _COLOURS:
        yield Choice("channels.base.whiten", "imagenet", "as timm's weights expect it")


@rule(
    "models.base.architecture.prior, exclusive",
    "Lin et al. 2017 (RetinaNet): a start near the truth, where positives are rare",
)
def start(facts: Facts, chosen: Chosen) -> Iterator[Choice]:
    """Where a class covers less than a tenth of the pixels, every pixel starts from the share that
    classes have in the mean (0.005 at least, twice that where crops are drawn on objects). Four or
    more classes of which no pixel has two are one choice."""
    if facts.kind != "masks":
        return
    if exclusive(facts):
        yield Choice(
            f"{_AT}.exclusive", True, f"{len(facts.classes)} classes, and no pixel is of two"
        )
        return
    share = float(facts.coverage.mean()) if len(facts.coverage) else 1.0
    if share < PRIOR:
        drawn = 2 * share if "stages.base.crop" in chosen else share
        prior = float(f"{max(drawn, 0.005):.1g}")
        yield Choice(f"{_AT}.prior", prior, f"classes cover {share:.2%} of the pixels in the mean")


@rule("stages.none, stages.box, models.none, models.detector", "docs/chest.md")
def more(facts: Facts, chosen: Chosen) -> Iterator[Choice]:
    """Radiographs: beside the classifier of studies one of `none`, and a detector of opacities."""
    others = facts.told("MODELS", {})
    if not others:
        return
    alike = {key.removeprefix("stages.base."): value for key, value in chosen.items()
             if key.startswith("stages.base.")}  # fmt: skip
    for other in others.values():
        loss = {"label": {"bce": 1}} if other["labels"] else {"box": 1}
        for key, value in {**alike, "loss": loss}.items():
            same = [Item(part, "as base") for part in plain(value)] if key == "augment" else value
            why = {"augment": "", "loss": "of its output"}.get(key, "as base")
            yield Choice(f"stages.{other['stage']}.{key}", same, why)
    groups, levels = facts.told("LABEL_GROUPS", ()), facts.told("LABEL_LEVELS", {})
    if groups:
        of = "".join(f"of a {level}; " for level, names in levels.items() if names == groups[0])
        yield Choice("models.base.labels", list(groups[0]), f"{of}they exclude each other")
    encoder = chosen[f"{_AT}.encoder"]
    net = {"name": "classifier", "encoder": encoder, "weights": chosen[f"{_AT}.weights"]}
    for name, other in others.items():
        yield Choice(f"models.{name}.stages", [other["stage"]], other["reason"])
        if other["labels"]:
            labels = list(other["labels"])
            of = "the label of an image" if len(labels) == 1 else "labels of an image"
            yield Choice(f"models.{name}.labels", labels, of)
            yield Choice(f"models.{name}.architecture", net, "as base")
        else:
            detector = {**net, "name": "detector", "pyramid_channels": 64, "head_convs": 2}
            yield Choice(f"models.{name}.architecture", detector, "as base, with a pyramid")
