"""What decoders say is laid at a file's door; what others say goes where it would have gone."""

import os
import sys
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


@pytest.mark.parametrize("line", ["half done", "WARNING: queue is long", "error: bad day"])
def test_other_words_are_passed_on(capfd: pytest.CaptureFixture, line: str) -> None:
    with watching() as watch:
        os.write(2, f"{line}\nCorrupt JPEG data: x\n".encode())
        assert watch.said() == ["Corrupt JPEG data: x"]
        os.write(2, b"Premature end of JPEG file\n")
    assert capfd.readouterr().err == f"{line}\nPremature end of JPEG file\n"


@pytest.mark.parametrize(
    "line",
    [
        "libpng error: Read Error",
        "[ERROR:0@1.234] global grfmt_tiff.cpp:1 error (-215:Assertion failed)",
        "TIFFReadDirectory: Warning, Unknown field with tag 9 (0x9) encountered.",
        "ZIPDecode: Decoding error at scanline 0, incorrect header check.",
    ],
)
def test_every_decoder_s_own_words_are_known(line: str) -> None:
    with watching() as watch:
        os.write(2, f"{line}\n".encode())
        assert watch.said() == [line]


def test_a_process_without_standard_error_is_not_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "__stderr__", None)
    monkeypatch.setattr(sys, "stderr", None)
    before = os.fstat(2)
    with watching() as watch:
        assert os.fstat(2) == before
        assert not watch.said()
        watch.pass_on(["x"])
