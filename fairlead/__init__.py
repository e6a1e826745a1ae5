"""What at least two of the three daemons need, and nothing else (a test enforces the second half)."""

__version__ = "0.1.0"
