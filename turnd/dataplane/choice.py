"""Makes the engine that is asked for."""

from fairlead.native import EngineChoice, is_native
from turnd.dataplane.contract import DataPlane, EngineSettings, Io, IoRefusedError
from turnd.dataplane.python import PythonEngine


def threads_for(cores: int) -> int:
    """How many threads move packets when nobody says it. With two cores one is left to all that is not a packet."""
    return cores if cores > 2 else 1


def make_engine(choice: EngineChoice, settings: EngineSettings) -> DataPlane:
    """The engine of that name; raises EngineMissingError, or IoRefusedError."""
    if not is_native(choice):
        if settings.io is Io.IO_URING:
            raise IoRefusedError("the Python engine has no io_uring")
        return PythonEngine(settings)
    # Importable where is_native() says so, and only there.
    from turnd.dataplane.native import NativeEngine

    return NativeEngine(settings)
