"""What sig.v1 says and allows: frames, rooms, sessions and rights as values, pure."""
