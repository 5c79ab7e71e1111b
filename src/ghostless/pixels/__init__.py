"""What is done to pixels whatever they show: colour spaces, pyramids, rows in stripes."""
