"""A picture from the user, redrawn the way MNIST draws digits: decode, binarize, cleanup, segment, normalize.

Whatever the size, colours, light and position of the digit in a picture, a model sees it as in MNIST: light ink on a dark
background, 20 pixels long, in the middle of 28x28.
"""
