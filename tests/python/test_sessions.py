"""Who owns an attempt: breaks, second tabs, other devices, restarts of the engine."""

import pytest

from conftest import Sitting
from harness.exams import exam
from harness.server import person
from harness.wire import JSON, MSGPACK, Socket


def resume(welcome, next_seq, next_event=1):
    return {"session": welcome["session"], "next_seq": next_seq, "next_event": next_event}


def test_a_break_goes_on_where_it_stopped(sitting, protocol):
    with sitting.socket(protocol) as socket:
        first = socket.enter(sitting.token)
        socket.save("answer", 1, q="q1", value="a")
    with sitting.socket(protocol) as socket:
        second = socket.enter(sitting.token, resume(first, 3))
        assert second["resumed"] is True and second["session"] == first["session"]
        assert (second["saved_seq"], second["applied_seq"]) == (1, 1)
        socket.save("answer", 2, q="q1", value="b")
        socket.save("answer", 3, q="q1", value="c")
    assert sitting.answers()["q1"]["rev"] == 3


def test_a_lost_count_cannot_resume(sitting, protocol):
    with sitting.socket(protocol) as socket:
        welcome = socket.enter(sitting.token)
        for seq in (1, 2, 3):
            socket.save("answer", seq, q="q1", value="a")
    for next_seq in (1, 3):
        with sitting.socket(protocol) as socket:
            socket.hello(sitting.token, resume(welcome, next_seq))
            socket.ended(4500)
    with sitting.socket(protocol) as socket:
        assert socket.enter(sitting.token, resume(welcome, 4))["resumed"] is True


def test_a_new_session_takes_over(sitting, protocol):
    first = sitting.socket(protocol)
    one = first.enter(sitting.token)
    first.save("answer", 1, q="q1", value="a")
    with sitting.socket(protocol) as second:
        two = second.enter(sitting.token)
        assert two["resumed"] is False and two["session"] != one["session"]
        assert (two["saved_seq"], two["applied_seq"]) == (0, 0)
        assert first.ended(4509)[-1]["code"] == "superseded"
        second.save("answer", 1, q="q1", value="b", base_rev=1)
    assert sitting.answers()["q1"] == {"value": "b", "flagged": False, "rev": 2}


def test_a_second_socket_of_the_same_session_takes_it_over(sitting, protocol):
    first = sitting.socket(protocol)
    one = first.enter(sitting.token)
    first.save("answer", 1, q="q1", value="a")
    with sitting.socket(protocol) as second:
        two = second.enter(sitting.token, resume(one, 2))
        assert two["resumed"] is True and two["session"] == one["session"]
        first.ended(4509)
        second.save("answer", 2, q="q1", value="b")


def test_a_session_that_never_was_starts_a_new_one(sitting):
    with sitting.socket() as socket:
        welcome = socket.enter(
            sitting.token, {"session": "no-such-session", "next_seq": 9, "next_event": 1}
        )
        assert welcome["resumed"] is False
        socket.save("answer", 1, q="q1", value="a")


def test_another_candidates_session_is_not_resumed(sit):
    mine, theirs = sit(), sit()
    with mine.socket() as socket, theirs.socket() as other:
        welcome = socket.enter(mine.token)
        got = other.enter(theirs.token, resume(welcome, 1))
        assert got["resumed"] is False
        assert got["attempt"]["id"] == theirs.attempt
        socket.save("answer", 1, q="q1", value="a")


def test_unsaved_answers_are_issued_again_with_their_base(sitting):
    """What a client does whose session was taken over by another device."""
    with sitting.socket() as socket:
        socket.enter(sitting.token)
        socket.save("answer", 1, q="q1", value="a")
    with sitting.socket() as elsewhere:
        elsewhere.enter(sitting.token)
        elsewhere.save("answer", 1, q="q1", value="b", base_rev=1)
    with sitting.socket() as socket:
        socket.enter(sitting.token)
        refused = socket.refuse("answer", 1, "conflict", q="q1", value="c", base_rev=1)
        assert refused["detail"] == {"rev": 2, "value": "b"}
        socket.save("answer", 2, q="q3", value=True, base_rev=0)
    timeline = sitting.server.get(
        sitting.path("/timeline?limit=1000"), sitting.server.login("teacher")
    ).ok()
    # The text that was refused is not lost: staff can find it.
    assert '"c"' in str(timeline).replace("'", '"')


def test_reject_keeps_a_second_device_out_until_it_is_released(sit):
    sitting = sit("REJECT")
    first = sitting.socket()
    welcome = first.enter(sitting.token)
    with sitting.socket() as second:
        second.hello(sitting.token)
        bye = second.ended(4503)[-1]
        assert bye["code"] == "forbidden"
        assert "another_device" in bye["detail"]
    first.save("answer", 1, q="q1", value="a")
    first.close()
    # The first device comes back; the second still does not get in.
    with sitting.socket() as again:
        assert again.enter(sitting.token, resume(welcome, 2))["resumed"] is True
    with sitting.socket() as second:
        second.hello(sitting.token)
        second.ended(4503)
    sitting.server.post(sitting.path("/exchange"), sitting.token, {}).problem(403)
    result = sitting.command("release", f"release-{sitting.id}", {"reason": "new computer"})
    assert result["done"] == 1 and result["failed"] == []
    with sitting.socket() as second:
        assert second.enter(sitting.token)["resumed"] is False
        second.save("answer", 1, q="q1", value="b")


def test_an_older_token_stays_valid(sitting):
    again = sitting.server.begin(sitting.login, "FULL", 200)
    assert again["attempt"] == sitting.attempt
    for token in (sitting.token, again["token"]):
        with sitting.socket() as socket:
            socket.enter(token)


def test_exchange_and_sockets_take_an_attempt_from_each_other(sitting):
    with sitting.socket() as socket:
        one = socket.enter(sitting.token)
        socket.save("answer", 1, q="q1", value="a")
        two = sitting.exchange(commands=[{"t": "answer", "seq": 1, "q": "q1", "value": "b"}])
        assert two["resumed"] is False and two["session"] != one["session"]
        assert (two["saved_seq"], two["refused"]) == (1, [])
        socket.ended(4509)
    # The session that lost it does nothing any more.
    body = {"session": one["session"], "next_seq": 2, "commands": [
        {"t": "answer", "seq": 2, "q": "q1", "value": "c"}
    ]}  # fmt: skip
    sitting.server.post(sitting.path("/exchange"), sitting.token, body).problem(409, "superseded")
    assert sitting.answers()["q1"] == {"value": "b", "flagged": False, "rev": 2}
    with sitting.socket() as socket:
        three = socket.enter(sitting.token, resume(two, 2))
        assert three["resumed"] is True and three["session"] == two["session"]
        socket.save("answer", 2, q="q1", value="d")


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_restart_of_the_engine_loses_nothing(serve, how):
    server = serve([exam("FULL")], [person("ann", "FULL")])
    sitting = Sitting(server, "ann")
    socket = sitting.socket()
    before = socket.enter(sitting.token)
    for seq in range(1, 51):
        socket.send("answer", seq=seq, q="q6", value=f"text {seq}")
    while socket.until("saved")["seq"] < 50:
        pass
    socket.save("flag", 51, q="q1", on=True)
    server.restart(how)
    if how == "stop":
        bye = socket.ended(1001)[-1]
        assert bye["code"] == "draining"
    with Socket(server, MSGPACK) as socket:
        after = socket.enter(sitting.token, resume(before, 52))
        assert after["resumed"] is True and after["session"] == before["session"]
        assert (after["saved_seq"], after["applied_seq"]) == (51, 51)
        assert after["paper"] == before["paper"]
        old, new = before["attempt"], after["attempt"]
        assert new["started_at"] == old["started_at"]
        # Time that the engine was away is given back, never taken.
        assert new["deadline_at"] >= old["deadline_at"]
        socket.save("answer", 52, q="q1", value="b")
    stored = sitting.answers()
    assert stored["q6"] == {"value": "text 50", "flagged": False, "rev": 50}
    assert stored["q1"] == {"value": "b", "flagged": True, "rev": 1}
    server.get("/api/v1/exams", sitting.login).ok()


def test_ending_the_engine_lets_sockets_go(serve):
    server = serve([exam("FULL")], [person(f"p{number}", "FULL") for number in range(5)])
    sockets = []
    for number in range(5):
        sitting = Sitting(server, f"p{number}")
        sockets.append(sitting.socket(JSON if number % 2 else MSGPACK))
        sockets[-1].enter(sitting.token)
        sockets[-1].send("answer", seq=1, q="q1", value="a")
    server.stop()
    for socket in sockets:
        assert socket.ended(1001)[-1]["code"] == "draining"
