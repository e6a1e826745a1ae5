"""What signaling knows of the relay: servers and credentials, and what turnd told."""
