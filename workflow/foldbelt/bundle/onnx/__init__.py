"""A bundle as one ONNX file, which other programs and languages compute.

`image` says how a network's channels are made of an image, `graph` is the whole blend as one module
of torch, `description` what the file says of itself; `exporting` writes it, and compares what it
computes with what the workflow does.
"""
