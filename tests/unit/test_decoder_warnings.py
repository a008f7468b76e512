"""What decoders say is laid at a file's door; what others say goes where it would have gone."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foldbelt.ingest.warned import watching, whose


def test_the_file_of_which_something_is_said_is_found(tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(128), np.arange(128)).astype(np.uint8)
    paths = [tmp_path / f"{k}.jpg" for k in range(4)]
    for path in paths:
        Image.fromarray(smooth).save(path, quality=90, optimize=True)
    data, half = paths[2].read_bytes(), paths[2].stat().st_size // 2
    paths[2].write_bytes(data[:half] + b"\x55" * 40 + b"\xff\xd3" + data[half + 200 :])
    paths[3].write_bytes(data[:20])
    with watching() as watch:
        found = whose(paths, watch)
        assert not watch.said()
    assert list(found) == [paths[2]]
    assert "orrupt" in found[paths[2]]


def test_other_words_are_passed_on(capfd: pytest.CaptureFixture) -> None:
    with watching() as watch:
        os.write(2, b"half done\nCorrupt JPEG data: x\n")
        assert watch.said() == ["Corrupt JPEG data: x"]
        os.write(2, b"warning: late\n")
    assert capfd.readouterr().err == "half done\nwarning: late\n"
