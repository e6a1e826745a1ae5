"""Signaling through a Fairlead server: a session that survives its connections, and the rooms that it is in."""

from fairlead_client.client import Client, connect
from fairlead_client.frames import Frame, Member, SignalingError
from fairlead_client.room import Room
from fairlead_client.session import Session, Token

__all__ = ["Client", "Frame", "Member", "Room", "Session", "SignalingError", "Token", "connect"]
