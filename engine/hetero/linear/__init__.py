"""A linear model of heterogeneous volumes: probabilistic PCA by EM, with known poses, CTFs and shifts."""
