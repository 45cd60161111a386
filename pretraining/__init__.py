"""How the model that ships is trained: `python -m pretraining`, or `make model`.

MNIST's digits, and digits drawn by program, are rendered as simulated photos and scans, and preprocessed by
`mnist_cli.pictures` as a user's picture is. The model is trained on the resulting frames.
"""
