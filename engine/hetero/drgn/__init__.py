"""cryoDRGN: a coordinate network in Fourier space that gives a map for each latent."""
