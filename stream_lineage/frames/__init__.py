"""Data frames of whatever library, without a library: what they are, how many rows, which columns, how many nulls.

Nothing is imported that the application has not imported itself. NumPy is, where values are hashed.
"""
