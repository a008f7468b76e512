"""Encoders that timm does not have, by name.

One module an encoder. Its ``build(in_channels)`` returns a module whose ``forward(x)`` takes images
(N, C, H, W) of any size and gives a list of maps, shallow to deep, of ceil(H / r) rows each; its
``feature_info`` is a `timm.models.FeatureInfo` with their channels and reductions r.
"""
