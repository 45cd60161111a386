"""Reports of training and evaluation: rows on the terminal, TensorBoard, figures, and an HTML report."""
