"""A bad Packer, bad credentials, an account that refuses, a machine that cannot."""

from __future__ import annotations

import os
import shutil
import socket
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from botocore.config import Config
from moto import settings as moto_settings
from moto.server import ThreadedMotoServer

from annexkit import aws, network
from annexkit.flows import bake_plan
from annexkit.rehearsal import control, preflight, state
from annexkit.rehearsal.preflight import Host
from annexkit.tags import BUILD, EXPIRES
from tests.faults.command import Scene, ec2, refusing, serving
from tests.faults.situation import Situations
from tests.unit.helpers import ACCOUNT, REGION

ALL = Situations()


# Packer
def packer(scene: Scene, script: str) -> None:
    """Put another program in Packer's place; *script* may hand on to the real one."""
    real = shutil.which("packer")
    path = scene.write("packer.sh", f"#!/bin/sh\nreal={real}\n{script}\n", 0o755)
    scene.set("INVOKE_ANNEXKIT_PACKER_PROGRAM", str(path))


@ALL.when("Packer is not installed")
def no_packer(scene: Scene) -> None:
    scene.set("INVOKE_ANNEXKIT_PACKER_PROGRAM", "no-such-packer")


@ALL.when("Packer 1.5.6 is too old")
def old_packer(scene: Scene) -> None:
    packer(scene, "echo Packer v1.5.6")


@ALL.when("cannot tell Packer's version: it said 'cracklib'")
def another_packer(scene: Scene) -> None:
    packer(scene, "echo cracklib")


@ALL.when("does not answer; is it HashiCorp's Packer?")
def packer_that_does_not_start(scene: Scene) -> None:
    path = scene.write("packer.sh", "#!/no/such/shell\n", 0o755)
    scene.set("INVOKE_ANNEXKIT_PACKER_PROGRAM", str(path))


@ALL.when("packer validate refuses the template: ", code=1)
def packer_that_refuses_the_template(scene: Scene) -> None:
    # The real one, but of another template: what it says are its own words.
    scene.base_ami()
    scene.write("broken/x.pkr.hcl", 'source "nothing" "x" {}\n')
    broken = scene.root / "broken"
    packer(scene, f'[ "$1" != validate ] || set -- validate {broken}\nexec $real "$@"')


@ALL.when("Packer failed at ", "bake", code=1)
def duplicate_ami_name(scene: Scene) -> None:
    """Packer's own words, from its real check of the name against moto's EC2."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    scene.cleanup(server.stop)
    host, port = server.get_host_and_port()
    scene.set("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    scene.set("INVOKE_ANNEXKIT_BAKE_IMAGE_POLL", "1")
    scene.claim(ACCOUNT, f"http://{host}:{port}")
    scene.base_ami()
    scene.patch.setattr(bake_plan, "ami_name", lambda *_: "annexkit-taken")
    scene.run("reap", "--region", REGION)  # opens the account's region in moto
    ec2().register_image(name="annexkit-taken", description="taken")


# Credentials and configuration
NO_FILES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@ALL.when("Unable to locate credentials", code=1)
def no_credentials(scene: Scene) -> None:
    scene.unset(*NO_FILES)


@ALL.when("Partial credentials found in env", code=1)
def half_the_credentials(scene: Scene) -> None:
    scene.unset("AWS_SECRET_ACCESS_KEY")


@ALL.when("The config profile (nobody) could not be found", code=1)
def no_such_profile(scene: Scene) -> None:
    scene.set("AWS_PROFILE", "nobody")


@ALL.when("Unable to parse config file", code=1)
def broken_configuration(scene: Scene) -> None:
    scene.set("AWS_CONFIG_FILE", str(scene.write("aws", "region = us-west-2\n")))


@ALL.when("Provided region_name 'us west' doesn't match", code=1)
def region_of_the_environment(scene: Scene) -> None:
    scene.set("AWS_DEFAULT_REGION", "us west")


@ALL.when("Invalid endpoint: here", code=1)
def endpoint_that_is_no_address(scene: Scene) -> None:
    scene.set("AWS_ENDPOINT_URL", "here")


def once(scene: Scene) -> None:
    """Do not repeat what is refused: what is asked here is what is said then."""
    scene.patch.setattr(aws, "ADAPTIVE", Config(retries={"total_max_attempts": 1}))
    scene.claim("", "aws")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@ALL.when("Could not connect to the endpoint URL", code=1)
def endpoint_where_nobody_listens(scene: Scene) -> None:
    once(scene)
    scene.set("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")


@ALL.when("Connection was closed before we received", code=1)
def endpoint_that_hangs_up(scene: Scene) -> None:
    class Rude(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.close_connection = True

    once(scene)
    block = serving(Rude)
    scene.set("AWS_ENDPOINT_URL", block.__enter__())
    scene.cleanup(lambda: block.__exit__(None, None, None))


IDENTITY, IMAGES = "GetCallerIdentity", "DescribeImages"
REFUSALS = {
    "ExpiredToken": (IDENTITY, "The security token included is expired"),
    "InvalidClientTokenId": (IDENTITY, "The security token included is invalid"),
    "SignatureDoesNotMatch": (IDENTITY, "The signature we calculated does not match"),
    "UnauthorizedOperation": (IMAGES, "You are not authorized for this operation"),
    "AuthFailure": (IMAGES, "AWS was not able to validate the access credentials"),
    "OptInRequired": (IMAGES, "You are not subscribed to this service"),
    "RequestExpired": (IMAGES, "Request has expired"),
    "RequestLimitExceeded": (IMAGES, "Request limit exceeded"),
    "Unavailable": (IMAGES, "The server is overloaded and cannot handle the request"),
}


def _refusal(code: str, action: str, message: str) -> None:
    def deed(scene: Scene) -> None:
        once(scene)
        block = refusing(action, code, message)
        scene.set("AWS_ENDPOINT_URL", block.__enter__())
        scene.cleanup(lambda: block.__exit__(None, None, None))

    ALL.add(f"aws-{code}", f"{message} ({code})", deed, code=1)


for _code, (_action, _message) in REFUSALS.items():
    _refusal(_code, _action, _message)


# The account
@ALL.when("no base AMI: owner 136693071363 'debian-13-amd64-*'")
def no_base_ami(scene: Scene) -> None:
    ec2().amis.clear()


@ALL.when("2 base AMIs are equally new")
def two_base_amis(scene: Scene) -> None:
    scene.base_ami("ami-00000000000000003", "20260101-0002")


@ALL.when("the account has no default VPC", "bake", code=1)
def no_default_vpc(scene: Scene) -> None:
    scene.baked_before()
    for vpc in ec2().vpcs.values():
        vpc.is_default = "false"


@ALL.when("there is no subnet subnet-0123", "bake", code=1)
def no_such_subnet(scene: Scene) -> None:
    scene.set("INVOKE_ANNEXKIT_BAKE_SUBNET_ID", "subnet-0123")
    scene.baked_before()


@ALL.when("t9.huge", "bake", code=1)
def no_such_instance_type(scene: Scene) -> None:
    scene.patch.setattr(moto_settings, "EC2_ENABLE_INSTANCE_TYPE_VALIDATION", True)
    scene.set("INVOKE_ANNEXKIT_PROVE_INSTANCE_TYPE", "t9.huge")
    scene.baked_before()


@ALL.when("'home' is no network")
def address_that_is_none(scene: Scene) -> None:
    scene.set("INVOKE_ANNEXKIT_BAKE_SSH_CIDRS", "home")


@ALL.when("public address cannot be found out", code=1)
def no_public_address(scene: Scene) -> None:
    scene.unset("INVOKE_ANNEXKIT_BAKE_SSH_CIDRS")
    scene.patch.setattr(network, "CHECK_IP", f"http://127.0.0.1:{free_port()}/")


@ALL.when("suite 'trixie' has no package 'condor' for x86_64")
def no_htcondor(scene: Scene) -> None:
    scene.repo.publish("trixie")


@ALL.when("things would be taken, and nobody is here", "reap", "--region", REGION)
def nobody_to_ask(scene: Scene) -> None:
    left = {BUILD: "20240517T120000-0a1b2c", EXPIRES: "1700000000"}
    volume = ec2().create_volume(size=1, zone_name=f"{REGION}a")
    ec2().create_tags([volume.id], left)


# The rehearsal
UP = "rehearsal.up"
DEBIAN = {"ID": "debian", "VERSION_ID": "12", "PRETTY_NAME": "Debian 12"}


def host(scene: Scene, **changed: object) -> None:
    """Say something else of this machine; the rest of it is as it is."""
    values = {"system": "Linux", "release": DEBIAN, "uid": 0, "path": os.defpath}
    there = Host(**{**values, **changed})  # type: ignore[arg-type]
    scene.patch.setattr(Host, "here", lambda: there)


@ALL.when("the rehearsal needs root for now", UP)
def not_root(scene: Scene) -> None:
    host(scene, uid=1000)


@ALL.when("the rehearsal runs on Linux, this is Darwin", UP)
def not_linux(scene: Scene) -> None:
    host(scene, system="Darwin")


@ALL.when("needs Debian 12 or newer, this is Ubuntu 24.04", UP)
def not_debian(scene: Scene) -> None:
    release = {"ID": "ubuntu", "VERSION_ID": "24.04", "PRETTY_NAME": "Ubuntu 24.04"}
    host(scene, release=release)


@ALL.when("not installed: podman, ", UP)
def no_podman(scene: Scene) -> None:
    host(scene, path=str(scene.root))


@ALL.when("GiB are free, ", UP)
def no_room_to_rehearse(scene: Scene) -> None:
    host(scene)
    scene.patch.setattr(preflight, "ROOM_COLD", 2**60)
    scene.patch.setattr(preflight, "ROOM_WARM", 2**60)


@ALL.when("inotify instances, the kernel allows 3", UP)
def no_inotify(scene: Scene) -> None:
    host(scene)
    limit = scene.write("max_user_instances", "3\n")
    scene.patch.setattr(preflight, "INOTIFY", limit)


@ALL.when("annexkit.rehearsal.port: port ", UP, machines=True)
def port_taken(scene: Scene) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    scene.cleanup(server.close)
    scene.set("INVOKE_ANNEXKIT_REHEARSAL_PORT", str(server.getsockname()[1]))


@ALL.when("is taken: a route over lo has 127.", UP, machines=True)
def network_taken(scene: Scene) -> None:
    scene.set("INVOKE_ANNEXKIT_REHEARSAL_SUBNET", "127.0.0.0/20")


@ALL.when("'home' is not an IPv4 network", UP, machines=True)
def network_that_is_none(scene: Scene) -> None:
    scene.set("INVOKE_ANNEXKIT_REHEARSAL_SUBNET", "home")


@ALL.when("8.8.0.0/20 is not a private network between", UP, machines=True)
def network_of_others(scene: Scene) -> None:
    scene.set("INVOKE_ANNEXKIT_REHEARSAL_SUBNET", "8.8.0.0/20")


@ALL.when("the folder could not be made: File exists", UP, code=1)
def file_in_place_of_the_folder(scene: Scene) -> None:
    scene.patch.setattr(control, "_preflight", lambda *_: [])
    scene.set("INVOKE_ANNEXKIT_REHEARSAL_DIR", str(scene.write("cloud", "")))


ALL.add("not_up", "the rehearsal is not up", lambda scene: None, "rehearsal.env")


def seems_up(scene: Scene, port: int) -> Path:
    """Leave the records of a rehearsal of which the server is this very process."""
    folder = scene.root / ".rehearsal"
    base = dict.fromkeys(("suite", "digest", "ami_id", "name", "created", "ref"), "x")
    state.save(
        state.Rehearsal.model_validate(
            {"id": "x", "dir": folder, "port": port, "subnet": "10.128.0.0/20",
             "runtime": "runc", "machines": 1, "base": base}
        )
    )  # fmt: skip
    state.save_server(folder, state.ServerProcess.of(os.getpid()))
    return folder


@ALL.when("no machine 'i-0' in the rehearsal", "rehearsal.console", "i-0")
def no_such_machine(scene: Scene) -> None:
    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"machines": [], "images": []}')

        def log_message(self, format: str, *args: object) -> None:
            pass

    block = serving(Server)
    seems_up(scene, int(block.__enter__().rpartition(":")[2]))
    scene.cleanup(lambda: block.__exit__(None, None, None))


@ALL.when("the rehearsal's server does not answer", "rehearsal.status", code=1)
def server_that_hangs(scene: Scene) -> None:
    seems_up(scene, free_port())


@ALL.when("the rehearsal's description is damaged", "rehearsal.shell", "i-0", code=1)
def damaged_description(scene: Scene) -> None:
    (seems_up(scene, 1) / state.CONFIG).write_text("{")
