"""Figures and pages of the report, one module each, named like the file that it makes.

``figures/scores.svg`` is drawn by ``scores.draw``, ``figures/problems.html`` written by
``problems.write``, and a figure of errors would be ``errors.draw``. Read ``style`` first
(what all figures share), then in the order of the report:

- data: ``examples``, ``channels``, ``balance`` (figure and page), ``adversarial``, ``problems``;
- training: ``training``, ``augment``, ``augment_figure``, ``lr_range``, ``pseudo``;
- results: ``scores`` and ``scores_page``, ``threshold``, ``selection``, ``best_worst``,
  ``score_by``;
- results of labels and of boxes: ``precision_recall``, ``reliability``, ``confusion``,
  ``label_examples``, ``box_examples`` and the page ``decision_page``;
- results of both together: ``precision_recall`` again, ``parts`` and the page ``joint_page``;
- ``provenance``, and ``ablation`` where variants of a recipe were compared.

Shared by several of them: ``pages`` (a page and its tables), ``classes`` and ``coverage`` (names
and looks of the classes of masks, and of images by how much is covered), ``known`` (boxes and
labels of images without masks), ``scored`` (images decided and scored out of fold), ``scoreboard``
(the lines of the table of scores), and of labels and boxes ``outputs`` (what is read),
``box_drawing`` (a box over an image), ``box_pairs`` (which box is which), ``ranking`` (average
precision), ``gains`` (what models add to each other), ``calibration`` (bins of a reliability
diagram) and ``panels`` (a panel for each class).

A script (``workflow/scripts/draw_*.py``) calls them, a rule in ``workflow/rules/figures.smk`` names
their files and a caption in ``workflow/report/``. Line figures are SVG and image panels PNG; both
hold neither times nor versions, so that the same inputs give the same bytes. Titles state what was
found, computed from the data shown.
"""
