"""The paper: what it shows, and that it never shows what it must not."""

import gzip
import json

import pytest

from harness.exams import QUESTIONS


def paper_of(sitting):
    with sitting.socket() as socket:
        welcome = socket.enter(sitting.token)
    return welcome, sitting.server.get(welcome["paper"]["url"], sitting.token).ok()


def test_has_what_the_page_needs(sitting):
    welcome, paper = paper_of(sitting)
    assert paper["version"] == welcome["paper"]["version"]
    assert [section["id"] for section in paper["sections"]] == ["s1", "s2"]
    assert [section["title"] for section in paper["sections"]] == ["First", "Second"]
    questions = {q["id"]: q for section in paper["sections"] for q in section["questions"]}
    assert set(questions) == set(QUESTIONS)
    for id, written in QUESTIONS.items():
        shown = questions[id]
        assert shown["type"] == written["type"]
        assert shown["content"] == written["content"]
        assert float(shown["points"]) == written["points"]
    texts = {option["id"]: option["text"] for option in questions["q1"]["options"]}
    assert texts == {id: f"Option {id}" for id in "abcd"}
    assert questions["q4"]["blanks"] == 2
    assert questions["q7"]["languages"] == ["python", "rust"]
    assert {side["id"] for side in questions["q8"]["left"]} == {"ke", "pe", "fi"}
    assert {side["id"] for side in questions["q8"]["right"]} == {"nbo", "lim", "hel", "osl"}
    assert {item["id"] for item in questions["q9"]["items"]} == set("wxyz")
    assert questions["q10"]["image"] == QUESTIONS["q10"]["image"]
    assert questions["q10"]["multiple"] is True


def test_holds_no_answer(sitting):
    welcome, _ = paper_of(sitting)
    answer = sitting.server.get(welcome["paper"]["url"], sitting.token)
    assert b"SECRET" not in answer.body
    forbidden = {
        "answer", "answers", "explanation", "rubric", "partial_credit", "negative_marking",
        "case_sensitive", "tolerance", "key",
    }  # fmt: skip
    for section in answer.json()["sections"]:
        for question in section["questions"]:
            assert not forbidden & set(question), question


def test_never_stands_in_the_order_of_the_key(sit):
    for _ in range(5):
        sitting = sit("PLAIN")
        welcome, paper = paper_of(sitting)
        questions = {q["id"]: q for section in paper["sections"] for q in section["questions"]}
        assert [item["id"] for item in questions["q9"]["items"]] != list("wxyz")
        assert [side["id"] for side in questions["q8"]["right"]] != ["nbo", "lim", "hel"]
        orders = {
            entry["q"]: entry.get("options")
            for section in welcome["paper"].get("order") or []
            for entry in section["questions"]
        }
        assert orders.get("q9") != list("wxyz")


def test_order_names_every_question_and_option_once(sitting):
    welcome, _ = paper_of(sitting)
    order = welcome["paper"]["order"]
    assert [section["section"] for section in order] == ["s1", "s2"]
    got = [[entry["q"] for entry in section["questions"]] for section in order]
    ids = list(QUESTIONS)
    assert [sorted(part) for part in got] == [sorted(ids[:5]), sorted(ids[5:])]
    options = {e["q"]: e.get("options") for section in order for e in section["questions"]}
    assert sorted(options["q1"]) == list("abcd")
    assert sorted(options["q2"]) == list("abcde")
    assert sorted(options["q9"]) == list("wxyz")
    assert sorted(options["q8"]) == ["hel", "lim", "nbo", "osl"]


def test_order_differs_between_candidates_but_not_between_visits(sit):
    orders = []
    for _ in range(6):
        sitting = sit()
        visits = [paper_of(sitting)[0]["paper"] for _ in range(2)]
        assert visits[0]["order"] == visits[1]["order"]
        assert visits[0]["version"] == visits[1]["version"]
        orders.append(str(visits[0]["order"]))
    assert len(set(orders)) > 1


def test_order_is_the_authors_where_nothing_is_shuffled(sit):
    welcome, _ = paper_of(sit("PLAIN"))
    got = [e["q"] for section in welcome["paper"]["order"] for e in section["questions"]]
    assert got == list(QUESTIONS)
    options = {
        e["q"]: e.get("options")
        for section in welcome["paper"]["order"]
        for e in section["questions"]
    }
    assert options["q1"] in (None, list("abcd"))


def test_is_compressed_and_cacheable(sitting):
    welcome, paper = paper_of(sitting)
    answer = sitting.server.get(
        welcome["paper"]["url"], sitting.token, headers={"Accept-Encoding": "gzip"}
    )
    assert answer.headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(answer.body)) == paper
    assert "no-store" not in answer.headers["Cache-Control"]


def test_is_for_those_who_sit_the_exam(sit, server):
    mine = sit()
    url = paper_of(mine)[0]["paper"]["url"]
    server.get(url).problem(401)
    server.get(url, "nonsense").problem(401)
    server.get("/api/v1/papers/sha256-" + "0" * 64, mine.token).problem(404)


@pytest.mark.parametrize("version", ["x", "sha256:zz", "sha256-", "..", "%00", "a" * 3000])
def test_a_version_that_is_none_is_not_found(sitting, version):
    sitting.server.get(f"/api/v1/papers/{version}", sitting.token).problem(404)
