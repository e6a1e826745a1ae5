"""The words for a packet's end are metric label values and names in other languages, so their form is fixed."""

import re

from fairlead.reasons import Reason


def test_each_reason_is_a_label_and_a_name_alike() -> None:
    for reason in Reason:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", reason.value)
        assert reason.name == reason.value.upper()
        assert f"{reason}" == reason.value
