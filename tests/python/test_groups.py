"""Who watches groups of candidates sees and acts on those alone."""

import sqlite3
from contextlib import closing

import pytest

from conftest import Sitting
from harness.exams import exam
from harness.server import Server, person
from harness.wire import Console

WATCHED = {
    "enabled": True,
    "heartbeat_seconds": 10,
    "rules": [{"kind": "phone", "severity": "high", "limit": 1, "then": "flag"}],
}
GROUPS = {"ann": "Room 1", "bob": "Room 2;Résumé", "cyd": "Room 2", "dan": ""}


@pytest.fixture
def hall(tmp_path):
    """One candidate of the first room, two of the second, one of none."""
    people = [person(id, "WATCH", groups=groups) for id, groups in GROUPS.items()]
    people += [
        person("pat", "WATCH", "proctor", groups="Room 1; Résumé"),
        person("pia", "WATCH", "proctor", groups="Room 2"),
        person("sue", "WATCH", "proctor"),
        person("tom", "WATCH", "teacher", groups="Room 1"),
    ]
    with Server(tmp_path, [exam("WATCH", proctoring=WATCHED)], people) as running:
        yield running


@pytest.fixture
def sittings(hall):
    return {id: Sitting(hall, id, "WATCH") for id in GROUPS}


def console(hall, who, protocol=None):
    opened = Console(hall, protocol) if protocol else Console(hall)
    opened.welcomed = opened.enter(hall.login(who))
    opened.watch("WATCH")
    return opened


def seen(console):
    """The candidates of the board, whose totals must be those of its rows."""
    assert console.totals["attempts"] == len(console.rows)
    return sorted(row["candidate"]["id"] for row in console.rows.values())


def test_a_board_has_the_candidates_of_the_own_groups(hall, sittings, protocol):
    sockets = [sitting.socket() for sitting in sittings.values()]
    for socket, sitting in zip(sockets, sittings.values()):
        socket.enter(sitting.token)
    for who, expected in [
        ("pat", ["ann", "bob"]), ("pia", ["bob", "cyd"]), ("sue", [*GROUPS]), ("tom", [*GROUPS]),
    ]:  # fmt: skip
        with console(hall, who, protocol) as board:
            assert seen(board) == expected
            assert board.welcomed["exams"][0]["live"] == len(expected)
    for socket in sockets:
        socket.close()


def test_news_of_others_is_not_heard(hall, sittings):
    cyd = sittings["cyd"]
    with console(hall, "pat") as pat, console(hall, "pia") as pia, console(hall, "sue") as sue:
        with cyd.socket() as socket:
            socket.enter(cyd.token)
            socket.send("event", n=1, kind="phone", at=0)
            socket.until("notice")
            for board in (pia, sue):
                assert board.until("incident")["attempt"] == cyd.attempt
                board.sees(cyd.attempt, online=True, flagged=True)
                assert board.totals["flagged"] == 1
            sue.send("inspect", attempt=cyd.attempt, on=True)
            sue.does("extend", "e1", {"attempt": cyd.attempt}, ms=60_000)
            assert pia.until("action")["action"] == "extend"
        heard = pat.quiet(0.6)
        assert {one["t"] for one in heard} <= {"presence", "delta"}, heard
        assert f"'{cyd.attempt}'" not in str(heard)
        # Who of the other room is at work is no secret, whom they look at is.
        assert "sue" in str(heard) and "inspects" not in str(heard)
        assert pat.totals["flagged"] == 0
        # A candidate of both is heard of by both.
        bob = sittings["bob"]
        with bob.socket() as socket:
            socket.enter(bob.token)
            for board in (pat, pia, sue):
                board.sees(bob.attempt, online=True)
        assert cyd.attempt not in pat.rows


def test_nothing_is_done_to_others(hall, sittings):
    ann, bob, cyd, dan = (sittings[id].attempt for id in GROUPS)
    with console(hall, "pat") as pat, console(hall, "pia") as pia:
        for other in (cyd, dan):
            pat.send("inspect", attempt=other, on=True)
            assert pat.until("error")["code"] == "forbidden"
        result = pat.does("flag", "some", {"attempts": [ann, bob, cyd, dan]}, reason="x")
        assert result["done"] == 2
        assert sorted((one["attempt"], one["code"]) for one in result["failed"]) == sorted(
            [(cyd, "forbidden"), (dan, "forbidden")]
        )
        assert pia.until("action")["target"] == {"attempts": [bob]}
        # The whole exam is what of it is one's own.
        assert pat.does("extend", "all", {"exam": "WATCH"}, ms=60_000)["total"] == 2
        assert pia.until("action", action="extend")["target"] == {"exam": "WATCH"}
    answer = hall.command("WATCH", "pause", {"attempt": cyd}, "rest", by="pat").ok()
    assert [one["code"] for one in answer["failed"]] == ["forbidden"]
    assert hall.command("WATCH", "flag", {"exam": "WATCH"}, "rest2", by="pia").ok()["done"] == 2
    assert hall.command("WATCH", "flag", {"exam": "WATCH"}, "rest3", by="sue").ok()["done"] == 4


def test_what_is_read_of_others(hall, sittings):
    for id in ("ann", "cyd"):
        with sittings[id].socket() as socket:
            socket.enter(sittings[id].token)
            socket.send("event", n=1, kind="phone", at=0)
            socket.until("notice")
    pat, sue = hall.login("pat"), hall.login("sue")
    listed = "/api/v1/exams/WATCH/incidents"

    def whose(token):
        return sorted(one["candidate"] for one in hall.get(listed, token).ok()["incidents"])

    assert (whose(pat), whose(sue)) == (["ann"], ["ann", "cyd"])
    for path in ("", "/timeline", "/receipt", "/evidence"):
        assert hall.get(sittings["ann"].path(path), pat).status in (200, 404 if path else 200)
        hall.get(sittings["cyd"].path(path), pat).problem(404)


def test_groups_that_change_hold_for_an_open_console(hall, sittings):
    ann, bob, cyd = (sittings[id].attempt for id in ("ann", "bob", "cyd"))
    with console(hall, "pat") as pat, console(hall, "sue") as sue:
        pat.send("inspect", attempt=bob, on=True)
        pat.send("inspect", attempt=ann, on=True)
        pat.until("detail", attempt=ann)
        with closing(sqlite3.connect(next(hall.folder.glob("data/*.db")))) as store, store:
            store.execute("UPDATE users SET groups = '[\"Room 2\"]' WHERE username = 'pat'")
            # What an attempt began with stays, as its time does.
            store.execute("UPDATE users SET groups = '[\"Room 2\"]' WHERE username = 'dan'")
        pat.watch("WATCH")
        assert seen(pat) == ["bob", "cyd"]
        presence = sue.until("presence")["proctors"]
        while presence[0].get("inspects") != [bob]:
            presence = sue.until("presence")["proctors"]
        pat.send("inspect", attempt=ann, on=True)
        assert pat.until("error")["code"] == "forbidden"
        with sittings["cyd"].socket() as socket:
            socket.enter(sittings["cyd"].token)
            pat.sees(cyd, online=True)
        with sittings["bob"].socket() as socket:
            socket.enter(sittings["bob"].token)
            socket.send("event", n=1, kind="phone", at=0)
            assert pat.until("event")["attempt"] == bob
        pat.send("heartbeat", n=1)
        pat.until("pulse")
        assert pat.totals["attempts"] == 2
