"""Pseudo-labels: test images that the models of one fold label with confidence.

An image is admitted by the share of its pixels whose probability is below `low` or above `high`
(first place of the TGS Salt Identification Challenge, 2018: p < .2 or p > .8, share .90); of image
labels and boxes it is the share of labels, and of boxes, of which that holds. The rule
``everything`` admits all (second place). The rule ``labels`` admits an image of which every class
is surely present or surely absent by its label probability, if the mask agrees (first place of
Severstal Steel Defect Detection, 2019: above .95 or below .05). The rule ``halves`` admits one half
of the images for the even folds and the other half for the odd ones, and swaps the halves with
every round. So there are always models that were not trained on an image, which label it again and
predict it at the end. If more are admitted than `max_images`, the first are taken: the most
confident, or those that look most like test images (adversarial validation).

Masks are averaged over the models that predict masks, label probabilities over those that predict
labels, boxes are fused. Only predictions of models that never saw fold f make the labels for fold
f, with equal weights and levels from the config: blend weights and decisions depend on the truth of
fold f, so they are not used. With ``source: all`` the caller gives the predictions of all folds'
models, most of which were trained on fold f; the file's attributes record that.

One module an output says what becomes of it: `masks`, `labels`, `boxes`.
"""

from foldbelt.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
