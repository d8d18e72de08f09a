"""What the tests share: an engine with exams that are open, and candidates for them."""

import itertools
import os

import pytest

from harness.exams import exam
from harness.server import Server, person
from harness.wire import JSON, MSGPACK, Socket

CANDIDATES = 300
OPEN_EXAMS = "FULL;PLAIN;REJECT;SECRET;NEAR;ONCE;HIDDEN;SHOWN"


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """One engine for a worker, for tests that do nothing to it."""
    exams = [
        exam("FULL"),
        exam("PLAIN", shuffle_questions=False, shuffle_options=False),
        exam("REJECT", session_policy="reject"),
        exam("SECRET", password="open sesame"),
        exam("NEAR", ip_restrictions=["10.0.0.0/8"]),
        exam("ONCE", max_attempts=1),
        exam("HIDDEN", show_results_immediately=False, allow_review=False),
        exam("SHOWN", show_correct_answers=True),
        exam("OTHER"),
    ]
    people = [person(f"c{number}", OPEN_EXAMS) for number in range(CANDIDATES)]
    with Server(tmp_path_factory.mktemp("shared"), exams, people) as running:
        yield running


NEXT = itertools.count()


class Sitting:
    """A candidate with an attempt, and the numbers of the session."""

    def __init__(self, server, id, exam_code="FULL", **body):
        self.server = server
        self.id = id
        self.exam = exam_code
        self.login = server.login(id)
        begun = server.begin(self.login, exam_code, **body)
        self.attempt = begun["attempt"]
        self.token = begun["token"]

    def path(self, rest=""):
        return f"/api/v1/attempts/{self.attempt}{rest}"

    def socket(self, protocol=JSON):
        return Socket(self.server, protocol)

    def answers(self):
        """The stored answers: `{question: {value, flagged, rev}}`."""
        document = self.server.get(self.path("/answers"), self.token).ok()
        assert isinstance(document["saved_seq"], int)
        for stored in document["answers"].values():
            assert set(stored) >= {"value", "flagged", "rev"}
        return document["answers"]

    def exchange(self, status=200, **body):
        answer = self.server.post(self.path("/exchange"), self.token, body)
        return answer.ok() if status == 200 else answer.problem(status)

    def command(self, action, id, args=None, by="teacher"):
        """A staff command for this attempt, and its result."""
        target = {"attempt": self.attempt}
        return self.server.command(self.exam, action, target, id, args, by).ok()


@pytest.fixture
def candidate():
    """The id of a candidate that no other test of this worker has had."""
    return f"c{next(NEXT)}"


@pytest.fixture
def sitting(server, candidate):
    return Sitting(server, candidate)


@pytest.fixture
def sit(server):
    """Makes sittings of exams by code."""
    return lambda code="FULL", **body: Sitting(server, f"c{next(NEXT)}", code, **body)


@pytest.fixture(params=[JSON, MSGPACK], ids=["json", "msgpack"])
def protocol(request):
    return request.param


@pytest.fixture
def serve(tmp_path):
    """Starts engines of a test's own: `serve([exam…], [person…], settings)`."""
    started = []

    def start(exams, people, settings=None):
        running = Server(tmp_path / f"own{len(started)}", exams, people, settings).start()
        started.append(running)
        return running

    yield start
    for running in started:
        running.__exit__()


def pytest_sessionstart():
    from harness.server import BINARY

    assert os.access(BINARY, os.X_OK), f"{BINARY} is no program: set INVIGIL_BIN"
