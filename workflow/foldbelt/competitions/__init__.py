"""Competitions: all that is particular to one of them is a plug-in, a package of its name.

The stages that read raw files (`foldbelt.ingest`) and write the product (`foldbelt.submit`) know no
competition. They ask the package that the config names, `foldbelt.competitions.<name>`. Read
`_reading` first: it defines what a reader gives. A package has

`files.py`, the list of files
    ``files(root, settings)`` lists by part (training, test, sample submission) exactly the files
    that reading consumes. Their names and contents are what a run depends on. It imports the
    standard library alone, since Snakemake's main process calls it.
`read.py`, the reader
    ``scan(root, settings, size)`` looks at names, tables and file headers and decodes nothing. It
    lists the images and every problem that it finds; `size` is the storage size, where the training
    images are stored already. Columns that are known by now (a depth, a patient) belong to the
    item. ``read(item, listing)`` decodes one image and its truth (a mask file, RLE texts, boxes
    drawn as masks: whatever `Item.truth` holds) and checks one against the other. It gives the
    per-image columns and labels that are computed from pixels. It is called from several threads,
    and raises `foldbelt.formats.UnusableImage`. Optional: ``settle(listing)`` looks at the pixels
    of training images before any is stored, to find out what they decide;
    ``read_truth(path, ids, shape, classes)`` is needed where the hidden truth comes as a table.
`submit.py`, the writer
    ``write_submission(predictions, root, settings, classes)`` gives the product as text in the
    competition's own format, that of the given sample. ``check_submission(text, predictions, root,
    settings, classes)`` reads such a text anew and lists what differs from the predictions.
constants in its `__init__.py`
    ``METRIC``, the default metric, a name in `foldbelt.metrics`; ``SYNTHETIC``, the plug-in of
    `foldbelt.synthetic` that draws data in the competition's format, if there is one;
    ``LABEL_COLUMN``, whether the reader takes image labels from what `data.label` names;
    ``ANNOTATIONS``, whether there may be boxes (`data.boxes`) and no masks (`data.masks`).

A rule depends on the half that it uses, the reader or the writer. Code for foreign formats that
several competitions share is in `foldbelt.formats`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
