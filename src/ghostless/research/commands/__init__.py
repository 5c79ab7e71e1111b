"""The subcommands that researchers use; `cli` takes them in."""
