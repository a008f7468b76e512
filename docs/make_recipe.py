"""Write config/folder.yaml: what `foldbelt init` writes for a plain case.

`python docs/make_recipe.py` draws the case (photographs in colour, of mixed sizes, with a mask
each), looks at it as `foldbelt init` does, on a machine of two cores whose speed is given, and
writes the recipe. `make docs` calls it, and a test says when the file is out of date.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from foldbelt.init import recipe
from foldbelt.init.command import first
from foldbelt.init.facts import Machine
from foldbelt.init.layout import detect
from foldbelt.init.looking import look
from foldbelt.init.table import decide

ROOT = Path(__file__).parents[1]
FILE = ROOT / "config" / "folder.yaml"
DATA = "resources/folder"
IMAGES, TEST_IMAGES = 200, 20
SIZES = ((300, 400), (400, 300), (270, 360))
EMPTY = 10
"""One image in so many shows no object."""
MACHINE = Machine(cores=2, gpus=0, hours=2.0, image_seconds=0.1)
HEADING = (
    "What `foldbelt init` writes for a plain case: photographs in colour and of mixed sizes in",
    "  images/, a mask each, black and white, in masks/; one in ten shows no object; two cores,",
    f"  two hours. `foldbelt init {DATA} --hours 2` looks at your own folder and writes its own",
    "  recipe; this one runs on any such folder, too. Copy it, set `run` and `data.path`, and read",
    "  the reasons behind the lines: where your data differ, so should the figures.",
    "  All keys: config/README.md; the rules: docs/init.md; what masks may hold: docs/files.md.",
    "  snakemake --cores all --configfile config/mine.yaml",
)


def draw(root: Path) -> None:
    """Draw photographs with bright blobs on a ground of soft colours, and their masks."""
    for name in ("images", "masks", "test"):
        (root / name).mkdir(parents=True)
    for number in range(IMAGES + TEST_IMAGES):
        random = np.random.default_rng(number)
        height, width = SIZES[number % len(SIZES)]
        coarse = random.integers(40, 160, (9, 12, 3), dtype=np.uint8)
        image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
        mask = np.zeros((height, width), np.uint8)
        for _ in range(int(number % EMPTY > 0) * int(random.integers(1, 4))):
            axes = random.integers(18, 45, 2).tolist()
            centre = (int(random.integers(50, width - 50)), int(random.integers(50, height - 50)))
            cv2.ellipse(mask, centre, axes, int(random.integers(180)), 0, 360, 255, -1)
        image[mask > 0] = np.minimum(image[mask > 0] // 2 + 120, 255)
        noise = random.integers(0, 16, image.shape[:2], dtype=np.uint8)
        place = "images" if number < IMAGES else "test"
        cv2.imwrite(str(root / place / f"photo{number:04d}.jpg"), image + noise[..., None])
        if number < IMAGES:
            cv2.imwrite(str(root / "masks" / f"photo{number:04d}.png"), mask)


def text() -> str:
    """Give the recipe of the drawn case."""
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder))
        facts = look(Path(folder), detect(Path(folder)))
    facts = replace(facts, path=DATA, machine=MACHINE)
    return recipe.render(decide(facts, first("folder")), HEADING)


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
