"""Staff: commands, results, timelines, and what they may not see."""

import csv
import io
import json

import pytest

from conftest import Sitting
from harness.exams import PARTLY, RIGHT, decimal, exam
from harness.server import person

HEADER = (
    "attempt,candidate_id,candidate_name,status,started_at,submitted_at,score,max_score,"
    "percentage,grade,passed,late"
)


def take(sitting, answers, submit=True):
    commands = [
        {"t": "answer", "seq": seq, "q": q, "value": value}
        for seq, (q, value) in enumerate(answers.items(), start=1)
    ]
    if submit:
        commands.append({"t": "submit", "seq": len(commands) + 1})
    assert sitting.exchange(commands=commands)["refused"] == []


def test_a_message_reaches_the_candidate(sitting, protocol):
    with sitting.socket(protocol) as socket:
        socket.enter(sitting.token)
        sitting.command(
            "message",
            f"m-{sitting.attempt}",
            {"text": "Ten minutes left \u23f0", "level": "urgent", "ack": True},
        )
        notice = socket.until("notice")
        assert notice["text"] == "Ten minutes left \u23f0"
        assert (notice["level"], notice["ack"]) == ("urgent", True)
    # Not acknowledged: it comes again with the next welcome.
    with sitting.socket(protocol) as socket:
        notices = socket.enter(sitting.token)["notices"]
        assert [entry["id"] for entry in notices] == [notice["id"]]
        socket.send("notice_ack", id=notice["id"])
        socket.save("flag", 1, q="q1", on=True)
    with sitting.socket(protocol) as socket:
        assert socket.enter(sitting.token)["notices"] == []


def test_a_message_waits_for_who_is_away(sitting):
    sitting.command("message", f"m-{sitting.attempt}", {"text": "hello", "level": "info",
                                                        "ack": False})  # fmt: skip
    with sitting.socket() as socket:
        assert [entry["text"] for entry in socket.enter(sitting.token)["notices"]] == ["hello"]
    with sitting.socket() as socket:
        assert socket.enter(sitting.token)["notices"] == []


def test_submit_by_staff_ends_the_attempt(sitting, protocol):
    with sitting.socket(protocol) as socket:
        socket.enter(sitting.token)
        socket.save("answer", 1, q="q1", value="b")
        result = sitting.command("submit", f"s-{sitting.attempt}", {"reason": "ill"})
        assert result["done"] == 1
        submitted = socket.until("submitted")
        assert submitted["handed_in"] == "staff"
        assert decimal(submitted["result"]["score"]) == 2
        socket.ended(1000)
    for action in ("pause", "resume", "extend", "submit", "cancel"):
        args = {"reason": "x", **({"ms": 1000} if action == "extend" else {})}
        result = sitting.command(action, f"{action}-{sitting.attempt}", args)
        assert result["done"] == 0 and result["total"] == 1
        failed = result["failed"]
        assert [(f["attempt"], f["code"]) for f in failed] == [(sitting.attempt, "closed")]


def test_cancel_voids_the_attempt(sitting, protocol):
    with sitting.socket(protocol) as socket:
        socket.enter(sitting.token)
        socket.save("answer", 1, q="q1", value="b")
        sitting.command("cancel", f"c-{sitting.attempt}", {"reason": "cheating"})
        assert socket.until("status")["status"] == "cancelled"
        assert socket.ended(4510)[-1]["code"] == "closed"
    with sitting.socket(protocol) as socket:
        socket.hello(sitting.token)
        socket.ended(4510)
    assert sitting.server.get(sitting.path(), sitting.token).ok()["status"] == "cancelled"


def test_resume_needs_a_pause(sitting):
    sitting.exchange()
    result = sitting.command("resume", f"r-{sitting.attempt}", {"reason": "x"})
    assert result["done"] == 0
    assert [entry["code"] for entry in result["failed"]] == ["not_paused"]


def test_a_command_is_done_once(sitting):
    with sitting.socket() as socket:
        attempt = socket.enter(sitting.token)["attempt"]
        body = {"ms": 60_000, "reason": "x"}
        id = f"once-{sitting.attempt}"
        first = sitting.command("extend", id, body)
        assert sitting.command("extend", id, body) == first
        timing = socket.until("timing")
        assert timing["deadline_at"] == attempt["deadline_at"] + 60_000
        assert not [m for m in socket.quiet(1) if m["t"] == "timing"]
        # The same id for something else; another person's id of the same name.
        other = {"ms": 90_000, "reason": "x"}
        target = {"attempt": sitting.attempt}
        sitting.server.command("FULL", "extend", target, id, other).problem(409, "conflict")
        assert sitting.command("extend", id, body, by="proctor")["done"] == 1
        assert socket.until("timing")["deadline_at"] == attempt["deadline_at"] + 120_000


def test_many_targets_at_once(sit):
    sittings = [sit() for _ in range(3)]
    for sitting in sittings:
        sitting.exchange()
    target = {"attempts": [sitting.attempt for sitting in sittings]}
    args = {"ms": 1000, "reason": "x"}
    id = "many-" + sittings[0].attempt
    result = sittings[0].server.command("FULL", "extend", target, id, args).ok()
    assert (result["done"], result["total"], result["failed"]) == (3, 3, [])
    assert result["id"] == id


def test_what_does_not_exist_is_forbidden_like_what_is_not_mine(sitting):
    for attempt in ("999999999", "nope"):
        answer = sitting.server.command(
            "FULL", "pause", {"attempt": attempt}, f"x-{attempt}-{sitting.attempt}", {"reason": "x"}
        )
        if answer.status == 200:
            assert [entry["code"] for entry in answer.ok()["failed"]] == ["forbidden"]
        else:
            assert 400 <= answer.status < 500
            answer.problem(answer.status)


@pytest.mark.parametrize(
    "body",
    [
        None, {}, [], "x", {"id": "a"}, {"id": "a", "action": "pause"},
        {"id": "b", "action": "dance", "target": {"exam": "FULL"}},
        {"id": "c", "action": "pause", "target": {}},
        {"id": "d", "action": "pause", "target": {"room": "1"}},
        {"id": "e", "action": "extend", "target": {"attempt": "1"}, "args": {"ms": "soon"}},
        {"id": "f", "action": "extend", "target": {"attempt": "1"}, "args": {}},
        {"id": 7, "action": "pause", "target": {"attempt": "1"}},
        {"id": "", "action": "pause", "target": {"attempt": "1"}},
    ],
    ids=json.dumps,
)  # fmt: skip
def test_a_command_that_is_none_is_an_error(server, body):
    answer = server.post("/api/v1/exams/FULL/commands", server.login("teacher"), body)
    assert 400 <= answer.status < 500, answer.body
    answer.problem(answer.status)


def test_candidates_command_nobody(sit):
    one, two = sit(), sit()
    body = {"id": "x", "target": {"attempt": two.attempt}, "action": "cancel",
            "args": {"reason": "x"}}  # fmt: skip
    for token in (one.login, one.token, two.login):
        answer = one.server.post("/api/v1/exams/FULL/commands", token, body)
        assert answer.status in (401, 403, 404)
        answer.problem(answer.status)
    assert two.exchange()["status"] == "in_progress"


def test_results_as_json_and_csv(sit):
    right, partly, live = sit(), sit(), sit()
    take(right, RIGHT)
    take(partly, PARTLY)
    take(live, {"q1": "b"}, submit=False)
    teacher = right.server.login("teacher")
    answer = right.server.get("/api/v1/exams/FULL/results?format=csv", teacher)
    assert answer.status == 200
    assert answer.headers.get_content_type() == "text/csv"
    lines = answer.body.decode("utf-8").splitlines()
    assert lines[0] == HEADER
    rows = {row["attempt"]: row for row in csv.DictReader(io.StringIO("\n".join(lines)))}
    row = rows[right.attempt]
    assert row["candidate_id"] == right.id and row["candidate_name"] == f"Name of {right.id}"
    assert (row["status"], row["grade"]) == ("graded", "D")
    assert (decimal(row["score"]), decimal(row["max_score"])) == (19, 30)
    assert row["passed"] == "true" and row["late"] == "false"
    assert decimal(rows[partly.attempt]["score"]) == decimal("8.83")
    assert rows[partly.attempt]["grade"] == "F"
    assert rows[live.attempt]["status"] == "in_progress"
    everything = right.server.get("/api/v1/exams/FULL/results", teacher)
    assert right.attempt in everything.body.decode()
    assert everything.status == 200


def test_a_name_breaks_no_row(serve):
    row = person("ann", "FULL")
    row[1] = 'Ann "A", O\'Brien'
    sitting = Sitting(serve([exam("FULL")], [row]), "ann")
    take(sitting, RIGHT)
    answer = sitting.server.get(
        "/api/v1/exams/FULL/results?format=csv", sitting.server.login("teacher")
    )
    rows = list(csv.DictReader(io.StringIO(answer.body.decode("utf-8"), newline="")))
    assert [entry["candidate_id"] for entry in rows] == ["ann"]
    assert rows[0]["candidate_name"] == row[1]


def test_proctors_see_status_but_neither_results_nor_answers(sitting):
    take(sitting, RIGHT)
    server, proctor = sitting.server, sitting.server.login("proctor")
    assert server.get(sitting.path(), proctor).ok()["status"] == "graded"
    server.get(sitting.path("/timeline"), proctor).ok()
    server.get(sitting.path("/receipt"), proctor).ok()
    for path in (sitting.path("/result"), sitting.path("/answers"), "/api/v1/exams/FULL/results"):
        answer = server.get(path, proctor)
        assert answer.status in (403, 404), path
        answer.problem(answer.status)


def test_the_timeline_tells_everything_oldest_first(sitting):
    with sitting.socket() as socket:
        socket.enter(sitting.token)
        for seq in range(1, 8):
            socket.save("answer", seq, q="q5", value=f"mark-{seq}")
        socket.save("flag", 8, q="q1", on=True)
        sitting.command("extend", f"e-{sitting.attempt}", {"ms": 1000, "reason": "because"})
        socket.until("timing")
        socket.send("submit", seq=9)
        socket.until("submitted")
    teacher = sitting.server.login("teacher")
    whole = sitting.server.get(sitting.path("/timeline?limit=1000"), teacher).ok()["events"]
    told = json.dumps(whole)
    positions = [told.index(f"mark-{seq}") for seq in range(1, 8)]
    assert positions == sorted(positions)
    assert "because" in told
    pages, after = [], ""
    while True:
        page = sitting.server.get(sitting.path(f"/timeline?limit=3{after}"), teacher).ok()
        assert len(page["events"]) <= 3
        pages += page["events"]
        if not page["events"] or not page.get("next"):
            break
        after = f"&after={page['next']}"
    assert pages == whole
    for token in (sitting.login, sitting.token):
        answer = sitting.server.get(sitting.path("/timeline"), token)
        assert answer.status in (401, 403, 404)
        answer.problem(answer.status)


def test_a_result_is_shown_when_the_exam_says_so(sit):
    hidden, shown, full = sit("HIDDEN"), sit("SHOWN"), sit("FULL")
    for sitting in (hidden, shown, full):
        take(sitting, RIGHT)
    answer = hidden.server.get(hidden.path("/result"), hidden.login)
    assert answer.status in (403, 404)
    answer.problem(answer.status)
    staff = hidden.server.get(hidden.path("/result"), hidden.server.login("teacher")).ok()
    assert decimal(staff["score"]) == 19
    with_keys = shown.server.get(shown.path("/result"), shown.login).ok()
    answers = {entry["q"]: entry.get("answer") for entry in with_keys["questions"]}
    assert answers["q1"] == "b"
    without = full.server.get(full.path("/result"), full.login)
    assert b"SECRET-GAS" not in without.body
    assert all(entry.get("answer") is None for entry in without.ok()["questions"])


def test_a_hidden_result_is_not_in_submitted(sit):
    sitting = sit("HIDDEN")
    with sitting.socket() as socket:
        socket.enter(sitting.token)
        socket.save("answer", 1, q="q1", value="b")
        socket.send("submit", seq=2)
        submitted = socket.until("submitted")
        assert submitted.get("result") is None
        assert submitted["receipt"]
