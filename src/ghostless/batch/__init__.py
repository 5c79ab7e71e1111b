"""Whole folders: find the brackets among hundreds or thousands of photos, and fuse each.

photos.py      what a folder holds: photos with their facts, and everything else
order.py       the order in which they were taken, and what tells two of them apart
patterns.py    patterns of exposures, as cameras and people take them
segments.py    what may be cut from a row of photos, and what each piece costs
grouping.py    which photos make a bracket: the cut that costs least
likeness.py    whether two photos show one scene, for where the facts leave a doubt
naming.py      what results are called: a pattern, or the first photo's name
plan.py        what shall be done with every file, and that as CSV to check and edit
consistent.py  the same exposure and white balance from set to set
journal.py     what has been done: the file that lets a killed batch go on
workers.py     where brackets are fused: processes of this machine, or a Ray cluster
run.py         doing what the plan says, within a memory budget
doubts.py      what had better be looked at, by the reports
summary.py     the account of every file in the folder at the end
thumbnails.py  photos and pictures made small
sheet.py       the contact sheet: every set on one page, the doubtful ones first
watch.py       a folder that a camera is writing to: which sets are complete
"""
