"""The end of a launch that is not wanted: all that it made goes, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from annexkit import annexes, instances
from annexkit.errors import AnnexkitError, Interrupted
from annexkit.flows.launch_run import Run
from annexkit.launch import parameter, schedule
from annexkit.launch.words import stamp
from annexkit.stopping import Stop

END_TIMEOUT = 180.0


@contextmanager
def undone_on_error(run: Run) -> Iterator[None]:
    """End what the launch made when it is stopped or fails, then let the error go on.

    What cannot be ended now ends by its probation, and ``invoke reap`` takes it at
    once: its journal entry stays open.

    :raises Interrupted: a second signal came while the first one's work was done.
    """
    try:
        yield
    except (Stop, Exception) as error:  # a mistake of ours costs no money, too
        said = f"stopped by {error.name}" if isinstance(error, Stop) else "it failed"
        run.site.console.step(f"{said}: ending what this launch made")
        try:
            undo(run)
        except Stop as second:
            raise Interrupted(
                f"stopped by {second.name} before all was ended; what is left ends by "
                f"itself at {stamp(run.probation_ends)}",
                where=f"annex {run.annex}, launch {run.id}",
                mend=f"to end it now: {command(run)}",
            ) from None
        except AnnexkitError as failed:
            run.site.console.error(failed)
            run.site.console.detail(f"to end what is left: {command(run)}")
        raise


def command(run: Run) -> str:
    """Return the command that ends what a dead launch left, and nothing else."""
    return f"invoke reap --region {run.region} --yes"


def undo(run: Run) -> None:
    """End every instance of the launch, its schedules and its secret; strike it.

    :raises AnnexkitError: AWS refused, or an instance does not end in time.
    """
    _end_instances(run)
    for name in schedule.names(run.site.cloud, run.region, f"{run.id}-"):
        schedule.delete(run.site.cloud, run.region, name)
    parameter.delete(run.site.cloud, run.region, run.secret.name)
    _forget(run)
    run.site.journal.close(run.entry.id)


def end_nodes(run: Run, ids: list[str]) -> None:
    """End some nodes of the launch, wait until they cannot bill, drop their schedules.

    :raises AnnexkitError: AWS refused, or one does not end in time.
    """
    instances.terminate(run.site.cloud, run.region, ids)
    instances.wait_ended(
        run.site.cloud,
        run.region,
        ids,
        timeout=END_TIMEOUT,
        poll=run.site.settings.poll,
        clock=run.site.clock,
    )
    schedule.disarm(run.site.cloud, run.region, run.id, ids)


def _end_instances(run: Run) -> None:
    """End batch by batch: by ids where they are known, else by the client token."""
    for wave in run.waves:
        for batch in wave.batches:
            if batch.settled and not batch.ids:
                continue
            instances.end_launch(
                run.site.cloud,
                run.region,
                batch.ids if batch.settled else [],
                batch.token,
                timeout=END_TIMEOUT,
                poll=run.site.settings.poll,
                clock=run.site.clock,
            )


def _forget(run: Run) -> None:
    """Take the launch out of the annex's record; the key goes with the last one."""
    known = run.folder.read()
    if known is None:
        return
    known.launches = [launch for launch in known.launches if launch.id != run.id]
    others = annexes.find(run.site.cloud, run.region, run.annex)
    if known.launches or others.nodes:
        run.folder.write(known)
    else:
        run.folder.remove()
