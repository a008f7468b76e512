"""From a module of torch to the bytes of an ONNX file, and from these to what computes them.

torch captures the graph (`torch.export`), onnxscript translates it, ONNX Runtime computes it. The
packages are an extra: ``pip install 'foldbelt[onnx]'``.
"""

import importlib.util
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from foldbelt.files import InputError

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
KEY = "foldbelt"
"""The key of a model's metadata under which foldbelt's lie."""


def check_packages() -> None:
    """Refuse to go on without the extra."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"ONNX needs the packages {', '.join(missing)}: pip install 'foldbelt[onnx]'."
        )


def translate(
    blend: nn.Module, probes: np.ndarray, source: str, outputs: Sequence[str], text: str = "{}"
) -> bytes:
    """Translate a module to ONNX. The same module gives the same bytes.

    Parameters
    ----------
    blend
        Takes one tensor and gives a tuple of them; in all, the first axis is that of images.
    probes
        What it may be given. The number of images is free, all else is fixed.
    source, outputs
        Names of the input and of the outputs.
    text
        JSON for the model's metadata.

    Raises
    ------
    InputError
        If torch cannot capture the module, or ONNX not express it.
    """
    import onnx

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of torch about itself
        try:
            program = torch.onnx.export(
                blend,
                (torch.from_numpy(probes),),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("N")},),
                input_names=[source],
                output_names=list(outputs),
                external_data=False,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            reason = str(error).strip().splitlines()[0]
            raise InputError(f"ONNX cannot express the networks: {reason}") from error
    assert program is not None  # as there is no file for it to write
    model = program.model_proto
    _strip(model)
    onnx.helper.set_model_props(model, {KEY: text})
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _strip(model: Any) -> None:
    """Leave out in which lines of which source files a node was made."""
    model.doc_string = ""
    for part in [model.graph, *model.functions]:
        part.ClearField("metadata_props")
        part.doc_string = ""
        values = [*part.node, *part.value_info]
        for extra in ("input", "output", "initializer"):
            values += getattr(part, extra) if part is model.graph else []
        for value in values:
            value.ClearField("metadata_props")
            value.doc_string = ""


def session_of(model: bytes | Path, threads: int) -> Any:
    """Open a model with ONNX Runtime, on the CPU, with so many threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    given = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
