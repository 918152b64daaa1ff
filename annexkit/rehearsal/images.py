"""AMIs: moto's records, and podman's images behind them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock

from annexkit.errors import AnnexkitError
from annexkit.rehearsal import filters
from annexkit.rehearsal.image_view import (
    AVAILABLE,
    DISABLED,
    FAILED,
    PENDING,
    Disk,
    Image,
    leave_out_others,
    put_right,
)
from annexkit.rehearsal.machines import Machine, State
from annexkit.rehearsal.site import Site, in_background
from annexkit.rehearsal.wire import (
    ApiError,
    Call,
    Element,
    put,
    result,
    tag_params,
    tags_for,
    tags_of,
    text_of,
)
from annexkit.waiting import Clock, SystemClock, wait_for

log = logging.getLogger(__name__)

IMDS = "v2.0"
LONGEST_CAPTURE = 300


class Images:
    """The AMIs of all regions."""

    def __init__(self, site: Site, clock: Clock | None = None) -> None:
        self._site = site
        self._clock = clock or SystemClock()
        self._images: dict[tuple[str, str], Image] = {}
        self._copies: dict[tuple[str, str], tuple[Call, str]] = {}
        self._lock = Lock()

    def launchable(self, region: str, ami: str) -> Image:
        """Return the image to start machines from.

        :raises ApiError: unknown in this region, or not available.
        """
        base = self._site.rehearsal.base
        if ami == base.ami_id:
            return Image(ami, region, base.ref, state=AVAILABLE)
        found = self.made(region, ami)
        if found.state != AVAILABLE:
            raise ApiError(
                "InvalidAMIID.Unavailable", f"The image ID '{ami}' is {found.state}"
            )
        return found

    def made(self, region: str, ami: str) -> Image:
        """Return an image that was made here.

        :raises ApiError: there is none, or it was deregistered.
        """
        found = self._images.get((region, ami))
        if found is None or found.gone:
            raise _not_found(ami)
        return found

    def all(self) -> list[Image]:
        """Return the images that were made here and not deregistered."""
        return [image for image in self._images.values() if not image.gone]

    def create(self, call: Call, machine: Machine, disk: Disk) -> Element:
        """CreateImage: record it, and capture the machine in the background."""
        self._check_name(call)
        bare = call.without("TagSpecification", "BlockDeviceMapping")
        image = self._add(call, bare, disk)
        reboot = not call.true("NoReboot")

        def capture() -> None:
            self._capture(image, machine, reboot=reboot)

        self._make(image, capture)
        return result("CreateImage", imageId=image.id)

    def copy(self, call: Call) -> Element:
        """CopyImage into the call's region; a client token makes it idempotent."""
        token = call.get("ClientToken")
        with self._lock:
            if token and (done := self._copies.get((call.region, token))):
                if done[0] != call:
                    raise mismatch(token)
                return result("CopyImage", imageId=done[1])
            image = self._copy(call)
            if token:
                self._copies[call.region, token] = call, image.id
        return result("CopyImage", imageId=image.id)

    def _copy(self, call: Call) -> Image:
        region, ami = call.get("SourceRegion"), call.get("SourceImageId")
        source = self.launchable(region, ami)
        self._check_name(call)
        encrypted = "true" if call.true("Encrypted") else source.disk.encrypted
        disk = Disk(source.disk.size, source.disk.kind, encrypted)
        image = self._add(call, call.without("TagSpecification"), disk)
        image.source = {"sourceImageId": ami, "sourceImageRegion": region}
        if call.true("CopyImageTags"):
            item = self._site.moto.ec2(region, "DescribeImages", ImageId__1=ami)
            self._tag(
                call.region, [image.id], tags_of(item.find("imagesSet/item") or item)
            )
        self._make(image, lambda: self._site.podman.tag(source.ref, image.ref))
        return image

    def deregister(self, call: Call) -> Element:
        """DeregisterImage, with its snapshots when asked to."""
        ami = call.get("ImageId")
        image = self._images.get((call.region, ami))
        self._site.moto.ask(call.without("DeleteAssociatedSnapshots"))
        done = result("DeregisterImage", **{"return": "true"})
        if image is None:
            return done
        with self._lock:
            image.gone = True
            there = image.state in (AVAILABLE, DISABLED)
        if there:
            self._site.podman.remove_image(image.ref)
        if call.true("DeleteAssociatedSnapshots"):
            self._site.moto.ec2(
                call.region, "DeleteSnapshot", SnapshotId=image.snapshot
            )
            put(done, "deleteSnapshotResultSet/item/snapshotId", image.snapshot)
            put(done, "deleteSnapshotResultSet/item/returnCode", "success")
        return done

    def describe(self, call: Call) -> Element:
        """DescribeImages, filtered after moto's answer is put right.

        What is disabled shows only when asked for (API reference, IncludeDisabled).
        """
        wanted = filters.read(call)
        unknown = filters.split(wanted, filters.IMAGE_PATHS)[1]
        if unknown:
            name = unknown[0].name
            raise ApiError("InvalidParameterValue", f"The filter '{name}' is invalid")
        root = self._site.moto.ask(call.without("Filter", "MaxResults"))
        items = root.find("imagesSet")
        for item in list(root.iterfind("imagesSet/item")):
            image = self._images.get((call.region, text_of(item, "imageId")))
            put_right(item, image)
            hidden = text_of(item, "imageState") == DISABLED
            hidden = hidden and not call.true("IncludeDisabled")
            fits = filters.matches(item, wanted, filters.IMAGE_PATHS)
            if items is not None and (hidden or not fits):
                items.remove(item)
        found = {text_of(item, "imageId") for item in root.iterfind("imagesSet/item")}
        for ami in call.members("ImageId"):
            if ami not in found and not wanted:
                raise _not_found(ami)
        return root

    def modify_attribute(self, call: Call) -> Element | None:
        """ModifyImageAttribute of what moto drops; None leaves the call to moto."""
        image = self._images.get((call.region, call.get("ImageId")))
        if image is None or image.gone or call.true("DryRun"):
            return None
        attribute = call.get("Attribute")
        imds = call.get("ImdsSupport.Value")
        if attribute == "imdsSupport":
            imds = call.get("Value")
        description = call.params.get("Description.Value")
        if attribute == "description":
            description = call.get("Value")
        if imds and imds != IMDS:
            raise ApiError(
                "InvalidParameterValue", f"Value ({imds}) is invalid for imdsSupport"
            )
        if not imds and description is None:
            return None
        image.imds = imds or image.imds
        image.description = image.description if description is None else description
        return result("ModifyImageAttribute", **{"return": "true"})

    def describe_attribute(self, call: Call) -> Element | None:
        """DescribeImageAttribute of what moto does not know; None leaves it to moto."""
        image = self._images.get((call.region, call.get("ImageId")))
        if image is None or image.gone or call.get("Attribute") != "imdsSupport":
            return None
        found = result("DescribeImageAttribute", imageId=image.id)
        put(found, "imdsSupport/value", image.imds)
        return found

    def describe_snapshots(self, call: Call) -> Element:
        """DescribeSnapshots, with the disks that the images were made of.

        moto leaves the owners out of account, and gives us the base image's snapshot.
        """
        root = self._site.moto.ask(call)
        if call.members("Owner") == ["self"]:
            leave_out_others(root)
        disks = {
            i.snapshot: i for i in self._images.values() if i.region == call.region
        }
        for item in root.iterfind("snapshotSet/item"):
            if image := disks.get(text_of(item, "snapshotId")):
                put(item, "volumeSize", image.disk.size)
                put(item, "encrypted", image.disk.encrypted)
                put(
                    item, "status", "pending" if image.state == PENDING else "completed"
                )
        return root

    def _check_name(self, call: Call) -> None:
        name = call.get("Name")
        if not 3 <= len(name) <= 128:
            raise ApiError(
                "InvalidAMIName.Malformed",
                "AMI names must be between 3 and 128 characters long",
            )
        root = self._site.moto.ec2(call.region, "DescribeImages", Owner__1="self")
        for item in root.iterfind("imagesSet/item"):
            if text_of(item, "name") == name:
                ami = text_of(item, "imageId")
                raise ApiError(
                    "InvalidAMIName.Duplicate",
                    f"AMI name {name} is already in use by AMI {ami}",
                )

    def _add(self, call: Call, bare: Call, disk: Disk) -> Image:
        """Have moto make its records, and tag them as *call* asks."""
        moto, region = self._site.moto, call.region
        ami = text_of(moto.ask(bare), "imageId")
        item = moto.ec2(region, "DescribeImages", ImageId__1=ami)
        path = "imagesSet/item/blockDeviceMapping/item/ebs/snapshotId"
        ref = f"localhost/annexkit-{self._site.rehearsal.id}/{region}:{ami}"
        image = Image(ami, region, ref, disk, snapshot=text_of(item, path))
        self._images[region, ami] = image
        self._tag(region, [ami], tags_for(call, "image"))
        self._tag(region, [image.snapshot], tags_for(call, "snapshot"))
        return image

    def _tag(self, region: str, resources: list[str], tags: dict[str, str]) -> None:
        if tags:
            create = Call("ec2", region, "CreateTags", tag_params(resources, tags))
            self._site.moto.ask(create)

    def _make(self, image: Image, work: Callable[[], None]) -> None:
        """Do what makes the image, in the background, and set its state then."""
        begun = self._clock.monotonic()

        def make() -> None:
            try:
                work()
                self._wait_pending(begun)
            except (AnnexkitError, OSError) as error:
                log.exception("%s", image.id)
                image.reason = str(error)
            with self._lock:
                image.state = FAILED if image.reason else AVAILABLE
                unwanted = image.gone and not image.reason
            if unwanted:
                self._site.podman.remove_image(image.ref)

        in_background(make, image.id)

    def _wait_pending(self, begun: float) -> None:
        def over() -> bool:
            least = self._site.faults.knobs.image_pending_seconds
            return self._clock.monotonic() - begun >= least

        wait_for(over, what="the image", timeout=86400, poll=0.1, clock=self._clock)

    def _capture(self, image: Image, machine: Machine, *, reboot: bool) -> None:
        """Capture a machine's disk: one that runs is off meanwhile, unless told not."""
        done: Future[None] = Future()

        def commit() -> None:
            try:
                self._site.podman.commit(machine.spec.name, image.ref)
                done.set_result(None)
            except AnnexkitError as error:
                done.set_exception(error)

        if machine.state is State.RUNNING and reboot:
            machine.reboot(between=commit)
            done.result(LONGEST_CAPTURE)
            return
        wait_for(
            lambda: machine.state is not State.STOPPING,
            what=f"{machine.spec.name} to stop",
            timeout=LONGEST_CAPTURE,
            poll=0.05,
            clock=self._clock,
        )
        commit()
        done.result()


def mismatch(token: str) -> ApiError:
    """Return the error for a client token that comes with other parameters."""
    return ApiError(
        "IdempotentParameterMismatch",
        f"The client token '{token}' was used with other parameters before",
    )


def _not_found(ami: str) -> ApiError:
    return ApiError("InvalidAMIID.NotFound", f"The image id '[{ami}]' does not exist")
