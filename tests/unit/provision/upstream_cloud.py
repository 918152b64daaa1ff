"""What upstream's client leaves in an account: moto behind HTTP, and a role's node."""

from __future__ import annotations

import http.server
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

from tests.unit.provision.metadata_stub import values

REGION = "us-west-2"
ROLE = "annex-node"
BUCKET = "htcondor-annex-0123abcd"
TAG = "htcondor:AnnexName"
KEYS = {"AccessKeyId": "AKIDEXAMPLE", "SecretAccessKey": "s3cr3t/+", "Token": "t0k=="}
DYNAMIC = "config.d/00ec2-dynamic.config"


@dataclass
class Cloud:
    """moto as EC2, IAM and S3 of one account."""

    url: str

    def client(self, service: str) -> Any:
        session: Any = boto3.Session("test", "test", region_name=REGION)
        return session.client(service, endpoint_url=self.url)

    def instance(self, token: str, **tags: str) -> str:
        """Launch an instance as the client does: a token, and perhaps its tag."""
        named = [{"Key": key, "Value": value} for key, value in tags.items()]
        asked: dict[str, Any] = {"ClientToken": token} if token else {}
        if named:
            asked["TagSpecifications"] = [{"ResourceType": "instance", "Tags": named}]
        made = self.client("ec2").run_instances(
            ImageId="ami-12c6146b", MinCount=1, MaxCount=1, **asked
        )
        return str(made["Instances"][0]["InstanceId"])

    def role(self, *resources: str, attached: tuple[str, ...] = ()) -> None:
        """Make the node's role: *resources* it may read, each by its own policy."""
        iam = self.client("iam")
        trust = json.dumps({"Version": "2012-10-17", "Statement": []})
        iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=trust)
        for number, resource in enumerate(resources):
            text = json.dumps(policy(resource))
            named = {"RoleName": ROLE, "PolicyName": f"own-{number}"}
            iam.put_role_policy(**named, PolicyDocument=text)
        for number, resource in enumerate(attached):
            text = json.dumps(policy([resource]))
            made = iam.create_policy(PolicyName=f"p-{number}", PolicyDocument=text)
            arn = made["Policy"]["Arn"]
            iam.attach_role_policy(RoleName=ROLE, PolicyArn=arn)

    def put(self, key: str, data: bytes, bucket: str = BUCKET) -> None:
        """Put an object of S3, making its bucket."""
        where = {"LocationConstraint": REGION}
        s3 = self.client("s3")
        if bucket not in [one["Name"] for one in s3.list_buckets()["Buckets"]]:
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration=where)
        s3.put_object(Bucket=bucket, Key=key, Body=data)

    def reset(self) -> None:
        """Forget everything."""
        import urllib.request

        asked = urllib.request.Request(f"{self.url}/moto-api/reset", method="POST")
        urllib.request.urlopen(asked, timeout=10).close()


def policy(resource: str | list[str]) -> dict[str, Any]:
    """Return a policy that lets read a resource."""
    allowed = {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": resource}
    return {"Version": "2012-10-17", "Statement": [allowed]}


def metadata(instance: str, role: str = ROLE) -> dict[str, bytes]:
    """Return what the metadata service says of an instance that has a role."""
    told = {
        "meta-data/instance-id": instance,
        "meta-data/instance-type": "t3.small",
        "meta-data/placement/region": REGION,
        "meta-data/services/domain": "amazonaws.com",
    }
    if role:
        keys = json.dumps({"Code": "Success", **KEYS})
        head = "meta-data/iam/security-credentials/"
        told |= {"meta-data/iam/info": "{}", head: role, f"{head}{role}": keys}
    return values(told)


def tarball(files: dict[str, str]) -> bytes:
    """Pack a tarball as the client does."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return data.getvalue()


@contextmanager
def serving_moto() -> Iterator[Cloud]:
    """Serve moto on a free port."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield Cloud(f"http://{host}:{port}")
    finally:
        server.stop()


class Refusing(http.server.BaseHTTPRequestHandler):
    """Answers every call as EC2 answers a role that may not make it."""

    def do_POST(self) -> None:
        body = (
            b"<Response><Errors><Error><Code>UnauthorizedOperation</Code>"
            b"<Message>You are not authorized</Message></Error></Errors></Response>"
        )
        self.send_response_only(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def refusing() -> Iterator[str]:
    """Serve a service that permits nothing, and yield where."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
