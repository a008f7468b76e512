"""The members of an ensemble and their weights.

Read `blend` first; `weighing` searches the weights, `weights` reads their file,
`settings` holds what the config says. `fusion` makes one set of the members' boxes, whose scores
`calibration` brings to one scale.
"""
