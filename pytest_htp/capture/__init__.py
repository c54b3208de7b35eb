"""Model in, evidence out: the module tree, the exported program, the ONNX graph and what the optimizer did to it."""
