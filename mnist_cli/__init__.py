"""Train, evaluate and use a classifier of handwritten digits.

The letters used for shapes throughout:

    N   number of images
    10  one value per digit, 0 to 9

An image is always uint8 (1, 28, 28) with 0 = paper and 255 = ink, the way MNIST stores it; several are (N, 1, 28, 28).
Only a model's `forward` turns them into floats.
"""

__version__ = "0.1.0"
