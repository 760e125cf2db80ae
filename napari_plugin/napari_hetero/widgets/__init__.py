"""The three docks: Ensemble, Blocks, Level. Thin Qt over the models and the session."""
