"""Before the exam opens: the lobby, the sealed paper, the key."""

import base64
import json
import time

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from conftest import Sitting
from harness.exams import exam, soon
from harness.server import person
from harness.wire import JSON, MSGPACK


def unseal(document, key):
    """The sections of a sealed paper."""
    assert document["alg"] == "A256GCM"
    nonce, data, key = (
        base64.b64decode(text, validate=True) for text in (document["nonce"], document["data"], key)
    )
    assert (len(nonce), len(key)) == (12, 32)
    return json.loads(AESGCM(key).decrypt(nonce, data, None))


def test_the_sealed_paper_opens_with_the_key_at_the_opening(serve):
    server = serve(
        [exam("LOBBY", available_from=soon(10), lobby_minutes=5)],
        [person("ann", "LOBBY"), person("bob", "LOBBY"), person("cyd", "LOBBY")],
    )
    ann, bob = Sitting(server, "ann", "LOBBY"), Sitting(server, "bob", "LOBBY")
    with ann.socket(JSON) as one, bob.socket(MSGPACK) as two:
        welcome = one.enter(ann.token)
        assert welcome["attempt"]["status"] == "started"
        opens_at = welcome["attempt"]["opens_at"]
        assert welcome["paper"]["sealed"] is True
        sealed = server.get(welcome["paper"]["url"], ann.token).ok()
        assert sealed["version"] == welcome["paper"]["version"]
        assert not {"sections", "key"} & set(sealed)
        assert b"Option" not in base64.b64decode(sealed["data"])
        other = server.get(two.enter(bob.token)["paper"]["url"], bob.token).ok()
        # Another ciphertext under the same nonce would give both away.
        assert (other["nonce"], other["data"]) == (sealed["nonce"], sealed["data"]) or (
            other["nonce"] != sealed["nonce"]
        )

        one.refuse("answer", 1, "not_open", q="q1", value="a")
        one.send("heartbeat", n=1)
        one.until("pulse")

        opens = [socket.until("open") for socket in (one, two)]
        assert abs(time.time() * 1000 - opens_at) < 3000
        for opened in opens:
            assert opened["key"] == opens[0]["key"]
            assert opened["deadline_at"] == opens_at + 3_600_000
            assert 3_590_000 < opened["remaining_ms"] <= 3_600_000
        assert not any("key" in message for message in one.heard + two.heard)
        sections = unseal(sealed, opens[0]["key"])
        assert unseal(other, opens[1]["key"]) == sections
        assert [section["id"] for section in sections] == ["s1", "s2"]
        assert "SECRET" not in json.dumps(sections)
        one.save("answer", 2, q="q1", value="b")
        two.save("answer", 1, q="q1", value="b")

        cyd = Sitting(server, "cyd", "LOBBY")
        with cyd.socket() as three:
            late = three.enter(cyd.token)
            assert late["attempt"]["status"] == "in_progress"
            assert late["paper"]["sealed"] is False
            assert late["paper"]["version"] == sealed["version"]
            paper = server.get(late["paper"]["url"], cyd.token).ok()
            assert paper["sections"] == sections
    assert ann.answers()["q1"]["value"] == "b"


def test_who_leaves_the_lobby_finds_the_exam_open(serve):
    server = serve(
        [exam("LOBBY", available_from=soon(7), lobby_minutes=1)], [person("ann", "LOBBY")]
    )
    ann = Sitting(server, "ann", "LOBBY")
    with ann.socket() as socket:
        before = socket.enter(ann.token)
        opens_at = before["attempt"]["opens_at"]
    time.sleep(max(0, opens_at / 1000 - time.time()) + 0.5)
    with ann.socket() as socket:
        after = socket.enter(
            ann.token, {"session": before["session"], "next_seq": 1, "next_event": 1}
        )
        assert after["attempt"]["status"] == "in_progress"
        assert after["paper"]["version"] == before["paper"]["version"]
        socket.save("answer", 1, q="q1", value="b")


def test_doors_are_closed_before_and_after(serve):
    server = serve(
        [
            exam("EARLY", available_from=soon(3600), lobby_minutes=15),
            exam("OVER", available_from=soon(-7200), available_until=soon(-3600)),
        ],
        [person("ann", "EARLY;OVER")],
    )
    login = server.login("ann")
    server.post("/api/v1/exams/EARLY/attempts", login, {}).problem(403, "not_open")
    server.post("/api/v1/exams/OVER/attempts", login, {}).problem(403, "closed")
    exams = server.get("/api/v1/exams", login).ok()["exams"]
    assert {entry["code"] for entry in exams} == {"EARLY", "OVER"}
