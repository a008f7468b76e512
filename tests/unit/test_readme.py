"""What README and docs/figures.md promise: their links, pictures, and where a figure is drawn."""

import re
from importlib import import_module
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Files that do not bear the name of the module that makes them.
OTHERWISE = {
    "worst.png": "best_worst",
    "best.png": "best_worst",
    "scores.html": "scores_page",
    "{model}.png": "augment",
    "{model}_round{round}.svg": "training",
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page):
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_pictures_are_small_and_fit_a_page():
    pictures = list((ROOT / "docs" / "images").iterdir())
    assert {picture.name for picture in pictures} == {"report.png", "predictions.png"}
    assert sum(picture.stat().st_size for picture in pictures) < 300_000
    for picture in pictures:
        with Image.open(picture) as image:
            assert 600 <= image.size[0] <= 1300


def test_every_figure_is_made_by_the_module_of_its_name():
    rules = "".join(path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    files = set(re.findall(r'report\(\s*"<results>/figures/(?:\w+/)?([^"]+)"', rules))
    assert len(files) > 15
    for name in files:
        module = import_module(f"foldbelt.report.{OTHERWISE.get(name, Path(name).stem)}")
        assert hasattr(module, "draw") or hasattr(module, "write"), name


def test_the_report_lists_its_modules():
    package = import_module("foldbelt.report")
    names = {path.stem for path in Path(package.__file__).parent.glob("[!_]*.py")}
    missing = sorted(name for name in names if f"``{name}``" not in package.__doc__)
    assert not missing, f"docstring of foldbelt.report: name {', '.join(missing)} in its place"


def test_a_notebook_finds_what_it_is_told_to_call():
    text = (ROOT / "docs" / "figures.md").read_text(encoding="utf-8")
    calls = re.findall(r"^(\w+)\.draw\(", text, re.MULTILINE)
    assert len(calls) == 4
    for name in calls:
        assert callable(import_module(f"foldbelt.report.{name}").draw)
