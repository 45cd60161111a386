"""Evaluation of a model's predictions on labelled images."""
