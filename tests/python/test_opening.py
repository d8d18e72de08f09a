"""Opening a socket: encodings, origins, the first frame, tokens."""

import json
import time

import msgpack
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from harness.wire import JSON, MSGPACK, Socket


@pytest.mark.parametrize(
    "offered, chosen",
    [
        ([JSON], JSON),
        ([MSGPACK], MSGPACK),
        ([JSON, MSGPACK], JSON),
        ([MSGPACK, JSON], MSGPACK),
        (["chat", MSGPACK, JSON], MSGPACK),
        (["invigil.v2.json", JSON], JSON),
    ],
)
def test_the_first_known_encoding_is_chosen(sitting, offered, chosen):
    with Socket(sitting.server, offered) as socket:
        assert socket.connection.subprotocol == chosen
        socket.enter(sitting.token)


def test_none_offered_means_json(sitting):
    with Socket(sitting.server, []) as socket:
        assert socket.connection.subprotocol is None
        socket.enter(sitting.token)


def test_only_unknown_ones_offered_is_an_error(server):
    with pytest.raises(InvalidStatus) as refused:
        Socket(server, ["invigil.v2.json", "chat"])
    assert refused.value.response.status_code == 400


def test_there_is_no_compression_per_message(server):
    with connect(
        f"ws://{server.host}/ws/v1/attempt", subprotocols=[JSON], compression="deflate", proxy=None
    ) as connection:
        assert "Sec-WebSocket-Extensions" not in connection.response.headers


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
def test_a_cross_origin_upgrade_is_refused(server, origin):
    with pytest.raises(InvalidStatus) as refused:
        Socket(server, JSON, origin=origin)
    assert refused.value.response.status_code == 403


def test_the_own_origin_is_let_in(sitting):
    with Socket(sitting.server, JSON, origin=f"http://{sitting.server.host}") as socket:
        socket.enter(sitting.token)


def test_a_plain_request_is_no_socket(server):
    assert 400 <= server.get("/ws/v1/attempt").status < 500


def test_silence_closes_after_five_seconds(server, protocol):
    with Socket(server, protocol) as socket:
        started = time.monotonic()
        socket.ended(4501)
        assert 4.5 <= time.monotonic() - started <= 9


@pytest.mark.parametrize("token", ["", "nonsense", "a.b.c", "x" * 4000])
def test_a_wrong_token_is_unauthorized(server, protocol, token):
    with Socket(server, protocol) as socket:
        socket.hello(token)
        socket.ended(4501)


def test_a_token_that_was_changed_is_unauthorized(sitting):
    for position in (0, len(sitting.token) // 2, len(sitting.token) - 5):
        old = sitting.token[position]
        changed = sitting.token[:position] + ("A" if old != "A" else "B")
        with sitting.socket() as socket:
            socket.hello(changed + sitting.token[position + 1 :])
            socket.ended(4501)


def test_a_login_token_opens_no_attempt(sitting):
    with sitting.socket() as socket:
        socket.hello(sitting.login)
        socket.ended(4501)


def test_a_hello_without_a_token_opens_nothing(server):
    with Socket(server) as socket:
        socket.send("hello")
        socket.ended(4501)


@pytest.mark.parametrize(
    "message",
    [
        {"t": "answer", "seq": 1, "q": "q1", "value": "a"},
        {"t": "heartbeat", "n": 1},
        {"t": "submit", "seq": 1},
        {"t": "welcome"},
    ],
)
def test_the_first_frame_must_be_hello(server, protocol, message):
    with Socket(server, protocol) as socket:
        socket.raw(socket.encode(message))
        socket.ended(4500)


def test_a_second_hello_is_a_bad_message(sitting, protocol):
    with sitting.socket(protocol) as socket:
        socket.enter(sitting.token)
        socket.hello(sitting.token)
        socket.ended(4500)


BAD_ENVELOPES = [
    {},
    {"t": None},
    {"t": 7},
    {"t": ["answer"]},
    {"t": "answer", "q": "q1", "value": "a"},
    {"t": "answer", "seq": "1", "q": "q1", "value": "a"},
    {"t": "answer", "seq": -1, "q": "q1", "value": "a"},
    {"t": "answer", "seq": 1.5, "q": "q1", "value": "a"},
    {"t": "answer", "seq": None, "q": "q1", "value": "a"},
    {"t": "answer", "seq": True, "q": "q1", "value": "a"},
    {"t": "answer", "seq": 1, "q": 7, "value": "a"},
    {"t": "answer", "seq": 1, "q": None, "value": "a"},
    {"t": "answer", "seq": 1, "value": "a"},
    {"t": "flag", "seq": 1, "q": "q1"},
    {"t": "flag", "seq": 1, "q": "q1", "on": "yes"},
    {"t": "flag", "seq": 1, "q": "q1", "on": 1},
    {"t": "flag", "q": "q1", "on": True},
    {"t": "submit"},
    {"t": "submit", "seq": [1]},
    {"t": "heartbeat"},
    {"t": "heartbeat", "n": "1"},
    {"t": "event", "kind": "copy", "at": 0},
    {"t": "event", "n": -1, "kind": "copy", "at": 0},
]


@pytest.mark.parametrize("message", BAD_ENVELOPES, ids=json.dumps)
def test_a_bad_envelope_closes(sitting, protocol, message):
    with sitting.socket(protocol) as socket:
        socket.enter(sitting.token)
        socket.raw(socket.encode(message))
        socket.ended(4500)
    assert sitting.answers() == {}


BAD_JSON = [
    "", " ", "nonsense", "{", '{"t":"submit","seq":1', "[]", '[{"t":"submit","seq":1}]', "1",
    "null", '"submit"', '{"t":"submit","seq":1}{}', "{'t':'submit'}", "\x00", '{"t":"submit\x01"}',
]  # fmt: skip


@pytest.mark.parametrize("frame", BAD_JSON)
def test_what_is_no_json_map_closes(sitting, frame):
    with sitting.socket(JSON) as socket:
        socket.enter(sitting.token)
        socket.raw(frame)
        socket.ended(4500)


BAD_MSGPACK = {
    "empty": b"",
    "nil": b"\xc0",
    "reserved": b"\xc1",
    "number": b"\x07",
    "array": msgpack.packb(["answer", 1]),
    "string": msgpack.packb("submit"),
    "cut": msgpack.packb({"t": "submit", "seq": 1})[:-1],
    "keys-that-are-numbers": msgpack.packb({1: "submit", 2: 1}),
    "map-that-claims-much": b"\xdf\xff\xff\xff\xff",
    "string-that-claims-much": b"\x81\xa1t\xdb\xff\xff\xff\xff",
    "type-not-utf8": b"\x82\xa1t\xa6subm\xff\xfe\xa3seq\x01",
    "question-not-utf8": b"\x84\xa1t\xa6answer\xa3seq\x01\xa1q\xa2\xff\xfe\xa5value\xa1a",
    "value-not-utf8": b"\x84\xa1t\xa6answer\xa3seq\x01\xa1q\xa2q1\xa5value\xa2\xff\xfe",
    "deep": b"\x84\xa1t\xa6answer\xa3seq\x01\xa1q\xa2q1\xa5value" + b"\x91" * 9000,
}


@pytest.mark.parametrize("frame", BAD_MSGPACK.values(), ids=BAD_MSGPACK)
def test_what_is_no_msgpack_map_closes(sitting, frame):
    with sitting.socket(MSGPACK) as socket:
        socket.enter(sitting.token)
        socket.raw(frame)
        socket.ended(4500)
    assert sitting.server.get("/healthz").status == 200


def test_json_nested_without_end_harms_nothing(sitting):
    with sitting.socket(JSON) as socket:
        socket.enter(sitting.token)
        socket.raw('{"t":"answer","seq":1,"q":"q1","value":' + "[" * 8000 + "]" * 8000 + "}")
        message = socket.receive()
        assert message["t"] in ("refused", "bye"), message
    assert sitting.server.get("/healthz").status == 200


def test_the_wrong_kind_of_frame_closes(sitting):
    with sitting.socket(JSON) as socket:
        socket.raw(json.dumps({"t": "hello", "token": sitting.token}).encode())
        socket.ended(4500)
    with sitting.socket(MSGPACK) as socket:
        socket.raw(json.dumps({"t": "hello", "token": sitting.token}))
        socket.ended(4500)


def test_an_unknown_message_is_only_an_error(sitting, protocol):
    with sitting.socket(protocol) as socket:
        socket.enter(sitting.token)
        for t in ("answr", "", "welcome", "watch", "\u7b54"):
            socket.send(t, seq=1, value=[1])
            assert socket.until("error")["code"] == "unknown_message"
        socket.save("answer", 1, q="q1", value="b")


def test_unknown_fields_are_ignored(sitting, protocol):
    with sitting.socket(protocol) as socket:
        socket.send("hello", token=sitting.token, color="red", client={"name": "x", "more": [1]})
        socket.until("welcome")
        socket.save("answer", 1, q="q1", value="b", mood={"good": True}, seq2=None)
        assert sitting.answers()["q1"]["value"] == "b"


def padded(socket, size):
    """A `flag` of exactly this many bytes."""
    message = {"t": "flag", "seq": 1, "q": "q1", "on": True, "pad": ""}
    # The length of a string of MessagePack takes more bytes the longer it is.
    while len(frame := socket.encode(message)) < size:
        message["pad"] += "x" * max(1, size - len(frame) - 4)
    assert len(frame) == size
    return frame


def test_a_frame_may_be_as_big_as_the_limit(sitting, protocol):
    with sitting.socket(protocol) as socket:
        limit = socket.enter(sitting.token)["limits"]["frame_bytes"]
        assert limit == 16 * 1024
        socket.raw(padded(socket, limit))
        assert socket.until("saved")["seq"] == 1


@pytest.mark.parametrize("size", [16 * 1024 + 1, 100_000, 2_000_000])
def test_a_bigger_frame_closes(sitting, protocol, size):
    with sitting.socket(protocol) as socket:
        socket.enter(sitting.token)
        socket.raw(padded(socket, size))
        socket.ended(1009)
    assert sitting.answers() == {}


def test_fragments_count_together(sitting):
    with sitting.socket(JSON) as socket:
        socket.enter(sitting.token)
        frame = padded(socket, 16 * 1024)
        socket.raw([frame[:9000], frame[9000:]])
        assert socket.until("saved")["seq"] == 1
        frame = padded(socket, 20_000)
        socket.raw([frame[start : start + 5000] for start in range(0, 20_000, 5000)])
        socket.ended(1009)


def test_welcome_tells_what_the_exam_is(sitting, protocol):
    with sitting.socket(protocol) as socket:
        before = time.time() * 1000
        welcome = socket.enter(sitting.token)
        assert abs(welcome["now_at"] - before) < 20_000
        attempt = welcome["attempt"]
        assert attempt["id"] == sitting.attempt
        assert attempt["status"] == "in_progress"
        assert attempt["exam"]["code"] == "FULL"
        assert attempt["exam"]["title"] == "Title of FULL"
        assert "\u8bf7\u4f5c\u7b54" in attempt["exam"]["instructions"]
        assert attempt["grace_ms"] == 0
        assert 0 < attempt["remaining_ms"] <= 3_600_000
        span = attempt["deadline_at"] - welcome["now_at"]
        assert abs(span - attempt["remaining_ms"]) <= 5
        assert welcome["limits"]["heartbeat_ms"] == 10_000
        assert welcome["limits"]["answer_bytes"] == 1024 * 1024
        assert welcome["notices"] == []
        assert welcome["paper"]["sealed"] is False
        assert welcome["paper"]["url"].startswith("/api/v1/papers/sha256-")
        assert ":" not in welcome["paper"]["url"]
        assert welcome["record"]["url"] == sitting.path("/answers")
