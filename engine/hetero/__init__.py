"""Hetero: heterogeneity of protein complexes in cryo-EM, as levels, blocks and occupancies of map ensembles."""

__version__ = "0.1.0"
