"""The config: checked, completed, and made into a plan of jobs and files.

Read `resolving` first: the schema's types and defaults. `consistency` asks what has to hold
between keys (`stages` within a stage, `augmentation` within a list of transforms), `variants` adds
the models of an ablation. `stage_settings` makes typed objects of a stage's part. All of it runs
whenever the Snakefile is parsed, so that nothing heavy is imported here.
"""

from foldbelt.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
