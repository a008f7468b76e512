"""What a training job is given beside its model and its stage: which it is, files, the machine."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from foldbelt import files

SeedParts = tuple[str | int | float | None, ...]
"""What a seed derives from, see `foldbelt.files.seed_for`."""


@dataclass(frozen=True)
class Job:
    """Which job it is: its seeds derive from this, and its weights file says it.

    Attributes
    ----------
    model, stage
        Names from which random streams derive. Variants of an ablation have those of the model and
        the stage that they vary.
    round, fold
        Round of pseudo-labels, and the fold to validate on.
    seed, model_seed
        The recipe's seed, and the model's own; 0 adds nothing to the recipe's.
    """

    model: str
    round: int
    fold: int
    stage: str
    seed: int
    model_seed: int = 0

    @property
    def seed_parts(self) -> SeedParts:
        """What all seeds of the job derive from.

        Examples
        --------
        >>> Job("unet", 0, 3, "bce", seed=5).seed_parts
        (5, 'unet', 0, 3, 'bce')
        """
        parts: SeedParts = (self.seed, self.model, self.round, self.fold, self.stage)
        return (*parts, "model seed", self.model_seed) if self.model_seed else parts

    @property
    def key(self) -> dict[str, str | int]:
        """What a weights file says of the job that wrote it."""
        return {"model": self.model, "round": self.round, "fold": self.fold, "stage": self.stage}


@dataclass(frozen=True)
class Inputs:
    """The files that a job reads.

    Attributes
    ----------
    channels, data, folds
        Channels and ingested data of the training images, and the folds' CSV file.
    start
        Weights file of the stage before.
    checkpoint, strict
        Any file of weights from which a first stage starts, and whether all of it has to fit.
    pseudo, test_channels
        Pseudo-labels, and the channels of the images they belong to.
    """

    channels: str
    data: str
    folds: str
    start: str | None = None
    checkpoint: str | None = None
    strict: bool = False
    pseudo: str | None = None
    test_channels: str | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Take a rule's inputs by name: an empty one is no file, and other names are left alone.

        Examples
        --------
        >>> given = {"channels": "c.h5", "data": "d.h5", "folds": "f.csv", "start": [], "more": "m"}
        >>> Inputs.of(given) == Inputs("c.h5", "d.h5", "f.csv", start=None)
        True
        """
        names = [field.name for field in fields(cls)]
        return cls(**{name: given[name] for name in names if given.get(name)})

    def digests(self) -> dict[str, str]:
        """Digest the contents of every file that is given."""
        paths = {name: path for name, path in asdict(self).items() if name != "strict"}
        return {name: files.digest([path]) for name, path in paths.items() if path}


@dataclass(frozen=True)
class Outputs:
    """The files that a job writes.

    Attributes
    ----------
    weights, history
        Safetensors, and CSV with one row an epoch.
    state_root
        Where the state for resuming lies while the job runs.
    tensorboard
        Folder for event files.
    """

    weights: str
    history: str
    state_root: str
    tensorboard: str | None = None


@dataclass(frozen=True)
class Machine:
    """What a job computes on.

    Attributes
    ----------
    cpu_threads
        Compute threads; floating-point sums depend on them.
    memory_gib
        Images and masks above this are streamed from their files.
    device
        ``"cpu"``, ``"cuda"``, or None for CUDA where torch sees it.
    loader_workers
        Processes that prepare batches for a GPU.
    attempt
        Which attempt at the job this is, from 1.
    """

    cpu_threads: int
    memory_gib: float
    device: str | None = None
    loader_workers: int = 0
    attempt: int = 1

    @classmethod
    def of(cls, config: Mapping[str, Any], cpu_threads: int, attempt: int = 1) -> Self:
        """Take the machine that a config describes.

        A GPU is asked for by name, so that a job without one fails. Otherwise torch uses what the
        lease left for it to see.

        Examples
        --------
        >>> config = {"device": "gpu", "memory_gib": 4.0, "loader_workers": 3}
        >>> Machine.of(config, cpu_threads=2).device
        'cuda'
        """
        return cls(
            cpu_threads=cpu_threads,
            memory_gib=config["memory_gib"],
            device="cuda" if config["device"] == "gpu" else None,
            loader_workers=config["loader_workers"],
            attempt=attempt,
        )
