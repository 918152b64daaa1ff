"""Evidence of why a node is not in the pool: what was gathered, not yet judged."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from annexkit.errors import AnnexkitError
from annexkit.instances import Instance
from annexkit.pool.collector import Ad, Slot
from annexkit.pool.target import Pool
from annexkit.verify.facts import Facts

SAID = re.compile(r"annexkit: error: ([^\r\n]+)")
SLOW = 300.0  # seconds after which a boot that cannot be seen is called broken
SKEW = 30.0  # seconds; EC2 refuses signatures that are 5 minutes off


@dataclass(frozen=True)
class Evidence:
    """All that could be gathered of one node; None is what could not be asked.

    :param now: our clock, in epoch seconds.
    :param slow: seconds that a boot may take before it is called broken.
    :param login: the command by which a person logs in.
    :param ssh_error: why nobody could log in; None when it worked or was not tried.
    :param ssh_skipped: why it was not tried.
    :param pool_error: why the pool could not be asked.
    """

    id: str
    region: str
    now: float
    instance: Instance | None = None
    console: str = ""
    known: bool = False
    ssh_error: AnnexkitError | None = None
    ssh_skipped: str = ""
    facts: Facts | None = None
    pool: Pool | None = None
    slots: Sequence[Slot] | None = None
    masters: Sequence[Ad] | None = None
    pool_error: str = ""
    login: str = ""
    slow: float = SLOW

    @property
    def joined(self) -> bool:
        """Whether the collector has an ad of it."""
        return bool(self.slots or self.masters)

    @property
    def failed(self) -> tuple[str, str]:
        """Why the contract failed, a word and a sentence: by SSH, or off the console.

        The console is believed only while the collector knows nothing of the node: what
        it shows may have passed.
        """
        if self.facts is not None:
            word, _, sentence = self.facts.failed.partition(" ")
            return word, sentence
        said = SAID.findall(self.console)
        return ("console", said[-1]) if said and not self.joined else ("", "")

    @property
    def ads(self) -> list[Ad]:
        """All that the collector has of it."""
        return [*(self.slots or ()), *(self.masters or ())]

    @property
    def skew(self) -> str:
        """How far its clock is off, as the end of a sentence; empty when it is not."""
        off = self.facts.now - self.now if self.facts else 0.0
        return f"; its clock is {off:+.0f} s off" if abs(off) > SKEW else ""

    @property
    def age(self) -> float:
        """Seconds since it was launched."""
        return self.now - self.instance.launched if self.instance else 0.0

    @property
    def read_console(self) -> str:
        """The command that shows its console."""
        return (
            "aws ec2 get-console-output --latest --output text "
            f"--region {self.region} --instance-id {self.id}"
        )

    @property
    def read_journal(self) -> str:
        """The command that shows what our units said."""
        if not self.login:
            return self.read_console
        return f"{self.login} sudo journalctl -b -u 'annexkit-*'"

    @property
    def again(self) -> str:
        """The advice to look once more."""
        return f"wait, then: invoke why {self.id} --region {self.region}"
