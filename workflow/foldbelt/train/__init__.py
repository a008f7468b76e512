"""Training: one job is one (model, round, fold, stage); `run` does it, `devices` leases its GPU.

`foldbelt.train.devices` must run before torch is imported, so that torch sees the leased device
only. Importing this package therefore imports nothing heavy: `run` is looked up when it is asked
for.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
