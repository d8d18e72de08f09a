"""A whole exam, as a candidate takes it: all ten types, breaks in between, the right grade."""

import pytest

from harness.exams import (
    CODE, ESSAY, PARTLY, PARTLY_SCORE, RIGHT, RIGHT_SCORE, check_result, decimal,
)  # fmt: skip
from harness.receipt import holds, verify
from harness.wire import JSON, MSGPACK


def finish(socket, seq):
    """Hands in; the message about it, after which the engine ends the socket."""
    socket.send("submit", seq=seq)
    submitted = socket.until("submitted")
    assert socket.ended(1000)[-1]["code"] == "finished"
    return submitted


@pytest.mark.parametrize(
    "answers, scores, total, percentage, grade, passed",
    [
        (RIGHT, RIGHT_SCORE, "19", "63.33", "D", True),
        (PARTLY, PARTLY_SCORE, "8.83", "29.44", "F", False),
        ({}, dict.fromkeys(RIGHT_SCORE, "0"), "0", "0", "F", False),
        ({"q1": "a"}, {**dict.fromkeys(RIGHT_SCORE, "0"), "q1": "-0.67"}, "0", "0", "F", False),
    ],
    ids=["right", "partly", "empty", "under-zero"],
)
def test_gets_the_grade_that_it_should(
    sitting, protocol, answers, scores, total, percentage, grade, passed
):
    with sitting.socket(protocol) as socket:
        socket.enter(sitting.token)
        for seq, (q, value) in enumerate(answers.items(), start=1):
            socket.save("answer", seq, q=q, value=value, spent_ms=1200)
        submitted = finish(socket, len(answers) + 1)
    assert submitted["handed_in"] == "candidate"
    assert submitted["status"] == "graded"
    check_result(submitted["result"], scores, total, percentage, grade, passed)

    result = sitting.server.get(sitting.path("/result"), sitting.login).ok()
    assert result["attempt"] == sitting.attempt
    assert result["status"] == "graded"
    check_result(result, scores, total, percentage, grade, passed)
    by_q = {entry["q"]: entry for entry in result["questions"]}
    for q, value in answers.items():
        assert by_q[q]["value"] == value
    content = verify(sitting.server.get(sitting.path("/receipt"), sitting.token).ok())
    assert holds(content, answers)
    assert content["candidate"] == sitting.id
    assert content["exam"] == "FULL"
    assert content["attempt"] == sitting.attempt


def test_waits_for_a_person_where_a_machine_cannot_mark(sitting, protocol):
    answers = {**RIGHT, "q6": ESSAY, "q7": CODE}
    with sitting.socket(protocol) as socket:
        socket.enter(sitting.token)
        for seq, (q, value) in enumerate(answers.items(), start=1):
            socket.save("answer", seq, q=q, value=value)
        submitted = finish(socket, len(answers) + 1)
    assert submitted["status"] == "submitted"
    result = sitting.server.get(sitting.path("/result"), sitting.server.login("teacher")).ok()
    assert result["grade"] is None
    assert result["needs_marking"]
    assert decimal(result["score"]) == 19
    scores = {entry["q"]: entry["score"] for entry in result["questions"]}
    assert scores["q6"] is None and scores["q7"] is None
    assert decimal(scores["q2"]) == 3
    assert holds(verify(sitting.server.get(sitting.path("/receipt"), sitting.login).ok()), answers)


def test_survives_breaks_repeats_gaps_and_both_ways_to_send(sitting):
    """One session over two encodings and `exchange`, as bad networks make them."""
    first = sitting.socket(JSON)
    welcome = first.enter(sitting.token)
    session = welcome["session"]
    assert welcome["resumed"] is False
    assert (welcome["saved_seq"], welcome["applied_seq"]) == (0, 0)
    order = welcome["paper"]["order"]
    first.save("answer", 1, q="q1", value="a")
    first.save("answer", 2, q="q1", value="b")
    # Out of order: the later one is refused and not used up.
    refused = first.refuse("answer", 4, "gap", q="q3", value=True)
    assert refused["detail"]["expected"] == 3
    first.save("answer", 3, q="q2", value=["c"])
    first.save("answer", 4, q="q3", value=True)
    first.connection.socket.close()

    # Back in the same session, over the other encoding, sending all again.
    second = sitting.socket(MSGPACK)
    welcome = second.enter(
        sitting.token, {"session": session, "next_seq": 5, "next_event": 1}
    )
    assert welcome["resumed"] is True
    assert welcome["session"] == session
    assert (welcome["saved_seq"], welcome["applied_seq"]) == (4, 4)
    assert welcome["paper"]["order"] == order
    second.send("answer", seq=4, q="q3", value=False)
    second.save("answer", 5, q="q4", value=RIGHT["q4"])
    assert sitting.answers()["q3"] == {"value": True, "flagged": False, "rev": 1}

    # The same session without a socket, while the socket is open.
    answer = sitting.exchange(
        session=session,
        next_seq=6,
        commands=[
            {"t": "answer", "seq": 5, "q": "q4", "value": None},
            {"t": "answer", "seq": 6, "q": "q2", "value": RIGHT["q2"]},
            {"t": "answer", "seq": 7, "q": "q5", "value": RIGHT["q5"]},
            {"t": "answer", "seq": 9, "q": "q8", "value": {}},
        ],
    )
    assert answer["session"] == session and answer["resumed"] is True
    assert (answer["saved_seq"], answer["applied_seq"]) == (7, 7)
    assert [(entry["seq"], entry["code"]) for entry in answer["refused"]] == [(9, "gap")]
    second.send("heartbeat", n=1)
    assert second.until("pulse")["saved_seq"] == 7
    second.save("answer", 8, q="q8", value=RIGHT["q8"])

    # Another device takes over: a session of its own, from 1 again.
    third = sitting.socket(JSON)
    welcome = third.enter(sitting.token)
    assert welcome["resumed"] is False and welcome["session"] != session
    assert (welcome["saved_seq"], welcome["applied_seq"]) == (0, 0)
    second.ended(4509)
    refused = third.refuse("answer", 1, "conflict", q="q2", value=["a"], base_rev=1)
    assert refused["detail"] == {"rev": 2, "value": RIGHT["q2"]}
    third.save("answer", 2, q="q9", value=RIGHT["q9"], base_rev=0)
    third.close()

    # The first device again, its session gone: nothing of it counts.
    back = sitting.socket(MSGPACK)
    welcome = back.enter(sitting.token, {"session": session, "next_seq": 9, "next_event": 1})
    assert welcome["resumed"] is False and welcome["session"] != session
    back.save("answer", 1, q="q10", value=RIGHT["q10"])
    submitted = finish(back, 2)
    check_result(submitted["result"], RIGHT_SCORE, "19", "63.33", "D", True)
    content = verify(sitting.server.get(sitting.path("/receipt"), sitting.token).ok())
    assert holds(content, RIGHT)
    revs = {entry["q"]: entry["rev"] for entry in content["answers"]}
    assert revs == {**dict.fromkeys(RIGHT, 1), "q1": 2, "q2": 2}


def test_by_exchange_alone(sitting):
    opened = sitting.exchange()
    session = opened["session"]
    assert opened["resumed"] is False
    assert (opened["saved_seq"], opened["applied_seq"]) == (0, 0)
    assert opened["status"] == "in_progress"
    assert opened["refused"] == []
    commands = [
        {"t": "answer", "seq": seq, "q": q, "value": value}
        for seq, (q, value) in enumerate(RIGHT.items(), start=1)
    ]
    half = sitting.exchange(session=session, next_seq=1, commands=commands[:4])
    assert half["saved_seq"] == 4 and half["resumed"] is True
    # The reply was lost: everything again, and the rest.
    whole = sitting.exchange(session=session, next_seq=5, commands=commands)
    assert whole["saved_seq"] == len(commands) and whole["refused"] == []
    assert whole["remaining_ms"] <= 3_600_000 and whole["deadline_at"] > 0
    assert isinstance(whole["timing_rev"], int) and isinstance(whole["notices"], list)
    end = len(commands) + 1
    done = sitting.exchange(session=session, next_seq=end, commands=[{"t": "submit", "seq": end}])
    assert done["status"] == "graded" and done["saved_seq"] == end
    result = sitting.server.get(sitting.path("/result"), sitting.token).ok()
    check_result(result, RIGHT_SCORE, "19", "63.33", "D", True)


def test_handing_in_again_gives_the_same_receipt(sitting, protocol):
    with sitting.socket(protocol) as socket:
        session = socket.enter(sitting.token)["session"]
        socket.save("answer", 1, q="q3", value=True)
        first = finish(socket, 2)
    receipt = sitting.server.get(sitting.path("/receipt"), sitting.token).ok()
    # The break came right after the hand-in.
    with sitting.socket(protocol) as socket:
        socket.hello(sitting.token, {"session": session, "next_seq": 3, "next_event": 1})
        again = socket.until("submitted")
        assert again["receipt"] == first["receipt"]
        assert again["at"] == first["at"]
        assert socket.ended(1000)[-1]["code"] == "finished"
    repeat = sitting.exchange(
        session=session, next_seq=3, commands=[{"t": "submit", "seq": 2}]
    )
    assert repeat["status"] == "graded"
    assert sitting.server.get(sitting.path("/receipt"), sitting.token).ok() == receipt
    # Who does not resume it comes too late.
    with sitting.socket(protocol) as socket:
        socket.hello(sitting.token)
        socket.ended(4510)


def test_nothing_counts_after_the_hand_in(sitting):
    opened = sitting.exchange()
    answer = sitting.exchange(
        session=opened["session"],
        next_seq=1,
        commands=[
            {"t": "answer", "seq": 1, "q": "q1", "value": "b"},
            {"t": "submit", "seq": 2},
            {"t": "answer", "seq": 3, "q": "q1", "value": "c"},
        ],
    )
    assert [(entry["seq"], entry["code"]) for entry in answer["refused"]] == [(3, "closed")]
    assert sitting.answers()["q1"]["value"] == "b"


def test_the_next_attempt_starts_from_nothing(sit):
    one = sit()
    with one.socket() as socket:
        socket.enter(one.token)
        socket.save("answer", 1, q="q1", value="b")
        finish(socket, 2)
    two = one.server.begin(one.login, "FULL", 201)
    assert two["attempt"] != one.attempt
    document = one.server.get(f"/api/v1/attempts/{two['attempt']}/answers", two["token"]).ok()
    assert document["answers"] == {}
