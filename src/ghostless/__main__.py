"""Lets `python -m ghostless` do what the command `ghostless` does."""

from .cli import main

main()
