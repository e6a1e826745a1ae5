"""Fuzzing: `python -m fuzz` looks for bytes that break what must hold; the tests replay what was kept of them."""
