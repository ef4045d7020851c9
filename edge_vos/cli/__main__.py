"""Run the command line: ``python -m edge_vos.cli``."""

from edge_vos.cli.main import main

main()
