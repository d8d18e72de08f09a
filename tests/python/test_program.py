"""The command line: what it says when something is wrong."""

import json
import signal
import socket
import subprocess

import pytest

from harness.exams import exam
from harness.server import BINARY, Server, person, run, write_roster
from harness.wire import Socket


def files(folder, content):
    path = folder / "exam.json"
    path.write_text(json.dumps(content))
    roster = folder / "roster.csv"
    write_roster(roster, [person("ann", "*")])
    return path, roster


def serve(folder, exam_file, roster, *more, timeout=20):
    return run(
        "serve", "--exam", exam_file, "--roster", roster, "--data", folder / "data",
        "--listen", "127.0.0.1:0", *more, timeout=timeout,
    )  # fmt: skip


def test_good_files_pass(tmp_path):
    path, roster = files(tmp_path, exam("FULL"))
    checked = run("check", path, roster)
    assert checked.returncode == 0, checked.stderr
    assert sorted(tmp_path.iterdir()) == [path, roster], "nothing was touched"


def test_every_fault_is_named_with_its_place(tmp_path):
    bad = exam("FULL", duration_minutes=0, colour="red")
    bad["sections"][0]["questions"][0]["options"][1]["id"] = "a"
    bad["sections"][0]["questions"][1]["answer"] = ["z"]
    bad["sections"][1]["questions"][0]["type"] = "poem"
    path, _ = files(tmp_path, bad)
    checked = run("check", path)
    assert checked.returncode == 1
    told = checked.stdout + checked.stderr
    for place in (
        "duration_minutes",
        "colour",
        "sections[0].questions[0].options[1].id",
        "sections[0].questions[1].answer",
        "sections[1].questions[0].type",
    ):
        assert place in told, (place, told)


@pytest.mark.parametrize(
    "row",
    [
        person("ann", "*", "king"),
        person("ann", "*", time_factor="0.5"),
        person("ann", "*", extra_minutes="-1"),
        person("ann", "*", time_factor="much"),
        ["", "Name", "", "candidate", "code", "*", "", "", ""],
        ["ann", "Name", "", "candidate", "", "*", "", "", ""],
        person("ann", "*", groups="g" * 256),
    ],
)
def test_a_bad_roster_is_refused(tmp_path, row):
    roster = tmp_path / "roster.csv"
    write_roster(roster, [person("bob", "*"), row])
    checked = run("check", roster)
    assert checked.returncode == 1
    after_path = (checked.stdout + checked.stderr).split("roster.csv")[-1]
    assert "3" in after_path, "the line is named"


@pytest.mark.parametrize("arguments", [["--nope"], ["fly"], ["serve", "--listen"], ["verify"]])
def test_bad_usage_exits_with_two(arguments):
    assert run(*arguments).returncode == 2


def one_sentence(answer):
    assert answer.returncode == 1, answer
    assert "panicked" not in answer.stderr
    assert 1 <= len(answer.stderr.strip().splitlines()) <= 3, answer.stderr
    assert "listening" not in answer.stdout


def test_a_start_that_fails_says_why(tmp_path):
    path, roster = files(tmp_path, exam("FULL"))
    one_sentence(serve(tmp_path, tmp_path / "nope.yaml", roster))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = run(
            "serve", "--exam", path, "--roster", roster, "--data", tmp_path / "data",
            "--listen", f"127.0.0.1:{port}",
        )  # fmt: skip
        one_sentence(answer)
        assert str(port) in answer.stderr
    config = tmp_path / "invigil.toml"
    config.write_text("[server]\nlissten = '127.0.0.1:1'\n")
    answer = serve(tmp_path, path, roster, "--config", config)
    one_sentence(answer)
    assert "lissten" in answer.stderr


def test_the_configuration_hides_secrets(tmp_path):
    config = tmp_path / "invigil.toml"
    config.write_text("[database]\nurl = 'postgres://someone:hush@127.0.0.1/db'\n")
    answer = run("config", "--config", config)
    assert answer.returncode == 0, answer.stderr
    assert "hush" not in answer.stdout + answer.stderr


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_well(tmp_path, which):
    server = Server(tmp_path, [exam("FULL")], [person("ann", "FULL")]).start()
    with Socket(server):
        server.process.send_signal(which)
        assert server.process.wait(30) == 0
    server.closed()


def test_a_second_signal_ends_it_at_once(tmp_path):
    server = Server(tmp_path, [exam("FULL")], [person("ann", "FULL")]).start()
    login = server.login("ann")
    token = server.begin(login, "FULL")["token"]
    with Socket(server) as candidate:
        candidate.enter(token)
        server.process.send_signal(signal.SIGTERM)
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(5)
    server.closed()


def test_the_demo_needs_nothing(tmp_path):
    process = subprocess.Popen(
        [BINARY, "demo", "--listen", "127.0.0.1:0", "--data", tmp_path / "data"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        told = ""
        for line in process.stdout:
            told += line
            if line.startswith("listening on "):
                break
        assert "listening on 127.0.0.1:" in told
    finally:
        process.terminate()
        assert process.wait(30) == 0
        process.stdout.close()


def test_results_on_the_command_line(tmp_path):
    server = Server(tmp_path, [exam("FULL")], [person("ann", "FULL")]).start()
    begun = server.begin(server.login("ann"), "FULL")
    path = f"/api/v1/attempts/{begun['attempt']}/exchange"
    server.post(path, begun["token"], {"commands": [{"t": "submit", "seq": 1}]}).ok()
    server.stop()
    for more in ([], ["--format", "csv"]):
        answer = run("results", "--exam", "FULL", *more, cwd=tmp_path)
        assert answer.returncode == 0, answer.stderr
        assert "ann" in answer.stdout
