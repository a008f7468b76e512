"""Training: one job is one (model, round, fold, stage).

Read `job` first: `run` goes from files to a weights file. Data pass through the modules in this
order:

1. `arguments` says which job it is and names its files; `foldbelt.config.stage_settings` has the
   stage's settings.
2. `task` loads what the job trains on and builds the network: `data` (images, masks and samples of
   them, with `crops` and `blackout`) from `columns`, `image_statistics`, and `labels` for labels;
   `room` says what they take of the memory.
3. `loop` trains: `samplers` lay out every epoch, `loading` makes its batches, `stepping` does one
   step (`mixing` of the batch, then the `objective`, of `masks` and `labels`, then one of the
   `optimisers` at a rate of `schedules`).
4. At an epoch's end `evaluation` validates, `ema` and `checkpoint_averaging` average weights, and
   `state` keeps what a resumed job needs; `saving` copies it and writes it beside the training.

`masks` and `labels` hold what is particular to a kind of output. `lr_range` is a job of its own
with the same parts, `devices` leases a GPU. It must run before torch is imported, so that torch
sees the leased device only; hence nothing heavy is imported here, and `run` is looked up when it is
asked for.
"""

from foldbelt.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
