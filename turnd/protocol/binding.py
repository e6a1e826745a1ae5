"""Binding on a TURN listener: answered as stund would (RFC 8489 section 12)."""
