"""Time: deadlines, grace, pauses, extensions, accommodations, sections."""

import time

from conftest import Sitting
from harness.exams import decimal, exam, soon
from harness.server import person
from harness.wire import JSON


def test_time_ends_an_attempt_by_itself(serve, protocol):
    server = serve([exam("SHORT", available_until=soon(6))], [person("ann", "SHORT")])
    sitting = Sitting(server, "ann", "SHORT")
    with sitting.socket(protocol) as socket:
        welcome = socket.enter(sitting.token)
        attempt = welcome["attempt"]
        assert attempt["remaining_ms"] <= 6000
        socket.save("answer", 1, q="q1", value="b")
        submitted = socket.until("submitted")
        assert submitted["handed_in"] == "time"
        assert submitted["status"] == "graded"
        assert 0 <= submitted["at"] - attempt["deadline_at"] <= 2000
        assert decimal(submitted["result"]["score"]) == 2
        assert submitted["result"]["late"] is False
        socket.ended(1000)
    # What comes now comes too late.
    late = server.post(
        sitting.path("/exchange"),
        sitting.token,
        {"session": welcome["session"], "next_seq": 2,
         "commands": [{"t": "answer", "seq": 2, "q": "q1", "value": "c"}]},
    ).ok()  # fmt: skip
    assert [entry["code"] for entry in late["refused"]][0] in ("time_over", "closed")
    assert sitting.answers()["q1"]["value"] == "b"
    server.post("/api/v1/exams/SHORT/attempts", sitting.login, {}).problem(403, "closed")


def test_time_ends_an_attempt_with_nobody_there(serve):
    server = serve([exam("SHORT", available_until=soon(5))], [person("ann", "SHORT")])
    sitting = Sitting(server, "ann", "SHORT")
    with sitting.socket() as socket:
        socket.enter(sitting.token)
        socket.save("answer", 1, q="q6", value="an essay waits for a person")
    end = time.monotonic() + 25
    while (status := server.get(sitting.path(), sitting.token).ok()["status"]) == "in_progress":
        assert time.monotonic() < end
        time.sleep(0.2)
    assert status == "auto_submitted"
    receipt = server.get(sitting.path("/receipt"), sitting.token).ok()
    assert receipt["content"]["handed_in"] == "time"


def test_time_goes_on_while_the_engine_is_away(serve):
    server = serve([exam("SHORT", available_until=soon(4))], [person("ann", "SHORT")])
    sitting = Sitting(server, "ann", "SHORT")
    with sitting.socket() as socket:
        socket.enter(sitting.token)
        socket.save("answer", 1, q="q6", value="saved")
    server.kill()
    time.sleep(5)
    server.start()
    end = time.monotonic() + 25
    while server.get(sitting.path(), sitting.token).ok()["status"] == "in_progress":
        assert time.monotonic() < end
        time.sleep(0.2)
    assert sitting.answers()["q6"]["value"] == "saved"


def test_grace_takes_late_answers_at_a_price(serve):
    late = exam(
        "LATE", available_until=soon(4), grace_period_minutes=1, late_submission_penalty=0.1
    )
    server = serve([late], [person("ann", "LATE"), person("bob", "LATE")])
    ann, bob = Sitting(server, "ann", "LATE"), Sitting(server, "bob", "LATE")
    with ann.socket() as one, bob.socket() as two:
        attempt = one.enter(ann.token)["attempt"]
        assert attempt["grace_ms"] == 60_000
        two.enter(bob.token)
        one.save("answer", 1, q="q2", value=["a", "c", "e"])
        two.save("answer", 1, q="q2", value=["a", "c", "e"])
        two.send("submit", seq=2)
        in_time = two.until("submitted")["result"]
        time.sleep(max(0, attempt["deadline_at"] / 1000 - time.time()) + 0.5)
        one.send("heartbeat", n=1)
        assert one.until("pulse")["remaining_ms"] == 0
        one.save("answer", 2, q="q3", value=True)
        one.send("submit", seq=3)
        result = one.until("submitted")["result"]
    assert in_time["late"] is False and decimal(in_time["score"]) == 3
    assert result["late"] is True
    assert decimal(result["score"]) == decimal("3.6")
    assert decimal(result["penalty"]) == decimal("0.4")
    assert abs(decimal(result["percentage"]) - 12) < decimal("0.01")


def test_a_full_duration_may_be_owed(serve):
    owed = exam("OWED", available_until=soon(20), full_duration_after_close=True)
    sitting = Sitting(serve([owed], [person("ann", "OWED")]), "ann", "OWED")
    with sitting.socket() as socket:
        assert socket.enter(sitting.token)["attempt"]["remaining_ms"] > 3_500_000


def test_accommodations_make_it_longer(serve):
    people = [
        person("ann", "FULL", time_factor="1.5"),
        person("bob", "FULL", extra_minutes="7"),
        person("cyd", "FULL", time_factor="1.25", extra_minutes="10"),
        person("dan", "FULL"),
    ]
    server = serve([exam("FULL")], people)
    minutes = {"ann": 90, "bob": 67, "cyd": 85, "dan": 60}
    for id, expected in minutes.items():
        sitting = Sitting(server, id)
        with sitting.socket() as socket:
            attempt = socket.enter(sitting.token)["attempt"]
            left = expected * 60_000 - attempt["remaining_ms"]
            assert 0 <= left < 10_000, (id, attempt)


def test_pause_and_resume(sitting, protocol):
    with sitting.socket(protocol) as socket:
        welcome = socket.enter(sitting.token)
        socket.save("answer", 1, q="q1", value="a")
        result = sitting.command("pause", f"p-{sitting.attempt}", {"reason": "fire alarm"})
        assert result["done"] == 1 and result["failed"] == [] and result["total"] == 1
        assert socket.until("status")["status"] == "paused"
        socket.refuse("answer", 2, "paused", q="q1", value="b")
        socket.send("heartbeat", n=1)
        stopped = socket.until("pulse")
        time.sleep(1.5)
        socket.send("heartbeat", n=2)
        assert socket.until("pulse")["remaining_ms"] == stopped["remaining_ms"]
        assert sitting.server.get(sitting.path(), sitting.token).ok()["status"] == "paused"

        sitting.command("resume", f"r-{sitting.attempt}", {"reason": "over"})
        timing = socket.receive()
        assert (timing["t"], timing["reason"]) == ("timing", "resumed")
        assert timing["timing_rev"] > welcome["attempt"]["timing_rev"]
        assert timing["deadline_at"] >= welcome["attempt"]["deadline_at"] + 1500
        assert abs(timing["remaining_ms"] - stopped["remaining_ms"]) <= 2000
        status = socket.receive()
        assert (status["t"], status["status"]) == ("status", "in_progress")
        socket.save("answer", 3, q="q1", value="c")
    assert sitting.answers()["q1"] == {"value": "c", "flagged": False, "rev": 2}


def test_pause_outlives_a_break(sitting):
    with sitting.socket() as socket:
        socket.enter(sitting.token)
    sitting.command("pause", f"p-{sitting.attempt}", {"reason": "x"})
    with sitting.socket() as socket:
        assert socket.enter(sitting.token)["attempt"]["status"] == "paused"
        socket.refuse("answer", 1, "paused", q="q1", value="a")
    answer = sitting.exchange()
    assert answer["status"] == "paused"
    sitting.command("resume", f"r-{sitting.attempt}", {"reason": "x"})


def test_extend_moves_the_deadline(sitting, protocol):
    with sitting.socket(protocol) as socket:
        attempt = socket.enter(sitting.token)["attempt"]
        sitting.command("extend", f"e-{sitting.attempt}", {"ms": 300_000, "reason": "late start"})
        timing = socket.until("timing")
        assert timing["reason"] == "extended"
        assert timing["deadline_at"] == attempt["deadline_at"] + 300_000
        assert timing["timing_rev"] > attempt["timing_rev"]
        socket.send("heartbeat", n=1)
        assert socket.until("pulse")["remaining_ms"] > attempt["remaining_ms"] + 250_000
    with sitting.socket() as socket:
        again = socket.enter(sitting.token)["attempt"]
        assert again["deadline_at"] == timing["deadline_at"]
        assert again["timing_rev"] == timing["timing_rev"]


def test_a_section_with_a_time_limit_is_locked_after_it(serve):
    timed = exam("TIMED", shuffle_questions=False)
    timed["sections"][0]["time_limit_minutes"] = 1
    sitting = Sitting(serve([timed], [person("ann", "TIMED")]), "ann", "TIMED")
    with sitting.socket(JSON) as socket:
        welcome = socket.enter(sitting.token)
        assert welcome["section"]["id"] == "s1"
        assert 50_000 < welcome["section"]["remaining_ms"] <= 60_000
        paper = sitting.server.get(welcome["paper"]["url"], sitting.token).ok()
        assert paper["sections"][0]["time_limit_ms"] == 60_000
        assert paper["sections"][1].get("time_limit_ms") is None
        socket.save("answer", 1, q="q1", value="b")
        socket.send("heartbeat", n=1)
        assert socket.until("pulse")["section"]["id"] == "s1"
        status = socket.until("status", timeout=70)
        assert (status["status"], status["section"]) == ("in_progress", "s2")
        socket.refuse("answer", 2, "locked", q="q1", value="c")
        socket.save("answer", 3, q="q9", value=["w"])
    assert sitting.answers()["q1"] == {"value": "b", "flagged": False, "rev": 1}
