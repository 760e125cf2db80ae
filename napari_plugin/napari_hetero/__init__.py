"""Hetero in napari: ensembles of cryo-EM maps, their levels and their blocks. Importing this imports neither Qt
nor torch."""
