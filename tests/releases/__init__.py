"""Tiny copies of every data set, in the layout of its release; one file each, found by its name."""
