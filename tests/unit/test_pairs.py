"""Images and masks belong together by one rule for all, which is said."""

import pytest

from foldbelt.formats import pairs
from foldbelt.formats.pairs import pair

IMAGES = [f"im{k:02d}" for k in range(12)]


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("{}", "{}_mask"),
        ("{}", "{}_GT"),
        ("{}", "mask_{}"),
        ("{}_image", "{}_label"),
        ("img_{}", "gt_{}"),
        ("{}", "p_{}_m"),
        ("a/{}", "a/{}_mask"),
    ],
)
def test_a_common_affix_pairs_all(image: str, mask: str) -> None:
    images, masks = [image.format(k) for k in IMAGES], [mask.format(k) for k in IMAGES]
    found = pair(images, masks)
    assert found.masks == dict(zip(images, masks, strict=True))
    assert "masks are named" in found.note


def test_the_same_names_need_no_rule() -> None:
    found = pair(IMAGES, [*IMAGES, "im00_mask"])
    assert found.masks == {name: name for name in IMAGES}
    assert not found.note


def test_one_without_a_partner_does_not_hide_the_rule() -> None:
    masks = [f"{name}_mask" for name in IMAGES[1:]]
    assert pair(IMAGES, masks).masks == {name: f"{name}_mask" for name in IMAGES[1:]}


def test_names_that_differ_in_case_are_paired() -> None:
    found = pair(["A", "b"], ["a", "b"])
    assert found.masks == {"A": "a", "b": "b"}
    assert "case" in found.note
    assert pair(["A", "a", "b"], ["a", "b"]).masks == {"a": "a", "b": "b"}


@pytest.mark.parametrize("masks", [["x", "y"], [], ["im1", "im2"]])
def test_other_names_are_no_pairs(masks: list[str]) -> None:
    assert not pair(IMAGES, masks).masks


def test_many_names_that_differ_in_case_are_paired_in_no_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[int] = []
    real = pairs._unique
    monkeypatch.setattr(pairs, "_unique", lambda names: looked.append(1) or real(names))
    images, masks = ([f"{word}{k}" for k in range(100)] for word in ("IM", "im"))
    assert len(pair([*images, "a"], [*masks, "a"]).masks) == 101
    assert len(looked) <= 2
