"""A recipe from a folder: `foldbelt init`.

Read in this order: `layout` tells what kind of data lie in a folder (`advice` says how one of no
known layout becomes readable, `masks` what their values mean), `looking` looks at them and gives
`facts`; `table` says what a rule is, and the modules of `rules/` hold them all, one function
a rule; `recipe` writes what they decide, each line with its reason. `trial` measures how fast this
machine trains, on which the number of epochs depends and nothing else.
"""
