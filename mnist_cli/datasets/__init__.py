"""Data sets: from files to images and labels in memory."""
