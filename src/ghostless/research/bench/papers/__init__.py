"""The experiments of the five papers: what they printed, and the same worked out here.

tables/      what was printed, a TOML file for each paper
printed.py   those files as values
result.py    a table worked out, its text, and what differs
compare.py   methods on a folder of scenes: tables of scores, per scene, of seconds
pairs.py     other photos of the same scenes: more than two, other exposures, unaligned ones
motion.py    homographies: corners of known motion, bitmaps of hand-held brackets
training.py  what needs trainings: ablations, losses of both outputs, outputs of every scale
run.py       one paper, from folders to a page
"""
