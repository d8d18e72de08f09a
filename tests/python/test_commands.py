"""Answers, flags and hand-ins: numbers, revisions, and every value that is not one."""

import json

import pytest

from harness.exams import CODE, ESSAY, RIGHT
from harness.wire import JSON


def test_one_saved_may_cover_many(sitting, protocol):
    with sitting.socket(protocol) as socket:
        socket.enter(sitting.token)
        for seq in range(1, 31):
            socket.send("answer", seq=seq, q="q6", value=f"text {seq}")
        saved = [0]
        while saved[-1] < 30:
            saved.append(socket.until("saved")["seq"])
        assert saved == sorted(saved) and saved[-1] == 30
    assert sitting.answers()["q6"] == {"value": "text 30", "flagged": False, "rev": 30}


def test_what_was_saved_is_what_is_read(sitting, protocol):
    answers = {**RIGHT, "q6": ESSAY, "q7": CODE}
    with sitting.socket(protocol) as socket:
        socket.enter(sitting.token)
        for seq, (q, value) in enumerate(answers.items(), start=1):
            socket.save("answer", seq, q=q, value=value)
        for q, value in answers.items():
            assert sitting.answers()[q] == {"value": value, "flagged": False, "rev": 1}


def test_a_repeat_changes_nothing_and_is_answered(sitting, protocol):
    with sitting.socket(protocol) as socket:
        socket.enter(sitting.token)
        socket.save("answer", 1, q="q1", value="a")
        socket.send("answer", seq=1, q="q1", value="b")
        assert socket.until("saved")["seq"] == 1
        socket.save("answer", 2, q="q3", value=True)
        for seq in (1, 2, 1):
            socket.send("answer", seq=seq, q="q1", value="c")
        assert socket.until("saved")["seq"] == 2
    assert sitting.answers()["q1"] == {"value": "a", "flagged": False, "rev": 1}


def test_a_gap_is_refused_and_not_used_up(sitting, protocol):
    with sitting.socket(protocol) as socket:
        socket.enter(sitting.token)
        for seq in (2, 100, 2**31, 2**53 - 1):
            assert socket.refuse("answer", seq, "gap", q="q1", value="a")["detail"] == {
                "expected": 1
            }
        socket.save("answer", 1, q="q1", value="b")
        socket.refuse("submit", 3, "gap")
        socket.save("answer", 2, q="q1", value="c")
    assert sitting.answers()["q1"] == {"value": "c", "flagged": False, "rev": 2}


def test_a_refused_number_counts_as_used(sitting, protocol):
    with sitting.socket(protocol) as socket:
        socket.enter(sitting.token)
        socket.refuse("answer", 1, "unknown_question", q="nope", value="a")
        socket.refuse("answer", 2, "bad_value", q="q1", value="nope")
        socket.save("answer", 3, q="q1", value="b")
        socket.send("answer", seq=2, q="q1", value="a")
        assert socket.until("saved")["seq"] == 3
    assert sitting.answers()["q1"]["value"] == "b"


@pytest.mark.parametrize("q", ["", "q11", "Q1", "q1 ", "s1", "../q1", "\u95ee", "q" * 500])
def test_an_unknown_question_is_refused(sitting, protocol, q):
    with sitting.socket(protocol) as socket:
        socket.enter(sitting.token)
        assert socket.refuse("answer", 1, "unknown_question", q=q, value="a")["q"] == q
        socket.refuse("flag", 2, "unknown_question", q=q, on=True)


def test_flags_mark_and_do_not_count_as_revisions(sitting, protocol):
    with sitting.socket(protocol) as socket:
        socket.enter(sitting.token)
        socket.save("flag", 1, q="q1", on=True)
        assert sitting.answers()["q1"]["flagged"] is True
        assert sitting.answers()["q1"]["rev"] == 0
        socket.save("answer", 2, q="q1", value="a")
        socket.save("flag", 3, q="q1", on=True)
        assert sitting.answers()["q1"] == {"value": "a", "flagged": True, "rev": 1}
        socket.save("flag", 4, q="q1", on=False)
        assert sitting.answers()["q1"] == {"value": "a", "flagged": False, "rev": 1}


def test_revisions_count_every_accepted_answer(sitting, protocol):
    with sitting.socket(protocol) as socket:
        socket.enter(sitting.token)
        for seq, value in enumerate(["a", "a", None, "b"], start=1):
            socket.save("answer", seq, q="q1", value=value)
            assert sitting.answers()["q1"] == {"value": value, "flagged": False, "rev": seq}
        # The right revision, then none: no check.
        socket.save("answer", 5, q="q1", value="c", base_rev=4)
        socket.save("answer", 6, q="q1", value="d")
        assert sitting.answers()["q1"]["rev"] == 6


def test_an_older_base_is_a_conflict(sitting, protocol):
    with sitting.socket(protocol) as socket:
        socket.enter(sitting.token)
        socket.save("answer", 1, q="q2", value=["a"], base_rev=0)
        socket.save("answer", 2, q="q2", value=["a", "c"], base_rev=1)
        for seq, base in ((3, 0), (4, 1)):
            refused = socket.refuse("answer", seq, "conflict", q="q2", value=["e"], base_rev=base)
            assert refused["detail"] == {"rev": 2, "value": ["a", "c"]}
            assert refused["q"] == "q2"
        assert sitting.answers()["q2"] == {"value": ["a", "c"], "flagged": False, "rev": 2}


BAD_VALUES = [
    ("q1", ["nope", "", "A", 1, 1.5, True, [], ["a"], {}, {"a": 1}]),
    ("q2", ["a", 1, True, {}, ["nope"], ["a", "a"], ["a", 1], ["a", None], [["a"]], ["w"]]),
    ("q3", ["true", "", 0, 1, [], [True], {}]),
    ("q4", ["60", 60, {}, ["1", "2", "3"], [1, 2], [["60"]], True]),
    ("q5", [1, 1.5, True, [], ["gas"], {}, {"text": "gas"}]),
    ("q6", [1, False, [], ["text"], {}]),
    ("q7", ["print()", [], 1, True, {"language": 1, "source": "x"},
            {"language": "python", "source": 1},
            {"language": "cobol", "source": "x"}]),
    ("q8", ["ke", [], ["ke", "nbo"], {"ke": "nope"}, {"nope": "nbo"}, {"ke": 1}, {"ke": ["nbo"]},
            {"nbo": "ke"}]),
    ("q9", ["w", {}, ["nope"], ["w", "w"], ["w", 1], ["a"], [["w"]]]),
    ("q10", ["x", {}, [0.1, 0.2], [[0.1]], [[0.1, 0.2, 0.3]], [["0.1", "0.2"]], [[0.1, None]],
             [[1.5, 0.5]], [[0.5, -0.1]], {"x": 0.1, "y": 0.2}]),
]  # fmt: skip


@pytest.mark.parametrize("q, values", BAD_VALUES, ids=[q for q, _ in BAD_VALUES])
def test_a_bad_value_is_refused_and_nothing_more(sitting, protocol, q, values):
    with sitting.socket(protocol) as socket:
        socket.enter(sitting.token)
        for seq, value in enumerate(values, start=1):
            refused = socket.refuse("answer", seq, "bad_value", q=q, value=value)
            assert refused["q"] == q
        if q in RIGHT:
            socket.save("answer", len(values) + 1, q=q, value=RIGHT[q])
            assert sitting.answers()[q] == {"value": RIGHT[q], "flagged": False, "rev": 1}
        else:
            assert sitting.answers() == {}


PARTS = [
    ("q2", []), ("q4", []), ("q4", ["60"]), ("q4", ["", ""]), ("q5", ""), ("q6", ""), ("q8", {}),
    ("q8", {"pe": "osl"}), ("q8", {"ke": "nbo", "pe": "nbo"}), ("q9", []), ("q9", ["z", "w"]),
    ("q10", []), ("q10", [[0, 0], [1, 1]]), ("q7", {"language": "rust", "source": ""}),
]  # fmt: skip


@pytest.mark.parametrize("q, value", PARTS, ids=json.dumps)
def test_missing_parts_are_allowed(sitting, q, value):
    with sitting.socket() as socket:
        socket.enter(sitting.token)
        socket.save("answer", 1, q=q, value=value)


def test_null_clears_every_type(sitting, protocol):
    answers = {**RIGHT, "q6": ESSAY, "q7": CODE}
    with sitting.socket(protocol) as socket:
        socket.enter(sitting.token)
        seq = 0
        for q, value in answers.items():
            seq += 1
            socket.save("answer", seq, q=q, value=value)
        for q in answers:
            seq += 1
            socket.save("answer", seq, q=q, value=None)
    assert all(stored["value"] is None for stored in sitting.answers().values())


@pytest.mark.parametrize(
    "q, value",
    [
        ("q6", '"\\ud800"'),
        ("q6", '"a\\udc00b"'),
        ("q6", '"\\udc00\\ud800"'),
        ("q6", '"a\\u0000b"'),
        ("q5", '"\\u0000"'),
        ("q4", '["\\ud83d", "x"]'),
        ("q1", '"\\ud800"'),
        ("q8", '{"ke": "\\u0000"}'),
        ("q8", '{"\\ud800": "nbo"}'),
        ("q7", '{"language": "python", "source": "\\ud800"}'),
    ],
)
def test_text_that_cannot_be_stored_is_a_bad_value(sitting, q, value):
    with sitting.socket(JSON) as socket:
        socket.enter(sitting.token)
        socket.raw(f'{{"t":"answer","seq":1,"q":"{q}","value":{value}}}')
        assert socket.until("refused", seq=1)["code"] == "bad_value"
        socket.save("answer", 2, q="q6", value="it goes on")


def test_nul_is_a_bad_value_in_messagepack_too(sitting):
    with sitting.socket("invigil.v1.msgpack") as socket:
        socket.enter(sitting.token)
        socket.refuse("answer", 1, "bad_value", q="q6", value="a\0b")


def test_every_other_character_is_kept(sitting, protocol):
    value = "".join(map(chr, [*range(1, 0x20), 0x7F, 0x85, 0xFEFF, 0xFFFD, 0x2028, 0x10FFFF]))
    value += "e\u0301 \u00e9 \U0001f468\u200d\U0001f469 \u202e"
    with sitting.socket(protocol) as socket:
        socket.enter(sitting.token)
        socket.save("answer", 1, q="q6", value=value)
    assert sitting.answers()["q6"]["value"] == value


def test_submit_is_repeated_without_harm(sitting, protocol):
    with sitting.socket(protocol) as socket:
        socket.enter(sitting.token)
        socket.send("submit", seq=1)
        socket.send("submit", seq=1)
        socket.until("submitted")
        socket.ended(1000)
