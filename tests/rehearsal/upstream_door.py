"""AWS's names inside a pool host: a door that hands every request on to the rehearsal.

Upstream's client is told a region, so it calls https://SERVICE.REGION.amazonaws.com.
Those names lead to a socket in the pool host's own network namespace, which speaks TLS
with a certificate of the test's.
"""

from __future__ import annotations

import datetime
import http.client
import json
import socket
import ssl
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from annexkit.rehearsal import netns
from annexkit.rehearsal.podman import Podman
from annexkit.rehearsal.pool_host import PoolHost
from annexkit.rehearsal.state import Rehearsal

SERVICES = ("ec2", "events", "lambda", "s3")
DOOR = "127.0.0.77"
CA = "/etc/ssl/certs/annexkit-rehearsal.pem"
HOPS = {"connection", "transfer-encoding", "server", "date"}
QUERY_INSTANCE = 60045  # DC_QUERY_INSTANCE of HTCondor's condor_commands.h


@contextmanager
def door(
    rehearsal: Rehearsal, host: PoolHost, region: str, bucket: str
) -> Iterator[None]:
    """Let AWS's names lead to the rehearsal inside a pool host, by TLS.

    :param bucket: S3's names begin with the bucket's.
    """
    called = (*SERVICES, f"{bucket}.s3")
    names = [f"{service}.{region}.amazonaws.com" for service in called]
    certificate, key = certify(names, host.folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    host.run("root", "tee", CA, stdin=certificate.read_text())
    line = f"{DOOR} {' '.join(names)}\n"
    host.run("root", "tee", "-a", "/etc/hosts", stdin=line)
    pid = Podman(rehearsal.id, rehearsal.runtime).pid(host.container)
    with netns.listen(pid, DOOR, 443) as listening:
        server = make_server(
            DOOR,
            443,
            HandOn(rehearsal.endpoint, {host.hostname: host.address}),
            threaded=True,
            fd=listening.fileno(),
            request_handler=netns.QuietHandler,
            ssl_context=context,
        )
    thread = Thread(target=server.serve_forever, args=(0.1,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def certify(names: list[str], folder: Path) -> tuple[Path, Path]:
    """Make a certificate for some names that signs itself; return it and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "rehearsal")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "aws.pem", folder / "aws.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].touch(mode=0o600)
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths


class HandOn:
    """Hands every request on to the rehearsal, as it came.

    :param names: addresses by name, in place of a DNS.
    """

    def __init__(self, endpoint: str, names: Mapping[str, str]) -> None:
        self._to = urlsplit(endpoint).netloc
        self._names = names

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        request = Request(environ)
        data = request.get_data()
        if request.path.endswith("/invocations"):
            said = connectivity(json.loads(data), self._names)
            answer = Response(json.dumps(said))
            return answer(environ, start_response)
        connection = http.client.HTTPConnection(self._to, timeout=120)
        try:
            path = environ.get("RAW_URI") or request.full_path.rstrip("?")
            headers = {k: v for k, v in request.headers if k != "Connection"}
            connection.request(request.method, path, data, headers)
            got = connection.getresponse()
            kept = [(k, v) for k, v in got.getheaders() if k.lower() not in HOPS]
            answer = Response(got.read(), got.status, kept)
        finally:
            connection.close()
        return answer(environ, start_response)


def connectivity(event: dict[str, Any], names: Mapping[str, str]) -> dict[str, str]:
    """Ask a collector who it is, as upstream's function in AWS does, and answer so.

    Clients up to 24.10 want it before they start anything.

    A message of HTCondor's is a byte that says it is the last, its length, and here one
    number of 64 bits (CEDAR).
    """
    name = str(event["condor_host"])
    place = (names.get(name, name), int(event["condor_port"]))
    try:
        with socket.create_connection(place, timeout=float(event["timeout"])) as asked:
            asked.sendall(struct.pack(">BIq", 1, 8, QUERY_INSTANCE))
            with asked.makefile("rb") as answered:
                _, length = struct.unpack(">BI", answered.read(5))
                said = answered.read(length).decode("ascii").rstrip("\0")
    except (OSError, struct.error, UnicodeError) as error:
        return {"success": "0", "result": "", "description": str(error)}
    return {"success": "1", "result": said, "description": "asked"}
