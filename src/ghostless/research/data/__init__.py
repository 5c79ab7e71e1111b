"""Brackets to train and measure on: simulated ones with known answers, and researchers' data sets.

panoramas.py packs HDR pictures; simulate.py photographs them; references.py finds the display
picture that an exposure fusion should reach; scenes.py knows the layouts of public data sets.
"""
