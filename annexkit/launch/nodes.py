"""The engine: asks target after target for nodes until all are there, or none is left.

Every RunInstances call is known before it is made, by its client token, and every
answer is kept: whatever happens, what may have been launched is in :class:`Launched`.
One batch is in flight at a time, so that a stop never has two to account for.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from secrets import SystemRandom

from annexkit import instances
from annexkit.aws import AwsError, Cloud
from annexkit.errors import AnnexkitError
from annexkit.instances import ENDED, SETTLE, Launch
from annexkit.launch.answers import Answer, Ruling, ruling
from annexkit.launch.capacity import CapacityTable
from annexkit.launch.launched import Batch, Launched
from annexkit.launch.target import Target
from annexkit.waiting import Clock, SystemClock

BATCH = 100  # AWS: five requests of 100 rather than one of 500 (RunInstances)
FRESH_TOKENS = 3  # a target whose instances somebody ends at once is left then


@dataclass(frozen=True)
class Pace:
    """How long to bear what passes by itself, in seconds.

    :param patience: for throttling, and for an endpoint that does not answer.
    :param first: the first pause; each is twice the one before, up to ``most``.
    :param profile_poll: an instance profile takes 7 to 15 s to be known everywhere.
    :param settle: how long EC2 may hide what it has accepted.
    """

    patience: float = 300.0
    first: float = 1.0
    most: float = 15.0
    profile_poll: float = 10.0
    profile_timeout: float = 120.0
    settle: float = SETTLE
    poll: float = 5.0


@dataclass(frozen=True)
class Order:
    """What is wanted: how many, and where in which order.

    :param spot_timeout: seconds for spot when the targets hold on-demand ones, too.
    """

    region: str
    annex: str
    count: int
    targets: tuple[Target, ...]
    spot_timeout: float = 120.0
    batch: int = BATCH


@dataclass(frozen=True)
class Doors:
    """What the engine acts through; tests pass their own.

    :param request: makes the RunInstances request of a target, a count and a token;
        it should take fewer than that, too (``least=1``).
    :param run: makes the call; returns instance ids.
    :param find: returns the ids, not ended, that a client token made.
    :param before: called with token, target and count ahead of a token's first call;
        an error from it stops the launch before that call.
    :param after: called with token and ids when all that a token made is known.
    :param stop: true when no further call is to be made.
    """

    request: Callable[[Target, int, str], Launch]
    run: Callable[[Launch], Sequence[str]]
    find: Callable[[str], Sequence[str]]
    capacity: CapacityTable
    before: Callable[[str, Target, int], None] = lambda *_: None
    after: Callable[[str, Sequence[str]], None] = lambda *_: None
    stop: Callable[[], bool] = lambda: False
    clock: Clock = field(default_factory=SystemClock)
    jitter: Callable[[], float] = SystemRandom().random
    pace: Pace = Pace()


def found_by_token(cloud: Cloud, region: str, token: str) -> list[str]:
    """Return the ids, not ended, that one client token made; for :class:`Doors`.

    :raises AwsError: EC2 could not be asked.
    """
    found = instances.find(cloud, region, {"client-token": [token]})
    return [instance.id for instance in found if instance.state not in ENDED]


def launch_nodes(
    order: Order, doors: Doors, launched: Launched | None = None
) -> Launched:
    """Launch as many of the wanted nodes as can be had, and say what came of it.

    Errors of AWS are in the result, never raised. A signal passes through; what is
    known until then is in *launched*.

    :param launched: a fresh one to fill, for a caller that must see it at any time.
    """
    launched = launched if launched is not None else Launched(order.count)
    try:
        _Engine(order, doors, launched).run()
    except AnnexkitError as error:
        launched.stopped_by = error
    return launched


class _Engine:
    def __init__(self, order: Order, doors: Doors, launched: Launched) -> None:
        self.order = order
        self.doors = doors
        self.launched = launched
        self.full_subnets: set[str] = set()
        markets = {target.market for target in order.targets}
        self.falls_back = len(markets) > 1
        self.spot_end = doors.clock.monotonic() + order.spot_timeout

    def run(self) -> None:
        """Go once through the targets, each as long as it gives what is asked."""
        for target in self.order.targets:
            fresh = 0
            while self._wanted(target):
                count = min(self.launched.missing, self.order.batch)
                answer = self._batch(target, count)
                if answer is Answer.NEW_TOKEN and (fresh := fresh + 1) < FRESH_TOKENS:
                    continue
                if answer is not None:
                    break
            if self._over():
                return

    def _over(self) -> bool:
        done = self.launched.missing <= 0 or self.launched.stopped_by is not None
        return done or self.doors.stop()

    def _wanted(self, target: Target) -> bool:
        """Say whether to ask this target now."""
        if self._over() or target.subnet in self.full_subnets or self._late(target):
            return False
        if closed := self.doors.capacity.closed(self.order.region, target):
            self.launched.skipped[target] = closed
            return False
        return True

    def _late(self, target: Target) -> bool:
        """Say whether the time for spot is over and on-demand has to do the rest."""
        spot = target.market == "spot" and self.falls_back
        return spot and self.doors.clock.monotonic() >= self.spot_end

    def _batch(self, target: Target, count: int) -> Answer | None:
        """Ask for one batch; None when all of it came."""
        token = f"{self.order.annex}_{uuid.uuid4()}"
        # Built once: a retry with the same token must have the same arguments.
        request = self.doors.request(target, count, token)
        self.doors.before(token, target, count)
        batch = self.launched.begin(Batch(token, target, count))
        said = _Attempt(self, batch, request).make()
        if batch.settled:
            self.doors.after(token, tuple(batch.ids))
        return self._follow(batch, said)

    def _follow(self, batch: Batch, said: Ruling | None) -> Answer | None:
        """Draw the consequences of one attempt for what is asked next."""
        capacity, region = self.doors.capacity, self.order.region
        if said is None:
            if len(batch.ids) >= batch.asked:
                return None
            # Fewer than asked, and no error: this zone gave its last ones.
            capacity.close(region, batch.target, "InsufficientInstanceCapacity")
            return Answer.NEXT_TARGET
        if not batch.settled:  # more asked now could be more than wanted
            self._give_up(said)
        elif said.answer is Answer.NEXT_TARGET:
            capacity.close(region, batch.target, said.code)
        elif said.answer is Answer.STOP_FAMILY:
            capacity.close_family(region, batch.target, said.code)
        elif said.answer is Answer.SKIP_SUBNET:
            self.full_subnets.add(batch.target.subnet)
        elif said.answer is not Answer.NEW_TOKEN and not self._passes(batch, said):
            self._give_up(said)
        return said.answer

    def _give_up(self, said: Ruling) -> None:
        self.launched.stopped_by = AnnexkitError(
            said.says, where=f"{said.code} in {self.order.region}", mend=said.mend
        )

    def _passes(self, batch: Batch, said: Ruling) -> bool:
        """Say whether on-demand may still do what spot had no time left for."""
        waited = said.answer in (Answer.SAME_TOKEN, Answer.WAIT_PROFILE)
        return waited and self._late(batch.target)


class _Attempt:
    """One client token: the same call until an answer stands."""

    def __init__(self, engine: _Engine, batch: Batch, request: Launch) -> None:
        self.engine = engine
        self.doors = engine.doors
        self.batch = batch
        self.request = request
        self.lost = False  # an earlier call of this token may have launched
        self.began = self.doors.clock.monotonic()
        self.pause = self.doors.pace.first

    def make(self) -> Ruling | None:
        """Call until it is clear what came of it; None when it launched.

        On the way out the batch is settled, or nobody can say what it made.
        """
        while True:
            try:
                self.batch.settle(self.doors.run(self.request))
                return None
            except AwsError as error:
                said = ruling(error)
            self.engine.launched.note(said)
            self.lost |= said.answer is Answer.LOST
            if not self._again(said):
                return self._end(said)

    def _again(self, said: Ruling) -> bool:
        """Wait if the same call may help; False when it will not, or time is up."""
        pace, left = self.doors.pace, self._left(said)
        if said.answer is Answer.WAIT_PROFILE:
            wait = pace.profile_poll
        elif said.answer in (Answer.SAME_TOKEN, Answer.LOST):
            # Half of the pause by chance, so that parallel runs do not march in step.
            wait = self.pause * (0.5 + 0.5 * self.doors.jitter())
            self.pause = min(self.pause * 2, pace.most)
        else:
            return False
        if left <= 0 or self.doors.stop():
            return False
        self.doors.clock.sleep(min(wait, left))
        return not self.doors.stop()

    def _left(self, said: Ruling) -> float:
        """Return how many seconds the same call may be tried for yet."""
        pace, now = self.doors.pace, self.doors.clock.monotonic()
        waits = said.answer is Answer.WAIT_PROFILE
        end = self.began + (pace.profile_timeout if waits else pace.patience)
        if self.batch.target.market == "spot" and self.engine.falls_back:
            end = min(end, self.engine.spot_end)
        return end - now

    def _end(self, said: Ruling) -> Ruling | None:
        """Settle the batch after the last answer, which was an error."""
        if not self.lost:
            self.batch.settle(())
            return said
        self._look(0.0 if said.answer is Answer.NEW_TOKEN else self.doors.pace.settle)
        if len(self.batch.ids) >= self.batch.asked:
            return None
        if self.batch.settled and (self.batch.ids or said.answer is Answer.LOST):
            # What the lost call made is known now; the rest is asked for anew.
            return replace(said, answer=Answer.NEW_TOKEN)
        return said

    def _look(self, seconds: float) -> None:
        """Look for what the token made, until all is there or the time is over.

        EC2 may hide what it accepted for a while; what is found is kept at once, and
        only looks that were answered up to the end settle the matter.
        """
        pace, clock = self.doors.pace, self.doors.clock
        end = clock.monotonic() + seconds
        while True:
            answered = self._found()
            over = clock.monotonic() >= end
            if over or len(self.batch.ids) >= self.batch.asked or self.doors.stop():
                break
            clock.sleep(min(pace.poll, end - clock.monotonic()))
        full = len(self.batch.ids) >= self.batch.asked
        if answered and (over or full):
            self.batch.settle(())

    def _found(self) -> bool:
        try:
            self.batch.keep(self.doors.find(self.batch.token))
        except AwsError:
            return False
        return True
