"""Heartbeats and events, and what happens to who is silent or too loud."""

import time

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Opcode

from conftest import Sitting
from harness.exams import exam
from harness.server import person

KINDS = [
    "focus_lost", "focus_gained", "page_hidden", "page_visible", "fullscreen_exit", "copy", "cut",
    "paste", "context_menu", "print", "screenshot", "devtools", "second_screen", "offline",
    "face_absent", "face_multiple", "face_mismatch", "voice", "phone", "virtual_machine",
    "screen_share_stopped", "x-mouse",
]  # fmt: skip


def timeline(sitting):
    """Everything that happened, page by page."""
    staff = sitting.server.login("teacher")
    events, after = [], ""
    while True:
        page = sitting.server.get(sitting.path(f"/timeline?limit=50{after}"), staff).ok()
        assert len(page["events"]) <= 50
        events += page["events"]
        if not page.get("next") or not page["events"]:
            return events
        after = f"&after={page['next']}"


def test_a_heartbeat_gets_a_pulse(sitting, protocol):
    with sitting.socket(protocol) as socket:
        welcome = socket.enter(sitting.token)
        socket.save("answer", 1, q="q1", value="a")
        socket.send(
            "heartbeat", n=1, q="q1", visible=True, focused=False, fullscreen=False, rtt_ms=12
        )
        pulse = socket.until("pulse")
        assert (pulse["n"], pulse["saved_seq"]) == (1, 1)
        assert pulse["now_at"] >= welcome["now_at"]
        time.sleep(1.2)
        socket.send("heartbeat", n=2)
        later = socket.until("pulse")
        passed = later["now_at"] - pulse["now_at"]
        assert 1100 <= passed <= 10_000
        assert abs(pulse["remaining_ms"] - later["remaining_ms"] - passed) <= 20


def test_heartbeats_are_answered_once_a_second(sitting):
    with sitting.socket() as socket:
        socket.enter(sitting.token)
        for n in range(1, 21):
            socket.send("heartbeat", n=n)
        pulses = [message for message in socket.quiet(1.5) if message["t"] == "pulse"]
        assert 1 <= len(pulses) <= 2


def test_events_are_acknowledged_and_stored_once(sitting, protocol):
    kinds = KINDS
    with sitting.socket(protocol) as socket:
        welcome = socket.enter(sitting.token)
        for n, kind in enumerate(kinds, start=1):
            socket.send("event", n=n, kind=kind, at=1_700_000_000_000 + n, data={"mark": f"m{n}"})
        acked = 0
        while acked < len(kinds):
            ack = socket.until("event_ack")
            assert ack["n"] >= acked and not ack.get("dropped")
            acked = ack["n"]
    with sitting.socket(protocol) as socket:
        socket.enter(
            sitting.token,
            {"session": welcome["session"], "next_seq": 1, "next_event": len(kinds) + 1},
        )
        # The acknowledgement was lost: the last five again, and one more.
        total = len(kinds) + 1
        for n in range(total - 5, total + 1):
            kind = (kinds + ["x-last"])[n - 1]
            socket.send("event", n=n, kind=kind, at=1_700_000_000_000 + n, data={"mark": f"m{n}"})
        while socket.until("event_ack")["n"] < total:
            pass
    told = str(timeline(sitting))
    for n in range(1, total + 1):
        assert told.count(f"'m{n}'") == 1, n


def test_too_many_events_are_dropped_and_counted(sitting):
    with sitting.socket() as socket:
        socket.enter(sitting.token)
        for n in range(1, 91):
            socket.send("event", n=n, kind="x-noise", at=n, data={"noise": n})
        dropped, acked = 0, 0
        while acked < 90:
            ack = socket.until("event_ack")
            acked = ack["n"]
            dropped += ack.get("dropped") or 0
    stored = str(timeline(sitting)).count("'noise'")
    assert dropped >= 30
    assert stored == 90 - dropped


def test_a_flood_of_frames_closes(sitting):
    with sitting.socket() as socket:
        socket.enter(sitting.token)
        end = time.monotonic() + 30
        n = 0
        try:
            while time.monotonic() < end:
                for _ in range(20):
                    n += 1
                    socket.send("heartbeat", n=n)
                time.sleep(0.02)
        except (ConnectionClosed, OSError):
            pass
        assert socket.ended(4429)[-1]["code"] == "rate_limited"


def test_fast_commands_are_slowed_but_none_is_lost(sitting):
    """A hundred at once, over the burst: read more slowly, refused never."""
    with sitting.socket() as socket:
        socket.enter(sitting.token)
        for seq in range(1, 96):
            socket.send("answer", seq=seq, q="q6", value=f"{seq}")
        last = 0
        while last < 95:
            message = socket.receive()
            assert message["t"] in ("saved", "health"), message
            last = message.get("seq", last)
    assert sitting.answers()["q6"]["rev"] == 95


def last(answer):
    """The last event that an exchange acknowledges, by itself or in the message's form."""
    ack = answer["event_ack"]
    return ack["n"] if isinstance(ack, dict) else ack


def test_events_over_exchange_are_acknowledged_in_the_reply(sitting):
    opened = sitting.exchange()
    answer = sitting.exchange(
        session=opened["session"],
        next_seq=1,
        signals=[
            {"t": "event", "n": 1, "kind": "copy", "at": 5, "data": {"mark": "e1"}},
            {"t": "event", "n": 2, "kind": "offline", "at": 6, "data": {"ms": 4000}},
            {"t": "heartbeat", "n": 1, "q": "q1"},
        ],
    )
    assert last(answer) == 2
    again = sitting.exchange(
        session=opened["session"],
        next_seq=1,
        signals=[{"t": "event", "n": 1, "kind": "copy", "at": 5, "data": {"mark": "e1"}}],
    )
    assert last(again) <= 2
    assert str(timeline(sitting)).count("'e1'") == 1


def test_an_exchange_stores_no_more_events_a_second_than_a_socket(sitting):
    opened = sitting.exchange()
    burst = [{"t": "event", "n": n, "kind": "copy", "at": n} for n in range(1, 121)]
    answer = sitting.exchange(session=opened["session"], signals=burst)
    assert last(answer) == 120
    # A second may have ended while they were dealt with.
    assert 0 < answer["event_ack"]["dropped"] <= 70
    entries = [entry for entry in timeline(sitting) if entry["kind"] == "copy"]
    assert len(entries) == 120 - answer["event_ack"]["dropped"]
    again = sitting.exchange(session=opened["session"], signals=burst)
    assert "dropped" not in again["event_ack"], "a repeat is stored once and dropped once"


@pytest.fixture
def quick(serve):
    """A sitting of an exam with heartbeats every 5 s."""
    quick = exam("QUICK", proctoring={"enabled": True, "heartbeat_seconds": 5})
    return Sitting(serve([quick], [person("ann", "QUICK")]), "ann", "QUICK")


def test_pongs_keep_a_silent_socket_open(quick):
    with quick.socket() as socket:
        interval = socket.enter(quick.token)["limits"]["heartbeat_ms"] / 1000
        assert interval == 5
        assert socket.quiet(3.5 * interval) == []
        socket.save("answer", 1, q="q1", value="a")


def test_a_dead_socket_is_closed_after_three_intervals(quick):
    with quick.socket() as socket:
        interval = socket.enter(quick.token)["limits"]["heartbeat_ms"] / 1000
        mute(socket.connection.protocol)
        started = time.monotonic()
        socket.ended(4408, timeout=6 * interval)
        assert 2.5 * interval <= time.monotonic() - started <= 4.5 * interval


def mute(protocol):
    """Makes the library's state machine send no pong: a client that hangs."""
    send = protocol.send_frame
    protocol.send_frame = lambda frame: None if frame.opcode is Opcode.PONG else send(frame)
