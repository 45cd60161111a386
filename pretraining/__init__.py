"""How the model that ships is made: `python -m pretraining`, or `make model`.

MNIST's digits and others, drawn by program, are put on simulated pages, photographed, and read back by `images` as a
user's picture would be. What comes out of that is what the model learns from.
"""
