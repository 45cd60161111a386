"""What a model's predictions on labelled images are worth."""
