"""Nothing made for the images of a fold knows the truth of their labels and boxes.

Masks are tried in a whole run, in `tests/workflow/test_honesty.py`.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import training
from training import CLASSIFIER, DETECTOR, Objects

from foldbelt import predict, pseudo, store
from foldbelt.boxes import Boxes
from foldbelt.config import complete
from foldbelt.decide import output_files

FOLD = 1
MODELS = {
    "labels": (CLASSIFIER, {"label": {"cross_entropy": 1}}),
    "boxes": (DETECTOR, {"box": 1}),
}
SPACES = {
    "labels": {"mean": ["probability", "logit"], "weights": "fitted"},
    "boxes": {"fusion": ["nms", "wbf"], "iou": [0.3, 0.6], "weights": "fitted"},
}


def inverted(objects: Objects, rows: np.ndarray) -> None:
    """Turn some labels around, take boxes away, and put some where there were none."""
    objects.labels[rows] = objects.labels[rows, ::-1]
    for row in rows:
        boxes = objects.boxes[row]
        there = [[0, 1, 1, 5, 5, 1], [1, 2, 3, 9, 12, 1]]
        objects.boxes[row] = np.zeros((0, 6)) if len(boxes) else np.array(there, np.float32)
    objects.write_objects()


def guess(objects: Objects) -> None:
    """Write what a good model would predict out of fold; the decision has to find it."""
    random = np.random.default_rng(0)
    images = []
    for boxes in objects.boxes:
        near = np.array(boxes)
        near[:, 1:5] += random.normal(0, 0.3, (len(near), 4))
        far = [[random.integers(2), 0, 0, 6, 6, 1]]
        both = np.concatenate([near, far])
        both[:, 5] = random.random(len(both))
        images.append(both)
    near = np.nan_to_num(objects.labels, nan=1 / 3) + random.random((18, 3)).astype(np.float32)
    arrays = {"labels": near / near.sum(axis=1, keepdims=True)}
    arrays["boxes"] = Boxes.join(images).to_bytes()
    store.write(objects.root / "guess.h5", arrays, pd.DataFrame({"id": objects.train_ids}), {})


def chain(objects: Objects, output: str) -> dict[str, bytes]:
    """Train, predict, label the test images, train on them, and decide; what each of it made."""
    model, loss = MODELS[output]
    root, made = objects.root, {}
    rates = {"optimizer": {"name": "adamw", "lr": 0.01}, "epochs": 2}
    for number in (0, 1):
        given = objects.arguments(f"{number}", loss=loss, **rates) | {"model": model}
        given["key"] = {"model": "m", "round": number, "fold": FOLD}
        if number:
            given |= {
                "pseudo": objects.path["pseudo.h5"],
                "test_channels": objects.path["x_test.h5"],
            }
        training.run(**given)
        made[f"weights {number}"] = Path(given["weights"]).read_bytes()
        for part in ("train", "test"):
            out = str(root / f"{part}{number}.h5")
            predict.run(
                channels=objects.path[f"x_{part}.h5"],
                data=objects.path[f"{part}.h5"],
                ids=None,
                weights=given["weights"],
                tta=["none", "hflip"],
                batch_size=8,
                out=out,
                cpu_threads=1,
                device="cpu",
            )
            made[f"predictions {number}, {part}"] = Path(out).read_bytes()
        if not number:
            settings = complete("pseudo", {"rule": "everything", "box_score": 0.05})
            labelled = objects.path["pseudo.h5"]
            pseudo.run(
                predictions=[str(root / "test0.h5")],
                settings=settings,
                fold=FOLD,
                round=0,
                out=labelled,
            )
            made["pseudo"] = Path(labelled).read_bytes()
    output_files.run(
        output,
        members={name: [str(root / f"{name}.h5")] for name in ("train1", "guess")},
        data=objects.path["train.h5"],
        folds=objects.path["folds.csv"],
        settings=complete(output, SPACES[output]),
        draws=10,
        seed=0,
        decision=root / "decision.json",
        blend=root / "blend.h5",
    )
    return made


@pytest.mark.parametrize("output", MODELS)
def test_the_truth_of_a_fold_reaches_nothing_that_is_made_for_it(tmp_path, output):
    objects = Objects(tmp_path)
    guess(objects)
    inside = objects.fold == FOLD
    before = chain(objects, output)
    decided = json.loads((tmp_path / "decision.json").read_text())
    blended = store.read(tmp_path / "blend.h5", output)
    assert all(map(len, store.read(tmp_path / "pseudo.h5", output)))
    inverted(objects, np.flatnonzero(inside & objects.known))
    after = chain(objects, output)
    assert [name for name in before if before[name] != after[name]] == []
    again = json.loads((tmp_path / "decision.json").read_text())
    assert again["score"] != decided["score"]
    assert again["per_fold"][FOLD]["params"] == decided["per_fold"][FOLD]["params"]
    other = store.read(tmp_path / "blend.h5", output)
    for row in np.flatnonzero(inside):
        assert np.array_equal(other[row], blended[row])
    inverted(objects, np.flatnonzero(~inside & objects.known)[:3])
    after = chain(objects, output)
    assert [name for name in before if before[name] == after[name]] == []
