"""TGS Salt Identification Challenge (Kaggle, 2018): seismic tiles, one class.

Layout: ``train/images/*.png``, ``train/masks/*.png``, ``test/images/*.png`` (some copies put them
straight in ``test/``), ``train.csv`` (id, rle_mask), ``depths.csv`` (id, z; train and test) and
``sample_submission.csv`` (id, rle_mask). Tiles are grey, though saved as RGB with equal channels.
Where the test folder is empty, nothing is predicted, and no sample is needed.

Masks are 16-bit where there is salt and 8-bit where there is none. So a mask is what is above zero,
never a value divided by 255.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from foldbelt.competitions._reading import Item, Listing, Sample
from foldbelt.competitions.salt import SAMPLE
from foldbelt.competitions.salt.files import DEPTHS, TRAIN, folders
from foldbelt.files import InputError, Problem, raise_all
from foldbelt.formats import csv_files, image_files
from foldbelt.formats.findings import Finding, UnusableImage
from foldbelt.formats.folders import files_in
from foldbelt.rle import decode

if TYPE_CHECKING:
    import pandas as pd

CLASSES = ["salt"]


class Truth(NamedTuple):
    """A train tile's mask in both forms: its PNG file, and the run lengths of the table."""

    mask: Path
    runs: str


class _Files(NamedTuple):
    images: dict[str, Path]
    masks: dict[str, Path]
    test: dict[str, Path]
    test_folder: str


def scan(root: Path, settings: Mapping[str, Any], size: tuple[int, int] | None = None) -> Listing:
    """List the tiles, and what is wrong with names, tables and headers."""
    _refuse_settings(settings)
    files, findings = _list_files(root)
    train_table, depths, table_findings = _read_tables(root, files)
    findings += table_findings
    findings += _check_pairs(files)
    sizes, broken = image_files.measure(files.images | files.test, root)
    mask_sizes, broken_masks = image_files.measure(files.masks, root)
    findings += broken + broken_masks
    leading = files.images or files.test
    size = size or image_files.common_size(sizes[key] for key in leading if key in sizes)
    findings += _check_sizes(root, files, sizes, mask_sizes, size)
    runs = _unambiguous_runs(train_table)
    train = [
        Item(key, path, sizes[key], Truth(files.masks[key], runs[key]), {"depth": depths.get(key)})
        for key, path in sorted(files.images.items())
        if key in sizes and key in mask_sizes and key in runs
    ]
    test = [
        Item(key, path, sizes[key], None, {"depth": depths.get(key)})
        for key, path in sorted(files.test.items())
        if key in sizes
    ]
    return Listing(root, settings, train, test, size, 1, CLASSES, CLASSES, findings)


def _refuse_settings(settings: Mapping[str, Any]) -> None:
    idle = ("size", "ignore", "classes", "label", "boxes", "box_classes", "bands", "cut", "colours")
    given = [f"data.{key}" for key in idle if settings[key] is not None]
    given += [] if settings["masks"] else ["data.masks"]
    given += ["data.range"] if settings["range"] != "auto" else []
    given += ["data.image_mode"] if settings["image_mode"] != "grey" else []
    if given:
        raise InputError(
            f"{', '.join(given)}: not for the salt competition, whose tiles are grey, of one size "
            "and have one class. Remove the setting, or use the folder layout."
        )


def _list_files(root: Path) -> tuple[_Files, list[Finding]]:
    files_of: dict[str, dict[str, Path]] = {}
    findings: list[Finding] = []
    for role, folder in folders(root).items():
        files = files_in(root / folder)
        if not (root / folder).is_dir():
            hint = "; make an empty one if nothing is to be predicted" if role == "test" else ""
            reason = f"is missing; looked for a folder of PNGs below {root}{hint}"
            findings.append(Finding(folder, reason))
        elif not files and role != "test":
            findings.append(Finding(folder, "holds no files"))
        files_of[role], wrong = image_files.by_stem(files, root, (".png",))
        findings += wrong
    return _Files(**files_of, test_folder=folders(root)["test"]), findings


def _read_tables(
    root: Path, files: _Files
) -> "tuple[pd.DataFrame | None, dict[str, float], list[Finding]]":
    findings: list[Finding] = []
    tables: dict[str, pd.DataFrame | None] = {}
    for name, columns in {
        TRAIN: ("id", "rle_mask"),
        DEPTHS: ("id", "z"),
        SAMPLE: ("id", "rle_mask"),
    }.items():
        needed = bool(files.test) or name != SAMPLE
        tables[name], wrong = csv_files.read_table(root, name, columns, needed)
        findings += wrong
    known = {
        TRAIN: (files.images, "train/images"),
        DEPTHS: (files.images | files.test, f"train/images or {files.test_folder}"),
        SAMPLE: (files.test, files.test_folder),
    }
    for name, (images, where) in known.items():
        table = tables[name]
        if table is not None:
            if name == DEPTHS and not files.test:  # which lists the test tiles, too
                table = table[table["id"].isin(images)]
            findings += csv_files.check_ids(table["id"], name, images, where)
            findings += csv_files.check_rows(name, table["id"], sorted(images))
    depths, wrong = _read_depths(tables[DEPTHS])
    return tables[TRAIN], depths, findings + wrong


def _unambiguous_runs(table: "pd.DataFrame | None") -> dict[str, str]:
    """Give id → RLE, without the ids that have several rows."""
    if table is None:
        return {}
    once = table.drop_duplicates("id", keep=False)
    return dict(zip(once["id"], once["rle_mask"], strict=True))


def _read_depths(table: "pd.DataFrame | None") -> tuple[dict[str, float], list[Finding]]:
    import pandas as pd

    if table is None:
        return {}, []
    depths = pd.to_numeric(table["z"], errors="coerce").to_numpy(np.float64)
    findings = [
        Finding(DEPTHS, f"id {key} has the depth {text!r}, which is not a number", key)
        for key, text, depth in zip(table["id"], table["z"], depths, strict=True)
        if not np.isfinite(depth)
    ]
    return dict(zip(table["id"], depths.tolist(), strict=True)), findings


def _check_pairs(files: _Files) -> list[Finding]:
    findings = [
        Finding(f"train/images/{key}.png", f"has no mask train/masks/{key}.png", key)
        for key in sorted(files.images.keys() - files.masks.keys())
    ]
    findings += [
        Finding(f"train/masks/{key}.png", f"has no image train/images/{key}.png", key)
        for key in sorted(files.masks.keys() - files.images.keys())
    ]
    findings += [
        Finding(
            f"{files.test_folder}/{key}.png", "has the id of a train tile; ids must differ", key
        )
        for key in sorted(files.images.keys() & files.test.keys())
    ]
    return findings


def _check_sizes(
    root: Path,
    files: _Files,
    sizes: Mapping[str, tuple[int, int]],
    mask_sizes: Mapping[str, tuple[int, int]],
    common: tuple[int, int] | None,
) -> list[Finding]:
    findings = []
    for key, (height, width) in sizes.items():
        if (height, width) != common and common is not None:
            path = files.images.get(key) or files.test[key]
            reason = f"is {height}×{width} where most tiles are {common[0]}×{common[1]}"
            findings.append(Finding(image_files.relative(path, root), reason, key))
    for key, (height, width) in mask_sizes.items():
        if key in files.images and key in sizes and sizes[key] != (height, width):
            reason = f"is {height}×{width}, unlike its image ({sizes[key][0]}×{sizes[key][1]})"
            findings.append(Finding(image_files.relative(files.masks[key], root), reason, key))
    return findings


def read(item: Item, listing: Listing) -> Sample:
    """Decode one tile; its PNG mask must equal its RLE."""
    findings: list[Finding] = []
    image = np.zeros(item.size, np.uint8)
    where = image_files.relative(item.image, listing.root)
    try:
        pixels = image_files.decode(item.image)
        if not image_files.grey_planes_equal(pixels):
            findings.append(Finding(where, "is coloured; tiles are grey (equal channels)", item.id))
        image = image_files.to_u8(pixels, 1)
    except image_files.Undecodable as error:
        findings.append(Finding(where, str(error), item.id))
    columns: dict[str, Any] = {"black": int(not image.any())}
    if item.truth is None:
        if findings:
            raise UnusableImage(findings)
        return Sample(image, columns=columns)
    mask, wrong = _read_mask(item, listing.root)
    if findings or wrong:
        raise UnusableImage(findings + wrong)
    has_salt = bool(mask.any())
    columns |= {
        "coverage": float(mask.mean()),
        "empty": int(not has_salt),
        "vertical": int(has_salt and bool((mask == mask[:1]).all())),
    }
    return Sample(image, mask[..., None], None, np.array([has_salt], np.uint8), columns)


def _read_mask(item: Item, root: Path) -> tuple[np.ndarray, list[Finding]]:
    where = image_files.relative(item.truth.mask, root)
    findings = []
    mask = runs = None
    try:
        mask = (image_files.decode_values(item.truth.mask) > 0).astype(np.uint8)
    except image_files.Undecodable as error:
        findings.append(Finding(where, str(error), item.id))
    try:
        runs = decode(item.truth.runs, item.size)
    except ValueError as error:
        findings.append(Finding(TRAIN, f"id {item.id}: {error}", item.id))
    if mask is not None and runs is not None and mask.shape == runs.shape:
        differing = int((mask != runs).sum())
        if differing:
            reason = f"differs from its rle_mask in train.csv in {differing} pixels"
            findings.append(Finding(where, reason, item.id))
    return np.zeros(item.size, np.uint8) if mask is None else mask, findings


def read_truth(
    path: str | Path,
    ids: Sequence[str],
    shape: tuple[int, int],
    classes: Sequence[str] | None = None,
) -> Iterator[np.ndarray]:
    """Read a table of hidden truth (id, rle_mask), mask by mask.

    Parameters
    ----------
    path
        The csv.
    ids
        Whose masks, in which order.
    shape
        (height, width) of every mask.
    classes
        Names of the classes; there is only one.

    Yields
    ------
    (h, w) uint8
        0 and 1.

    Raises
    ------
    InputError
        If ids are absent or duplicate, or an RLE is wrong; all of them at once.
    """
    path = Path(path)
    table, findings = csv_files.read_table(path.parent, path.name, ("id", "rle_mask"))
    if table is not None:
        duplicate = sorted(set(table["id"][table["id"].duplicated()]))
        findings += [Finding(path.name, f"id {key} is duplicate") for key in duplicate]
        findings += csv_files.check_rows(path.name, table["id"], ids)
    runs = {} if table is None else dict(zip(table["id"], table["rle_mask"], strict=True))
    for key in ids:
        try:
            decode(runs.get(key), shape)
        except ValueError as error:
            findings.append(Finding(path.name, f"id {key}: {error}"))
    problems = [Problem(finding.file, finding.reason) for finding in findings]
    raise_all(problems, f"The truth {path} cannot be used")
    return (decode(runs[key], shape) for key in ids)
