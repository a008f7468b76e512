"""Augmentation in batches, on the device that trains.

Albumentations' transforms work on one image after the other, on the host. Those that have a form
for many images at once are here, under the same names and arguments:

- :mod:`choosing` says which transforms of a pipeline a sample gets (``p``, ``OneOf`` …);
- :mod:`moves`, :mod:`distortions`, :mod:`grey`, :mod:`blurs`, :mod:`holes` draw the parameters of
  each transform, for all samples of a batch at once;
- :mod:`turning` exchanges pixels, where nothing but flips and turns is asked for;
- :mod:`warping` resamples images and masks once for all neighbouring transforms that move pixels,
  and :mod:`boxes` takes boxes along;
- :mod:`pipeline` puts them together.

Parameters are drawn on the host, in columns of one table that has a row a sample. A row depends on
the sample's seed alone: not on the batch, the order or the process.
"""
