"""Layers, one kind a file."""
