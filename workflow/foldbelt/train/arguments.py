"""What a training job is given beside its model and its stage: which it is, files, the machine."""

from dataclasses import asdict, dataclass

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
    pseudo, test_channels
        Pseudo-labels, and the channels of the images they belong to.
    """

    channels: str
    data: str
    folds: str
    start: str | None = None
    pseudo: str | None = None
    test_channels: str | None = None

    def digests(self) -> dict[str, str]:
        """Digest the contents of every file that is given."""
        return {name: files.digest([path]) for name, path in asdict(self).items() if path}


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
