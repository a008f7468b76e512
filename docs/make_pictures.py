"""Make the two pictures of the README from a finished run: its report, and predictions.

Usage: python docs/make_pictures.py results/demo

The report is photographed by a Chromium or Chrome that must be installed; with another browser,
open report.html, choose "3 Results" and the eye beside "1 Scores".
"""

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

import yaml
from PIL import Image

from foldbelt.report import best_worst

IMAGES = Path(__file__).parent / "images"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDTH, HEIGHT = 1240, 600
HIDDEN = 143  # pixels of the window that a browser without a screen keeps for its tool bar
CLICKS = """<script>
const click = (query, text) => [...document.querySelectorAll(query)]
  .find(found => found.textContent.trim().endsWith(text)).click();
setTimeout(() => click("a", "3 Results"), 500);
setTimeout(() => document.querySelector("a[iconname=eye]").click(), 1500);
</script>
"""


def report(path: Path) -> Image.Image:
    """Photograph a report.html with its first figure of results open."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise SystemExit(f"No browser found: install one of {', '.join(BROWSERS)}.")
    with tempfile.TemporaryDirectory() as folder:
        page, picture = Path(folder, "report.html"), Path(folder, "report.png")
        page.write_text(path.read_text(encoding="utf-8") + CLICKS, encoding="utf-8")
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        options += ["--no-first-run", "--disable-background-networking"]
        options += [f"--user-data-dir={folder}/profile", "--virtual-time-budget=8000"]
        options += [f"--window-size={WIDTH},{HEIGHT + HIDDEN}", f"--screenshot={picture}"]
        subprocess.run([browser, *options, page.as_uri()], check=True, capture_output=True)
        return Image.open(picture).convert("RGB").crop((0, 0, WIDTH, HEIGHT))


def predictions(run: Path) -> Image.Image:
    """Set some of the best images above some of the worst, truth and prediction outlined."""
    config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    last = f"round{config['pseudo']['rounds']}"
    scheme = next(iter(config["models"].values()))["folds"]
    files = ["data/train.h5", f"decision/{last}.json", f"folds/{scheme}.csv"]
    data, decision, folds = (str(run / name) for name in files)
    blend, pictures = str(run / "blend" / last / "oof.h5"), []
    with tempfile.TemporaryDirectory() as folder:
        for which, count in {"best": 4, "worst": 8}.items():
            out = f"{folder}/{which}.png"
            best_worst.draw(blend, data, decision, folds, which=which, out=out, count=count)
            pictures.append(Image.open(out).convert("RGB"))
    size = max(part.width for part in pictures), sum(part.height for part in pictures)
    both, top = Image.new("RGB", size, "white"), 0
    for part in pictures:
        both.paste(part, (0, top))
        top += part.height
    return both


def few_colours(picture: Image.Image, colours: int = 64, greys: int = 40) -> Image.Image:
    """Give a picture of a small palette: the colours farthest apart, and evenly spaced greys."""
    found = picture.quantize(colours, Image.Quantize.MAXCOVERAGE).getpalette()[: 3 * colours]
    levels = [level * 255 // (greys - 1) for level in range(greys) for _ in range(3)]
    palette = Image.new("P", (1, 1))
    palette.putpalette(levels + found)
    return picture.quantize(palette=palette, dither=Image.Dither.NONE)


def main() -> None:
    """Write docs/images/report.png and docs/images/predictions.png."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path, help="folder of a finished run, as results/demo")
    run = parser.parse_args().run
    IMAGES.mkdir(exist_ok=True)
    for name, picture in {
        "report": report(run / "report.html"),
        "predictions": predictions(run),
    }.items():
        height = round(picture.height * WIDTH / picture.width)
        small = picture.resize((WIDTH, height), Image.Resampling.LANCZOS)
        few_colours(small).save(IMAGES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
