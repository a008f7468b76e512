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

    Further functions are optional. ``write_labels(ids, prob, names)`` and ``write_boxes(ids, boxes,
    names)`` give a table of one output. Where labels and boxes are submitted in one file,
    ``write_joint(ids, labels, boxes, table, root, settings)`` writes it from a run's joint decision
    and ``check_joint(text, …)``, with the same arguments, lists what differs. ``labels`` (N, L) f32
    are NaN where nobody predicts, ``boxes`` are None without any, and ``table`` has the per-image
    columns. ``read_predictions(path, ids, table, label_names, box_names)`` reads what somebody
    submitted: (N, L) f32 labels, NaN where the file says nothing, and Boxes; each None where the
    file has none.
`new_images.py`, what is known of images that a bundle predicts, optional
    ``listed(paths, root)`` gives id → file, id → columns (those of `LABEL_LEVELS`), and findings,
    of files of any folder. Without it ids are paths below the folder.
`truth.py`, the score on hidden truth, optional
    ``hidden_score(submission, truth)`` scores such a file: a number, or {score, classes}.
constants in its `__init__.py`
    ``METRIC``, the default metric, a name in `foldbelt.metrics`; ``SYNTHETIC``, the plug-in of
    `foldbelt.synthetic` that draws data in the competition's format, if there is one;
    ``LABEL_COLUMN``, whether the reader takes image labels from what `data.label` names;
    ``ANNOTATIONS``, whether there may be boxes (`data.boxes`) and no masks (`data.masks`);
    ``OUTPUTS``, on which of masks, labels and boxes a run decides by default (else on all);
    ``LABELS`` and ``BOXES``, names of the image labels and of the classes of boxes where the
    competition's own tables hold them; ``LABEL_GROUPS``, which of the labels exclude each other;
    ``LABEL_LEVELS``, the column by which images share labels; ``MASKS``, ``GROUP`` and
    ``STRATIFY``, defaults of `data.masks`, `folds.*.group` and `folds.*.stratify`;
    ``CLASSES``, the labels and classes of boxes whose mean average precision is the score of a
    joint decision; ``JOINT``, what `joint` is by default.
constants that `foldbelt init` asks for
    ``MARKS``, the files and folders by which the layout is told; the first of ``OUTPUTS`` is what
    the recipe is about, else masks. ``ONE_SIZE``, whether all images are of one size by the rules;
    ``COLOUR`` and ``BANDS``, whether they may be kept in colour, and have any number of bands
    (`data.image_mode`, `data.bands`). ``BALANCED``, what folds balance, and ``GROUPED``, what they
    keep together and why, where a recipe should say so and ``STRATIFY`` and ``GROUP`` do not.
    ``MODELS``, by name, those beside the first, which predicts the first of ``LABEL_GROUPS``: the
    name of its `stage`, its `labels` (none of them: a detector of boxes) and the `reason`.

A rule depends on the half that it uses, the reader or the writer. Code for foreign formats that
several competitions share is in `foldbelt.formats`.
"""

from foldbelt.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
