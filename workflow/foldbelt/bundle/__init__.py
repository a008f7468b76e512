"""The bundle: a finished run as one file that predicts new images.

`manifest` says what a bundle holds, `archive` how that lies in a zip file that is the same bytes
whenever it is made, and that is believed in nothing. `writing` gathers a run: `choosing` leaves
members out and says what that costs, `halving` halves weights. `reading` checks (`checking`) and
unpacks; `pipeline` takes images through the very functions of the workflow's own stages to an
answer each (`answers`), and `finishing` decides what images share; `blaming` tells what goes wrong
inside of the bundle. `predicting` does so for a folder (`listing`, `columns`): it keeps to what is
its own there (`places`), goes on where it stopped (`folder`, `journal` of `records`), writes
`products` and draws `overlays`. `loading` does for one image in memory, and `sparing` leaves its
host torch's settings; `validating` for labelled images, whose truth `judging` knows. `program` is
the bundle's own ``predict.py``, for where foldbelt is not installed: it calls `alone` in foldbelt's
code, which travels along (`wheel`); `needs` says what else it takes. `onnx` writes the networks for
other programs.
"""

from foldbelt.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
