"""The proctor's socket: boards, incidents, commands and who may see what."""

import time

import pytest

from conftest import Sitting
from harness.exams import exam
from harness.server import person
from harness.wire import JSON, MSGPACK, Console

RULES = [
    {"kind": "focus_lost", "severity": "medium", "limit": 3, "within_seconds": 600, "then": "warn"},
    {"kind": "face_multiple", "severity": "high", "limit": 1, "then": "flag"},
    {"kind": "phone", "severity": "critical", "limit": 1, "then": "pause"},
    {"kind": "x-gone", "severity": "critical", "limit": 1, "then": "cancel"},
]
WATCHED = {"enabled": True, "heartbeat_seconds": 10, "rules": RULES}


@pytest.fixture(scope="module")
def hall(tmp_path_factory):
    """An engine whose exams are watched by two proctors, one of them of one exam only."""
    from harness.server import Server

    people = [person(f"c{number}", "WATCH;ASIDE") for number in range(60)]
    people += [person("pat", "WATCH", "proctor"), person("pia", "*", "proctor")]
    exams = [exam("WATCH", proctoring=WATCHED), exam("ASIDE", proctoring=WATCHED)]
    folder = tmp_path_factory.mktemp("hall")
    with Server(folder, exams, people) as running:
        running.taken = 0
        yield running


@pytest.fixture
def sit(hall):
    def begin(code="WATCH"):
        hall.taken += 1
        return Sitting(hall, f"c{hall.taken}", code)

    return begin


@pytest.fixture
def console(hall, protocol):
    with Console(hall, protocol) as console:
        console.enter(hall.login("pat"))
        yield console


def event(socket, n, kind, **fields):
    socket.send("event", n=n, kind=kind, at=int(time.time() * 1000), **fields)


def test_hello_says_who_and_what(hall, protocol):
    with Console(hall, protocol) as console:
        welcome = console.enter(hall.login("pat"))
        assert welcome["user"] == {"id": "pat", "name": "Name of pat", "roles": ["proctor"]}
        assert [one["code"] for one in welcome["exams"]] == ["WATCH"]
        assert welcome["exams"][0]["title"] == "Title of WATCH"
        assert abs(welcome["now_at"] - time.time() * 1000) < 5000
        console.send("heartbeat", n=7)
        assert console.until("pulse")["n"] == 7


def test_nobody_else_gets_a_console(hall, sit):
    sitting = sit()
    for token, code in [("nonsense", 4501), (sitting.token, 4501), (sitting.login, 4503)]:
        with Console(hall) as console:
            console.hello(token)
            console.ended(code)
    with Console(hall) as console:
        console.send("watch", exam="WATCH")
        console.ended(4500)
    with Console(hall) as console:
        console.enter(hall.login("pat"))
        console.send("hello", token=hall.login("pat"))
        console.ended(4500)


def test_the_board_shows_what_a_candidate_does(hall, sit, console):
    sitting = sit()
    row = console.watch("WATCH")[sitting.attempt]
    assert row["candidate"] == {"id": sitting.id, "name": f"Name of {sitting.id}"}
    assert (row["status"], row["online"], row["answered"]) == ("started", False, 0)
    assert row["questions"] == 10
    with sitting.socket() as socket:
        deadline = socket.enter(sitting.token)["attempt"]["deadline_at"]
        row = console.sees(sitting.attempt, online=True, status="in_progress")
        assert row["deadline_at"] == deadline
        assert row["node"]
        socket.save("answer", 1, q="q3", value=True)
        console.sees(sitting.attempt, answered=1)
        socket.send("heartbeat", n=1, q="q2", visible=True, focused=True, rtt_ms=12)
        row = console.sees(sitting.attempt, q="q2", rtt_ms=12)
        assert abs(row["last_seen_at"] - time.time() * 1000) < 5000
        socket.save("answer", 2, q="q3", value=None)
        console.sees(sitting.attempt, answered=0)
    console.sees(sitting.attempt, online=False)
    sitting.exchange(commands=[{"t": "submit", "seq": 1}])
    # In no node's memory any more: a null says so.
    console.sees(sitting.attempt, node=None)
    row = console.sees(sitting.attempt, status="graded")
    # A console that comes later sees the same.
    with Console(hall, MSGPACK) as late:
        late.enter(hall.login("pia"))
        assert late.watch("WATCH")[sitting.attempt]["status"] == "graded"
        assert late.totals["attempts"] == len(late.rows)


def test_an_attempt_that_starts_meanwhile_appears(sit, console):
    console.watch("WATCH")
    sitting = sit()
    row = console.sees(sitting.attempt, status="started", online=False)
    assert row["candidate"]["id"] == sitting.id


def test_deltas_come_at_most_four_times_a_second_and_say_only_what_changed(sit, console):
    sitting = sit()
    console.watch("WATCH")
    with sitting.socket() as socket:
        socket.enter(sitting.token)
        console.sees(sitting.attempt, online=True)
        begun = time.monotonic()
        for seq in range(1, 41):
            socket.save("answer", seq, q="q3", value=seq % 2 == 0)
        deltas = [one for one in console.quiet(2) if one["t"] == "delta"]
        seconds = time.monotonic() - begun
        assert 1 <= len(deltas) <= 4 * seconds + 1
        for delta in deltas:
            for row in delta["rows"]:
                assert set(row) <= {"attempt", "answered", "last_seen_at", "risk", "incidents"}


def test_a_rule_warns_and_the_proctor_sees_one_incident(sit, console):
    sitting = sit()
    console.watch("WATCH")
    with sitting.socket() as socket:
        socket.enter(sitting.token)
        for n in range(1, 8):
            event(socket, n, "focus_lost")
        assert socket.until("event_ack", n=7)
        notices = [one for one in socket.heard + socket.quiet(0.5) if one["t"] == "notice"]
        assert [one["level"] for one in notices] == ["warning", "warning"]
        incident = console.until("incident", attempt=sitting.attempt)["incident"]
        assert (incident["kind"], incident["severity"]) == ("focus_lost", "medium")
        assert incident["open"] is True
        row = console.sees(
            sitting.attempt, incidents={"low": 0, "medium": 1, "high": 0, "critical": 0}
        )
        assert 0 < row["risk"] <= 100
        console.send("inspect", attempt=sitting.attempt, on=True)
        detail = console.until("detail")
        assert [one["events"] for one in detail["incidents"]] == [7]
        assert detail["risk"][0]["kind"] == "focus_lost"
        # The same number again is the same event.
        event(socket, 7, "focus_lost")
        socket.until("event_ack")
        console.send("inspect", attempt=sitting.attempt, on=True)
        assert [one["events"] for one in console.until("detail")["incidents"]] == [7]


def test_a_rule_flags_pauses_and_cancels(sit, console):
    sitting = sit()
    console.watch("WATCH")
    with sitting.socket() as socket:
        socket.enter(sitting.token)
        event(socket, 1, "face_multiple")
        assert socket.until("notice")["level"] == "urgent"
        console.sees(sitting.attempt, flagged=True)
        event(socket, 2, "phone")
        assert socket.until("status")["status"] == "paused"
        console.sees(sitting.attempt, status="paused")
        # What happens in a pause is recorded, and held against nobody.
        event(socket, 3, "x-gone")
        socket.until("event_ack", n=3)
        result = console.does("resume", f"r-{sitting.attempt}", {"attempt": sitting.attempt})
        assert result["done"] == 1
        assert socket.until("status")["status"] == "in_progress"
        event(socket, 4, "x-gone")
        assert socket.until("status")["status"] == "cancelled"
        socket.ended(4510)
        console.sees(sitting.attempt, status="cancelled")


def test_events_of_a_lobby_or_without_a_rule_lead_to_nothing(sit, console):
    sitting = sit()
    console.watch("WATCH")
    with sitting.socket() as socket:
        socket.enter(sitting.token)
        for n, kind in enumerate(["focus_gained", "x-mine", "page_visible"], start=1):
            event(socket, n, kind)
        socket.until("event_ack", n=3)
        socket.save("answer", 1, q="q3", value=True)
        row = console.sees(sitting.attempt, answered=1)
        assert row["risk"] == 0
        assert set(row["incidents"].values()) == {0}


def test_absurd_events_break_nothing(sit, console):
    sitting = sit()
    console.watch("WATCH")
    with sitting.socket() as socket:
        socket.enter(sitting.token)
        for n, at in enumerate([0, -(2**62), 2**62, 2**63 - 1, 4102444800000], start=1):
            socket.send("event", n=n, kind="copy", at=at, data={"a": [None, {"b": 1e300}]})
        socket.until("event_ack", n=5)
        event(socket, 6, "x-" + "y" * 60, data={"deep": [[[[[[[[]]]]]]]]})
        socket.until("event_ack", n=6)
        socket.save("answer", 1, q="q3", value=True)
    kinds = [one["kind"] for one in timeline(sitting)]
    assert "clock_skewed" in kinds


def timeline(sitting):
    path = sitting.path("/timeline?limit=1000")
    return sitting.server.get(path, sitting.server.login("teacher")).ok()["events"]


def test_a_flood_of_events_is_dropped_and_counted_and_not_judged(sit, console):
    sitting = sit()
    console.watch("WATCH")
    with sitting.socket() as socket:
        socket.enter(sitting.token)
        for n in range(1, 91):
            event(socket, n, "focus_lost")
        dropped = 0
        while True:
            ack = socket.until("event_ack")
            dropped += ack.get("dropped", 0)
            if ack["n"] == 90:
                break
        assert dropped >= 30
        console.send("inspect", attempt=sitting.attempt, on=True)
        (incident,) = console.until("detail")["incidents"]
        assert incident["events"] + dropped == 90


def test_another_device_and_address_are_noticed(sit, console):
    sitting = sit()
    console.watch("WATCH")
    with sitting.socket() as one:
        one.enter(sitting.token)
        with sitting.socket() as other:
            other.enter(sitting.token)
            one.ended(4509)
            incident = console.until("incident", attempt=sitting.attempt)["incident"]
            assert (incident["kind"], incident["then"]) == ("session_taken_over", "note")


def test_one_device_for_two_candidates_is_noticed(sit, console):
    console.watch("WATCH")
    one, other = sit(), sit()
    client = {"name": "page", "version": "1", "device": f"device-{one.attempt}"}
    with one.socket() as first, other.socket() as second:
        first.send("hello", token=one.token, client=client)
        first.until("welcome")
        second.send("hello", token=other.token, client=client)
        second.until("welcome")
        incident = console.until("incident", attempt=other.attempt)["incident"]
        assert incident["kind"] == "device_shared"


def test_answers_faster_than_anybody_reads_are_noticed(hall, sit, console):
    console.watch("WATCH")
    sitting = sit()
    with sitting.socket() as socket:
        socket.enter(sitting.token)
        order = [("q3", True), ("q1", "a"), ("q2", ["a"]), ("q5", "x"), ("q6", "y")]
        for seq, (q, value) in enumerate(order, start=1):
            socket.send("answer", seq=seq, q=q, value=value)
        socket.until("saved", seq=5)
        kinds = [one["kind"] for one in timeline(sitting)]
        # Whether five in a row were too fast depends on how long the questions are.
        assert kinds.count("answer_too_fast") <= 1


def test_commands_reach_the_candidate_and_are_done_once(sit, console):
    sitting = sit()
    target = {"attempt": sitting.attempt}
    console.watch("WATCH")
    with sitting.socket() as socket:
        deadline = socket.enter(sitting.token)["attempt"]["deadline_at"]
        for _ in range(3):
            result = console.does("extend", f"e-{sitting.attempt}", target, ms=60_000, reason="x")
            assert result == {
                "t": "result", "id": f"e-{sitting.attempt}", "done": 1, "failed": [], "total": 1,
            }  # fmt: skip
        timing = socket.until("timing")
        assert (timing["deadline_at"], timing["reason"]) == (deadline + 60_000, "extended")
        console.sees(sitting.attempt, deadline_at=deadline + 60_000)
        assert [one["t"] for one in socket.quiet(0.5)] == []
        # The id is used: another body is refused.
        console.send("command", id=f"e-{sitting.attempt}", target=target, action="pause", args={})
        assert console.until("error")["code"] == "conflict"
        result = console.does("resume", f"r-{sitting.attempt}", target)
        assert [one["code"] for one in result["failed"]] == ["not_paused"]


def test_who_received_and_who_acknowledged_is_told(sit, console):
    here, away = sit(), sit()
    console.watch("WATCH")
    id = f"m-{here.attempt}"
    with here.socket() as socket:
        socket.enter(here.token)
        target = {"attempts": [here.attempt, away.attempt]}
        assert console.does("message", id, target, text="Hello", ack=True)["done"] == 2
        notice = socket.until("notice")
        assert (notice["text"], notice["from"]) == ("Hello", "Name of pat")
        console.until("receipt", id=id, delivered=1, acknowledged=0, total=2)
        socket.send("notice_ack", id=notice["id"])
        console.until("receipt", id=id, delivered=1, acknowledged=1)
    with away.socket() as socket:
        assert [one["text"] for one in socket.enter(away.token)["notices"]] == ["Hello"]
        console.until("receipt", id=id, delivered=2, acknowledged=1)


def told(console, sitting):
    """The newest that was heard of an attempt's incidents: ahead of the result."""
    heard = [one for one in console.heard if one["t"] == "incident"]
    return [one for one in heard if one["attempt"] == sitting.attempt][-1]["incident"]


def test_incidents_are_assigned_and_resolved(sit, console):
    sitting = sit()
    target = {"attempt": sitting.attempt}
    console.watch("WATCH")
    with sitting.socket() as socket:
        socket.enter(sitting.token)
        event(socket, 1, "face_multiple")
        incident = console.until("incident", attempt=sitting.attempt)["incident"]["id"]
        id = f"i-{sitting.attempt}"
        assert console.does("assign", f"{id}a", target, incident=incident, to="pat")["done"] == 1
        assert told(console, sitting)["assigned_to"] == "pat"
        args = {"incident": incident, "verdict": "dismissed", "note": "a mirror"}
        assert console.does("resolve", id, target, **args)["done"] == 1
        told_last = told(console, sitting)
        end = (told_last["open"], told_last["verdict"], told_last["note"])
        assert end == (False, "dismissed", "a mirror")
        console.sees(sitting.attempt, risk=0)
        result = console.does("resolve", f"{id}b", target, incident="i999", verdict="x")
        assert [one["code"] for one in result["failed"]] == ["unknown_incident"]
        console.send("command", id=f"{id}c", target=target, action="resolve", args={})
        assert console.until("error")["code"] == "bad_command"


def test_a_proctor_sees_that_an_answer_came_and_not_which(sit, console):
    sitting = sit()
    console.watch("WATCH")
    console.send("inspect", attempt=sitting.attempt, on=True)
    console.until("detail")
    with sitting.socket() as socket:
        socket.enter(sitting.token)
        socket.save("answer", 1, q="q3", value=True)
    entry = console.until("event", attempt=sitting.attempt)["event"]
    while entry["kind"] != "answer":
        entry = console.until("event", attempt=sitting.attempt)["event"]
    assert entry["data"]["q"] == "q3"
    assert "value" not in entry["data"]
    path = sitting.path("/timeline?limit=1000")

    def answers(who):
        events = sitting.server.get(path, sitting.server.login(who)).ok()["events"]
        return [one["data"] for one in events if one["kind"] == "answer"]

    assert ["value" in one for one in answers("teacher")] == [True]
    assert ["value" in one for one in answers("proctor")] == [False]


def test_inspecting_shows_what_happens(sit, console):
    sitting = sit()
    console.watch("WATCH")
    console.send("inspect", attempt=sitting.attempt, on=True)
    detail = console.until("detail")
    assert detail["row"]["candidate"]["id"] == sitting.id
    with sitting.socket() as socket:
        socket.enter(sitting.token)
        socket.save("answer", 1, q="q3", value=True)
        event(socket, 1, "copy", data={"chars": 3})
        socket.until("event_ack")
        entry = console.until("event", attempt=sitting.attempt)["event"]
        while entry["kind"] != "copy":
            entry = console.until("event", attempt=sitting.attempt)["event"]
        assert entry["data"]["data"] == {"chars": 3}
        kinds = [one["event"]["kind"] for one in console.heard if one["t"] == "event"]
        console.send("inspect", attempt=sitting.attempt, on=False)
        console.send("heartbeat", n=1)
        console.until("pulse")
        socket.save("answer", 2, q="q3", value=False)
        assert "event" not in [one["t"] for one in console.quiet(0.6)]
    console.send("inspect", attempt="999999", on=True)
    assert console.until("error")["code"] == "forbidden"
    assert kinds is not None


def test_scope(hall, sit, console):
    aside = sit("ASIDE")
    console.send("watch", exam="ASIDE")
    assert console.until("error")["code"] == "forbidden"
    console.send("watch", exam="NOWHERE")
    assert console.until("error")["code"] == "forbidden"
    console.watch("WATCH")
    console.send("inspect", attempt=aside.attempt, on=True)
    assert console.until("error")["code"] == "forbidden"
    result = console.does("pause", f"p-{aside.attempt}", {"attempt": aside.attempt})
    assert [one["code"] for one in result["failed"]] == ["forbidden"]
    console.send("command", id="all", target={"exam": "ASIDE"}, action="pause", args={})
    assert console.until("error")["code"] == "forbidden"
    result = console.does("pause", f"n-{aside.attempt}", {"attempts": ["1e9", "no", "-1"]})
    assert [one["code"] for one in result["failed"]] == ["forbidden"] * 3
    # What happens there is not heard here.
    with aside.socket() as socket:
        socket.enter(aside.token)
        event(socket, 1, "face_multiple")
        socket.until("notice")
        heard = console.quiet(0.6)
        assert not [one for one in heard if one.get("exam") == "ASIDE"]


def test_proctors_see_each_other(hall, sit, console):
    sitting = sit()
    console.watch("WATCH")
    with Console(hall) as other:
        other.enter(hall.login("pia"))
        other.watch("WATCH")
        seen = console.until("presence", exam="WATCH")["proctors"]
        while len(seen) < 2:
            seen = console.until("presence", exam="WATCH")["proctors"]
        assert sorted(one["id"] for one in seen) == ["pat", "pia"]
        other.send("inspect", attempt=sitting.attempt, on=True)
        seen = console.until("presence", exam="WATCH")["proctors"]
        assert seen[1]["inspects"] == [sitting.attempt]
        other.does("flag", f"f-{sitting.attempt}", {"attempt": sitting.attempt}, reason="look")
        action = console.until("action")
        assert (action["by"], action["action"], action["reason"]) == ("pia", "flag", "look")
        console.sees(sitting.attempt, flagged=True)
    seen = console.until("presence", exam="WATCH")["proctors"]
    while len(seen) > 1:
        seen = console.until("presence", exam="WATCH")["proctors"]


def test_unwatch_ends_it(sit, console):
    sitting = sit()
    console.watch("WATCH")
    console.send("unwatch", exam="WATCH")
    console.send("heartbeat", n=1)
    console.until("pulse")
    with sitting.socket() as socket:
        socket.enter(sitting.token)
        assert console.quiet(0.6) == []
    assert console.watch("WATCH")[sitting.attempt]["answered"] == 0


def test_a_whole_exam_is_paused_and_gets_its_time_back(serve):
    people = [person(f"c{number}", "E") for number in range(5)]
    people.append(person("pat", "E", "proctor"))
    server = serve([exam("E")], people)
    sittings = [Sitting(server, f"c{number}", "E") for number in range(5)]
    sockets = [sitting.socket() for sitting in sittings]
    deadlines = [
        socket.enter(sitting.token)["attempt"]["deadline_at"]
        for socket, sitting in zip(sockets, sittings)
    ]
    with Console(server) as console:
        console.enter(server.login("pat"))
        console.watch("E")
        assert console.does("pause", "fire", {"exam": "E"}, reason="fire alarm")["done"] == 5
        for socket in sockets:
            assert socket.until("status")["reason"] == "fire alarm"
        time.sleep(1)
        # A pause survives the death of the engine, which tells the console to come back.
        server.restart("kill")
    sockets = [sitting.socket() for sitting in sittings]
    for socket, sitting in zip(sockets, sittings):
        assert socket.enter(sitting.token)["attempt"]["status"] == "paused"
    with Console(server) as console:
        console.enter(server.login("pat"))
        rows = console.watch("E")
        assert {row["status"] for row in rows.values()} == {"paused"}
        assert console.does("resume", "over", {"exam": "E"})["done"] == 5
        assert console.does("extend", "more", {"exam": "E"}, ms=60_000)["done"] == 5
        for socket, sitting, before in zip(sockets, sittings, deadlines):
            row = console.sees(sitting.attempt, status="in_progress")
            socket.until("timing", reason="extended")
            assert row["deadline_at"] is not None
            console.send("heartbeat", n=1)
            console.until("pulse")
            assert console.rows[sitting.attempt]["deadline_at"] >= before + 61_000
        # The ids of before the restart are known still.
        assert console.does("pause", "fire", {"exam": "E"}, reason="fire alarm")["done"] == 5
        time.sleep(0.5)
        assert {row["status"] for row in console.rows.values()} == {"in_progress"}
    for socket in sockets:
        socket.close()


def test_a_proctor_who_signs_out_loses_the_commands(hall, sit):
    sitting = sit()
    token = hall.login("pat")
    with Console(hall, JSON) as console:
        console.enter(token)
        console.watch("WATCH")
        assert hall.post("/api/v1/logout", token).status == 204
        target = {"attempt": sitting.attempt}
        console.send("command", id="late", target=target, action="pause", args={})
        console.ended(4501)


def test_unknown_and_broken_frames(hall, console):
    console.send("dance")
    assert console.until("error")["code"] == "unknown_message"
    console.send("watch")
    console.ended(4500)


def test_incidents_of_an_exam_are_listed_by_cursor(hall, sit, console):
    sittings = [sit() for _ in range(3)]
    console.watch("WATCH")
    for sitting in sittings:
        with sitting.socket() as socket:
            socket.enter(sitting.token)
            event(socket, 1, "face_multiple")
            socket.until("notice")
    token = hall.login("pat")

    def page(query):
        return hall.get(f"/api/v1/exams/WATCH/incidents?{query}", token).ok()

    found, cursor = [], None
    while True:
        part = page(f"limit=2&before={cursor}" if cursor else "limit=2")
        found += part["incidents"]
        cursor = part["next"]
        if cursor is None:
            break
        assert len(part["incidents"]) == 2
    ours = [one for one in found if one["attempt"] in {s.attempt for s in sittings}]
    assert [one["attempt"] for one in ours] == [s.attempt for s in reversed(sittings)]
    assert ours[0]["candidate"] == sittings[-1].id
    assert ours[0]["incident"]["kind"] == "face_multiple"
    assert found == page("limit=1000")["incidents"]

    first = ours[0]
    args = {"incident": first["incident"]["id"], "verdict": "dismissed"}
    console.does("resolve", f"list-{first['attempt']}", {"attempt": first["attempt"]}, **args)
    assert first["attempt"] not in [one["attempt"] for one in page("open=true")["incidents"]]
    hall.get("/api/v1/exams/WATCH/incidents?before=x", token).problem(400)
    hall.get("/api/v1/exams/WATCH/events", token).problem(404)
    stranger = hall.login(sittings[0].id)
    assert hall.get("/api/v1/exams/WATCH/incidents", stranger).status in (403, 404)
