"""From radiance to a display.

operators.py    the table of operators: curves, and maps of a small proxy
tonemap.py      what all share, and the fusion of virtual photos
light.py rendition.py   the colour of the light; pictures for HDR displays
"""
