"""A trained model as a file for other programs: ONNX, `torch.export`, a page for any browser, a header for C."""
