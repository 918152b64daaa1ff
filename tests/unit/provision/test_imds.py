"""The metadata client: every kind of answer, and none."""

from __future__ import annotations

import time

import pytest

from tests.unit.provision.metadata_stub import ERROR_PAGE, Behaviour, Service, serving
from tests.unit.provision.node import load

imds = load("imds")
ID = "meta-data/instance-id"


@pytest.fixture
def service(behaviour: Behaviour) -> object:
    behaviour.values[ID] = b"i-0123456789abcdef0\n"
    with serving(behaviour) as service:
        yield service


def test_a_value_is_read_with_a_token(service: Service, behaviour: Behaviour) -> None:
    assert imds.Imds(service.url, 3).text(ID) == "i-0123456789abcdef0"
    assert behaviour.asked == ["PUT /latest/api/token", f"GET /latest/{ID}"]


def test_one_token_serves_several_questions(
    service: Service, behaviour: Behaviour
) -> None:
    client = imds.Imds(service.url, 3)
    client.get(ID)
    client.get(ID)
    assert behaviour.asked.count("PUT /latest/api/token") == 1


def test_what_is_not_there_is_none_and_not_an_error_page(service: Service) -> None:
    assert imds.Imds(service.url, 3).text("meta-data/public-ipv4") is None


def test_a_token_that_ran_out_is_replaced(
    service: Service, behaviour: Behaviour
) -> None:
    client = imds.Imds(service.url, 3)
    client.get(ID)
    behaviour.forget_token = True
    assert client.text(ID) == "i-0123456789abcdef0"
    assert behaviour.asked.count("PUT /latest/api/token") == 2


@pytest.mark.parametrize("status", [401, 429, 500, 503])
def test_what_may_pass_is_asked_again_until_the_deadline(
    service: Service, behaviour: Behaviour, status: int
) -> None:
    behaviour.status = status
    with pytest.raises(imds.MetadataError, match=f"within 0.6 s: HTTP {status}"):
        imds.Imds(service.url, 0.6).get(ID)
    assert len(behaviour.asked) > 1


@pytest.mark.parametrize("status", [400, 403, 405])
def test_a_refusal_is_not_asked_again(
    service: Service, behaviour: Behaviour, status: int
) -> None:
    behaviour.status = status
    with pytest.raises(imds.MetadataError, match=f"refuses: HTTP {status}"):
        imds.Imds(service.url, 3).get(ID)
    assert len(behaviour.asked) == 1


def test_a_service_that_comes_late_is_waited_for(
    service: Service, behaviour: Behaviour
) -> None:
    behaviour.fail_first = 2
    assert imds.Imds(service.url, 5).text(ID) == "i-0123456789abcdef0"


def test_a_slow_service_is_waited_for(service: Service, behaviour: Behaviour) -> None:
    behaviour.delay = 0.4
    assert imds.Imds(service.url, 5).text(ID) == "i-0123456789abcdef0"


def test_a_service_that_never_answers_is_left_at_the_deadline(
    service: Service, behaviour: Behaviour
) -> None:
    behaviour.never = True
    begun = time.monotonic()
    with pytest.raises(imds.MetadataError, match=r"no answer to .* within 0.5 s"):
        imds.Imds(service.url, 0.5).get(ID)
    assert time.monotonic() - begun < 2


def test_no_service_at_all_is_left_at_the_deadline(service: Service) -> None:
    url = service.url
    service.shutdown()
    service.server_close()
    with pytest.raises(imds.MetadataError, match="refused"):
        imds.Imds(url, 0.5).get(ID)


def test_the_deadline_is_one_for_all_questions(
    service: Service, behaviour: Behaviour
) -> None:
    client = imds.Imds(service.url, 0.3)
    behaviour.never = True
    with pytest.raises(imds.MetadataError):
        client.get(ID)
    with pytest.raises(imds.MetadataError, match="no time left"):
        client.get(ID)


def test_a_proxy_in_the_environment_is_not_used(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert imds.Imds(service.url, 3).text(ID) == "i-0123456789abcdef0"


def test_an_answer_without_end_is_refused(
    service: Service, behaviour: Behaviour
) -> None:
    behaviour.values[ID] = b"x" * (imds.LARGEST + 1)
    with pytest.raises(imds.MetadataError, match="is larger than"):
        imds.Imds(service.url, 3).get(ID)


def test_the_stub_itself_wants_a_token(service: Service) -> None:
    import urllib.error
    import urllib.request

    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{service.url}/latest/{ID}", timeout=3)
    assert refused.value.code == 401
    assert refused.value.read() == ERROR_PAGE
