"""`fairlead check`: what counts, where it was written, and what is wrong with it."""
