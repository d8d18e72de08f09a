"""Candidates of a demo cluster whose nodes are killed and replaced: nothing may be lost.

Usage: cluster_smoke.py ADDRESS DIR, the proxy's address and the folder of demo-cluster.sh;
run by cluster-smoke.sh. Only what docs/protocol.md promises is relied on.
"""

import asyncio
import json
import os
import random
import signal
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from harness.receipt import holds, verify
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

ADDRESS, DIR = sys.argv[1], Path(sys.argv[2])
EXAM = "DEMO-ALL"
NODES = ("one", "two", "three")
CROWD = 12
# Answers of one candidate of the crowd come this often.
PACE_SECONDS = 0.1
PATIENCE_SECONDS = 15
WELCOME_SECONDS = 8
# Codes of `bye` after which a client comes back.
REPEATED = ("draining", "idle", "rate_limited", "slow_consumer", "moved", "overloaded")


def rest(method, path, token=None, body=None):
    """The JSON of a 2xx; asks again where the proxy has no node for it at the moment."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        request = urllib.request.Request(f"http://{ADDRESS}{path}", method=method)
        request.add_header("Content-Type", "application/json")
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, data, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            problem = error.read().decode(errors="replace")
            if error.code not in (502, 503, 504) or time.monotonic() > until:
                raise AssertionError(f"{method} {path}: {error.code} {problem}") from None
        except OSError:
            if time.monotonic() > until:
                raise
        time.sleep(0.1)


class Candidate:
    """One attempt and what the candidate did; comes back by itself after every break."""

    def __init__(self, id, code):
        self.id = id
        self.login = rest("POST", "/api/v1/login", body={"id": id, "code": code})["token"]
        begun = rest("POST", f"/api/v1/exams/{EXAM}/attempts", self.login, {})
        self.attempt, self.token = begun["attempt"], begun["token"]
        self.session = None
        self.sent = 0
        self.saved = 0
        self.outbox = {}
        self.answers = {}
        self.submitted = None
        self.breaks = []
        self.entered = asyncio.Event()
        self.news = asyncio.Event()
        self.slowest = 0.0
        self.task = None

    def path(self, rest_of_it=""):
        return f"/api/v1/attempts/{self.attempt}{rest_of_it}"

    def answer(self, q, value):
        self.answers[q] = value
        return self.say({"t": "answer", "q": q, "value": value})

    def say(self, command):
        self.sent += 1
        command["seq"] = self.sent
        self.outbox[self.sent] = (command, time.monotonic())
        self.news.set()
        return self.sent

    def exchange(self):
        """All of the outbox, without a socket, as the first of the session."""
        assert self.session is None
        body = {"commands": [command for command, _ in self.outbox.values()]}
        told = rest("POST", self.path("/exchange"), self.token, body)
        assert not told["refused"], told
        self.session = told["session"]
        self.has_saved(told["saved_seq"])

    def has_saved(self, seq):
        assert seq >= self.saved, f"{self.id}: saved_seq fell from {self.saved} to {seq}"
        assert seq <= self.sent, f"{self.id}: {seq} is saved and only {self.sent} were sent"
        self.saved = seq
        for done in [number for number in self.outbox if number <= seq]:
            _, since = self.outbox.pop(done)
            self.slowest = max(self.slowest, time.monotonic() - since)

    def open(self):
        self.task = asyncio.create_task(self.run())

    async def run(self):
        while self.submitted is None:
            pause = random.uniform(0.05, 0.3)
            try:
                async with connect(
                    f"ws://{ADDRESS}/ws/v1/attempt",
                    subprotocols=["invigil.v1.json"],
                    open_timeout=3,
                    proxy=None,
                ) as socket:
                    pause = await self.converse(socket) or pause
            except ConnectionClosed as closed:
                code = closed.rcvd.code if closed.rcvd else 1006
                self.breaks.append(code)
                assert code < 4500 and code != 1011, f"{self.id}: closed with {closed.rcvd}"
            except (OSError, InvalidHandshake, TimeoutError) as error:
                self.breaks.append(type(error).__name__)
            self.entered.clear()
            if self.submitted is None:
                await asyncio.sleep(pause)

    async def converse(self, socket):
        """Until the socket ends; says how long to stay away where the engine named it."""
        hello = {"t": "hello", "token": self.token}
        if self.session:
            hello["resume"] = {"session": self.session, "next_seq": self.sent + 1}
        await socket.send(json.dumps(hello))
        try:
            async with asyncio.timeout(WELCOME_SECONDS):
                welcome = json.loads(await socket.recv())
        except TimeoutError:
            raise AssertionError(f"{self.id}: no welcome in {WELCOME_SECONDS} s") from None
        assert welcome["t"] in ("welcome", "bye"), welcome
        if welcome["t"] == "bye":
            self.breaks.append(f"{welcome['code']} at hello")
            assert welcome["code"] in REPEATED, f"{self.id}: {welcome}"
            return welcome.get("retry_ms", 0) / 1000
        if self.session:
            assert welcome["resumed"], f"{self.id}: the session was not resumed: {welcome}"
        self.session = welcome["session"]
        self.has_saved(welcome["saved_seq"])
        self.entered.set()
        sending = asyncio.create_task(self.send(socket))
        pause = None
        try:
            async for frame in socket:
                message = json.loads(frame)
                match message["t"]:
                    case "saved":
                        self.has_saved(message["seq"])
                    case "submitted":
                        self.submitted = message
                    case "bye" if message["code"] != "finished":
                        self.breaks.append(message["code"])
                        pause = message.get("retry_ms", 0) / 1000
                    case "refused" | "error":
                        raise AssertionError(f"{self.id}: {message}")
        finally:
            sending.cancel()
        return pause

    async def send(self, socket):
        """Everything over saved_seq in order, then what comes."""
        last = self.saved
        while True:
            self.news.clear()
            for number in sorted(self.outbox):
                if number > last:
                    last = number
                    try:
                        await socket.send(json.dumps(self.outbox[number][0]))
                    except ConnectionClosed:
                        return
            await self.news.wait()

    async def until(self, what, is_so):
        until = time.monotonic() + PATIENCE_SECONDS
        while not is_so():
            if self.task and self.task.done():
                self.task.result()
            assert time.monotonic() < until, (
                f"{self.id}: not {what} in {PATIENCE_SECONDS} s; saved {self.saved} of "
                f"{self.sent}; breaks {self.breaks}"
            )
            await asyncio.sleep(0.01)

    async def until_saved(self, seq):
        await self.until(f"saved up to {seq}", lambda: self.saved >= seq)

    async def check_stored(self):
        stored = await asyncio.to_thread(rest, "GET", self.path("/answers"), self.token)
        values = {q: entry["value"] for q, entry in stored["answers"].items()}
        assert values == self.answers, f"{self.id}: stored {values}, answered {self.answers}"
        assert stored["saved_seq"] == self.saved, (stored["saved_seq"], self.saved)

    async def hand_in(self):
        """And checks the receipt, by the key and by what it states."""
        self.say({"t": "submit"})
        await self.until("handed in", lambda: self.submitted)
        await self.task
        receipt = await asyncio.to_thread(rest, "GET", self.path("/receipt"), self.login)
        content = verify(receipt)
        assert holds(content, self.answers), f"{self.id}: {content} is not {self.answers}"


async def board(address, token):
    """The rows of the exam's board by attempt, as a node shows them to a proctor."""
    async with connect(
        f"ws://{address}/ws/v1/proctor", subprotocols=["invigil.v1.json"], proxy=None
    ) as socket:
        await socket.send(json.dumps({"t": "hello", "token": token}))
        await socket.send(json.dumps({"t": "watch", "exam": EXAM}))
        rows = {}
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for frame in socket:
                message = json.loads(frame)
                assert message["t"] != "error", message
                if message["t"] == "board":
                    rows |= {row["attempt"]: row for row in message["rows"]}
                    if message["part"] == message["parts"]:
                        return rows
    raise AssertionError("the console ended before its board came")


async def node_of(candidate):
    """The node that says that it has the candidate."""
    signed_in = {"id": "paula", "code": "plum-4"}
    token = (await asyncio.to_thread(rest, "POST", "/api/v1/login", None, signed_in))["token"]
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        for node in NODES:
            rows = await board(address_of(node), token)
            row = rows.get(candidate.attempt, {})
            # A node's name, and what tells its runs apart.
            if row.get("online") and (row.get("node") or "").split("/")[0] == node:
                return node
        assert time.monotonic() < until, f"no node has {candidate.id}"
        await asyncio.sleep(0.1)


def address_of(node):
    return (DIR / "addresses" / node).read_text().strip()


def pid_of(node):
    try:
        return int((DIR / "pids" / node).read_text())
    except (FileNotFoundError, ValueError):
        return None


def is_ready(node):
    try:
        with urllib.request.urlopen(f"http://{address_of(node)}/readyz", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def end(node, how):
    """Sends a node's process a signal; its id."""
    pid = pid_of(node)
    os.kill(pid, how)
    return pid


async def back(node, before):
    """Waits until another process of that name is ready."""
    until = time.monotonic() + 2 * PATIENCE_SECONDS
    while pid_of(node) in (None, before) or not await asyncio.to_thread(is_ready, node):
        assert time.monotonic() < until, f"node {node} did not come back"
        await asyncio.sleep(0.1)


async def a_node_dies_under_a_candidate():
    ada = Candidate("ada", "apple-1")
    ada.answer("q1", "b")
    ada.exchange()
    assert ada.saved == 1
    ada.open()
    await ada.until("in", ada.entered.is_set)
    ada.answer("q5", "carbon dioxide")
    await ada.until_saved(ada.answer("q6", "Steel grows when it is warm. 钢会热胀冷缩。"))
    for turn in range(2):
        node = await node_of(ada)
        saved = ada.saved
        died = time.monotonic()
        pid = end(node, signal.SIGKILL)
        last = ada.answer("q5", f"oxygen {turn}")
        await ada.until("out", lambda: not ada.entered.is_set())
        await ada.until("in again", ada.entered.is_set)
        entered = time.monotonic() - died
        assert ada.saved >= saved
        await ada.until_saved(last)
        await ada.check_stored()
        print(
            f"node {node} killed: in again after {entered * 1000:.0f} ms, the answer saved after "
            f"{(time.monotonic() - died) * 1000:.0f} ms, {saved} of {saved} answers there"
        )
        await back(node, pid)
    await ada.hand_in()


async def answering(candidate, stop):
    count = 0
    while not stop.is_set():
        count += 1
        candidate.answer(random.choice(("q5", "q6")), f"{candidate.id} {count}")
        await asyncio.sleep(PACE_SECONDS)


async def nodes_are_replaced_under_a_crowd():
    people = [(f"smoke{number}", f"smoke-code-{number}") for number in range(CROWD)]
    crowd = await asyncio.gather(*(asyncio.to_thread(Candidate, *one) for one in people))
    for candidate in crowd:
        candidate.open()
        await candidate.until_saved(candidate.answer("q1", "b"))
    stop = asyncio.Event()
    writing = [asyncio.create_task(answering(candidate, stop)) for candidate in crowd]
    for how in (signal.SIGTERM, signal.SIGKILL):
        for node in NODES:
            pid = end(node, how)
            await back(node, pid)
            for candidate in crowd:
                await candidate.until("in", candidate.entered.is_set)
        breaks = [code for candidate in crowd for code in candidate.breaks]
        slowest = max(candidate.slowest for candidate in crowd)
        kinds = {kind: breaks.count(kind) for kind in breaks}
        print(f"{how.name} to each node: slowest save {slowest * 1000:.0f} ms; breaks {kinds}")
        for candidate in crowd:
            candidate.breaks.clear()
            candidate.slowest = 0.0
    stop.set()
    await asyncio.gather(*writing)
    for candidate in crowd:
        await candidate.until_saved(candidate.sent)
        await candidate.check_stored()
    await asyncio.gather(*(candidate.hand_in() for candidate in crowd))
    total = sum(candidate.sent for candidate in crowd)
    print(f"{CROWD} candidates, {total} commands: all saved, all receipts hold")


async def main():
    await a_node_dies_under_a_candidate()
    await nodes_are_replaced_under_a_crowd()


asyncio.run(main())
