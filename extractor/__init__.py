"""Free-text cardiac-MRI reports in, validated categories out, from a model on your own machine."""

__version__ = "0.1.0"
