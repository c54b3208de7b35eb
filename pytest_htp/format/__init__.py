"""What a record is, and how it is read and written. Importing this imports neither torch nor onnx."""
