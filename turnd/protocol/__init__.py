"""RFC 8656 without I/O: messages and the time go in, effects come out."""
