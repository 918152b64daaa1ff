from __future__ import annotations

import importlib.util
import json
import socket
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from annexkit.pool import ask, collector
from annexkit.pool.collector import Ad, Collector, Slot
from annexkit.pool.identity import mismatch
from annexkit.pool.target import Pool, PoolError
from annexkit.process import CommandError, Completed

POOL = Pool("127.0.0.1", trust_domain="example.org", identity="annex@example.org")


class Child:
    """Stands for ``ask.py``: keeps the question, gives an answer."""

    def __init__(self, stdout: str, stderr: str = "") -> None:
        self.done = Completed(("ask",), 0, stdout, stderr)
        self.question: dict[str, Any] = {}

    def __call__(self, *args: Any, stdin: str, **options: Any) -> Completed:
        self.question = json.loads(stdin)
        return self.done


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Any:
    def put(answer: object, stderr: str = "") -> Child:
        text = answer if isinstance(answer, str) else json.dumps(answer)
        made = Child(text, stderr)
        monkeypatch.setattr(collector, "run", made)
        return made

    return put


@pytest.fixture
def listening() -> Iterator[Pool]:
    """A pool whose port is open and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield Pool("127.0.0.1", server.getsockname()[1])


@pytest.fixture
def closed() -> Pool:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return Pool("127.0.0.1", port)


def row(fields: dict[str, str], **values: object) -> list[object]:
    return [values.get(name) for name in fields]


def test_an_annex_is_one_question_and_a_slot_a_value(child: Any) -> None:
    fields = collector.OF_NODE | collector.OF_SLOT
    values = {"name": "slot1@n", "instance_id": "i-1", "state": "Claimed"}
    asked = child({"ads": [row(fields, **values, start=True, slot_type="Dynamic")]})
    (slot,) = Collector(POOL).slots("grid", "0123456789ab", user="bob")
    assert (slot.name, slot.instance_id, slot.start) == ("slot1@n", "i-1", True)
    assert slot.claimed and slot.dynamic
    assert (slot.annex, slot.lease_expires, slot.cpus) == ("", None, None)
    assert asked.question["type"] == "Startd"
    assert asked.question["user"] == "bob"
    assert asked.question["collector"] == "127.0.0.1:9618"
    assert asked.question["where"] == {
        "AnnexName": "grid",
        "AnnexLaunch": "0123456789ab",
    }


def test_masters_and_the_collector_itself_are_asked_the_same_way(child: Any) -> None:
    asked = child({"ads": [row(collector.OF_NODE, name="n", heard=7)]})
    assert Collector(POOL).masters("grid") == [Ad(name="n", heard=7)]
    assert asked.question["type"] == "Master"
    child({"ads": [row(collector.OF_COLLECTOR, name="cm", ccb_targets=0)]})
    about = Collector(POOL).about()
    assert (about.name, about.ccb_targets) == ("cm", 0)


def test_the_collectors_clock_is_asked_for_by_a_window(child: Any) -> None:
    asked = child({"ads": [row(collector.OF_COLLECTOR)]})
    assert Collector(POOL).clock_within(100.7, 200.2)
    assert asked.question["time"] == [100, 200]
    child({"ads": []})
    assert not Collector(POOL).clock_within(100, 200)


def test_builds_are_counted_over_the_slots_that_advertise_one(child: Any) -> None:
    asked = child({"ads": [["b1"], ["b2"], ["b1"], [None], [""]]})
    assert Collector(POOL).builds() == {"b1": 2, "b2": 1}
    assert asked.question["present"] == ["AnnexImageBuild"]
    assert asked.question["attributes"] == ["AnnexImageBuild"]
    assert asked.question["type"] == "Startd"


def test_ten_thousand_slots_are_read_in_one_pass(child: Any) -> None:
    fields = collector.OF_NODE | collector.OF_SLOT
    child({"ads": [row(fields, instance_id=f"i-{n}") for n in range(10_000)]})
    slots = Collector(POOL).slots()
    assert len({slot.instance_id for slot in slots}) == 10_000


@pytest.mark.parametrize(
    ("answer", "stderr", "says"),
    [
        ({"error": "no-module", "said": "No module named x"}, "", "No module named x"),
        ("", "Can't find address\nbad line 3\n", "cannot start: .*bad line 3"),
    ],
)
def test_bindings_that_cannot_be_used_are_told_apart(
    child: Any, answer: object, stderr: str, says: str
) -> None:
    child(answer, stderr)
    with pytest.raises(PoolError, match=says) as error:
        Collector(POOL).about()
    assert error.value.mend


REFUSED = {"error": "refused", "said": "Failed communication with collector."}


@pytest.mark.parametrize(
    ("stderr", "says", "mend"),
    [
        ("x ERROR: AUTHENTICATE:1003:Failed to auth", "who we are", "tokens.d"),
        ("x ERROR: SECMAN:2010:Received DENIED", "does not answer to us", "ALLOW_READ"),
        ("nothing of interest", "port is open", "CollectorLog"),
    ],
)
def test_an_open_port_that_refuses_us_is_told_by_the_log(
    child: Any, listening: Pool, stderr: str, says: str, mend: str
) -> None:
    child(REFUSED, stderr)
    with pytest.raises(PoolError, match=says) as error:
        Collector(listening).about()
    assert mend in error.value.mend


def test_nobody_at_the_port_is_told_before_the_log(child: Any, closed: Pool) -> None:
    child(REFUSED, "x ERROR: AUTHENTICATE")
    with pytest.raises(PoolError, match="nothing listens at port"):
        Collector(closed).about()


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (socket.gaierror(-2, "Name or service not known"), "no address is known"),
        (TimeoutError(), "a firewall, or the host is down"),
        (OSError(113, "No route to host"), "No route to host"),
    ],
)
def test_the_way_to_the_collector_is_told_apart(
    child: Any, monkeypatch: pytest.MonkeyPatch, fault: OSError, says: str
) -> None:
    def connect(*args: object) -> None:
        raise fault

    monkeypatch.setattr(
        collector,
        "socket",
        SimpleNamespace(create_connection=connect, gaierror=socket.gaierror),
    )
    child(REFUSED)
    with pytest.raises(PoolError, match=says):
        Collector(POOL).about()


def test_a_child_that_does_not_end_is_a_collector_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, listening: Pool
) -> None:
    def run(*args: object, **options: object) -> Completed:
        raise CommandError(Completed(("ask",), 124, "", ""))

    monkeypatch.setattr(collector, "run", run)
    with pytest.raises(PoolError, match="did not answer the question"):
        Collector(listening).about()


def test_the_real_bindings_tell_of_a_closed_port(
    real_processes: None, closed: Pool
) -> None:
    if importlib.util.find_spec("htcondor2") is None:
        says = "cannot be asked from here"
    else:
        says = "nothing listens"
    with pytest.raises(PoolError, match=says):
        Collector(closed, timeout=2).slots("grid")


class Expression:
    def __init__(self, users: str) -> None:
        self.users = users

    def eval(self, scope: Any = None, target: Any = None) -> object:
        if target is None:
            raise ValueError("undefined")
        return target["Owner"] in self.users.split(",")


class FakeAd(dict[str, Any]):
    def lookup(self, name: str) -> Any:
        return self[name]

    def eval(self, name: str) -> Any:
        return self[name].eval()


@pytest.fixture
def bindings(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Modules in the place of HTCondor's, and what the collector was asked."""

    class HTCondorException(Exception):
        pass

    asked = SimpleNamespace(ads=[], fault=None, param={}, constraint="")

    def query(kind: str, constraint: str, projection: list[str]) -> list[FakeAd]:
        asked.constraint = constraint
        if asked.fault:
            raise HTCondorException(asked.fault)
        return [FakeAd(ad) for ad in asked.ads]

    fake: Any = ModuleType("htcondor2")
    fake.param = asked.param
    fake.enable_debug = lambda: None
    fake.HTCondorException = HTCondorException
    fake.AdType = SimpleNamespace(Startd="Startd")
    fake.Collector = lambda where: SimpleNamespace(query=query)
    ads: Any = ModuleType("classad2")
    ads.quote = json.dumps
    ads.ClassAd = dict
    monkeypatch.setitem(sys.modules, "htcondor2", fake)
    monkeypatch.setitem(sys.modules, "classad2", ads)
    return asked


def question(*attributes: str, **changes: object) -> dict[str, Any]:
    return {
        "collector": "cm:9618",
        "type": "Startd",
        "where": {},
        "attributes": list(attributes),
        "user": "",
        "timeout": 3,
    } | changes


def test_the_child_gives_values_in_order_and_none_for_the_rest(bindings: Any) -> None:
    bindings.ads = [{"Name": "n", "Cpus": 2.0, "L": [1], "Odd": Expression("")}]
    got = ask.answer(question("Cpus", "Name", "Missing", "L", "Odd"))
    assert got == {"ads": [[2.0, "n", None, None, None]]}
    assert bindings.param["QUERY_TIMEOUT"] == "3"
    assert bindings.constraint == "true"


@pytest.mark.parametrize(
    ("start", "user", "expected"),
    [
        (Expression("alice"), "", True),
        (Expression("alice"), "bob", False),
        (Expression("bob"), "bob", True),
        (False, "alice", False),
    ],
)
def test_start_is_judged_for_a_job_of_the_user(
    bindings: Any, start: object, user: str, expected: bool
) -> None:
    bindings.ads = [{"Start": start, "AnnexOwner": "alice"}]
    assert ask.answer(question("Start", user=user)) == {"ads": [[expected]]}


def test_a_value_in_the_question_stays_a_string(bindings: Any) -> None:
    ask.answer(question("Name", where={"AnnexName": 'a" || true || "'}, time=[1, 2]))
    assert bindings.constraint == (
        'AnnexName =?= "a\\" || true || \\"" && time() >= 1 && time() <= 2'
    )


def test_attributes_that_have_to_be_there_are_part_of_the_question(
    bindings: Any,
) -> None:
    ask.answer(question("Name", present=["AnnexImageBuild"]))
    assert bindings.constraint == "AnnexImageBuild =!= undefined"


def test_what_the_bindings_say_is_an_answer(bindings: Any) -> None:
    bindings.fault = "Failed communication"
    assert ask.answer(question()) == {
        "error": "refused",
        "said": "Failed communication",
    }


def test_without_bindings_the_child_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "htcondor2", None)
    assert ask.answer(question())["error"] == "no-module"


@pytest.mark.parametrize(
    ("method", "identity", "by", "says"),
    [
        ("idtokens", "annex@example.org", "IDTOKENS", ""),
        ("idtokens", "condor@password", "PASSWORD", "by PASSWORD, not by IDTOKENS"),
        ("idtokens", "annex@other.org", "IDTOKENS", "knows it as annex@other.org"),
        ("idtokens", "", "", "without authentication"),
        ("password", "condor@password", "PASSWORD", ""),
        ("password", "condor@password", "FS", ""),
        ("password", "condor_pool@users.org", "PASSWORD", ""),
        ("password", "condor_pool@users.org", "FS", "by FS, not by PASSWORD"),
        ("password", "condor@password", "", "without authentication"),
        ("password", "condor_pool@other.org", "PASSWORD", "not as condor@password or"),
    ],
)
def test_a_node_has_to_be_who_the_settings_say(
    method: Any, identity: str, by: str, says: str
) -> None:
    pool = Pool(
        "cm", method=method, uid_domain="users.org", identity="annex@example.org"
    )
    slot = Slot(authenticated_identity=identity, authentication_method=by)
    said = mismatch(slot, pool)
    assert says in said if says else said == ""
