"""The members' weights as ``weights.json`` holds them."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from foldbelt.files import InputError, PathLike
from foldbelt.search.blends import Blends
from foldbelt.search.means import Vector, read_mean
from foldbelt.search.oof import OutOfFold


def read_weights(
    path: PathLike, members: Sequence[str], folds: Sequence[int] | None = None
) -> tuple[dict[int, Vector], Vector]:
    """Read ``weights.json``.

    Parameters
    ----------
    path
        The file.
    members
        Whose weights are wanted, in this order.
    folds
        Folds for which there must be weights found without them; None: it does not matter.

    Returns
    -------
    without : dict
        Fold → weights found without it.
    final : Vector
        The weights found with all folds. Where the file says nothing of labels, they weigh as the
        masks do.
    """
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    if sorted(content["members"]) != sorted(members):
        raise InputError(
            f"{path}: holds the weights of {', '.join(content['members'])}, but the predictions "
            f"are of {', '.join(members)}. Make the blend again."
        )
    order = [content["members"].index(name) for name in members]
    labels = content.get("labels", content)

    def vector(*weights: Sequence[float]) -> Vector:
        return Vector(*(tuple(part[i] for i in order) for part in weights))

    without = {int(f): vector(w, labels["without"][f]) for f, w in content["without"].items()}
    lost = sorted(set(folds or []) - set(without))
    if lost:
        raise InputError(f"{path}: has no weights without fold {', '.join(map(str, lost))}.")
    return without, vector(content["all"], labels["all"])


def read_blends(path: PathLike, oof: OutOfFold) -> Blends:
    """Read how out-of-fold predictions are blended.

    Parameters
    ----------
    path
        ``weights.json``.
    oof
        The predictions of the members that it names.
    """
    without, final = read_weights(path, oof.members, np.unique(oof.fold).tolist())
    weights: dict[int | None, Vector] = dict(without.items())
    return Blends(oof, weights | {None: final}, read_mean(path))
