"""Which module each name in the config stands for.

In some rooms the config chooses by name: a loss, a network, a channel, a decision step, a
competition. Each choice is a *plug-in*: one module (or package) of that name in the room, so that a
new one is a new file and touches no other. What plug-ins share starts with an underscore.

Only the standard library is imported, and nothing of a room: the Snakefile asks here which modules
belong in a job's fingerprint. What has to be known of a plug-in is read from its source.
"""

import ast
import difflib
import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from foldbelt.files import InputError

_PACKAGE = Path(__file__).resolve().parent
OUTPUTS = ("mask", "label", "box")
"""What models predict. A stage's `loss` may name outputs, so no loss has one of these names."""
BOX_LEARNING = ("foldbelt.train.boxes", "foldbelt.train.box_judging")
"""What models of boxes alone are trained with: their loss, and what judges them."""
BOX_PREDICTION = "foldbelt.predict.boxes"
"""What brings the boxes of a model's views together."""
BATCHED_AUGMENT = "foldbelt.augment._batched.pipeline"
"""What augments whole batches, where a stage asks for it."""
_INNER_ROOMS = {"encoders"}  # packages in a room that are no plug-ins of it


def known(room: str) -> list[str]:
    """Names of a room's plug-ins, sorted; none if there is no such room.

    Parameters
    ----------
    room
        Path of a package below foldbelt, for instance "losses" or "models/encoders".

    Examples
    --------
    >>> "lovasz" in known("losses"), "_blocks" in known("models"), "salt" in known("competitions")
    (True, False, True)
    """
    return list(_known(_PACKAGE / room))


@functools.cache  # asked thousands of times for an ablation
def _known(room: Path) -> tuple[str, ...]:
    files = [*room.glob("*.py"), *room.glob("*/__init__.py")]
    names = {file.parent.name if file.stem == "__init__" else file.stem for file in files}
    names -= {room.name, *_INNER_ROOMS}
    return tuple(sorted(name for name in names if name[0] != "_"))


def modules(room: str, names: Iterable[str], what: str) -> list[str]:
    """Dotted names of the modules that some plug-ins' names stand for.

    Parameters
    ----------
    room
        Path of a package below foldbelt: "losses", "models/encoders".
    names
        Plug-ins' names, in any order.
    what
        What a plug-in is called in the error message, for instance "loss".

    Returns
    -------
    list of str
        Each once, sorted.

    Raises
    ------
    InputError
        Listing every name that is no plug-in of the room, and those there are.
    """
    names = sorted(set(map(str, names)))
    plug_ins = known(room)
    unknown = [name for name in names if name not in plug_ins]
    if unknown:
        raise InputError(unknown_names(what, unknown, plug_ins))
    return [f"foldbelt.{room.replace('/', '.')}.{name}" for name in names]


def suggest(word: Any, known: Iterable[str]) -> str:
    """Say which known word was perhaps meant, or else which are known.

    Examples
    --------
    >>> suggest("lovas", ["bce", "lovasz"]), suggest("x", ["bce", "lovasz"])
    ("; did you mean 'lovasz'?", '; known: bce, lovasz')
    """
    known = sorted(map(str, known))
    close = difflib.get_close_matches(str(word), known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(known)}" if known else ""


def unknown_names(what: str, unknown: Iterable[str], known: Iterable[str]) -> str:
    """Word the message for names that are not known, with the nearest known name for each.

    Examples
    --------
    >>> unknown_names("loss", ["lovas"], ["bce", "lovasz"])
    "unknown loss 'lovas' (did you mean 'lovasz'?); known are: bce, lovasz"
    """
    known = sorted(known)
    texts = []
    for name in unknown:
        near = difflib.get_close_matches(name, known, n=1)
        texts.append(f"{name!r}" + (f" (did you mean {near[0]!r}?)" if near else ""))
    return f"unknown {what} {', '.join(texts)}; known are: {', '.join(known) or 'none'}"


def options(module: str) -> list[str]:
    """Names of the arguments of a plug-in's `build` function, read from its source.

    Parameters
    ----------
    module
        Dotted name, for instance "foldbelt.models.unet".

    Examples
    --------
    >>> "width" in options("foldbelt.models.vanilla")
    True
    """
    arguments = _arguments(module, "build")
    if arguments is None:
        raise InputError(f"{module}: a plug-in needs a function `build`, and this has none")
    return [argument.arg for argument in (*arguments.args, *arguments.kwonlyargs)]


def constant(module: str, name: str, default: Any = None) -> Any:
    """Value of a literal constant at the top of a plug-in's module, read from its source.

    Parameters
    ----------
    module
        Dotted name, for instance "foldbelt.losses.cross_entropy".
    name
        Of the constant.
    default
        What a module is taken to say that does not have it.

    Examples
    --------
    >>> constant("foldbelt.losses.bce", "LABELS"), constant("foldbelt.losses.dice", "LABELS", False)
    (True, False)
    """
    for node in body(module):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            if ast.unparse(target) == name:
                return ast.literal_eval(node.value)
    return default


def losses(spec: Mapping[str, Any]) -> list[str]:
    """Modules of the losses that a stage names: {name: weight, …}, or that of every output.

    Examples
    --------
    >>> losses({"mask": {"dice": 1, "bce": 2}, "label": {"bce": 0.1}})
    ['foldbelt.losses.bce', 'foldbelt.losses.dice']
    """
    names: set[str] = set()
    for name, given in spec.items():
        if name in OUTPUTS:  # a number weighs the detector's own losses, which go with its network
            names |= set(given) if isinstance(given, Mapping) else set()
        else:
            names.add(name)
    meant = sorted(name for name in names if name.removesuffix("s").removesuffix("e") in OUTPUTS)
    if meant:
        raise InputError(
            f"{', '.join(meant)}: outputs are called {', '.join(OUTPUTS)} here, in the singular"
        )
    return modules("losses", names, "loss")


def channels(recipe: Mapping[str, Any]) -> list[str]:
    """Modules of the channels that a recipe uses."""
    return modules("channels", recipe["use"], "channel")


def models(architecture: Mapping[str, Any]) -> list[str]:
    """Modules of the architecture that a model names, as {name: unet, …}, its own first.

    The name may have a variant, as in `smp/Unet`; an encoder of foldbelt's own has its module, too.
    """
    encoders = set(known("models/encoders"))
    if "name" not in architecture:
        raise InputError(f"an architecture needs a `name`, one of {', '.join(known('models'))}")
    name, _, variant = str(architecture["name"]).partition("/")
    network = modules("models", [name], "architecture")
    if bool(variant) != ("variant" in options(network[0])):
        raise InputError(
            f"architecture {architecture['name']!r}: "
            + (f"{name} has no variants" if variant else f"say which, as {name}/Unet")
        )
    encoder = {str(architecture.get("encoder"))} & encoders
    return network + modules("models/encoders", encoder, "encoder")


def predicts_masks(architecture: Mapping[str, Any]) -> bool:
    """Tell whether the model that an architecture describes gives masks as an answer.

    Where a run does not decide on masks, they only teach (`auxiliary`, see
    `foldbelt.config.outputs.network_of`).

    Examples
    --------
    >>> predicts_masks({"name": "unet"}), predicts_masks({"name": "classifier"})
    (True, False)
    >>> predicts_masks({"name": "unet", "label_head": True, "auxiliary": ["mask"]})
    False
    """
    module = models(architecture)[0]
    return "mask" not in architecture.get("auxiliary", ()) and constant(module, "MASKS", True)


def predicts_boxes(architecture: Mapping[str, Any]) -> bool:
    """Tell whether the model that an architecture describes gives boxes.

    Examples
    --------
    >>> predicts_boxes({"name": "detector"}), predicts_boxes({"name": "unet"})
    (True, False)
    """
    return constant(models(architecture)[0], "BOXES", False)


def main_output(architecture: Mapping[str, Any]) -> str:
    """Name the output that the short form of a loss judges: masks, else boxes, else labels."""
    if predicts_masks(architecture):
        return "mask"
    return "box" if predicts_boxes(architecture) else "label"


def predicts_labels(architecture: Mapping[str, Any]) -> bool:
    """Tell whether the model that an architecture describes gives image labels.

    Examples
    --------
    >>> predicts_labels({"name": "vanilla", "label_head": True}), predicts_labels({"name": "fpn"})
    (True, False)
    """
    return bool(architecture.get("label_head")) or main_output(architecture) == "label"


def steps(names: Iterable[str]) -> list[str]:
    """Modules of the decision's steps."""
    return modules("decide/steps", names, "step")


def looks_at(need: str, modules: Iterable[str]) -> bool:
    """Tell whether any of these steps says in its NEEDS that it looks at "image" or "neighbours".

    Examples
    --------
    >>> looks_at("image", ["foldbelt.decide.steps.holes", "foldbelt.decide.steps.crf"])
    True
    """
    return any(need in constant(module, "NEEDS", ()) for module in modules)


def competition(name: str) -> str:
    """Package of a competition: its reader and writer, and its constants."""
    return modules("competitions", [name], "competition")[0]


def reader(name: str) -> str:
    """Module that lists and decodes a competition's files.

    Examples
    --------
    >>> reader("salt"), writer("salt")
    ('foldbelt.competitions.salt.read', 'foldbelt.competitions.salt.submit')
    """
    return f"{competition(name)}.read"


def lister(name: str) -> str:
    """Module that lists a competition's files, importing the standard library alone."""
    return f"{competition(name)}.files"


def writer(name: str) -> str:
    """Module that writes and checks a competition's submission."""
    return f"{competition(name)}.submit"


def reads_truth(name: str) -> bool:
    """Tell whether a competition says how a table of hidden truth is read."""
    return name in known("competitions") and _arguments(reader(name), "read_truth") is not None


def truth(name: str) -> str:
    """Module that scores a competition's submission on a table of hidden truth."""
    return f"{competition(name)}.truth"


def writes_joint(name: str) -> bool:
    """Tell whether a competition's submission holds labels and boxes that were decided together."""
    return _arguments(writer(name), "write_joint") is not None


def scores_truth(name: str) -> bool:
    """Tell whether a competition scores a submission on a table of hidden truth by itself."""
    if name not in known("competitions"):
        return False
    return _arguments(truth(name), "hidden_score") is not None


def metric(name: str) -> str | None:
    """Name of a competition's own metric.

    Examples
    --------
    >>> metric("salt")
    'salt_score'
    """
    return constant(competition(name), "METRIC") if name in known("competitions") else None


def metric_module(name: str) -> str:
    """Module of a metric of masks.

    Examples
    --------
    >>> metric_module("mean_dice")
    'foldbelt.metrics.counts.mean_dice'
    """
    return modules("metrics/counts", [name], "metric")[0]


def synthetic(name: str) -> str | None:
    """Name of the plug-in that draws synthetic data in a competition's format, or None.

    Examples
    --------
    >>> synthetic("salt"), synthetic("folder"), synthetic("none")
    ('seismic', 'objects', None)
    """
    return constant(competition(name), "SYNTHETIC") if name in known("competitions") else None


def synthetic_beside(name: str) -> str:
    """What synthetic data have beside their folder and the truth: the end of the file's name."""
    return constant(f"foldbelt.synthetic.{name}", "BESIDE")


def synthetic_more(name: str) -> list[str]:
    """What synthetic data have besides that: ends of the names of further tables.

    Examples
    --------
    >>> synthetic_more("objects"), synthetic_more("steel")
    (['labels'], [])
    """
    return list(constant(f"foldbelt.synthetic.{name}", "MORE", ()))


def synthetic_options(name: str) -> list[str]:
    """Keys that synthetic data need of the config: arguments without defaults, less the folder.

    Examples
    --------
    >>> synthetic_options("seismic")
    ['sections', 'seed']
    """
    arguments = _arguments(f"foldbelt.synthetic.{name}", name)
    if arguments is None:
        return []
    needed = arguments.args[: len(arguments.args) - len(arguments.defaults)]
    return [argument.arg for argument in needed[1:]]


def augment(operations: Iterable[Mapping[str, Any] | str]) -> list[str]:
    """Modules of the augmentations that a stage lists and that are foldbelt's own.

    Other names are taken to be albumentations' (which is not imported to see).
    """
    names: set[str] = set()
    for operation in operations:
        names.update([operation] if isinstance(operation, str) else operation)
    return modules("augment", names & set(known("augment")), "augmentation")


def _arguments(module: str, function: str) -> ast.arguments | None:
    """Arguments of a function at the top of a module; None where there is none."""
    for node in body(module):
        if isinstance(node, ast.FunctionDef) and node.name == function:
            return node.args
    return None


def body(module: str) -> list[ast.stmt]:
    """Statements of a plug-in's module; none where there is no such module."""
    place = _PACKAGE.parent.joinpath(*module.split("."))
    for file in (place / "__init__.py", place.with_suffix(".py")):
        if file.is_file():
            return _parse(file.read_bytes())
    return []


@functools.cache  # by content: a file edited while we run is parsed again
def _parse(source: bytes) -> list[ast.stmt]:
    return ast.parse(source).body
