"""A rehearsal's API without machines, in this process: for what only speaks to AWS.

Needs neither root nor podman. Whatever asks for a machine fails.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from werkzeug.serving import make_server
from werkzeug.test import Client

from annexkit.rehearsal import preflight
from annexkit.rehearsal.cloud import Cloud
from annexkit.rehearsal.faults import Faults
from annexkit.rehearsal.netns import QuietHandler
from annexkit.rehearsal.podman import Podman
from annexkit.rehearsal.site import Addresses, Site
from annexkit.rehearsal.state import Rehearsal
from annexkit.rehearsal.wire import Moto
from tests.unit.rehearsal.samples import a_rehearsal


@contextmanager
def api(folder: Path) -> Iterator[Rehearsal]:
    """Serve the API as long as the block lasts; moto forgets all of it afterwards."""
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        create_backend_app,
    )

    folder.mkdir(parents=True, exist_ok=True)
    rehearsal = a_rehearsal(folder, port=preflight.free_port())
    application = DomainDispatcherApplication(create_backend_app)
    site = Site(
        rehearsal=rehearsal,
        podman=cast(Podman, None),
        moto=Moto(application),
        faults=Faults(),
        addresses=Addresses(rehearsal.subnet),
        bridge="",
    )
    for region in ("us-west-2", "eu-west-1"):  # moto loads much for its first calls,
        site.moto.ec2(region, "DescribeVpcs")  # and an SDK that waits asks twice
    server = make_server(
        "127.0.0.1",
        rehearsal.port,
        Cloud(site),
        threaded=True,
        request_handler=QuietHandler,
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield rehearsal
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        Client(application).post("/moto-api/reset", base_url="http://127.0.0.1")
