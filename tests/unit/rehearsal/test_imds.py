from __future__ import annotations

import json
from typing import Any

import pytest
from werkzeug.test import Client, TestResponse

from annexkit.rehearsal.imds import TOKEN, TTL, Imds, Options
from tests.unit.helpers import FakeClock
from tests.unit.rehearsal.samples import an_identity


class Machine:
    """A machine's view of its metadata service."""

    def __init__(self, clock: FakeClock | None = None, **identity: Any) -> None:
        self.identity = an_identity(**identity)
        self.issued: list[str] = []
        service = Imds(lambda: self.identity, clock, self.issued.append)
        self.client = Client(service)

    def token(self, ttl: str = "60", **headers: str) -> TestResponse:
        return self.client.put("/latest/api/token", headers={TTL: ttl, **headers})

    def get(self, path: str, token: str | None = None) -> TestResponse:
        token = self.token().text if token is None else token
        return self.client.get(path, headers={TOKEN: token})


def test_without_a_token_nothing_is_said_when_tokens_are_required() -> None:
    machine = Machine()
    assert machine.client.get("/latest/meta-data/instance-id").status_code == 401
    assert machine.get("/latest/meta-data/instance-id").text == "i-0123456789abcdef0"


def test_tokens_are_optional_when_the_instance_says_so() -> None:
    machine = Machine(options=Options(tokens="optional"))
    assert machine.client.get("/latest/meta-data/ami-id").status_code == 200
    assert machine.get("/latest/meta-data/ami-id", "wrong").status_code == 401


@pytest.mark.parametrize("ttl", ["", "0", "21601", "-1", "1.5", "²", "soon"])
def test_a_token_wants_a_lifetime_between_a_second_and_six_hours(ttl: str) -> None:
    assert Machine().token(ttl).status_code == 400


@pytest.mark.parametrize("ttl", ["1", "21600"])
def test_a_token_tells_its_lifetime(ttl: str) -> None:
    response = Machine().token(ttl)
    assert (response.status_code, response.headers[TTL]) == (200, ttl)


def test_a_token_ends_with_its_lifetime(clock: FakeClock) -> None:
    machine = Machine(clock)
    token = machine.token("60").text
    clock.sleep(59)
    assert machine.get("/latest/meta-data/mac", token).status_code == 200
    clock.sleep(2)
    assert machine.get("/latest/meta-data/mac", token).status_code == 401


def test_a_request_that_was_forwarded_gets_no_token() -> None:
    response = Machine().token(**{"X-Forwarded-For": "192.0.2.1"})
    assert response.status_code == 403


def test_another_machines_token_is_no_token() -> None:
    assert Machine().get("/latest/", Machine().token().text).status_code == 401


def test_a_token_is_put_and_all_else_is_got() -> None:
    machine = Machine()
    assert machine.get("/latest/api/token").status_code == 405
    token = machine.token().text
    assert machine.client.post("/latest/", headers={TOKEN: token}).status_code == 405


def test_a_disabled_service_refuses_even_a_token() -> None:
    assert Machine(options=Options(endpoint="disabled")).token().status_code == 403


def test_user_data_arrives_as_the_bytes_that_were_given() -> None:
    machine = Machine(user_data=b"\x1f\x8b\x00\xff")
    assert machine.get("/latest/user-data").data == b"\x1f\x8b\x00\xff"
    assert machine.get("/2018-09-24/user-data").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/latest/user-data",
        "/latest/meta-data/public-ipv4",
        "/latest/meta-data/spot/instance-action",
        "/latest/meta-data/iam/info",
        "/latest/meta-data/iam/security-credentials/",
        "/latest/meta-data/tags/instance/Name",
        "/latest/meta-data/public-keys/",
        "/latest/meta-data/instance-id/more",
        "/1999-01-01/meta-data/",
    ],
)
def test_what_an_instance_does_not_have_is_not_found(path: str) -> None:
    assert Machine(tags={"Name": "n"}).get(path).status_code == 404


def test_branches_are_listed_with_a_slash_and_leaves_without() -> None:
    names = Machine(public_ip="54.0.0.1").get("/latest/meta-data/").text.splitlines()
    assert {"network/", "placement/", "instance-id", "public-ipv4"} <= set(names)
    assert names == sorted(names)
    assert "latest" in Machine().get("/").text.splitlines()
    assert set(Machine().get("/latest/").text.splitlines()) == {
        "dynamic/",
        "meta-data/",
    }


def test_a_key_is_listed_by_its_name_and_ends_in_it() -> None:
    machine = Machine(key_name="mine", public_key="ssh-ed25519 AAAA someone@somewhere")
    keys = "/latest/meta-data/public-keys/"
    assert machine.get(keys).text == "0=mine"
    assert machine.get(f"{keys}0/").text == "openssh-key"
    assert machine.get(f"{keys}0/openssh-key").text == "ssh-ed25519 AAAA mine"


def test_tags_show_only_when_they_are_enabled() -> None:
    machine = Machine(
        tags={"Name": "n1", "annexkit:owner": "me"}, options=Options(tags="enabled")
    )
    tags = "/latest/meta-data/tags/instance"
    assert machine.get(tags).text.splitlines() == ["Name", "annexkit:owner"]
    assert machine.get(f"{tags}/annexkit:owner").text == "me"


def test_a_role_gives_its_credentials() -> None:
    machine = Machine(
        role="node", profile_arn="arn:x", profile_id="AIPA", credentials={"Token": "t"}
    )
    iam = "/latest/meta-data/iam"
    assert machine.get(f"{iam}/security-credentials/").text == "node"
    found = json.loads(machine.get(f"{iam}/security-credentials/node").text)
    assert found == {"Token": "t"}
    assert json.loads(machine.get(f"{iam}/info").text)["InstanceProfileArn"] == "arn:x"


def test_every_token_and_credential_that_a_machine_gets_is_told() -> None:
    credentials = {"SecretAccessKey": "secret", "Token": "session", "Code": "Success"}
    machine = Machine(role="r", credentials=credentials)
    token = machine.token().text
    machine.get("/latest/meta-data/iam/security-credentials/r", token)
    assert machine.issued == [token, "secret", "session"]


def test_the_interface_is_found_by_its_address() -> None:
    machine = Machine(subnet_id="subnet-1", security_group_ids=("sg-1", "sg-2"))
    macs = "/latest/meta-data/network/interfaces/macs/"
    assert machine.get(macs).text == "02:00:00:00:00:10/"
    nic = f"{macs}02:00:00:00:00:10"
    assert machine.get(f"{nic}/subnet-id").text == "subnet-1"
    assert machine.get(f"{nic}/security-group-ids").text == "sg-1\nsg-2"


def test_the_identity_document_says_where_it_runs() -> None:
    path = "/latest/dynamic/instance-identity/document"
    found = json.loads(Machine().get(path).text)
    assert (found["region"], found["accountId"]) == ("us-west-2", "123456789012")


def test_the_service_says_what_is_true_now() -> None:
    machine = Machine(options=Options(tags="enabled"), tags={"Name": "before"})
    token = machine.token().text
    machine.identity = an_identity(
        options=Options(tags="enabled"), tags={"Name": "after"}
    )
    name = machine.get("/latest/meta-data/tags/instance/Name", token)
    assert name.text == "after"
