"""The end of old builds at the end of a night, and what the page says of it."""

from __future__ import annotations

from annexkit.errors import AnnexkitError, Interrupted
from annexkit.flows.nightly_look import Looked
from annexkit.flows.nightly_record import Keeper
from annexkit.flows.nightly_steps import done, failed, later, unchanged, waiting
from annexkit.flows.retire import Done, RetirePlan, carry_out, is_due, survey
from annexkit.flows.retire_report import cost_of
from annexkit.flows.site import Site
from annexkit.publish.night import Did, RetiredNight, StepNight

MEND = "invoke retire"


def retire_old(site: Site, keeper: Keeper, looked: Looked) -> None:
    """Retire by the rule, where the look of this night leaves anything to be done.

    Regions that did not answer then are not asked again.

    :raises Interrupted: a person stopped it.
    """
    night = keeper.night
    # Of a part of this night that was cut short: what failed then is tried again.
    night.retired = [line for line in night.retired if not line.error]
    began = site.clock.monotonic()
    try:
        if is_due(site, {name: one.region for name, one in looked.seen.items()}):
            known = site.registry.read().regions() & looked.seen.keys()
            plan = survey(site, tuple(sorted(known)))
            step = _carry_out(site, keeper, plan)
        else:
            step = unchanged("the rule keeps all, or the time has not come")
    except Interrupted:
        raise
    except AnnexkitError as error:
        site.console.error(error)
        step = failed(error)
    step.seconds = site.clock.monotonic() - began
    night.retire = later(night.retire, step)
    keeper.save()


def _carry_out(site: Site, keeper: Keeper, plan: RetirePlan) -> StepNight:
    night = keeper.night
    cost = cost_of(plan, site.settings.retire.snapshot_price)
    if night.month_before is None:
        night.month_before = cost.before
    night.month_after = cost.before if night.dry_run else cost.after
    if night.dry_run:
        night.retired = [_line(Done(verdict)) for verdict in plan.work]
        return waiting(f"{len(plan.work)} steps are due")

    def tell(one: Done) -> None:
        """Called by the threads of the regions: appending is all that they share."""
        night.retired.append(_line(one))

    ended = carry_out(site, plan, tell)
    keeper.save()
    wrong = [f"{one.verdict.copy.ami}: {one.error}" for one in ended if one.error]
    wrong += [f"{region}: {why}" for region, why in plan.unreachable.items()]
    if wrong:
        return StepNight(did=Did.FAILED, error="; ".join(wrong), mend=MEND)
    if not ended:
        return unchanged(plan.pool or "what could go is in use")
    return done(detail=f"{len(ended)} steps")


def _line(one: Done) -> RetiredNight:
    copy = one.verdict.copy
    return RetiredNight(
        step=str(one.verdict.step),
        image=copy.image,
        arch=copy.arch,
        region=copy.region,
        build=copy.build,
        ami=copy.ami,
        reason=one.verdict.reason,
        error=one.error,
    )
