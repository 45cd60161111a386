"""What one sees of training and measuring: rows on the terminal, TensorBoard, figures, and a report as a web page."""
