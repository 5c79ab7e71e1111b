"""How frames were exposed, what their codes mean in light, and which one to keep to.

assign.py       the exposure of every frame, whoever tells it: metadata.py, estimate.py (pixels),
                stops_file.py, or the user
reference.py    which frame to keep to; motion.py and sharpness.py tell what speaks against one
curves.py response.py intensity.py   codes and light: usual curves, this camera's, between frames
"""
