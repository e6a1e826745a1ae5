"""Measures the daemons of this checkout beside those of others. Results are data; the loads are made in C."""
