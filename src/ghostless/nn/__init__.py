"""What several networks share: blocks, PatchGAN, attention, weights, full-resolution running.

Importing this package imports no torch; its modules do, except `weights` and `settings`.
"""
