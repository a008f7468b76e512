"""An attempt after one that failed by an error fails at once; after a signal it goes on."""

import pytest
import torch

from foldbelt.files import InputError
from foldbelt.train import state


def attempt(root, number, error=None):
    with state.locked(root, "key", print, number) as saved:
        if error is not None:
            raise error
        return saved


def test_an_error_is_not_repeated_by_further_attempts(tmp_path):
    with pytest.raises(ValueError, match="the loss is NaN"):
        attempt(tmp_path, 1, ValueError("the loss is NaN"))
    for number in (2, 3):
        with pytest.raises(InputError, match=r"(?s)would not help.*ValueError: the loss is NaN"):
            attempt(tmp_path, number)
    attempt(tmp_path, 1)  # somebody asks anew
    assert not (tmp_path / "key").exists()


@pytest.mark.parametrize(
    "error", [state.Interrupted(143), MemoryError(), torch.OutOfMemoryError("CUDA"), SystemExit(1)]
)
def test_signals_and_lack_of_memory_are_tried_again(tmp_path, error):
    with pytest.raises(type(error)):
        attempt(tmp_path, 1, error)
    attempt(tmp_path, 2)
