"""Model in, evidence out: module tree, exported program, ONNX graph, and what the optimizer did to it."""
