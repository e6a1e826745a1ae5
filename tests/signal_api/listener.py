"""A client's books: what it was told, number after number."""

from typing import Any


class Listener:
    """A hole, a frame twice, or a frame of a room that is not its own is a failure.

    `seen` is the data of the messages since it last began anew, as it has `resets` times.
    """

    rooms: tuple[str, ...] = ("r",)

    def __init__(self, epoch: str = "", seq: int = 0) -> None:
        self.epoch = epoch
        self.seq = seq
        self.seen: list[Any] = []
        self.resets = 0

    @property
    def position(self) -> str:
        """Where to go on, as an event id."""
        return f"{self.epoch}.{self.seq}"

    def take(self, *frames: dict[str, Any]) -> None:
        for frame in frames:
            if frame["type"] == "welcome" and "seq" in frame:
                self._begin(frame["data"])
            if "seq" in frame:
                assert frame["seq"] == self.seq + 1, f"a hole, or a frame twice: {frame} after {self.seq}"
                self.seq = frame["seq"]
            assert frame.get("room", self.rooms[0]) in self.rooms, "a foreign room's frame"
            if frame["type"] == "message":
                self.seen.append(frame["data"])

    def _begin(self, welcome: dict[str, Any]) -> None:
        assert not welcome["resumed"]
        self.resets += bool(self.seq)
        self.epoch, self.seq = welcome["epoch"], 0
        self.seen.clear()
