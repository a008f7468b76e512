"""Training: one job is one (model, round, fold, stage); `run` does it, `devices` leases its GPU.

`foldbelt.train.devices` must run before torch is imported, so that torch sees the leased device
only. Importing this package therefore imports nothing heavy: `run` is looked up when it is asked
for.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foldbelt.train.job import run

__all__ = ["run"]


def __getattr__(name: str) -> Any:
    if name == "run":
        from foldbelt.train.job import run

        return run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
