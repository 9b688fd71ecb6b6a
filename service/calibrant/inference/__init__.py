"""ONNX: calibrators out as graphs, with a certificate that they compute the same."""
