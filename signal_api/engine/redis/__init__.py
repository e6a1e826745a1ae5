"""Rooms and sessions in Redis (or Valkey), shared by any number of nodes.

Every node has one stream that everybody writes to and only it reads: effects for its sessions, questions of other
nodes and their answers, in one order. A script routes an effect to the stream of whoever owns a session at that very
moment, in the same step in which a room is replaced or a session changes hands.
"""
