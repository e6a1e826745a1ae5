"""Token buckets in the configuration."""

from pydantic import Field

from fairlead.buckets import Rate
from fairlead.config import Settings

#: Of each kind, allocated at once: 128 MB.
MOST_BUCKETS = 1 << 24


class RateSettings(Settings):
    """A token bucket per source; rate 0 switches it off."""

    #: a second
    rate: float = Field(ge=0)
    burst: int = Field(ge=1)

    @property
    def as_rate(self) -> Rate:
        return Rate(self.rate, self.burst)
