"""Damaged files by the ten thousand, in processes of their own: `make fuzz`."""
