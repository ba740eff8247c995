"""`python -m groundup`: the same as `groundup`."""

from groundup.cli.main import main

main()
