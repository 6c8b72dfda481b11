"""Checks, files, progress bars: what every room uses."""
