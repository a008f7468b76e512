"""What the contents of a bundle have to be: types, and ranges of numbers.

A digest that fits says nothing of what somebody wrote. What only stops the computing is told when a
blank image is predicted (`foldbelt.bundle.blaming`); here is what would be used before that, would
take all memory or time, or would give other masks without a word.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from foldbelt.boxes.fusion import FUSIONS
from foldbelt.bundle.sparing import MOST_THREADS
from foldbelt.decide.joint_mixing import ABSENCES
from foldbelt.decide.units import JOINS
from foldbelt.files import Problem
from foldbelt.predict.predictor import VIEWS
from foldbelt.search.gates import MODES
from foldbelt.search.means import MEANS

Fits = Callable[[Any], bool]
Rules = Mapping[str, tuple[Fits, str]]
"""Key, with dots between those of nested objects → whether a value fits, and what it has to be."""

_MOST_PIXELS = 2**28
_MOST_SIDE = 2**14
_MOST_BANDS = 64
_MOST_SCALE = 8
_MOST_VALUE = 2**16 - 1  # of a mask in a PNG file
_SHOWN = 40
_ABSENT = object()


def _count(most: int = 2**31, least: int = 1) -> Fits:
    return lambda value: type(value) is int and least <= value <= most


def _number(least: float, most: float = math.inf) -> Fits:
    return lambda value: type(value) in (int, float) and least <= value <= most


def _list(fits: Fits, least: int = 0) -> Fits:
    return lambda value: isinstance(value, list) and len(value) >= least and all(map(fits, value))


def _set(fits: Fits, least: int = 0) -> Fits:
    """Of different values, which can be compared."""
    whole = _list(fits, least)
    return lambda value: whole(value) and len(set(value)) == len(value)


def _dict(fits: Fits) -> Fits:
    return lambda value: isinstance(value, dict) and all(map(fits, value.values()))


def _by_class(fits: Fits) -> Fits:
    """Of one value for all classes, a list of one each, or none."""
    return _either(_absent, fits, _list(fits, 1))


def _one_of(known: Sequence[Any]) -> Fits:
    return lambda value: isinstance(value, str) and value in known


def _either(*fits: Fits) -> Fits:
    return lambda value: any(one(value) for one in fits)


def _null(value: Any) -> bool:
    return value is None


def _absent(value: Any) -> bool:
    return value is _ABSENT


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _object(value: Any) -> bool:
    return isinstance(value, dict)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _size(value: Any) -> bool:
    return _list(_count())(value) and len(value) == 2 and math.prod(value) <= _MOST_PIXELS


def _range(value: Any) -> bool:
    ends = _either(_list(_number(-math.inf)), _list(_list(_number(-math.inf))))
    return ends(value) and len(value) == 2


_NAMES = _set(_text)
_PART = _number(0, 1)
_NOT_NEGATIVE = _number(0)

_OF_NAMES = "a list of names, each once"
_OF_SIZE = "a height and width that fit in memory"
_OF_WEIGHTS = "a list of the members' weights, with a sum of 1"

DATA: Rules = {
    "class_names": (_NAMES, _OF_NAMES),
    "label_names": (_NAMES, _OF_NAMES),
    "box_names": (_either(_absent, _NAMES), _OF_NAMES),
    "label_levels": (_either(_absent, _dict(_NAMES)), "an object of lists of names"),
    "size": (_size, _OF_SIZE),
    "colours": (_count(_MOST_BANDS), f"a number from 1 to {_MOST_BANDS}"),
    "grey_range": (_either(_absent, _dict(_range)), "an object of pairs of numbers"),
}
RECIPE: Rules = {
    "cpu_threads": (_count(MOST_THREADS), f"a number from 1 to {MOST_THREADS}"),
    "data": (_object, "a section"),
    "data.size": (_either(_null, _count(), _size), "a size of images"),
    "data.bands": (_either(_null, _set(_count(), 1)), "a list of bands, counted from 1"),
    "data.range": (_either(_one_of(("auto", "type")), _range), "`auto`, `type` or a range"),
    "data.on_problem": (_one_of(("error", "drop")), "`error` or `drop`"),
    "data.classes": (
        _either(_absent, _null, _dict(_either(_null, _count(_MOST_VALUE)))),
        f"an object of values from 1 to {_MOST_VALUE}",
    ),
}
DECISION: Rules = {
    "params": (_object, "an object"),
    "params.threshold": (_by_class(_PART), "a number from 0 to 1, or one a class"),
    "params.gate": (_by_class(_PART), "a number from 0 to 1, or one a class"),
    "params.min_area": (_by_class(_NOT_NEGATIVE), "a number of pixels, or one a class"),
    "params.min_component": (_by_class(_NOT_NEGATIVE), "a number of pixels, or one a class"),
    "params.gate_mode": (_by_class(_one_of(MODES)), f"a mode ({', '.join(MODES)}), or one a class"),
    "gate_on": (_either(_absent, _one_of(("label", "peak"))), "`label` or `peak`"),
}
BOXES: Rules = {
    "params.weights": (_either(_absent, _dict(_NOT_NEGATIVE)), "an object of members' weights"),
    "params.fusion": (_one_of(FUSIONS), f"a fusion ({', '.join(FUSIONS)})"),
    "params.iou": (_PART, "a number from 0 to 1"),
    "params.least": (_PART, "a number from 0 to 1"),
    "params.calibration": (
        _either(_null, _dict(_dict(_number(-math.inf)))),
        "an object of the members' slopes and shifts",
    ),
}
JOINT: Rules = {
    "params.absence": (_one_of(ABSENCES), f"a kind of absence ({', '.join(ABSENCES)})"),
    "params.none_mix.negative": (_PART, "a number from 0 to 1"),
    "params.none_mix.absence": (_PART, "a number from 0 to 1"),
    "params.negative_mix": (_PART, "a number from 0 to 1"),
    "params.box_exponent": (_NOT_NEGATIVE, "a number of 0 or more"),
    "params.none_exponent": (_NOT_NEGATIVE, "a number of 0 or more"),
    "roles": (_dict(_either(_null, _text)), "an object of names"),
}
_OF_LABELS: Rules = {
    "weights": (_either(_absent, _dict(_NOT_NEGATIVE)), "an object of members' weights"),
    "mean": (_either(_absent, _one_of(MEANS)), f"a mean ({', '.join(MEANS)})"),
    "power": (_either(_absent, _number(1e-9, 1e9)), "a number above 0"),
    "join": (_either(_absent, _one_of(JOINS)), f"a way to join ({', '.join(JOINS)})"),
    "threshold": (_by_class(_PART), "a number from 0 to 1, or one a label"),
}
CHANNELS: Rules = {
    "recipe": (_object, "an object"),
    "attrs": (_object, "an object"),
    "attrs.names": (_list(_text, 1), "a list of names"),
    "attrs.size": (_size, _OF_SIZE),
    "attrs.scale": (
        _list(lambda value: _NOT_NEGATIVE(value) and value > 0),
        "a list of numbers above 0",
    ),
    "attrs.offset": (_list(_number(-math.inf)), "a list of numbers"),
    "recipe.use": (_list(_text, 1), "a list of names"),
    "recipe.size": (_either(_count(_MOST_SIDE), _size), "a size of images"),
    "recipe.scale": (_either(_absent, _count(_MOST_SCALE)), f"a number from 1 to {_MOST_SCALE}"),
    "attrs.enlarge": (_either(_absent, _count(_MOST_SCALE)), f"a number from 1 to {_MOST_SCALE}"),
    "attrs.canvas": (_either(_absent, _null, _size), _OF_SIZE),
}
PREDICT: Rules = {
    "tta": (_set(_one_of(list(VIEWS)), 1), f"a list of views ({', '.join(VIEWS)}), each once"),
    "scales": (_set(_number(0.25, 4), 1), "a list of numbers from 0.25 to 4, each once"),
    "windows": (_either(_null, _object), "an object or null"),
    "batch_size": (_count(_MOST_VALUE), f"a number from 1 to {_MOST_VALUE}"),
}
_WINDOWS: Rules = {
    "windows.size": (_either(_count(), _size), "a side, or height and width"),
    "windows.overlap": (_number(0, 0.75), "a number from 0 to 0.75"),
}
WEIGHTS: Rules = {
    "architecture": (_object, "an object"),
    "in_channels": (_count(1024), "a number from 1 to 1024"),
    "mask_channels": (_count(_MOST_VALUE, 0), "a number of classes"),
    "label_classes": (_count(_MOST_VALUE, 0), "a number of labels"),
    "channels": (_list(_text), "a list of names"),
    "size": (_size, _OF_SIZE),
    "key": (_either(_text, _object), "what it was trained with"),
    "masks": (_either(_absent, _flag), "true or false"),
    "label_names": (_either(_absent, _NAMES), _OF_NAMES),
    "labels": (_either(_absent, _null, _NAMES), _OF_NAMES),
    "box_names": (_either(_absent, _NAMES), _OF_NAMES),
    "snapshots": (_either(_absent, _count(10_000, 0)), "a number of snapshots"),
    "amp": (_either(_absent, _flag, _one_of(("everywhere",))), "true, false or `everywhere`"),
    "made_on": (
        _either(_absent, _list(_object)),
        "a list of objects",
    ),
}


def problems(entry: str, content: Any, rules: Rules) -> Iterator[Problem]:
    """Give what of an entry's content does not fit.

    Parameters
    ----------
    entry
        Its name, for the messages.
    content
        A JSON object.
    rules
        What its values have to be.

    Examples
    --------
    >>> [one.reason for one in problems("data.json", {"size": [3]}, {"size": DATA["size"]})]
    ['size has to be a height and width that fit in memory, not [3]']
    """
    for key, (fits, wanted) in rules.items():
        value = content
        for part in key.split("."):
            value = value.get(part, _ABSENT) if isinstance(value, dict) else _ABSENT
        if not fits(value):
            found = "it is not there" if value is _ABSENT else f"not {_shown(value)}"
            yield Problem(entry, f"{key} has to be {wanted}, {found}")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def of_predict(entry: str, predict: Mapping[str, Any]) -> Iterator[Problem]:
    """Give what does not fit of how a member predicts: views, scales, windows."""
    yield from problems(entry, predict, PREDICT)
    if isinstance(predict.get("windows"), dict):
        yield from problems(entry, predict, _WINDOWS)


def of_blend(entry: str, content: Mapping[str, Any], members: Sequence[str]) -> Iterator[Problem]:
    """Give what does not fit of how masks are blended: other members, weights that are none."""

    def weights(value: Any) -> bool:
        whole = _list(_NOT_NEGATIVE)(value) and len(value) == len(members)
        return whole and math.isclose(sum(value), 1, abs_tol=1e-6)

    named = lambda value: _NAMES(value) and sorted(value) == sorted(members)  # noqa: E731
    rules: dict[str, tuple[Fits, str]] = {
        "members": (named, f"a list of the members, {', '.join(members)}"),
        "mean": (_either(_absent, _one_of(MEANS)), f"a mean ({', '.join(MEANS)})"),
        "power": (_either(_absent, _number(1e-9, 1e9)), "a number above 0"),
    }
    for part in ("", "labels.") if "labels" in content else ("",):
        rules[f"{part}all"] = weights, _OF_WEIGHTS
        rules[f"{part}without"] = _dict(weights), f"an object; of each fold {_OF_WEIGHTS}"
    yield from problems(entry, content, rules)


def of_labels(entry: str, content: Mapping[str, Any]) -> Iterator[Problem]:
    """Give what does not fit of how labels are blended and decided, block by block."""
    params = content["params"]
    for part in params.values() if "blocks" in content and _object(params) else [params]:
        yield from problems(entry, part, _OF_LABELS)


def of_channels(entry: str, content: Mapping[str, Any]) -> Iterator[Problem]:
    """Give what does not fit of channels, and of the numbers that were fitted for each."""
    found = list(problems(entry, content, CHANNELS))
    yield from found
    if not found:
        attrs = content["attrs"]
        for key in ("scale", "offset"):
            if len(attrs[key]) != len(attrs["names"]):
                yield Problem(entry, f"attrs.{key} has {len(attrs[key])} numbers, not one a name")
