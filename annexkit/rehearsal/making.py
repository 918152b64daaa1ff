"""From an instance that moto has launched to the machine that stands for it."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from annexkit.rehearsal import firmware, pool_host
from annexkit.rehearsal.faults import Trouble, troubled
from annexkit.rehearsal.identity import IdentitySource, private_name
from annexkit.rehearsal.imds import ADDRESS, Imds
from annexkit.rehearsal.machines import GONE, Hooks, Machine, Service, State
from annexkit.rehearsal.netns import Wsgi
from annexkit.rehearsal.podman import MachineSpec
from annexkit.rehearsal.site import Site
from annexkit.rehearsal.view import Instance
from annexkit.rehearsal.wire import ApiError, Element, text_of

log = logging.getLogger(__name__)


class Maker:
    """Makes the machines of all instances.

    :param api: the cloud, as machines reach it.
    :param notices: when spot instances are to end, by their ids.
    """

    def __init__(self, site: Site, api: Wsgi, notices: Mapping[str, str]) -> None:
        self._site = site
        self._api = api
        self._notices = notices

    def make(
        self, region: str, item: Element, ref: str, *, spot: bool, trouble: Trouble
    ) -> Instance:
        """Make the machine of a described instance; it is not started.

        :param ref: podman's name of the image.
        """
        identity = text_of(item, "instanceId")
        site, address = self._site, self._site.addresses.take()
        source = IdentitySource(
            site.moto,
            region,
            identity,
            address,
            roles=site.roles,
            notice=lambda: self._notices.get(identity, ""),
        )
        machine = Machine(
            site.podman,
            site.network,
            self._spec(region, item, ref, address, trouble),
            services=(
                Service(ADDRESS, 80, Imds(source, issued=site.faults.hand_out)),
                Service(firmware.API_ADDRESS, firmware.API_PORT, self._api),
            ),
            hooks=self._hooks(region, identity, trouble),
        )
        return Instance(
            identity,
            region,
            text_of(item, "imageId"),
            text_of(item, "privateIpAddress"),
            address,
            machine,
            spot,
            trouble,
        )

    def _hooks(self, region: str, identity: str, trouble: Trouble) -> Hooks:
        return Hooks(
            behaviour=lambda: self._behaviour(region, identity),
            ended=lambda state: self._ended(region, identity, state),
            knobs=lambda: troubled(self._site.faults.knobs, trouble),
        )

    def _spec(
        self, region: str, item: Element, ref: str, address: str, trouble: Trouble
    ) -> MachineSpec:
        identity = text_of(item, "instanceId")
        name = private_name(region, address)
        folder = self._site.folder(identity)
        pools = pool_host.standing(self._site.rehearsal.dir)
        names = [(pool.address, pool.hostname) for pool in pools]
        offset = troubled(self._site.faults.knobs, trouble).clock_offset
        return MachineSpec(
            name=f"{self._site.rehearsal.network}-{identity}",
            image=ref,
            address=address,
            mac=text_of(item, "networkInterfaceSet/item/macAddress"),
            hostname=name.partition(".")[0],
            labels=(("annexkit.instance", identity), ("annexkit.region", region)),
            mounts=(
                *firmware.install(folder, identity, text_of(item, "instanceType")),
                *firmware.clock_files(folder, offset),
                firmware.hosts_file(folder, address, name, names),
            ),
        )

    def _behaviour(self, region: str, identity: str) -> str:
        name = "instanceInitiatedShutdownBehavior"
        root = self._site.moto.ec2(
            region, "DescribeInstanceAttribute", InstanceId=identity, Attribute=name
        )
        return root.findtext(f"{name}/value") or "stop"

    def _ended(self, region: str, identity: str, state: State) -> None:
        """Tell moto that a machine ended by itself."""
        action = "TerminateInstances" if state in GONE else "StopInstances"
        try:
            self._site.moto.ec2(region, action, InstanceId__1=identity)
        except ApiError:
            log.exception("%s", identity)
