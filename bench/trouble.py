"""The one thing that ends a measurement and is no bug."""


class BenchError(Exception):
    """Nothing can be measured here, or any more; the text says why and what to do."""
