"""Makes the engine that is asked for."""

from fairlead.native import EngineChoice, is_native
from turnd.dataplane.contract import DataPlane, EngineSettings
from turnd.dataplane.python import PythonEngine


def threads_for(cores: int) -> int:
    """How many threads move packets when nobody says it. With two cores one is left to all that is not a packet."""
    return cores if cores > 2 else 1


def make_engine(choice: EngineChoice, settings: EngineSettings) -> DataPlane:
    """The engine of that name; raises EngineMissingError."""
    if not is_native(choice):
        return PythonEngine(settings)
    # Importable where is_native() says so, and only there.
    from turnd.dataplane.native import NativeEngine

    return NativeEngine(settings)
