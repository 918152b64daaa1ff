"""The one background process of a rehearsal: ``python -m annexkit.rehearsal.server``.

Serves until SIGTERM or SIGINT, then removes its machines.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path
from threading import Event, Thread

from werkzeug.serving import make_server

from annexkit.errors import AnnexkitError
from annexkit.files import write_beside
from annexkit.rehearsal import base_image, state
from annexkit.rehearsal.cloud import Cloud
from annexkit.rehearsal.faults import Faults
from annexkit.rehearsal.netns import QuietHandler
from annexkit.rehearsal.podman import Podman
from annexkit.rehearsal.site import Addresses, Site
from annexkit.rehearsal.wire import ApiError, Moto

log = logging.getLogger(__name__)

# moto reads these when it is imported: our base image in place of 1,300 AMIs of its
# own, and the checks that AWS makes and moto does only on request.
MOTO = {
    "MOTO_ENABLE_AMI_VALIDATION": "true",
    "MOTO_ENABLE_KEYPAIR_VALIDATION": "true",
    "MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION": "true",
}


def main(folder: Path) -> int:
    """Serve the rehearsal that is described in *folder*; the exit code."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    rehearsal = state.load(folder)
    if rehearsal is None:
        log.error("no rehearsal in %s", folder)
        return 2
    ended = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    podman = Podman(rehearsal.id, rehearsal.runtime)
    try:
        serve(rehearsal, podman, ended)
    finally:
        podman.remove_machines()
    return 0


def serve(rehearsal: state.Rehearsal, podman: Podman, ended: Event) -> None:
    """Answer until *ended* is set."""
    cloud = make_cloud(rehearsal, podman)
    cloud.schedules.start()
    server = make_server(
        "127.0.0.1",
        rehearsal.port,
        cloud,
        threaded=True,
        request_handler=QuietHandler,
    )
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
    thread.start()
    log.info("serving %s", rehearsal.endpoint)
    ended.wait()
    log.info("ending")
    server.shutdown()
    thread.join()
    server.server_close()


def make_cloud(rehearsal: state.Rehearsal, podman: Podman) -> Cloud:
    """Build the cloud around a moto of this process."""
    catalogue = rehearsal.dir / "amis.json"
    write_beside(catalogue, base_image.catalogue(rehearsal.base))
    os.environ.update(MOTO, MOTO_AMIS_PATH=str(catalogue))
    # only now: moto reads its settings when it is imported
    from moto.moto_server.werkzeug_app import (  # noqa: PLC0415
        DomainDispatcherApplication,
        create_backend_app,
    )

    moto = Moto(DomainDispatcherApplication(create_backend_app))
    try:
        # the first call to EC2 loads its instance types: a second that no caller of
        # ours shall wait for
        moto.ec2(state.REGION, "DescribeImages")
    except ApiError:
        log.exception("moto does not answer")
    site = Site(
        rehearsal=rehearsal,
        podman=podman,
        moto=moto,
        faults=Faults(),
        addresses=Addresses(rehearsal.subnet),
        bridge=podman.bridge(rehearsal.network),
    )
    return Cloud(site)


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1])))
    except AnnexkitError as error:
        sys.exit(f"{error}")
