"""`python -m dermedge` is `kit`."""

from dermedge.cli import main

main()
