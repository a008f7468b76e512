"""Image segmentation from raw files to a tuned, ensembled, explained submission.

The library behind the foldbelt workflow. It knows nothing of Snakemake; every function takes paths,
arrays and plain settings, so that a notebook can call it as the workflow does.
"""
