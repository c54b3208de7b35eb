"""PyTorch against ONNX Runtime: does each module compute the same, and do its tags tell the truth?

Nothing is imported here: an export from the cache needs the results' types, not what measures them.
"""
