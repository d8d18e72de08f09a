"""Exams with every type of question, and what answers to them are worth."""

import copy
from datetime import datetime, timedelta, timezone
from decimal import Decimal

QUESTIONS = {
    "q1": {
        "type": "single_choice", "content": "Pick $b$.", "points": 2, "negative_marking": True,
        "options": [{"id": id, "text": f"Option {id}"} for id in "abcd"],
        "answer": "b",
        "explanation": "SECRET-EXPLANATION",
    },
    "q2": {
        "type": "multiple_choice", "content": "Primes?", "points": 3, "partial_credit": True,
        "options": [{"id": id, "text": f"Option {id}"} for id in "abcde"],
        "answer": ["a", "c", "e"],
    },
    "q3": {"type": "true_false", "content": "True?", "points": 1, "answer": True},
    "q4": {
        "type": "fill_blank", "content": "____ degrees, ____ radians", "points": 2,
        "partial_credit": True,
        "answer": [["60", "SECRET-SIXTY"], {"number": 3.14, "tolerance": 0.01}],
    },
    "q5": {
        "type": "short_answer", "content": "A gas?", "points": 2,
        "answer": ["carbon dioxide", "SECRET-GAS"],
    },
    "q6": {
        "type": "essay", "content": "Why? 为什么？", "points": 6, "answer": None,
        "rubric": "SECRET-RUBRIC",
    },
    "q7": {
        "type": "coding", "content": "Write `fib`.", "points": 5, "answer": None,
        "languages": ["python", "rust"],
    },
    "q8": {
        "type": "matching", "content": "Capitals?", "points": 3, "partial_credit": True,
        "left": [{"id": id, "text": f"Left {id}"} for id in ("ke", "pe", "fi")],
        "right": [{"id": id, "text": f"Right {id}"} for id in ("nbo", "lim", "hel", "osl")],
        "answer": {"ke": "nbo", "pe": "lim", "fi": "hel"},
    },
    "q9": {
        "type": "ordering", "content": "Sort.", "points": 3, "partial_credit": True,
        "items": [{"id": id, "text": f"Item {id}"} for id in "wxyz"],
        "answer": ["w", "x", "y", "z"],
    },
    "q10": {
        "type": "hotspot", "content": "Click.", "points": 3, "partial_credit": True,
        "image": "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA=", "multiple": True,
        "answer": [
            {"shape": "rect", "coords": [0.1, 0.1, 0.2, 0.2]},
            {"shape": "circle", "coords": [0.7, 0.7, 0.1]},
        ],
    },
}  # fmt: skip

# Answers that are right, as far as a machine can tell: 19 of 30 points.
RIGHT = {
    "q1": "b",
    "q2": ["e", "a", "c"],
    "q3": True,
    "q4": [" secret-sixty ", "3,15"],
    "q5": "Carbon   DIOXIDE",
    "q8": {"fi": "hel", "ke": "nbo", "pe": "lim"},
    "q9": ["w", "x", "y", "z"],
    "q10": [[0.15, 0.1], [0.7, 0.8]],
}
RIGHT_SCORE = {
    "q1": "2", "q2": "3", "q3": "1", "q4": "2", "q5": "2", "q6": "0", "q7": "0", "q8": "3",
    "q9": "3", "q10": "3",
}  # fmt: skip

# Answers that are partly right. 53/6 of 30 points, which no sum of rounded
# scores gives by chance.
PARTLY = {
    "q1": "a",
    "q2": ["a", "c", "b"],
    "q3": True,
    "q4": ["60", "4"],
    "q5": "SECRET-GAS",
    "q8": {"ke": "nbo", "pe": "lim", "fi": "osl"},
    "q9": ["w", "x", "z", "y"],
    "q10": [[0.15, 0.15], [0.16, 0.16], [0.7, 0.7], [0.9, 0.1]],
}
PARTLY_SCORE = {
    "q1": "-0.67", "q2": "1", "q3": "1", "q4": "1", "q5": "2", "q6": "0", "q7": "0", "q8": "2",
    "q9": "1", "q10": "1.5",
}  # fmt: skip

ESSAY = "Steel grows when it is warm.\n钢会热胀冷缩。\U0001f309"
CODE = {"language": "python", "source": "def fib(n):\n    return n\n"}

SCALE = [[90, "A"], [80, "B"], [70, "C"], [60, "D"], [0, "F"]]


def exam(code, **fields):
    """All ten types in two sections; `fields` overrides what is given here."""
    questions = [{"id": id, **copy.deepcopy(question)} for id, question in QUESTIONS.items()]
    return {
        "code": code,
        "title": f"Title of {code}",
        "instructions": "Answer **every** question. 请作答。",
        "type": "midterm",
        "duration_minutes": 60,
        "passing_score": 60,
        "max_attempts": 3,
        "shuffle_questions": True,
        "shuffle_options": True,
        "show_results_immediately": True,
        "allow_review": True,
        "grading": {"scale": SCALE},
        "proctoring": {"enabled": True, "heartbeat_seconds": 10},
        "sections": [
            {"id": "s1", "title": "First", "questions": questions[:5]},
            {"id": "s2", "title": "Second", "questions": questions[5:]},
        ],
        **fields,
    }


def soon(seconds):
    """An instant of an exam file, some seconds from now."""
    when = datetime.now(timezone.utc) + timedelta(seconds=seconds)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def decimal(value):
    """A score, whether it came as a number or as a text."""
    assert isinstance(value, (int, float, str)) and not isinstance(value, bool), value
    return Decimal(str(value))


def check_result(result, scores, total, percentage, grade, passed):
    """A result of which nothing waits for a person."""
    got = {entry["q"]: decimal(entry["score"]) for entry in result["questions"]}
    assert got == {q: Decimal(score) for q, score in scores.items()}
    for entry in result["questions"]:
        assert decimal(entry["points"]) == QUESTIONS[entry["q"]]["points"]
    assert decimal(result["score"]) == Decimal(total)
    assert decimal(result["max_score"]) == 30
    assert abs(decimal(result["percentage"]) - Decimal(percentage)) < Decimal("0.01")
    assert result["grade"] == grade
    assert result["passed"] is passed
    assert result["late"] is False
    assert decimal(result["penalty"]) == 0
    # Nothing waits for a person, in whichever form that is said.
    assert not result["needs_marking"]
