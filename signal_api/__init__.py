"""signal_api: ICE servers with short-lived credentials, and the signaling protocol sig.v1."""
