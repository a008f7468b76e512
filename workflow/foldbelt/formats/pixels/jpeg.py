"""Damage in JPEG files that decoders pass over in silence: a stretch of zeros, as bad disks leave.

A decoder takes any bits for codes. Sixteen bytes of zeros are, by the usual tables (those of the
standard's annex K), dozens of coefficients of -1 in a row, which no picture has. By tables made for
one picture, zeros may well be its commonest code, and nothing follows from them.
"""

import hashlib
from collections.abc import Iterator

_ZEROS = bytes(16)
_SCAN, _TABLES, _END = 0xDA, 0xC4, 0xD9
_ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a length
_USUAL = {"f27ce9b7", "af48d4f6", "9fb04cb1", "8cf60aa8"}
"""First digits of the SHA-256 of the usual tables."""


def zeros_within(data: bytes) -> int:
    """Give where within the picture's data a stretch of zeros begins; 0 where there is none."""
    if _ZEROS not in data:
        return 0
    tables, start = _before_scan(data)
    if not start or not tables or not all(map(_is_usual, tables)):
        return 0
    return max(data.find(_ZEROS, start, max(data.find(b"\xff\xd9", start), start)), 0)


def _before_scan(data: bytes) -> tuple[list[bytes], int]:
    """Give the Huffman tables, and where the data of the first scan begin."""
    tables = []
    for marker, start, end in _segments(data):
        if marker == _TABLES:
            tables += list(_split(data[start:end]))
        if marker == _SCAN:
            return tables, end
    return tables, 0


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker in _ALONE or marker == 0xFF:
            place += 2 if marker != 0xFF else 1
            continue
        if marker == _END:
            return
        end = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        yield marker, place + 4, end
        place = end


def _split(segment: bytes) -> Iterator[bytes]:
    """Part a segment into its tables: a byte of class and number, 16 counts, so many values."""
    while len(segment) >= 17:
        length = 17 + sum(segment[1:17])
        yield segment[:length]
        segment = segment[length:]


def _is_usual(table: bytes) -> bool:
    return hashlib.sha256(table).hexdigest()[:8] in _USUAL
