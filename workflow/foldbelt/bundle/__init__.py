"""The bundle: a finished run as one file that predicts new images.

`manifest` says what a bundle holds, `archive` how that lies in a zip file that is the same bytes
whenever it is made, and that is believed in nothing. `writing` gathers a run. `reading` checks and
unpacks; `pipeline` takes images through the very functions of the workflow's own stages;
`predicting` does so for a folder and can go on where it stopped (`journal`), `loading` for one
image in memory; `onnx` writes the networks for other programs.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
