"""The STUN codec of RFC 8489: syntax only. What a server does with a message is decided elsewhere."""
