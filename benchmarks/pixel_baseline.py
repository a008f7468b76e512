"""Score what brightness and local variance alone tell about salt, beside a finished run.

A logistic regression per pixel on the local mean and the local deviation (9 px windows) is fitted
on the folds of the run and decided like its models: threshold and smallest area searched
leave-one-fold-out. A task on which it comes near the networks is a toy.

    python benchmarks/pixel_baseline.py results/demo

Prints the all-empty score, this baseline, the run's leave-one-fold-out score, and the difference.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from foldbelt import decide, metrics, store
from foldbelt.files import seed_for

WINDOW = 9
PIXELS = 200_000
SPACE = {
    "threshold": [step / 20 for step in range(2, 19)],
    "min_area": [0, 20, 50, 100, 200, 400, 800, 1600],
}


def features(images: np.ndarray) -> np.ndarray:
    """Local mean and deviation: images u8 (N, H, W) to float32 (N, H, W, 2)."""
    found = np.empty((*images.shape, 2), np.float32)
    for image, out in zip(images, found, strict=True):
        grey = image.astype(np.float32)
        mean = cv2.blur(grey, (WINDOW, WINDOW))
        variance = cv2.blur(grey**2, (WINDOW, WINDOW)) - mean**2
        out[..., 0], out[..., 1] = mean, np.sqrt(np.maximum(variance, 0))
    return found


def out_of_fold(images: np.ndarray, truth: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Probabilities u8 (N, H, W), each from a regression that did not see its fold."""
    known = features(images)
    prob = np.empty(images.shape, np.uint8)
    for fold in np.unique(folds):
        pixels, salt = known[folds != fold].reshape(-1, 2), truth[folds != fold].ravel()
        random = np.random.default_rng(seed_for("pixel baseline", int(fold)))
        drawn = random.choice(len(pixels), min(PIXELS, len(pixels)), replace=False)
        model = make_pipeline(StandardScaler(), LogisticRegression())
        model.fit(pixels[drawn], salt[drawn])
        chance = model.predict_proba(known[folds == fold].reshape(-1, 2))[:, 1]
        prob[folds == fold] = np.rint(chance * 255).reshape(-1, *images.shape[1:])
    return prob


def main() -> None:
    """Read the run's data and folds, and print the four numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a finished run of the salt competition")
    parser.add_argument("--folds", default="base", help="name of the fold scheme")
    run, scheme = vars(parser.parse_args()).values()

    table = pd.read_csv(run / "folds" / f"{scheme}.csv", dtype={"id": str})
    data = run / "data" / "train.h5"
    ids, folds = table["id"].tolist(), table["fold"].to_numpy()
    images, truth = store.read(data, "image", ids), store.read(data, "mask", ids)
    prob = out_of_fold(images, truth, folds)
    found = decide.search(prob, truth, folds, SPACE, "salt_score", groups=table["group"].to_numpy())
    score = json.loads((run / "scores.json").read_text())["score"]

    print(f"all empty            {metrics.salt_score(truth, np.zeros_like(truth)).mean():.4f}")
    print(f"logistic regression  {found.score:.4f}  (optimistic {found.optimistic:.4f})")
    print(f"{run.name:<20} {score:.4f}")
    print(f"difference           {score - found.score:+.4f}")


if __name__ == "__main__":
    main()
