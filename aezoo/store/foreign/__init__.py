"""Models of other libraries: their files read as ours, and ours written as theirs.

`sources.py` says which classes there are. Each has a file of its own: the fields of its
`config.json`, the family that they make, and where each weight stands.
"""
