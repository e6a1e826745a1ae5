"""Signaling servers side by side: what an idle client and a relayed frame cost."""
