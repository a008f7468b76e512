"""Competitions: all that is particular to one is a package here, found by its name.

The stages that read raw files (`foldbelt.ingest`) and write the product (`foldbelt.submit`) know no
competition. They ask the package that the config names, `foldbelt.competitions.<name>`, which has

`read.py`, the reader
    ``scan(root, spec)`` looks at names, tables and file headers, decodes nothing, and lists the
    images with every offender it met. Columns known by now (a depth, a patient) belong to the item.
    ``read(item, listing)`` decodes one image and its truth (a mask file, RLE texts, boxes drawn as
    masks: whatever `Item.truth` holds), checks the two against each other and gives the per-image
    columns and labels that only pixels tell. Called from several threads. Offenders are raised as
    `foldbelt.formats.Spoilt`. ``read_truth(path, ids, shape, classes)`` is there where the hidden
    truth comes as a table.
`submit.py`, the writer
    ``write_submission(predictions, root, spec, classes)`` gives the product as text in the
    competition's own format, that of the given sample. ``check_submission(text, predictions, root,
    spec, classes)`` reads such a text anew and lists what differs from the predictions.
constants in its `__init__.py`
    ``METRIC``, the default metric, a name in `foldbelt.metrics`; ``SYNTHETIC``, where there is one
    the plug-in of `foldbelt.synthetic` that draws data in the competition's format.

A rule depends on the half that it uses. What competitions share of reading files is in
`foldbelt.formats`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
