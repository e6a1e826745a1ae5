"""How long an allocation lives (RFC 8656 sections 7.2 and 8.2)."""

import math

from fairlead.clock import Now
from turnd.protocol.authentication import Account
from turnd.protocol.settings import Expiry, Settings


def granted_lifetime(settings: Settings, requested: int | None, account: Account, now: Now) -> int:
    """Seconds: what was asked for, but not under the default nor over the maximum, nor past a credential that cuts
    and is still good."""
    lifetime = min(max(requested or 0, settings.default_lifetime), settings.max_lifetime)
    if settings.expiry is Expiry.CUT and account.expires is not None:
        lifetime = min(lifetime, math.ceil(account.expires - now.wall))
    return lifetime
