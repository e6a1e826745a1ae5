import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead_cli.up.supervision import (
    FIRST_PAUSE,
    GRACE,
    LONGEST_PAUSE,
    STEADY,
    AllReady,
    CannotStart,
    Effect,
    Mode,
    Order,
    Ready,
    Resting,
    Spawn,
    Supervision,
    Tell,
)

KILLED = -9


@pytest.fixture
def running() -> Supervision:
    """Two daemons that became ready at 0 s."""
    supervision = Supervision(["stund", "turnd"])
    supervision.start()
    for name in ("stund", "turnd"):
        supervision.serving(name)
        supervision.ready(name, 0.0)
    return supervision


def start_again(supervision: Supervision, name: str, at: float) -> list[Effect]:
    """Ticks until the daemon is spawned, and lets it become ready."""
    assert supervision.tick(at) == [Spawn(name)]
    supervision.serving(name)
    return supervision.ready(name, at)


def test_all_are_spawned_at_once_and_announced_when_the_last_is_ready() -> None:
    supervision = Supervision(["stund", "turnd"])
    assert supervision.start() == [Spawn("stund"), Spawn("turnd")]
    supervision.serving("turnd")
    assert supervision.ready("turnd", 1.0) == [Ready("turnd", again=False)]
    supervision.serving("stund")
    assert supervision.ready("stund", 2.0) == [Ready("stund", again=False), AllReady()]


def test_an_answer_of_a_stranger_on_the_ops_port_is_no_readiness() -> None:
    """Before its own process says that it has started, whoever answers there is somebody else."""
    supervision = Supervision(["turnd"])
    supervision.start()
    assert supervision.ready("turnd", 0.0) == []
    assert CannotStart("turnd", 1) in supervision.exited("turnd", 1, 0.1)


def test_a_daemon_that_never_was_ready_ends_everything() -> None:
    supervision = Supervision(["stund", "turnd", "signal_api"])
    supervision.start()
    supervision.serving("stund")
    supervision.ready("stund", 0.0)
    effects = supervision.exited("turnd", 1, 0.5)
    assert effects == [CannotStart("turnd", 1), Tell("stund", Order.STOP), Tell("signal_api", Order.DRAIN)]
    assert supervision.exited("stund", 0, 0.6) == []
    assert not supervision.finished
    assert supervision.exited("signal_api", -15, 0.7) == [], "one failure is reported, not its consequences"
    assert supervision.finished
    assert supervision.exit_code == 1


def test_a_daemon_that_dies_is_started_again(running: Supervision) -> None:
    assert running.exited("turnd", KILLED, 5.0) == [Resting("turnd", KILLED, FIRST_PAUSE)]
    assert running.deadline() == 5.0 + FIRST_PAUSE
    assert running.tick(5.0 + FIRST_PAUSE - 0.01) == []
    assert start_again(running, "turnd", 5.0 + FIRST_PAUSE) == [Ready("turnd", again=True)]
    assert running.deadline() is None


def test_an_end_without_an_error_is_an_end_too(running: Supervision) -> None:
    assert running.exited("stund", 0, 5.0) == [Resting("stund", 0, FIRST_PAUSE)]


def test_pauses_double_up_to_a_bound_and_one_daemon_does_not_slow_the_other(running: Supervision) -> None:
    now, pauses = 1.0, []
    for _ in range(9):
        (effect,) = running.exited("turnd", 1, now)
        assert isinstance(effect, Resting)
        pauses.append(effect.pause)
        now += effect.pause
        start_again(running, "turnd", now)
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, LONGEST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE]
    assert running.exited("stund", 1, now) == [Resting("stund", 1, FIRST_PAUSE)]


def test_a_restart_that_fails_is_tried_again_later(running: Supervision) -> None:
    running.exited("turnd", KILLED, 0.0)
    assert running.tick(FIRST_PAUSE) == [Spawn("turnd")]
    assert running.exited("turnd", 1, 1.0) == [Resting("turnd", 1, 2 * FIRST_PAUSE)]
    assert running.exit_code == 0


def test_a_daemon_that_was_well_for_long_begins_with_the_first_pause(running: Supervision) -> None:
    running.exited("turnd", 1, 1.0)
    start_again(running, "turnd", 2.0)
    assert running.exited("turnd", 1, 2.0 + STEADY) == [Resting("turnd", 1, FIRST_PAUSE)]


def test_the_first_request_drains_and_nothing_is_restarted(running: Supervision) -> None:
    assert running.asked_to_stop(1.0) == [Tell("stund", Order.DRAIN), Tell("turnd", Order.DRAIN)]
    assert running.exited("stund", 0, 2.0) == []
    assert not running.finished
    assert running.deadline() is None, "a drain has its own deadline, in the daemon"
    assert running.exited("turnd", 0, 500.0) == []
    assert running.finished
    assert running.exit_code == 0


def test_the_second_request_stops_at_once_and_kills_those_who_do_not(running: Supervision) -> None:
    running.asked_to_stop(1.0)
    running.exited("stund", 0, 1.5)
    assert running.asked_to_stop(2.0) == [Tell("turnd", Order.STOP)]
    assert running.deadline() == 2.0 + GRACE
    assert running.tick(2.0 + GRACE) == [Tell("turnd", Order.KILL)]
    assert running.deadline() is None
    running.exited("turnd", KILLED, 12.1)
    assert running.finished
    assert running.exit_code == 1


def test_a_daemon_that_just_starts_is_ended_without_a_traceback() -> None:
    """SIGINT would interrupt its imports."""
    supervision = Supervision(["turnd"])
    supervision.start()
    supervision.asked_to_stop(0.0)
    assert supervision.asked_to_stop(0.1) == [Tell("turnd", Order.DRAIN)]
    assert supervision.asked_to_stop(0.2) == [Tell("turnd", Order.KILL)]


def test_the_third_request_kills(running: Supervision) -> None:
    running.asked_to_stop(1.0)
    running.asked_to_stop(1.1)
    assert running.asked_to_stop(1.2) == [Tell("stund", Order.KILL), Tell("turnd", Order.KILL)]


def test_a_resting_daemon_is_not_started_when_the_end_is_wanted(running: Supervision) -> None:
    running.exited("turnd", KILLED, 1.0)
    assert running.asked_to_stop(1.1) == [Tell("stund", Order.DRAIN)]
    assert running.tick(100.0) == []
    running.exited("stund", 0, 101.0)
    assert running.finished


def test_a_reload_goes_to_those_who_can_take_it(running: Supervision) -> None:
    running.exited("turnd", KILLED, 1.0)
    assert running.asked_to_reload() == [Tell("stund", Order.RELOAD)]
    running.tick(1.0 + FIRST_PAUSE)
    assert running.asked_to_reload() == [Tell("stund", Order.RELOAD)], "SIGHUP would end a process that just starts"
    running.serving("turnd")
    assert Tell("turnd", Order.RELOAD) in running.asked_to_reload(), "though it does not answer yet"


@given(st.lists(st.sampled_from(["serving", "ready", "exit", "stop", "reload", "tick"]), max_size=40))
def test_whatever_happens_each_daemon_has_at_most_one_process(story: list[str]) -> None:
    supervision = Supervision(["turnd"])
    alive = sum(isinstance(effect, Spawn) for effect in supervision.start())
    now = 0.0
    for step in story:
        now += 0.7
        effects: list[Effect] = []
        if step == "exit" and alive:
            alive -= 1
            effects = supervision.exited("turnd", 1, now)
        elif step == "serving" and alive:
            supervision.serving("turnd")
        elif step == "ready" and alive:
            effects = supervision.ready("turnd", now)
        elif step == "stop":
            effects = supervision.asked_to_stop(now)
        elif step == "reload":
            effects = supervision.asked_to_reload()
        elif step == "tick":
            effects = supervision.tick(now)
        alive += sum(isinstance(effect, Spawn) for effect in effects)
        assert alive in (0, 1)
        assert not any(isinstance(effect, Tell) for effect in effects) or alive
        assert supervision.finished <= (alive == 0)
        assert supervision.mode is not Mode.RUNNING or alive or supervision.deadline() is not None
