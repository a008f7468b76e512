"""`python -m foldbelt.cli` is the program `foldbelt`, where that is not on the path."""

from foldbelt.cli.main import main

main(prog_name="foldbelt")
