"""turnd: a TURN relay (RFC 8656). protocol/ decides, dataplane/ moves the bytes, server.py joins the two."""
