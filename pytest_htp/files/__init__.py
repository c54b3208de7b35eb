"""Any ``.onnx`` file, from anywhere, as what a baseline holds. Imports no torch; weights are never loaded whole."""
