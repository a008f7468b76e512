"""The members of an ensemble and their weights.

Read `blend` first; `weighing` searches the weights, `weights` reads their file,
`settings` holds what the config says.
"""
