"""`make quick` runs the unit tests that a change touches, and not the others."""

from pathlib import Path

import touched

PACKAGE = touched.PACKAGE
UNIT = touched.TESTS / "unit"


def touching(*files: Path) -> set[str]:
    """Names of the tests that a change of some files touches, out of a few."""
    few = ("losses", "rle", "decide", "train", "synthetic_seismic", "folds")
    paths = {name: UNIT / f"test_{name}.py" for name in few}
    return {name for name, path in paths.items() if touched.touched(path, set(files))}


def test_code_touches_the_tests_that_import_it_however_indirectly() -> None:
    assert touching(PACKAGE / "rle" / "encoding.py") >= {"rle", "synthetic_seismic"}
    assert touching(PACKAGE / "decide" / "ends.py") == {"decide"}
    assert touching(PACKAGE / "folds" / "strata.py") >= {"folds"}


def test_a_plug_in_touches_the_tests_of_its_room() -> None:
    assert touching(PACKAGE / "losses" / "new_one.py") == {"losses", "train"}


def test_a_helper_touches_the_tests_that_use_it() -> None:
    assert touching(touched.TESTS / "training.py") == {"train"}
    assert touching(touched.ROOT / "README.md") == set()
