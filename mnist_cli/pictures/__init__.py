"""From a picture file to frames like those of MNIST: decode, binarize, cleanup, segment, normalize.

Whatever the size, colours, light and position of the digit in a picture, its frame is like an image of MNIST: light ink on
a dark background, 20 pixels long, in the middle of 28x28.
"""
