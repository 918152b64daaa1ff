"""The boot-time selector: its rules, and what it does when it cannot know."""

from __future__ import annotations

import gzip
import itertools
import json
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

import pytest

from tests.unit.provision.conftest import Machine
from tests.unit.provision.metadata_stub import Behaviour
from tests.unit.provision.node import load

select = load("select_contract")
Facts = select.Facts

MARKED = "#cloud-config\n# annexkit: contract=annexkit\nwrite_files: []\n"
CFN = "#!/bin/bash\n/opt/aws/bin/cfn-init --stack s --resource r\n"
PLAIN = "#!/bin/bash\necho hello\n"
TAG = "meta-data/tags/instance/htcondor:AnnexName"
ALL = frozenset({"annexkit", "seed-cfn", "annex-ec2"})


def chosen(facts: object, carried: frozenset[str] = ALL) -> str:
    contract: str = select.choose(facts, carried).contract
    return contract


USER_DATA = {"marked": MARKED, "cfn": CFN, "marked+cfn": MARKED + CFN, "plain": PLAIN}
WANTED = {
    "marked": "annexkit",
    "cfn": "seed-cfn",
    "marked+cfn": "annexkit",
    "plain": "none",
}


@pytest.mark.parametrize("carried", [ALL, *(ALL - {name} for name in sorted(ALL))])
@pytest.mark.parametrize(
    ("profile", "tag"), list(itertools.product([0, 1], ["", "mine"]))
)
@pytest.mark.parametrize("kind", sorted(USER_DATA))
def test_user_data_decides_whatever_profile_and_tag_say(
    kind: str, profile: int, tag: str, carried: frozenset[str]
) -> None:
    wanted = WANTED[kind]
    expected = wanted if wanted in carried else "none"
    assert chosen(Facts(USER_DATA[kind], bool(profile), tag), carried) == expected


@pytest.mark.parametrize("empty", ["", " \n"])
@pytest.mark.parametrize(
    ("profile", "tag", "expected"),
    [
        (False, "", "none"),
        (False, "mine", "none"),
        (True, "", "none"),
        (True, "mine", "annex-ec2"),
    ],
)
def test_without_user_data_profile_and_tag_together_make_upstreams_contract(
    empty: str, profile: bool, tag: str, expected: str
) -> None:
    assert chosen(Facts(empty, profile, tag)) == expected
    assert chosen(Facts(empty, profile, tag), ALL - {"annex-ec2"}) == "none"


def test_a_contract_that_the_image_does_not_carry_is_said() -> None:
    why = select.choose(Facts(CFN), frozenset({"annexkit"})).why
    assert why == (
        "user data calls cfn-init, but this image does not carry 'seed-cfn' "
        "(it carries annexkit)"
    )


@pytest.mark.parametrize(
    "text",
    [
        "# annexkit: contract=other\n",
        "# annexkit: contract=annexkit\n# annexkit: contract=seed-cfn\n",
        "echo '# annexkit: contract=annexkit'\n",
        "# annexkit: contract=annexkit and more\n",
        "#annexkit: contract=annexkit\n",
    ],
)
def test_what_is_not_exactly_one_known_marker_selects_nothing(text: str) -> None:
    assert chosen(Facts(text)) == "none"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("runcmd: [[/opt/aws/bin/cfn-init, -v]]", "seed-cfn"),
        ("cfn-init -v", "seed-cfn"),
        ("  # cfn-init -v", "none"),
        ("my-cfn-init-wrapper", "none"),
        ("cfn-initialise", "none"),
        ("cfn-signal -e 0", "none"),
    ],
)
def test_only_a_call_of_cfn_init_counts(text: str, expected: str) -> None:
    assert chosen(Facts(text)) == expected


def mime(*parts: tuple[str, str]) -> bytes:
    message = MIMEMultipart()
    for kind, text in parts:
        message.attach(MIMEText(text, kind, "utf-8"))  # this encodes it in Base64
    return message.as_bytes()


@pytest.mark.parametrize(
    "data",
    [
        MARKED.encode(),
        gzip.compress(MARKED.encode()),
        mime(("x-shellscript", PLAIN), ("cloud-config", MARKED)),
        gzip.compress(mime(("cloud-config", MARKED))),
    ],
    ids=["plain", "gzip", "mime", "gzipped mime"],
)
def test_user_data_is_read_in_the_forms_that_cloud_init_takes(data: bytes) -> None:
    assert chosen(Facts(select.plain_text(data))) == "annexkit"


@pytest.mark.parametrize("data", [b"\x1f\x8bbroken", b"\xff\xfe\x00", b"Content-Type:"])
def test_user_data_that_cannot_be_read_selects_nothing(data: bytes) -> None:
    assert chosen(Facts(select.plain_text(data))) == "none"


def test_a_gzip_bomb_is_not_unpacked_whole() -> None:
    bomb = gzip.compress(b"x" * (8 * select.LARGEST))
    assert len(select.plain_text(bomb)) <= select.LARGEST


# The script as its unit runs it, against a metadata service.


@pytest.fixture
def image(machine: Machine) -> Machine:
    machine.write("/etc/annexkit/image.json", json.dumps({"contracts": sorted(ALL)}))
    return machine


@pytest.mark.usefixtures("metadata")
def test_the_selection_is_written_down_and_its_reason_logged(
    image: Machine, behaviour: Behaviour
) -> None:
    behaviour.values["user-data"] = MARKED.encode()
    done = image.script("select_contract.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "annexkit: contract=annexkit because user data carries annexkit's marker\n"
    )
    assert image.read("/run/annexkit/contract") == "annexkit\n"


@pytest.mark.usefixtures("metadata")
def test_upstreams_contract_is_found_by_profile_and_tag(
    image: Machine, behaviour: Behaviour
) -> None:
    behaviour.values |= {"meta-data/iam/info": b"{}", TAG: b"mine"}
    assert image.script("select_contract.py").returncode == 0
    assert image.read("/run/annexkit/contract") == "annex-ec2\n"


@pytest.mark.usefixtures("metadata")
def test_no_user_data_at_all_is_a_normal_answer(image: Machine) -> None:
    done = image.script("select_contract.py")
    assert done.returncode == 0
    assert "no user data and no instance profile; HTCondor stays stopped" in done.stdout
    assert image.read("/run/annexkit/contract") == "none\n"


@pytest.mark.usefixtures("metadata")
@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"status": 401}, "HTTP 401"),
        ({"status": 403}, "refuses: HTTP 403"),
        ({"never": True}, "no answer"),
    ],
)
def test_when_it_cannot_know_it_selects_nothing_and_fails(
    image: Machine, behaviour: Behaviour, bad: dict[str, object], said: str
) -> None:
    for name, value in bad.items():
        setattr(behaviour, name, value)
    image.write("/run/annexkit/contract", "annexkit\n")
    done = image.script("select_contract.py", ANNEXKIT_IMDS_PATIENCE="0.5")
    assert done.returncode == 1
    assert said in done.stdout
    assert "Traceback" not in done.stderr
    assert image.read("/run/annexkit/contract") == "none\n"


@pytest.mark.usefixtures("metadata")
@pytest.mark.parametrize("text", [None, "{", "[]", "{}", '{"contracts": "annexkit"}'])
def test_an_image_that_does_not_describe_itself_selects_nothing(
    machine: Machine, behaviour: Behaviour, text: str | None
) -> None:
    behaviour.values["user-data"] = MARKED.encode()
    if text is not None:
        machine.write("/etc/annexkit/image.json", text)
    done = machine.script("select_contract.py")
    assert done.returncode == 1
    assert "image.json does not describe this image" in done.stdout
    assert "Traceback" not in done.stderr
    assert machine.read("/run/annexkit/contract") == "none\n"
