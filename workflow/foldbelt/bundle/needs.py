"""What has to be installed where a bundle predicts: less than where it was made."""

from collections.abc import Iterable, Mapping
from typing import Any

from foldbelt import provenance, registry

ALWAYS = ("torch", "numpy", "opencv-python-headless", "Pillow", "safetensors")
FORMATS = {"DICOM": ("pydicom",), "TIFF": ("tifffile",)}
"""Packages that files of a format need."""
BESIDE = {"pydicom": ("pylibjpeg", "pylibjpeg-openjpeg", "pyjpegls")}
"""What a package uses where it is there: decoders of compressed DICOM files."""

_PACKAGES = {
    "cv2": ("opencv-python-headless",),
    "PIL": ("Pillow",),
    "huggingface_hub": (),  # comes with timm, and only fetches weights
    "timm": ("timm", "torchvision"),  # which it imports
    "segmentation_models_pytorch": ("segmentation-models-pytorch", "timm", "torchvision"),
}
"""Import → packages, where that is not one of the same name."""
_SPECTRAL, _BIHARMONIC = "spectral", "pad-biharmonic"


def packages(
    architectures: Iterable[Mapping[str, Any]],
    channels: Iterable[Mapping[str, Any]],
    steps: Iterable[str],
    formats: Iterable[str],
) -> list[str]:
    """List the packages that a bundle needs, sorted.

    Parameters
    ----------
    architectures
        Of its networks.
    channels
        Its channel recipes.
    steps
        Names of the decision's steps.
    formats
        Of the run's images: those of `FORMATS` that occur.

    Examples
    --------
    >>> packages([{"name": "vanilla"}], [], [], ["DICOM"])
    ['Pillow', 'numpy', 'opencv-python-headless', 'pydicom', 'safetensors', 'torch']
    >>> "timm" in packages([{"name": "unet", "encoder": "resnet34"}], [], [], [])
    True
    """
    recipes = list(channels)
    modules = [module for one in architectures for module in registry.models(one)]
    modules += [module for recipe in recipes for module in registry.channels(recipe)]
    modules += registry.steps(steps)
    imported = provenance.packages(*modules)
    if any(_with_scipy(recipe) for recipe in recipes):
        imported.add("scipy")
    found = {name for one in imported for name in _PACKAGES.get(one, (one,))}
    found |= {name for one in formats for name in FORMATS.get(one, ())}
    return sorted({*ALWAYS, *found})


def _with_scipy(recipe: Mapping[str, Any]) -> bool:
    return recipe.get("whiten") == _SPECTRAL or recipe.get("resize_mode") == _BIHARMONIC
