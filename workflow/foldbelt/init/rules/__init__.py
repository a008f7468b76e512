"""All rules of `foldbelt init`; `foldbelt.init.table` says what a rule is, and their order."""
