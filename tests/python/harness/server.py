"""The real program, started on a free port with files of its own."""

import csv
import http.client
import json
import os
import queue
import signal
import subprocess
import threading
from pathlib import Path

BINARY = Path(os.environ.get("INVIGIL_BIN", Path(__file__).parents[3] / "target/debug/invigil"))

ROSTER_HEADER = [
    "id", "name", "email", "role", "code", "exams", "time_factor", "extra_minutes", "groups",
]  # fmt: skip


def person(id, exams, role="candidate", time_factor="", extra_minutes="", groups=""):
    """A row of the roster; the access code is `code-` and the id."""
    known = [id, f"Name of {id}", f"{id}@example.org", role, f"code-{id}"]
    return [*known, exams, time_factor, extra_minutes, groups]


STAFF = [
    person("teacher", "*", "teacher"),
    person("proctor", "*", "proctor"),
    person("admin", "*", "admin"),
]


def write_roster(path, people):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([ROSTER_HEADER, *people])


def run(*arguments, timeout=30, **more):
    """One command of the program, to its end."""
    return subprocess.run(
        [BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=timeout, **more
    )


class Response:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def json(self):
        return json.loads(self.body)

    def ok(self, status=200):
        """The JSON of an answer that went well."""
        assert self.status == status, f"{self.status} {self.body[:500]!r}"
        assert self.headers.get_content_type() == "application/json", self.headers["content-type"]
        return self.json()

    def problem(self, status, code=None):
        """The JSON of an RFC 9457 answer."""
        assert self.status == status, f"{self.status} {self.body[:500]!r}"
        assert self.headers.get_content_type() == "application/problem+json", self.headers
        body = self.json()
        for field in ("type", "title", "detail", "code"):
            assert isinstance(body[field], str), (field, body)
        assert body["status"] == status, body
        if code is not None:
            assert body["code"] == code, body
        return body


class Server:
    """`invigil serve` in a folder. Usable after `start`, again after `restart`."""

    def __init__(self, folder, exams, people, settings=None):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.arguments = []
        for exam in exams:
            # JSON is YAML too, so every exam is read by one of the two readers.
            ending = "json" if len(self.arguments) % 4 else "yaml"
            path = self.folder / f"{exam['code']}.{ending}"
            path.write_text(json.dumps(exam, ensure_ascii=False), encoding="utf-8")
            self.arguments += ["--exam", path]
        roster = self.folder / "roster.csv"
        write_roster(roster, [*people, *STAFF])
        self.arguments += ["--roster", roster, "--data", self.folder / "data"]
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("INVIGIL__")
        }
        for key, value in (settings or {}).items():
            self.environment["INVIGIL__" + key.replace(".", "__").upper()] = str(value)
        self.process = None
        self.host = None

    def start(self):
        self.log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen(
            [BINARY, "serve", *map(str, self.arguments), "--listen", self.host or "127.0.0.1:0"],
            stdout=subprocess.PIPE,
            stderr=self.log,
            stdin=subprocess.DEVNULL,
            env=self.environment,
            text=True,
        )
        lines = queue.Queue()

        def read():
            for line in self.process.stdout:
                lines.put(line)
            lines.put(None)

        threading.Thread(target=read, daemon=True).start()
        line = lines.get(timeout=30)
        assert line is not None, f"the engine ended: {self.read_log()}"
        words = line.split()
        assert words[:2] == ["listening", "on"] and len(words) == 3, line
        self.host = words[2]
        return self

    def read_log(self):
        return (self.folder / "log").read_text(errors="replace")[-2000:]

    def stop(self):
        """Asks it to end, and sees that it ends well."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(30) == 0
        self.closed()

    def kill(self):
        self.process.kill()
        self.process.wait(10)
        self.closed()

    def closed(self):
        if self.process:
            self.process.stdout.close()
            self.log.close()
            log = self.read_log()
            assert "panicked" not in log, log

    def restart(self, how="stop"):
        """Ends it and starts it again on the same port."""
        getattr(self, how)()
        return self.start()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        try:
            self.stop()
        finally:
            if self.process.poll() is None:
                self.process.kill()

    def call(self, method, path, token=None, body=None, headers=None, raw=None):
        """One request on a connection of its own."""
        headers = dict(headers or {})
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        if body is not None:
            raw = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection(self.host, timeout=20)
        try:
            connection.request(method, path, body=raw, headers=headers)
            answer = connection.getresponse()
            return Response(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def get(self, path, token=None, **more):
        return self.call("GET", path, token, **more)

    def post(self, path, token=None, body=None, **more):
        return self.call("POST", path, token, body, **more)

    def login(self, id):
        answer = self.post("/api/v1/login", body={"id": id, "code": f"code-{id}"}).ok()
        assert isinstance(answer["token"], str) and answer["token"]
        return answer["token"]

    def begin(self, login, exam, status=201, **body):
        """Starts or finds the caller's attempt: `{attempt, token, status, socket}`."""
        answer = self.post(f"/api/v1/exams/{exam}/attempts", login, body).ok(status)
        assert isinstance(answer["attempt"], str) and isinstance(answer["token"], str)
        assert answer["socket"] == "/ws/v1/attempt"
        return answer

    def command(self, exam, action, target, id, args=None, by="teacher"):
        """A command of staff, over HTTP."""
        body = {"id": id, "target": target, "action": action}
        if args is not None:
            body["args"] = args
        return self.post(f"/api/v1/exams/{exam}/commands", self.login(by), body)
