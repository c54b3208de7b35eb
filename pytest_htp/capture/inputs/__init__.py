"""The inputs of an export: given as they are, described by strings, or made from a config and a signature."""
