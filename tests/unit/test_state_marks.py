"""An attempt after one that failed by an error fails at once; after a signal it goes on."""

import signal

import pytest
import torch
from torch._utils import ExceptionWrapper

from foldbelt.files import InputError
from foldbelt.train import state


def attempt(root, number, error=None, work=None):
    with state.locked(root, "key", print, number) as saved:
        if work is not None:
            work()
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


def raised_in_a_worker(kind):
    """Raise an error as torch does that a loader's process has raised."""
    try:
        raise kind("of row 3")
    except kind:
        ExceptionWrapper(where="in DataLoader worker process 0").reraise()


def raised(text):
    raise RuntimeError(text)


@pytest.mark.parametrize(
    ("work", "again"),
    [
        (lambda: torch.empty(1 << 60, dtype=torch.uint8), True),
        (lambda: raised("DataLoader worker (pid 7) is killed by signal: Killed. "), True),
        (lambda: raised("DataLoader worker (pid(s) 7) exited unexpectedly"), True),
        (lambda: raised_in_a_worker(MemoryError), True),
        (lambda: raised_in_a_worker(KeyError), False),
        (lambda: raised_in_a_worker(RuntimeError), False),
    ],
    ids=["allocator", "killed", "gone", "worker without memory", "key", "error in a worker"],
)
def test_lack_of_memory_has_many_faces(tmp_path, work, again):
    with pytest.raises((RuntimeError, MemoryError, KeyError)):
        attempt(tmp_path, 1, work=work)
    if again:
        attempt(tmp_path, 2)
    else:
        with pytest.raises(InputError, match=r"(?s)would not help.*of row 3"):
            attempt(tmp_path, 2)


@pytest.mark.parametrize(("number", "acts"), [(signal.SIGTERM, False), (signal.SIGINT, True)])
def test_a_second_signal_acts_at_once_if_a_person_sent_it(number, acts):
    deaths = []
    before = signal.signal(number, lambda *given: deaths.append(given))
    try:
        with state.Signals() as signals:
            signal.raise_signal(number)
            assert (signals.caught, deaths) == (number, [])
            signal.raise_signal(number)
            assert bool(deaths) is acts
    finally:
        signal.signal(number, before)
