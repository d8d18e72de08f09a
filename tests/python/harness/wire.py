"""A candidate's socket, in either encoding, that checks the form of all it hears."""

import json
import time

import msgpack
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

JSON = "invigil.v1.json"
MSGPACK = "invigil.v1.msgpack"

# An answer of the engine takes milliseconds; a machine may be busy.
PATIENCE = 15

CLOSE_OF_BYE = {
    "finished": 1000,
    "draining": 1001,
    "idle": 4408,
    "rate_limited": 4429,
    "slow_consumer": 4430,
    "moved": 4431,
    "overloaded": 4432,
    "bad_message": 4500,
    "unauthorized": 4501,
    "forbidden": 4503,
    "superseded": 4509,
    "closed": 4510,
}
REFUSALS = {
    "gap", "not_open", "conflict", "unknown_question", "bad_value", "too_large", "paused",
    "time_over", "closed", "locked",
}  # fmt: skip
STATUSES = {
    "started", "in_progress", "paused", "submitted", "auto_submitted", "graded", "reviewed",
    "cancelled", "flagged",
}  # fmt: skip


def number(value):
    assert isinstance(value, int) and not isinstance(value, bool) and value >= 0, value


def text(value):
    assert isinstance(value, str), value


def boolean(value):
    assert isinstance(value, bool), value


def mapping(value):
    assert isinstance(value, dict) and all(isinstance(key, str) for key in value), value


def array(value):
    assert isinstance(value, list), value


def one_of(*names):
    def check(value):
        assert value in names, value

    return check


# Fields that a message must have, and those that it may have (`?`).
FORMS = {
    "welcome": {
        "session": text, "resumed": boolean, "now_at": number, "attempt": mapping,
        "health": number, "saved_seq": number, "applied_seq": number, "paper": mapping,
        "record": mapping, "notices": array, "limits": mapping,
    },
    "open": {"key": text, "deadline_at": number, "remaining_ms": number, "timing_rev": number},
    "saved": {"seq": number},
    "refused": {"seq": number, "code": one_of(*REFUSALS), "detail": mapping, "q?": text},
    "submitted": {
        "at": number, "status": one_of(*STATUSES), "receipt": mapping, "result?": mapping,
        "handed_in": one_of("candidate", "time", "staff"),
    },
    "pulse": {"n": number, "now_at": number, "remaining_ms": number, "saved_seq": number},
    "event_ack": {"n": number, "dropped?": number},
    "timing": {
        "deadline_at": number, "remaining_ms": number, "timing_rev": number,
        "reason": one_of("extended", "resumed", "corrected", "compensated"),
    },
    "health": {"level": number, "heartbeat_ms": number},
    "status": {"status": one_of(*STATUSES), "reason?": text},
    "notice": {
        "id": text, "level": one_of("info", "warning", "urgent"), "text": text, "from?": text,
        "ack": boolean,
    },
    "error": {"code": text, "detail?": text},
    "board": {
        "exam": text, "now_at": number, "part": number, "parts": number, "rows": array,
        "totals": mapping,
    },
    "delta": {"exam": text, "now_at": number, "rows": array, "totals": mapping},
    "incident": {"exam": text, "attempt": text, "incident": mapping},
    "detail": {"attempt": text, "row": mapping, "events": array},
    "event": {"attempt": text, "event": mapping},
    "result": {"id": text, "done": number, "failed": array, "total": number},
    "receipt": {"id": text, "delivered": number, "acknowledged": number, "total": number},
    "presence": {"exam": text, "proctors": array},
    "action": {"exam": text, "by": text, "name": text, "action": text, "target": mapping},
    "bye": {"code": one_of(*CLOSE_OF_BYE), "detail?": text, "retry_ms?": number},
}  # fmt: skip


def check_form(message, form):
    """Raises where a field that is promised is missing or of another form."""
    for name, check in form.items():
        optional = name.endswith("?")
        value = message.get(name.rstrip("?"))
        if value is None and optional:
            continue
        assert name.rstrip("?") in message, f"no `{name}` in {message}"
        check(value)


class Socket:
    """A socket to `/ws/v1/attempt`. What it heard and nobody asked for is in `heard`."""

    forms = FORMS

    def __init__(self, server, protocol=JSON, path="/ws/v1/attempt", **more):
        offered = [protocol] if isinstance(protocol, str) else protocol
        opening = connect(
            f"ws://{server.host}{path}",
            subprotocols=offered,
            compression=None,
            ping_interval=None,
            max_size=64 * 1024,
            open_timeout=PATIENCE,
            close_timeout=5,
            proxy=None,
            **more,
        )
        self.connection = opening.__enter__()
        self.binary = self.connection.subprotocol == MSGPACK
        self.heard = []
        self.code = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def close(self):
        self.connection.close()

    def encode(self, message):
        return msgpack.packb(message) if self.binary else json.dumps(message)

    def send(self, t, **fields):
        self.raw(self.encode({"t": t, **fields}))

    def raw(self, frame):
        self.connection.send(frame)

    def receive(self, timeout=PATIENCE):
        """The next message; raises TimeoutError, or ConnectionClosed at the end."""
        try:
            frame = self.connection.recv(timeout=timeout)
        except ConnectionClosed as closed:
            self.code = closed.rcvd.code if closed.rcvd else None
            raise
        assert isinstance(frame, bytes) == self.binary, "the wrong kind of frame"
        assert len(frame) <= 64 * 1024
        message = msgpack.unpackb(frame) if self.binary else json.loads(frame)
        assert isinstance(message, dict)
        form = self.forms.get(message["t"])
        assert form is not None, f"no such message: {message}"
        check_form(message, form)
        return message

    def until(self, t, timeout=PATIENCE, **fields):
        """The next message of a type, with these values; others go to `heard`."""
        end = time.monotonic() + timeout
        while True:
            try:
                message = self.receive(max(0.01, end - time.monotonic()))
            except (TimeoutError, ConnectionClosed) as error:
                raise AssertionError(
                    f"no {t} {fields}, but {error!r}; heard {self.heard[-5:]}"
                ) from error
            if message["t"] == t and fields.items() <= message.items():
                return message
            self.heard.append(message)

    def quiet(self, seconds):
        """What comes within a time."""
        came = []
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                came.append(self.receive(left))
            except TimeoutError:
                break
        return came

    def ended(self, code, timeout=PATIENCE):
        """Reads to the close, which must have this code and, before it, its `bye`."""
        end = time.monotonic() + timeout
        came = []
        while True:
            try:
                came.append(self.receive(max(0.01, end - time.monotonic())))
            except ConnectionClosed:
                break
            except TimeoutError as error:
                raise AssertionError(f"still open; heard {came[-5:]}") from error
        assert self.code == code, f"closed with {self.code}, heard {came[-5:]}"
        self.heard += came
        if code in CLOSE_OF_BYE.values():
            assert came and came[-1]["t"] == "bye", f"no bye, but {came[-5:]}"
            assert CLOSE_OF_BYE[came[-1]["code"]] == code
        return came

    def hello(self, token, resume=None):
        fields = {"token": token, "client": {"name": "conformance", "version": "1"}}
        if resume is not None:
            fields["resume"] = resume
        self.send("hello", **fields)

    def enter(self, token, resume=None):
        """`hello`, and the `welcome` that answers it."""
        self.hello(token, resume)
        welcome = self.until("welcome")
        check_welcome(welcome)
        return welcome

    def save(self, t, seq, **fields):
        """A command that must be accepted."""
        self.send(t, seq=seq, **fields)
        while True:
            message = self.receive()
            assert message["t"] != "refused", message
            if message["t"] == "saved" and message["seq"] >= seq:
                return message
            self.heard.append(message)

    def refuse(self, t, seq, code, **fields):
        """A command that must be refused, with a `saved` that covers it (unless `gap`)."""
        self.send(t, seq=seq, **fields)
        refused = self.until("refused", seq=seq)
        assert refused["code"] == code, refused
        if code != "gap":
            if not any(m["t"] == "saved" and m["seq"] >= seq for m in self.heard[-3:]):
                assert self.until("saved")["seq"] >= seq
        return refused


class Console(Socket):
    """A proctor's socket. `rows` is the board, as its messages make it."""

    forms = {
        **FORMS,
        "welcome": {
            "session": text, "now_at": number, "user": mapping, "exams": array, "limits": mapping,
        },
        "pulse": {"n": number, "now_at": number},
    }  # fmt: skip

    def __init__(self, server, protocol=JSON, **more):
        super().__init__(server, protocol, "/ws/v1/proctor", **more)
        self.rows = {}
        self.totals = None

    def hello(self, token, resume=None):
        self.send("hello", token=token)

    def enter(self, token, resume=None):
        self.hello(token)
        return self.until("welcome")

    def receive(self, timeout=PATIENCE):
        message = super().receive(timeout)
        if message["t"] == "board":
            if message["part"] == 1:
                self.rows = {}
            self.rows |= {row["attempt"]: row for row in message["rows"]}
        if message["t"] == "delta":
            assert message["rows"], "a delta that says nothing"
            for row in message["rows"]:
                self.rows.setdefault(row["attempt"], {}).update(row)
        if message["t"] in ("board", "delta"):
            self.totals = message["totals"]
        return message

    def watch(self, exam):
        """The whole board of an exam."""
        self.send("watch", exam=exam)
        parts = 1
        while (board := self.until("board", exam=exam))["part"] < board["parts"]:
            parts += 1
        assert parts == board["parts"]
        return self.rows

    def sees(self, attempt, timeout=PATIENCE, **fields):
        """Waits until the row of an attempt has these values."""
        end = time.monotonic() + timeout
        while not fields.items() <= self.rows.get(attempt, {}).items():
            try:
                self.heard.append(self.receive(max(0.01, end - time.monotonic())))
            except (TimeoutError, ConnectionClosed) as error:
                raise AssertionError(
                    f"never {fields}, but {self.rows.get(attempt)}: {error!r}"
                ) from error
        return self.rows[attempt]

    def does(self, action, id, target, **args):
        """A command, and its last result."""
        self.send("command", id=id, target=target, action=action, args=args)
        while True:
            result = self.until("result", id=id)
            if result["done"] + len(result["failed"]) == result["total"]:
                return result


def check_welcome(welcome):
    attempt = welcome["attempt"]
    for name in ("id", "status"):
        text(attempt[name])
    for name in ("code", "title", "instructions"):
        text(attempt["exam"][name])
    if attempt["status"] == "in_progress":
        for name in ("started_at", "deadline_at", "remaining_ms", "timing_rev", "grace_ms"):
            number(attempt[name])
    assert 0 <= welcome["health"] <= 10
    paper = welcome["paper"]
    text(paper["url"])
    boolean(paper["sealed"])
    assert paper["version"].startswith("sha256:")
    for section in paper.get("order") or []:
        text(section["section"])
        for question in section["questions"]:
            text(question["q"])
    text(welcome["record"]["url"])
    number(welcome["record"]["version"])
    for name in (
        "heartbeat_ms", "frame_bytes", "answer_bytes", "commands_per_s", "burst", "unsaved",
    ):  # fmt: skip
        number(welcome["limits"][name])
