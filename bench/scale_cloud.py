"""EC2's answers for thousands of instances that do not exist, by moto's side.

A program of its own, ``scale_cloud.py PORT``, so that its time is not ours. Five calls
are answered here, because moto needs minutes for them at this size and launches
MinCount instances; all else (IAM, Scheduler, STS, SSM, VPC) is moto's. An instance is
described with everything that EC2 says of one, and a page holds 1,000, as EC2's does.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from urllib.parse import parse_qsl

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    create_backend_app,
)
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

PAGE = 1000
SPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"
INSTANCE = """<item><instanceId>{id}</instanceId><imageId>{ami}</imageId>\
<instanceState><code>{code}</code><name>{state}</name></instanceState>\
<privateDnsName>ip-10-0-0-1.us-west-2.compute.internal</privateDnsName>\
<dnsName>ec2-198-51-100-1.us-west-2.compute.amazonaws.com</dnsName><reason/>\
<amiLaunchIndex>0</amiLaunchIndex><productCodes/><instanceType>{type}</instanceType>\
<launchTime>{launched}</launchTime><placement><availabilityZone>us-west-2a\
</availabilityZone><availabilityZoneId>usw2-az1</availabilityZoneId><groupName/>\
<tenancy>default</tenancy></placement><monitoring><state>disabled</state></monitoring>\
<subnetId>{subnet}</subnetId><vpcId>vpc-0</vpcId><privateIpAddress>10.0.0.1\
</privateIpAddress><ipAddress>198.51.100.1</ipAddress><sourceDestCheck>true\
</sourceDestCheck><groupSet><item><groupId>sg-0</groupId><groupName>annexkit-annex\
</groupName></item></groupSet><architecture>x86_64</architecture><rootDeviceType>ebs\
</rootDeviceType><rootDeviceName>/dev/xvda</rootDeviceName><blockDeviceMapping><item>\
<deviceName>/dev/xvda</deviceName><ebs><volumeId>vol-{number}</volumeId><status>attached\
</status><attachTime>{launched}</attachTime><deleteOnTermination>true\
</deleteOnTermination></ebs></item></blockDeviceMapping><virtualizationType>hvm\
</virtualizationType><clientToken>{token}</clientToken><tagSet>{tags}</tagSet>\
<hypervisor>xen</hypervisor><networkInterfaceSet><item><networkInterfaceId>\
eni-{number}</networkInterfaceId><subnetId>{subnet}</subnetId><vpcId>vpc-0</vpcId>\
<description/><ownerId>123456789012</ownerId><status>in-use</status><macAddress>\
02:00:00:00:00:01</macAddress><privateIpAddress>10.0.0.1</privateIpAddress>\
<privateDnsName>ip-10-0-0-1.us-west-2.compute.internal</privateDnsName>\
<sourceDestCheck>true</sourceDestCheck><groupSet><item><groupId>sg-0</groupId>\
<groupName>annexkit-annex</groupName></item></groupSet><attachment><attachmentId>\
eni-attach-{number}</attachmentId><deviceIndex>0</deviceIndex><status>attached</status>\
<attachTime>{launched}</attachTime><deleteOnTermination>true</deleteOnTermination>\
<networkCardIndex>0</networkCardIndex></attachment><association><publicIp>198.51.100.1\
</publicIp><publicDnsName>ec2-198-51-100-1.us-west-2.compute.amazonaws.com\
</publicDnsName><ipOwnerId>amazon</ipOwnerId></association><privateIpAddressesSet><item>\
<privateIpAddress>10.0.0.1</privateIpAddress><privateDnsName>\
ip-10-0-0-1.us-west-2.compute.internal</privateDnsName><primary>true</primary>\
<association><publicIp>198.51.100.1</publicIp><ipOwnerId>amazon</ipOwnerId>\
</association></item></privateIpAddressesSet><ipv6AddressesSet/><interfaceType>interface\
</interfaceType><operator><managed>false</managed></operator></item>\
</networkInterfaceSet><iamInstanceProfile><arn>\
arn:aws:iam::123456789012:instance-profile/annexkit-node</arn><id>AIPA0</id>\
</iamInstanceProfile><ebsOptimized>false</ebsOptimized><enaSupport>true</enaSupport>\
<cpuOptions><coreCount>1</coreCount><threadsPerCore>2</threadsPerCore></cpuOptions>\
<capacityReservationSpecification><capacityReservationPreference>open\
</capacityReservationPreference></capacityReservationSpecification><hibernationOptions>\
<configured>false</configured></hibernationOptions><metadataOptions><state>applied\
</state><httpTokens>required</httpTokens><httpPutResponseHopLimit>1\
</httpPutResponseHopLimit><httpEndpoint>enabled</httpEndpoint><httpProtocolIpv6>disabled\
</httpProtocolIpv6><instanceMetadataTags>enabled</instanceMetadataTags>\
</metadataOptions><enclaveOptions><enabled>false</enabled></enclaveOptions><bootMode>\
uefi-preferred</bootMode><platformDetails>Linux/UNIX</platformDetails><usageOperation>\
RunInstances</usageOperation><usageOperationUpdateTime>{launched}\
</usageOperationUpdateTime><privateDnsNameOptions><hostnameType>ip-name</hostnameType>\
<enableResourceNameDnsARecord>false</enableResourceNameDnsARecord>\
<enableResourceNameDnsAAAARecord>false</enableResourceNameDnsAAAARecord>\
</privateDnsNameOptions><maintenanceOptions><autoRecovery>default</autoRecovery>\
</maintenanceOptions><currentInstanceBootMode>uefi</currentInstanceBootMode><operator>\
<managed>false</managed></operator></item>"""
CODES = {"running": 16, "shutting-down": 32}
Params = dict[str, str]


@dataclass
class Instance:
    """One instance; it runs from the start."""

    id: str
    number: str
    launched: str
    asked: Params
    tags: Params
    state: str = "running"

    def xml(self) -> str:
        """Describe it as EC2 does."""
        tags = "".join(
            f"<item><key>{key}</key><value>{value}</value></item>"
            for key, value in self.tags.items()
        )
        return INSTANCE.format(
            id=self.id,
            number=self.number,
            launched=self.launched,
            state=self.state,
            code=CODES[self.state],
            ami=self.asked["ImageId"],
            type=self.asked["InstanceType"],
            subnet=self.asked["NetworkInterface.1.SubnetId"],
            token=self.asked["ClientToken"],
            tags=tags,
        )

    def has(self, name: str, values: list[str]) -> bool:
        """Say whether it passes one filter."""
        if name == "tag-key":
            return any(value in self.tags for value in values)
        if name.startswith("tag:"):
            return self.tags.get(name.removeprefix("tag:")) in values
        said = {
            "instance-id": self.id,
            "instance-state-name": self.state,
            "client-token": self.asked["ClientToken"],
        }
        return said[name] in values


@dataclass
class Cloud:
    """The five calls of EC2 that grow with the number of nodes."""

    instances: dict[str, Instance] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.calls: dict[str, Callable[[Params], str]] = {
            "RunInstances": self.run,
            "DescribeInstances": self.describe,
            "CreateTags": self.tag,
            "TerminateInstances": self.terminate,
        }

    def run(self, asked: Params) -> str:
        """Launch all that are asked for, MaxCount."""
        tags = _pairs(asked, "TagSpecification.1.Tag")
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        made = []
        for _ in range(int(asked["MaxCount"])):
            number = f"{len(self.instances):017x}"
            one = Instance(f"i-{number}", number, now, asked, dict(tags))
            self.instances[one.id] = one
            made.append(one.xml())
        described = f"<instancesSet>{''.join(made)}</instancesSet>"
        return f"<reservationId>r-0</reservationId>{described}"

    def describe(self, asked: Params) -> str:
        """Describe a page of what passes all filters."""
        filters = dict(_filters(asked))
        start = int(asked.get("NextToken", 0))
        size = int(asked.get("MaxResults", PAGE))
        wanted = filters.get("instance-id")
        known = self.instances
        some: Iterable[Instance] = known.values()
        if wanted:
            some = (known[one] for one in wanted if one in known)
        found = [i for i in some if all(i.has(n, v) for n, v in filters.items())]
        page = "".join(one.xml() for one in islice(found, start, start + size))
        more = start + size < len(found)
        token = f"<nextToken>{start + size}</nextToken>" if more else ""
        return (
            "<reservationSet><item><reservationId>r-0</reservationId>"
            f"<instancesSet>{page}</instancesSet></item></reservationSet>{token}"
        )

    def tag(self, asked: Params) -> str:
        """Write tags on instances."""
        tags = _pairs(asked, "Tag")
        for one in _members(asked, "ResourceId"):
            self.instances[one].tags |= tags
        return "<return>true</return>"

    def terminate(self, asked: Params) -> str:
        """Let instances end."""
        for one in _members(asked, "InstanceId"):
            self.instances[one].state = "shutting-down"
        return "<instancesSet/>"


def _members(asked: Params, name: str) -> Iterator[str]:
    number = 1
    while (key := f"{name}.{number}") in asked:
        yield asked[key]
        number += 1


def _pairs(asked: Params, name: str) -> Params:
    pairs, number = {}, 1
    while (key := f"{name}.{number}.Key") in asked:
        pairs[asked[key]] = asked[f"{name}.{number}.Value"]
        number += 1
    return pairs


def _filters(asked: Params) -> Iterator[tuple[str, list[str]]]:
    number = 1
    while (key := f"Filter.{number}.Name") in asked:
        yield asked[key], list(_members(asked, f"Filter.{number}.Value"))
        number += 1


class Door:
    """The WSGI application: our calls here, all others to moto."""

    def __init__(self) -> None:
        self.cloud = Cloud()
        self.moto = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        request = Request(environ)
        body = request.get_data()
        environ["wsgi.input"] = io.BytesIO(body)  # for moto, which reads it again
        asked = dict(parse_qsl(body.decode(), keep_blank_values=True))
        answer = self.cloud.calls.get(asked.get("Action", ""))
        if answer is None:
            return self.moto(environ, start_response)  # type: ignore[no-any-return]
        name = f"{asked['Action']}Response"
        said = f"<requestId>0</requestId>{answer(asked)}"
        text = f'<{name} xmlns="{SPACE}">{said}</{name}>'
        return Response(text, mimetype="text/xml")(environ, start_response)


class Quiet(WSGIRequestHandler):
    """Says nothing of every request."""

    protocol_version = "HTTP/1.1"

    def log_request(self, *_: object) -> None:
        """Be quiet."""


def main() -> None:
    """Serve until killed."""
    make_server(
        "127.0.0.1", int(sys.argv[1]), Door(), threaded=True, request_handler=Quiet
    ).serve_forever()


if __name__ == "__main__":
    main()
