"""The engine that is always there: one epoll, plain non-blocking sockets, no compiler and no privilege.

How a packet goes: engine.py polls and gives every ready socket its share of the turn. listeners.py reads what clients
send, clients.py forwards it; relays.py reads what peers send and forwards it. indications.py reads Send and writes
Data. All of them work in the one buffer of switchboard.py; a packet is received where its headers already fit in front,
so that its bytes are copied by the kernel alone.
"""

from turnd.dataplane.python.engine import PythonEngine

__all__ = ["PythonEngine"]
