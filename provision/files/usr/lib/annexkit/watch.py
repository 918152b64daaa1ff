#!/usr/bin/env python3
"""Watch what may change while an annex node runs: its lease, and a spot notice.

The instance's tag annexkit:expires is the lease. When it moves, both timers that end
the node move with it, later or earlier; HTCondor advertises the new end and takes jobs
again; and the secret is fetched once more, because a longer lease came with a longer
token. Without a tag to be read the lease stays as it is, so the node still ends.

A spot instance is told two minutes before EC2 takes it back; from then on it starts no
job any more (EC2 User Guide, "Spot Instance interruption notices").

ANNEXKIT_ROOT is a prefix for every path, for tests.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Optional

from annex_file import Annex, AnnexFileError, leased, read_annex
from contract import CONFIG, ROOT
from contract_annexkit import ANNEX, REMEMBERED, extended, lease_end
from htcondor_config import lease_config
from imds import Imds, MetadataError
from lease import LeaseError, is_active, move, systemctl, write

SPOT_SECONDS = 5
PROBATION_SECONDS = 5  # jobs wait for the lease, and it comes within minutes
PATIENCE = 5.0  # for one look at the metadata service


class Watch:
    """What the watch knows: the lease as it is armed, and whether EC2 spoke."""

    def __init__(self, annex: Annex) -> None:
        self.annex = annex
        self.expires = lease_end(annex.lease_expires)
        self.notice: Optional[int] = None  # noqa: UP045  (Python 3.9)
        self._spot: Optional[bool] = None  # noqa: UP045

    def look(self) -> None:
        """Look once, and do what has to be done."""
        imds = Imds.from_environment(PATIENCE)
        expires = extended(imds) or self.expires
        noticed = self.notice is None and self._noticed(imds)
        if expires == self.expires and not noticed:
            return
        if noticed:
            self.notice = int(time.time())
            say("EC2 takes this spot instance back: no job starts any more")
        if expires != self.expires:
            self._follow(expires)
        self._advertise()

    @property
    def pause(self) -> int:
        """Seconds until the next look."""
        poll = self.annex.lease_poll_seconds
        if not leased(self.annex, self.expires):
            return min(poll, PROBATION_SECONDS)
        return min(poll, SPOT_SECONDS) if self._spot else poll

    def _follow(self, expires: int) -> None:
        longer = expires > self.expires
        if expires <= time.time():  # a timer for what has passed would never fire
            systemctl("start", "--no-block", "annexkit-lease.service")
        else:
            move(ROOT, expires)
        write(REMEMBERED, f"{expires}\n", 0o644)
        self.expires = expires
        say(f"the lease now ends in {expires - time.time():.0f} s")
        if longer and self.annex.secret is not None:
            self._renew()

    def _renew(self) -> None:
        """Fetch the secret again; an old one is kept where there is no newer.

        Not one that holds long enough: a launch's own does, and is deleted by the time
        its nodes get their lease, so that asking for it would hold everything up.
        """
        from aws_call import AwsError  # noqa: PLC0415  (rarely needed)
        from pool_secret import fetch, outlives, store  # noqa: PLC0415

        if outlives(ROOT, self.annex, self.expires):
            return
        try:
            if store(ROOT, self.annex, fetch(self.annex)):
                say("the pool's secret was renewed")
        except AwsError as error:
            say(f"the pool's secret stays as it is: {error}")

    def _advertise(self) -> None:
        granted = leased(self.annex, self.expires)
        drain = self.annex.drain_seconds
        text = lease_config(self.expires, drain, self.notice, granted)
        write(CONFIG / "51-annex-lease.config", text, 0o644)
        if is_active("condor.service"):
            systemctl("reload", "condor.service")

    def _noticed(self, imds: Imds) -> bool:
        try:
            if self._spot is None:
                self._spot = imds.text("meta-data/instance-life-cycle") == "spot"
            return self._spot and bool(imds.text("meta-data/spot/instance-action"))
        except MetadataError:
            return False


def say(text: str) -> None:
    """Say something in the journal, at once."""
    print(f"annexkit: {text}", flush=True)


def run(watch: Watch, sleep: Callable[[float], None] = time.sleep) -> None:
    """Look for ever; what goes wrong once is said and tried again at the next look."""
    while True:
        try:
            watch.look()
        except (LeaseError, OSError) as error:
            say(f"error: {error}")
        sleep(watch.pause)


def main() -> int:
    """Watch; exit code 1 when there is nothing to watch by."""
    try:
        watch = Watch(read_annex(ANNEX))
        if REMEMBERED.exists():  # a reboot armed the user data's timer as at first
            move(ROOT, watch.expires)
        run(watch)
    except (AnnexFileError, LeaseError, OSError) as error:
        say(f"error: {error}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
