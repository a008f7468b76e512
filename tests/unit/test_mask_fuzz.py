"""Masks by any writer, in any form it offers, are read as shown or refused by name."""

from fuzz_masks import run


def test_masks_are_read_as_shown_or_refused() -> None:
    ended, _, wrong = run(1000)
    assert not wrong
    assert ended["read"] >= 0.8 * (ended["read"] + ended["refused"])
