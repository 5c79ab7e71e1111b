"""The demo: a room at evening that we render ourselves, photographed by hand as someone walks by.

    render.room --> photograph --> bracket/ --> __main__: fuse, compare, show

`python -m ghostless.demo FOLDER` fuses the bracket that comes with the package, with and without
alignment and deghosting, and measures both against the picture that a tripod and an empty room's
patience would have given. `photograph` is the script that made the bracket.
"""

from pathlib import Path

BRACKET = Path(__file__).parent / "bracket"
PHOTOS = ("IMG_1.jpg", "IMG_2.jpg", "IMG_3.jpg")
# The same exposures of the moment of photo REFERENCE by the same camera on a tripod, without noise.
TRIPOD_PHOTOS = ("TRIPOD_1.jpg", "TRIPOD_2.jpg", "TRIPOD_3.jpg")
REFERENCE = 1
