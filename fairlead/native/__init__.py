"""The compiled engine, which not every installation has: who may use it, and what becomes of its faults."""

from fairlead.native.choice import EngineChoice, EngineMissingError, is_native
from fairlead.native.faults import FaultLog

__all__ = ["EngineChoice", "EngineMissingError", "FaultLog", "is_native"]
