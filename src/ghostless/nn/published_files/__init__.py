"""Reading files in which other programs keep weights: a module a format, arrays by name out.

Nothing is unpickled but by torch's own reader of tensors, which makes no other objects. Every file
that is not what it should be is a WeightsError of one line.
"""
