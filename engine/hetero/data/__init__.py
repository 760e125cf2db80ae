"""Packaged files: the level network's weights and the structure of the demonstration."""
