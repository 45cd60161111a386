"""What is in a picture: one digit, or several."""
