"""A bundle as one ONNX file, which other programs and languages compute.

`blending` reads which members count and how they are averaged. `image` says how a network's
channels are made of an image. `graph` is the whole blend as one module of torch, which
`translation` brings to ONNX; `description` is what the file says of itself. `exporting` puts these
together, and compares what the file computes with what the workflow does.
"""
