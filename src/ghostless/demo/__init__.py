"""The demo: a room at evening that we render ourselves, photographed by hand as someone walks by.

    textures --> room --> render, soft --> photograph --> __main__: fuse, compare, show

`python -m ghostless.demo FOLDER` draws the scene, takes the bracket, fuses it with and without
alignment and deghosting, and measures both against the picture that a tripod and an empty room's
patience would have given.
"""
