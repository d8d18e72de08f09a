"""Receipts: genuine ones verify, anything else does not."""

import copy
import json

import pytest

from conftest import Sitting
from harness.exams import CODE, ESSAY, RIGHT, exam
from harness.receipt import holds, verify
from harness.server import person, run


@pytest.fixture
def receipt(sitting):
    answers = {**RIGHT, "q6": ESSAY * 100, "q7": CODE, "q1": None}
    commands = [
        {"t": "answer", "seq": seq, "q": q, "value": value}
        for seq, (q, value) in enumerate(answers.items(), start=1)
    ]
    commands.append({"t": "submit", "seq": len(commands) + 1})
    sitting.exchange(commands=commands)
    receipt = sitting.server.get(sitting.path("/receipt"), sitting.login).ok()
    assert holds(verify(receipt), answers)
    return receipt


def said(receipt, folder):
    """The exit code of `invigil verify`."""
    path = folder / "receipt.json"
    path.write_text(json.dumps(receipt, ensure_ascii=False), encoding="utf-8")
    return run("verify", path).returncode


def test_the_program_says_so_too(receipt, tmp_path):
    assert said(receipt, tmp_path) == 0


def test_is_the_same_for_everyone(sitting, receipt):
    for token in (sitting.token, sitting.login, sitting.server.login("teacher")):
        assert sitting.server.get(sitting.path("/receipt"), token).ok() == receipt


def test_says_whose_it_is(sitting, receipt):
    content = receipt["content"]
    assert content["attempt"] == sitting.attempt
    assert content["candidate"] == sitting.id
    assert content["exam"] == "FULL"
    assert content["handed_in"] == "candidate" and content["late"] is False
    assert content["exam_version"].startswith("sha256:")
    times = [content[name] for name in ("started_at", "entered_at", "submitted_at", "deadline_at")]
    assert times == sorted(times)


CHANGES = {
    "score": lambda r: r["content"].update(late=True),
    "answer": lambda r: r["content"]["answers"][0].update(value='"c"'),
    "answer-gone": lambda r: r["content"]["answers"].pop(),
    "candidate": lambda r: r["content"].update(candidate="someone"),
    "time": lambda r: r["content"].update(submitted_at=r["content"]["submitted_at"] - 1),
    "more": lambda r: r["content"].update(note="x"),
    "around": lambda r: r.update(note="x"),
    "hash": lambda r: r.update(sha256="0" * 64),
    "signature": lambda r: r.update(signature="A" * 86 + "=="),
    "no-signature": lambda r: r.pop("signature"),
    "key": lambda r: r.update(public_key="A" * 43 + "="),
    "algorithm": lambda r: r.update(alg="none"),
    "format": lambda r: r["content"].update(format="invigil-receipt-2"),
}


def test_any_change_shows(receipt, tmp_path):
    for name, change in CHANGES.items():
        changed = copy.deepcopy(receipt)
        change(changed)
        assert said(changed, tmp_path) == 1, name
        with pytest.raises(Exception):  # noqa: B017 (each change fails in its own way)
            verify(changed)


NO_RECEIPTS = ["", "{", "[]", "null", "{}", '{"content":{}}', "\x00", "x" * 9999]


@pytest.mark.parametrize("text", NO_RECEIPTS)
def test_what_is_no_receipt_is_not_genuine(tmp_path, text):
    path = tmp_path / "receipt.json"
    path.write_text(text)
    answer = run("verify", path)
    assert answer.returncode == 1
    assert "panicked" not in answer.stderr


def test_one_key_signs_for_one_engine_even_after_a_restart(serve):
    server = serve([exam("FULL")], [person("ann", "FULL"), person("bob", "FULL")])
    keys = set()
    for id in ("ann", "bob"):
        sitting = Sitting(server, id)
        sitting.exchange(commands=[{"t": "submit", "seq": 1}])
        receipt = server.get(sitting.path("/receipt"), sitting.token).ok()
        verify(receipt)
        keys.add(receipt["public_key"])
        server.restart()
        assert server.get(sitting.path("/receipt"), sitting.token).ok() == receipt
    assert len(keys) == 1
