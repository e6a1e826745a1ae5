"""stund: answers STUN Binding requests (RFC 8489)."""
