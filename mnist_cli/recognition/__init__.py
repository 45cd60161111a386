"""Recognition of the digit, or of all digits, in a picture."""
