"""REST: who may call what, and how it says no."""

import http.client
import json
import socket as sockets
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import Sitting
from harness.exams import RIGHT, exam
from harness.server import person


def test_login_gives_a_token_and_a_cookie(server, candidate):
    answer = server.post("/api/v1/login", body={"id": candidate, "code": f"code-{candidate}"})
    body = answer.ok()
    assert body["user"]["id"] == candidate
    assert body["user"]["name"] == f"Name of {candidate}"
    assert body["user"]["roles"] == ["candidate"]
    assert body["expires_at"]
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    pair = cookie.split(";")[0]
    by_cookie = server.get("/api/v1/exams", headers={"Cookie": pair}).ok()
    assert by_cookie == server.get("/api/v1/exams", body["token"]).ok()


def test_logout_ends_the_token(server, candidate):
    token = server.login(candidate)
    other = server.login(candidate)
    answer = server.post("/api/v1/logout", token)
    assert (answer.status, answer.body) == (204, b"")
    server.get("/api/v1/exams", token).problem(401)
    server.get("/api/v1/exams", other).ok()


@pytest.mark.parametrize("code", ["", "nope", "CODE-C0", "code-c0 x", "\u4e2d"])
def test_a_wrong_code_is_unauthorized(server, code):
    known = server.post("/api/v1/login", body={"id": "c0", "code": code}).problem(401)
    unknown = server.post("/api/v1/login", body={"id": "nobody", "code": code}).problem(401)
    # Whether a person exists is not told.
    assert [known[k] for k in ("code", "title", "detail")] == [
        unknown[k] for k in ("code", "title", "detail")
    ]


def test_ten_failures_lock_a_name_and_no_other(serve):
    server = serve([exam("FULL")], [person("ann", "FULL"), person("bob", "FULL")])
    for _ in range(10):
        server.post("/api/v1/login", body={"id": "ann", "code": "wrong"}).problem(401)
    server.post("/api/v1/login", body={"id": "ann", "code": "wrong"}).problem(429)
    server.post("/api/v1/login", body={"id": "ann", "code": "code-ann"}).problem(429)
    server.login("bob")


@pytest.mark.parametrize(
    "method, path",
    [
        ("GET", "/api/v1/exams"),
        ("POST", "/api/v1/exams/FULL/attempts"),
        ("GET", "/api/v1/exams/FULL/results"),
        ("POST", "/api/v1/exams/FULL/commands"),
        ("GET", "/api/v1/attempts/1"),
        ("GET", "/api/v1/attempts/1/answers"),
        ("GET", "/api/v1/attempts/1/result"),
        ("GET", "/api/v1/attempts/1/receipt"),
        ("GET", "/api/v1/attempts/1/timeline"),
        ("POST", "/api/v1/attempts/1/exchange"),
        ("GET", "/api/v1/papers/sha256-" + "0" * 64),
    ],
)
def test_nothing_is_told_to_nobody(server, method, path):
    body = {} if method == "POST" else None
    for headers in (
        {},
        {"Authorization": "Bearer nonsense"},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic YTpi"},
        {"Cookie": "session=nonsense"},
    ):
        server.call(method, path, body=body, headers=headers).problem(401)


def test_what_is_anothers_is_not_found(sit):
    mine, theirs = sit(), sit()
    for rest in ("", "/answers", "/result", "/receipt"):
        nobodys = mine.server.get(f"/api/v1/attempts/999999999{rest}", mine.login).problem(404)
        for token in (mine.login, mine.token):
            other = mine.server.get(theirs.path(rest), token).problem(404)
            assert {**other, "instance": None} == {**nobodys, "instance": None}
    body = {"commands": [{"t": "answer", "seq": 1, "q": "q1", "value": "b"}]}
    for token in (mine.login, mine.token):
        mine.server.post(theirs.path("/exchange"), token, body).problem(404)
    assert theirs.answers() == {}


@pytest.mark.parametrize("id", ["0", "-1", "x", "1e3", "99999999999999999999999", "%00", "1'--"])
def test_an_id_that_is_none_is_not_found(sitting, id):
    for rest in ("", "/answers", "/result", "/receipt"):
        sitting.server.get(f"/api/v1/attempts/{id}{rest}", sitting.login).problem(404)


def test_my_exams_and_no_others(sit):
    sitting = sit()
    exams = {
        entry["code"]: entry
        for entry in sitting.server.get("/api/v1/exams", sitting.login).ok()["exams"]
    }
    assert set(exams) == {"FULL", "PLAIN", "REJECT", "SECRET", "NEAR", "ONCE", "HIDDEN", "SHOWN"}
    assert exams["FULL"]["title"] == "Title of FULL"
    assert sitting.attempt in json.dumps(exams["FULL"])
    assert b"SECRET-" not in sitting.server.get("/api/v1/exams", sitting.login).body
    assert b"open sesame" not in sitting.server.get("/api/v1/exams", sitting.login).body


def test_starting_an_attempt(server, candidate):
    login = server.login(candidate)
    first = server.begin(login, "FULL", 201)
    again = server.begin(login, "FULL", 200)
    assert again["attempt"] == first["attempt"]
    assert first["status"] == "started" or first["status"] == "in_progress"
    server.post("/api/v1/exams/OTHER/attempts", login, {}).problem(403, "not_enrolled")
    server.post("/api/v1/exams/NEAR/attempts", login, {}).problem(403, "address_not_allowed")
    for body in ({}, {"password": ""}, {"password": "nope"}, {"password": None}):
        server.post("/api/v1/exams/SECRET/attempts", login, body).problem(403, "wrong_password")
    server.begin(login, "SECRET", 201, password="open sesame")


def test_attempts_are_counted(sit):
    sitting = sit("ONCE")
    opened = sitting.exchange()
    sitting.exchange(session=opened["session"], next_seq=1, commands=[{"t": "submit", "seq": 1}])
    sitting.server.post("/api/v1/exams/ONCE/attempts", sitting.login, {}).problem(
        403, "no_attempts_left"
    )


def test_ten_starts_at_once_make_one_attempt(server, candidate):
    login = server.login(candidate)
    with ThreadPoolExecutor(10) as pool:
        answers = list(
            pool.map(
                lambda _: server.post("/api/v1/exams/FULL/attempts", login, {}), range(10)
            )
        )
    assert sorted(answer.status for answer in answers) == [200] * 9 + [201]
    assert len({answer.json()["attempt"] for answer in answers}) == 1


def test_an_attempt_tells_its_state(sitting):
    sitting.exchange(
        commands=[
            {"t": "answer", "seq": 1, "q": "q1", "value": "b"},
            {"t": "answer", "seq": 2, "q": "q3", "value": True},
            {"t": "answer", "seq": 3, "q": "q3", "value": None},
        ]
    )
    for token in (sitting.login, sitting.token, sitting.server.login("teacher")):
        body = sitting.server.get(sitting.path(), token).ok()
        assert body["id"] == sitting.attempt
        assert body["status"] == "in_progress"
        assert body["questions"] == 10
        assert body["answered"] == 1
        assert 0 < body["remaining_ms"] <= 3_600_000
        assert body["started_at"] and body["deadline_at"]
        assert isinstance(body["timing_rev"], int)


def test_the_attempt_token_is_no_login(sitting):
    for path in ("/api/v1/exams", "/api/v1/exams/FULL/results"):
        answer = sitting.server.get(path, sitting.token)
        assert answer.status in (401, 403, 404)
        answer.problem(answer.status)


def test_there_is_no_result_and_no_receipt_before_the_hand_in(sitting):
    sitting.exchange()
    for rest in ("/result", "/receipt"):
        answer = sitting.server.get(sitting.path(rest), sitting.login)
        assert 400 <= answer.status < 500
        answer.problem(answer.status)


# -- exchange ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        [], "x", 7, None,
        {"commands": {}}, {"commands": "x"}, {"commands": [1]}, {"commands": [[]]},
        {"commands": [{}]}, {"commands": [{"t": "answer"}]},
        {"commands": [{"t": "answer", "seq": "1", "q": "q1", "value": "a"}]},
        {"commands": [{"t": "answer", "seq": -1, "q": "q1", "value": "a"}]},
        {"session": 7}, {"session": {}}, {"signals": 1}, {"signals": [{}]},
        {"signals": [{"t": "event", "n": "x", "kind": "copy", "at": 0}]},
    ],
    ids=json.dumps,
)  # fmt: skip
def test_an_exchange_that_is_none_is_an_error(sitting, body):
    answer = sitting.server.call(
        "POST", sitting.path("/exchange"), sitting.token, raw=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )  # fmt: skip
    assert 400 <= answer.status < 500, answer.body
    answer.problem(answer.status)
    assert sitting.answers() == {}


def test_text_that_cannot_be_stored_is_refused_by_exchange_too(sitting):
    raw = b'{"commands":[{"t":"answer","seq":1,"q":"q6","value":"\\ud800"},'
    raw += b'{"t":"answer","seq":2,"q":"q6","value":"a\\u0000"},'
    raw += b'{"t":"answer","seq":3,"q":"q6","value":"kept"}]}'
    answer = sitting.server.call(
        "POST", sitting.path("/exchange"), sitting.token, raw=raw,
        headers={"Content-Type": "application/json"},
    ).ok()  # fmt: skip
    refused = [(entry["seq"], entry["code"]) for entry in answer["refused"]]
    assert refused == [(1, "bad_value"), (2, "bad_value")]
    assert answer["saved_seq"] == 3
    assert sitting.answers()["q6"]["value"] == "kept"


def test_a_long_answer_goes_by_exchange(sitting):
    limit = 1024 * 1024
    essay = "\u957f" * (limit // 3 - 10)
    answer = sitting.exchange(commands=[{"t": "answer", "seq": 1, "q": "q6", "value": essay}])
    assert (answer["saved_seq"], answer["refused"]) == (1, [])
    assert sitting.answers()["q6"]["value"] == essay
    much = "x" * (limit + 10)
    answer = sitting.exchange(
        session=answer["session"],
        next_seq=2,
        commands=[
            {"t": "answer", "seq": 2, "q": "q6", "value": much},
            {"t": "answer", "seq": 3, "q": "q7",
             "value": {"language": "python", "source": much}},
        ],
    )  # fmt: skip
    refused = [(entry["seq"], entry["code"]) for entry in answer["refused"]]
    assert refused == [(2, "too_large"), (3, "too_large")]
    assert answer["saved_seq"] == 3
    body = {"session": answer["session"], "next_seq": 4, "commands": [], "pad": "x" * 4 * limit}
    sitting.server.post(sitting.path("/exchange"), sitting.token, body).problem(413)
    assert sitting.answers()["q6"]["value"] == essay


def test_exchange_needs_the_attempt_token(sitting):
    for token in ("nonsense", ""):
        sitting.server.post(sitting.path("/exchange"), token, {}).problem(401)


# -- what every request may do wrong ------------------------------------------------


def test_what_is_not_there_is_a_problem(server):
    for path in ("/api/v1", "/api/v1/nope", "/api/v2/exams", "/api/v1/attempts"):
        answer = server.get(path, server.login("teacher"))
        assert answer.status in (404, 405)
        answer.problem(answer.status)


def test_a_wrong_method_is_a_problem(server):
    server.call("DELETE", "/api/v1/exams").problem(405)
    server.get("/api/v1/login").problem(405)


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"id":"c0"}', b'{"id":7,"code":"x"}',
     b'{"id":"c0","code":null}', b'{"id":"\\ud800","code":"x"}', b"[" * 100_000],
)  # fmt: skip
def test_a_body_that_is_none_is_a_problem(server, raw):
    answer = server.call(
        "POST", "/api/v1/login", raw=raw, headers={"Content-Type": "application/json"}
    )
    assert 400 <= answer.status < 500, answer.body
    answer.problem(answer.status)


def test_nul_in_a_name_is_only_a_wrong_name(server):
    answer = server.post("/api/v1/login", body={"id": "a\0b", "code": "x\0"})
    assert answer.status in (400, 401, 422)
    answer.problem(answer.status)


def raw_request(server, data, timeout):
    """Sends bytes and reads to the end of the connection."""
    host, port = server.host.rsplit(":", 1)
    with sockets.create_connection((host, int(port)), timeout=timeout) as connection:
        answer = b""
        try:
            connection.sendall(data)
        except OSError:
            pass
        try:
            while part := connection.recv(65536):
                answer += part
        except ConnectionResetError:
            pass
        return answer


def test_a_huge_body_is_refused(server):
    body = b'{"id":"' + b"x" * 9_000_000 + b'"}'
    head = b"POST /api/v1/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    head += b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    # Who refuses early may end the connection under what is still being sent.
    answer = raw_request(server, head + body, timeout=20)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 413"), answer[:200]
    server.login("c0")


@pytest.mark.parametrize(
    "data",
    [
        b"\x00" * 100,
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /api/v1/exams HTTP/1.1\r\nHost: x\r\nBad Header: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: " + b"b" * 1_000_000 + b"\r\n\r\n",
        b"POST /api/v1/login HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    ],
    ids=["zeroes", "nonsense", "version", "header", "long-header", "length"],
)
def test_what_is_no_http_ends_the_connection(server, data):
    answer = raw_request(server, data, timeout=20)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4") or answer.startswith(b"HTTP/1.0 4")
    server.get("/healthz")


def test_headers_must_arrive_within_ten_seconds(server):
    started = time.monotonic()
    raw_request(server, b"GET /healthz HTTP/1.1\r\nHost: x\r\n", timeout=20)
    assert 8 <= time.monotonic() - started <= 14


def test_probes_and_documents(server):
    assert server.get("/healthz").status == 200
    assert server.get("/readyz").status == 200
    metrics = server.get("/metrics")
    assert metrics.status == 200 and b"invigil_" in metrics.body
    openapi = server.get("/api/openapi.json").ok()
    assert openapi["openapi"].startswith("3.")
    for path in ("/login", "/exams", "/exams/{code}/attempts", "/attempts/{id}/exchange"):
        assert f"/api/v1{path}" in openapi["paths"], path
    asyncapi = server.get("/asyncapi.json").ok()
    assert asyncapi["asyncapi"].startswith("3.")
    schema = server.get("/schemas/exam.json")
    assert schema.status == 200 and "properties" in schema.json()


def test_pages_are_served(server):
    for path in ("/", "/attempt"):
        answer = server.get(path)
        assert answer.status == 200
        assert answer.headers.get_content_type() == "text/html"


def test_one_connection_serves_many_requests(server):
    connection = http.client.HTTPConnection(server.host, timeout=10)
    for _ in range(5):
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        assert answer.status == 200
        answer.read()
    connection.close()


def test_staff_and_candidates_are_told_apart(serve):
    people = [person("ann", "FULL"), person("eve", "OTHER", "teacher")]
    server = serve([exam("FULL"), exam("OTHER")], people)
    ann = Sitting(server, "ann")
    opened = ann.exchange(
        commands=[
            *({"t": "answer", "seq": n, "q": q, "value": v}
              for n, (q, v) in enumerate(RIGHT.items(), start=1)),
            {"t": "submit", "seq": len(RIGHT) + 1},
        ]
    )  # fmt: skip
    assert opened["status"] == "graded"
    eve = server.login("eve")
    codes = [entry["code"] for entry in server.get("/api/v1/exams", eve).ok()["exams"]]
    assert codes == ["OTHER"]
    # A teacher of another exam sees as little as a stranger.
    for rest in ("", "/answers", "/result", "/receipt", "/timeline"):
        server.get(ann.path(rest), eve).problem(404)
    answer = server.get("/api/v1/exams/FULL/results", eve)
    assert answer.status in (403, 404)
    answer.problem(answer.status)
