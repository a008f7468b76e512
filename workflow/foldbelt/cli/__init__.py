"""The command line: `foldbelt init`, `show`, `scores`, `predict`, `wheels`, `export`.

`main` has the commands, `state` says how far a run has come. Nothing heavy is imported before a
command needs it, so that `foldbelt --help` answers at once.
"""
