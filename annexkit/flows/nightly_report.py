"""What a night leaves for its readers: the record, the page in two forms, a table."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from annexkit.errors import AnnexkitError, Exit
from annexkit.files import FileError, write_beside
from annexkit.flows.nightly_record import RECORD, nights, write_record
from annexkit.flows.nightly_steps import GOOD, REGION_STEPS
from annexkit.flows.registry_diff import Side, diff_builds
from annexkit.flows.site import Site
from annexkit.publish import page, webhook
from annexkit.publish.night import (
    BootNight,
    Did,
    ImageNight,
    Night,
    PackageNight,
    StepNight,
)
from annexkit.publish.page_html import render_html
from annexkit.publish.page_markdown import render_markdown
from annexkit.registry import RegistryError
from annexkit.registry.model import newest_first

SUMMARY = "GITHUB_STEP_SUMMARY"  # GitHub Actions: the file of a job's summary
RUN = ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")  # what names a run
TREND = 60  # builds in the plot of boot times
COLUMNS = ("image", "arch", "build", "region", "copy", "smoke", "promote")


def report(site: Site, night: Night) -> Path:
    """Write night.json, night.md and night.html; return their folder.

    On GitHub the Markdown page is added to the job's summary, too.

    :raises FileError: the disk refused.
    """
    folder = nights(site) / night.id
    write_record(folder / RECORD, night)
    text = render_markdown(night)
    write_beside(folder / "night.md", text)
    write_beside(folder / "night.html", render_html(night))
    if summary := os.environ.get(SUMMARY):
        _append(Path(summary), text)
    return folder


def tell_others(site: Site, night: Night) -> None:
    """Tell the webhook of a night, if the settings want it; it fails no night."""
    try:
        said = webhook.tell(site.settings.nightly, night, _page_url(), clock=site.clock)
    except AnnexkitError as error:
        site.console.error(error)
        return
    site.console.detail(said)


def _page_url() -> str:
    """Return where the job's summary is read; nothing outside GitHub Actions."""
    found = [os.environ.get(name, "") for name in RUN]
    return "{}/{}/actions/runs/{}".format(*found) if all(found) else ""


def describe(site: Site, night: Night) -> None:
    """Add what the page says of builds: packages that differ, boot times of all."""
    for image in night.images:
        image.boots = list(_boots(site, image))
        if image.build != image.before:
            image.packages = list(_packages(site, image)) or image.packages


def show(site: Site, night: Night, folder: Path | None) -> None:
    """Show on standard output what was found and done; as JSON the whole record."""
    console = site.console
    if console.as_json:
        data = night.model_dump(mode="json") | {
            "result": exit_code(night).name.lower(),
            "folder": str(folder) if folder else None,
        }
        console.result(data)
        return
    for image in night.images:
        for line in image.why:
            console.detail(f"{image.image} ({image.arch}): {line}")
        if image.unchecked:
            console.detail(
                f"{image.image} ({image.arch}): updates not checked: {image.unchecked}"
            )
    console.table(COLUMNS, [row for image in night.images for row in _rows(image)])
    for one in night.retired:
        said = f"{one.step} {one.ami} in {one.region}: {one.error or one.reason}"
        console.detail(f"retire: {said}")
    if night.dry_run:
        console.step("nothing was changed")
    elif page.verdict(night) is page.Verdict.QUIET:
        console.step("nothing to do")
    if folder:
        console.detail(f"the page: {folder / 'night.html'}")


def exit_code(night: Night) -> Exit:
    """Return the exit code of a night.

    :returns: DONE when no step failed; FAILED when no region of any image came to its
        end; PARTLY else.
    """
    if not any(page.failures(night)):
        return Exit.DONE
    through = any(_came_through(night, image) for image in night.images)
    return Exit.PARTLY if through else Exit.FAILED


def _came_through(night: Night, image: ImageNight) -> bool:
    if night.dry_run:
        return image.bake.did is not Did.FAILED
    return any(there.promote.did in GOOD for there in image.regions.values())


def _rows(image: ImageNight) -> Iterator[tuple[str, ...]]:
    for region, there in image.regions.items():
        steps = (getattr(there, name) for name in REGION_STEPS)
        build = image.build or ("failed" if _at_home(image) else "to be baked")
        yield (image.image, image.arch, build, region, *(_said(s) for s in steps))
    for step in (image.bake, image.boot):
        if step.did is Did.FAILED:
            said = _said(step)
            yield (image.image, image.arch, image.build, image.home, said, "-", "-")


def _at_home(image: ImageNight) -> bool:
    return Did.FAILED in (image.bake.did, image.boot.did)


def _said(step: StepNight) -> str:
    more = step.error or step.detail
    return f"{step.did}: {more}" if more else str(step.did)


def _boots(site: Site, image: ImageNight) -> Iterator[BootNight]:
    record = site.registry.read().images.get(image.image)
    builds = [
        (build_id, build)
        for build_id, build in newest_first(record.builds if record else {})
        if build.arch == image.arch
    ]
    for build_id, build in builds[:TREND]:
        for region, there in sorted(build.regions.items()):
            if there.boot_seconds is not None:
                yield BootNight(
                    build=build_id,
                    region=region,
                    created=build.created,
                    seconds=there.boot_seconds,
                )


def _packages(site: Site, image: ImageNight) -> Iterator[PackageNight]:
    """Yield what differs from the build that was current, the important first."""
    record = site.registry.read().images.get(image.image)
    known = record.builds if record else {}
    old, new = known.get(image.before), known.get(image.build)
    if old is None or new is None:
        return
    before = Side(image.image, image.before, old)
    try:
        found = diff_builds(site, before, Side(image.image, image.build, new))
    except RegistryError as error:
        site.console.error(error)
        return
    for one in found.packages.changes:
        yield PackageNight(
            name=one.name, old=", ".join(one.old), new=", ".join(one.new)
        )


def _append(path: Path, text: str) -> None:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise FileError(
            f"the job's summary could not be written: {error.strerror or error}",
            where=str(path),
            mend=f"correct {SUMMARY}",
        ) from error
