"""RunInstances: what AWS checks and fills in before anything starts."""

from __future__ import annotations

import base64
import binascii

from annexkit.rehearsal.base_image import ROOT_DEVICE
from annexkit.rehearsal.image_view import Disk, Image
from annexkit.rehearsal.wire import ApiError, Call, Element, Moto, text_of

MOST_USER_DATA = 16384
TRUE = "true"


def check(call: Call) -> None:
    """Refuse what AWS refuses and moto does not.

    :raises ApiError: counts, client token or user data are not as they must be.
    """
    least, most = counts(call)
    if not 1 <= least <= most:
        raise ApiError(
            "InvalidParameterValue",
            f"Invalid value '{least}' for MinCount: between 1 and MaxCount ({most})",
        )
    if len(call.get("ClientToken")) > 64:
        raise ApiError(
            "InvalidParameterValue", "ClientToken is longer than 64 characters"
        )
    if len(user_data(call.get("UserData"))) > MOST_USER_DATA:
        raise ApiError(
            "InvalidParameterValue", f"User data is limited to {MOST_USER_DATA} bytes"
        )


def counts(call: Call) -> tuple[int, int]:
    """Return how many instances are asked for, at least and at most."""
    try:
        return int(call.get("MinCount", "1")), int(call.get("MaxCount", "1"))
    except ValueError:
        raise ApiError(
            "InvalidParameterValue", "MinCount and MaxCount are numbers"
        ) from None


def user_data(encoded: str) -> bytes:
    """Decode user data as the API carries it.

    :raises ApiError: not Base64.
    """
    try:
        return base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raise ApiError(
            "InvalidParameterValue", "Invalid BASE64 encoding of user data"
        ) from None


def prepare(call: Call, image: Image, count: int, moto: Moto) -> Call:
    """Return the call as moto must get it: all defaults of AWS filled in.

    moto launches MinCount instances, knows no default subnet, makes the root volume
    under a name of its own, and does not take IMDSv2 from the image.
    """
    more = {"MinCount": str(count), "MaxCount": str(count)}
    more |= _subnet(call, moto)
    more |= _volumes(call)
    if image.imds and not call.get("MetadataOptions.HttpTokens"):
        more["MetadataOptions.HttpTokens"] = "required"
        more.setdefault("MetadataOptions.HttpPutResponseHopLimit", "2")
    params = {**call.params, **more}
    return Call(call.service, call.region, call.action, params)


def with_place(call: Call, moto: Moto) -> Call:
    """Return the call with ``Zone`` and ``Market``, for rules that ask for them."""
    market = "spot" if call.get("InstanceMarketOptions.MarketType") else "on-demand"
    subnet = call.get("SubnetId") or call.get("NetworkInterface.1.SubnetId")
    subnet = subnet or next(iter(_subnet(call, moto).values()), "")
    try:
        root = moto.ec2(call.region, "DescribeSubnets", SubnetId__1=subnet)
    except ApiError:
        return call.having(Market=market)
    zone = root.findtext("subnetSet/item/availabilityZone") or ""
    return call.having(Market=market, Zone=zone)


def no_capacity(call: Call) -> ApiError:
    """Return the error for a launch that there is no capacity for."""
    return ApiError(
        "InsufficientInstanceCapacity",
        f"We currently do not have sufficient {call.get('InstanceType')} capacity in "
        f"the Availability Zone you requested ({call.get('Zone')}).",
        500,
    )


def ask(call: Call, moto: Moto) -> Element:
    """Have moto launch, and say what it refuses in AWS's words."""
    try:
        return moto.ask(call)
    except ApiError as error:
        if not error.code.startswith("InvalidInstanceType"):
            raise
        kind = call.get("InstanceType")
        said = f"Invalid value '{kind}' for InstanceType."
        raise ApiError("InvalidParameterValue", said) from None


def _subnet(call: Call, moto: Moto) -> dict[str, str]:
    interfaces = list(call.groups("NetworkInterface"))
    if call.get("SubnetId") or any("SubnetId" in i for i in interfaces):
        return {}
    default = {"Filter.1.Name": "default-for-az", "Filter.1.Value.1": TRUE}
    if zone := call.get("Placement.AvailabilityZone"):
        default |= {"Filter.2.Name": "availability-zone", "Filter.2.Value.1": zone}
    root = moto.ask(Call("ec2", call.region, "DescribeSubnets", default))
    found = sorted(
        (text_of(item, "availabilityZone"), text_of(item, "subnetId"))
        for item in root.iterfind("subnetSet/item")
    )
    if not found:
        raise ApiError("MissingInput", "No subnets found for the default VPC")
    name = "NetworkInterface.1.SubnetId" if interfaces else "SubnetId"
    return {name: found[0][1]}


def _volumes(call: Call) -> dict[str, str]:
    """Fill in the root volume as the AMI's own mapping would."""
    mappings = list(call.groups("BlockDeviceMapping"))
    more: dict[str, str] = {}
    for number, mapping in enumerate(mappings, 1):
        head = f"BlockDeviceMapping.{number}.Ebs"
        if "NoDevice" in mapping or "VirtualName" in mapping:
            continue
        if "Ebs.VolumeSize" not in mapping:
            more[f"{head}.VolumeSize"] = Disk.size
        if "Ebs.DeleteOnTermination" not in mapping:
            more[f"{head}.DeleteOnTermination"] = TRUE
    if not any(mapping.get("DeviceName") == ROOT_DEVICE for mapping in mappings):
        head = f"BlockDeviceMapping.{len(mappings) + 1}"
        more |= {
            f"{head}.DeviceName": ROOT_DEVICE,
            f"{head}.Ebs.VolumeSize": Disk.size,
            f"{head}.Ebs.VolumeType": Disk.kind,
            f"{head}.Ebs.DeleteOnTermination": TRUE,
        }
    return more
