"""Datasets of labelled faces: choosing, building, splitting, and writing them out for training.

Pure: `judging` (votes to a label), `splitting`, `likeness` (copies), `faults` (warnings), `archive` and `formats` (the
bytes of an export). At the edge: `queries`, `building`, `exporting`, `jobs`.
"""
