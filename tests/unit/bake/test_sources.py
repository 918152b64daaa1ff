from __future__ import annotations

from pathlib import Path

import pytest

from annexkit.bake.sources import Mirror, Source, mirrors, read_sources


@pytest.fixture
def apt(tmp_path: Path) -> Path:
    (tmp_path / "sources.list.d").mkdir()
    return tmp_path


def test_one_line_sources_are_read_with_their_options_and_comments(apt: Path) -> None:
    (apt / "sources.list").write_text(
        "# a comment\n"
        "deb http://mirror.test/debian trixie main contrib # why\n"
        "deb [ arch=amd64 signed-by=/a.gpg ] http://mirror.test/debian trixie-updates"
        " main\n"
        "deb [trusted=yes] file:/srv/repo sid main\n"
        "deb-src http://mirror.test/debian trixie main\n"
        "deb http://flat.test/repo ./\n"
        "deb [broken http://x y z\n"
        "\n"
    )
    assert read_sources(apt) == [
        Source("http://mirror.test/debian/", "trixie", ("main", "contrib")),
        Source("http://mirror.test/debian/", "trixie-updates", ("main",)),
        Source("file:/srv/repo/", "sid", ("main",)),
    ]


def test_deb822_sources_are_read_with_several_values_and_comments(apt: Path) -> None:
    (apt / "sources.list.d" / "debian.sources").write_text(
        "Types: deb deb-src\n"
        "# http://snapshot.test/archive\n"
        "URIs: http://one.test/debian http://two.test/debian/\n"
        "Suites: trixie trixie-updates\n"
        "Components: main contrib\n"
        "Signed-By:\n"
        " -----BEGIN PGP PUBLIC KEY BLOCK-----\n"
        " .\n"
        " abc\n"
        "\n"
        "Types: deb\nURIs: http://off.test/debian\nSuites: trixie\nComponents: main\n"
        "Enabled: no\n"
        "\n"
        "Types: deb-src\nURIs: http://src.test/\nSuites: trixie\nComponents: main\n"
    )
    assert [(s.uri, s.suite) for s in read_sources(apt)] == [
        ("http://one.test/debian/", "trixie"),
        ("http://one.test/debian/", "trixie-updates"),
        ("http://two.test/debian/", "trixie"),
        ("http://two.test/debian/", "trixie-updates"),
    ]


def test_files_come_in_apts_order_and_only_with_apts_endings(apt: Path) -> None:
    (apt / "sources.list").write_text("deb http://0.test/ trixie main\n")
    parts = apt / "sources.list.d"
    (parts / "b.list").write_text("deb http://2.test/ trixie main\n")
    (parts / "a.sources").write_text(
        "Types: deb\nURIs: http://1.test/\nSuites: trixie\nComponents: main\n"
    )
    for ignored in ("c.list.save", "d.sources.disabled", "e"):
        (parts / ignored).write_text("deb http://9.test/ trixie main\n")
    found = [source.uri for source in read_sources(apt)]
    assert found == ["http://0.test/", "http://1.test/", "http://2.test/"]


def test_no_sources_at_all_are_none(tmp_path: Path) -> None:
    assert read_sources(tmp_path / "nowhere") == []


def test_only_the_machines_own_distribution_counts() -> None:
    def source(uri: str, suite: str, *components: str) -> Source:
        return Source(uri, suite, components or ("main",))

    found = mirrors(
        [
            source("http://m.test/debian/", "bookworm"),
            source("http://m.test/debian/", "bookworm-updates"),
            source("http://m.test/debian-security/", "bookworm-security"),
            source("http://m.test/debian/", "bookworm"),
            source("http://m.test/debian/", "bookworm-backports"),
            source("http://vendor.test/", "cloud-sdk-bookworm"),
            source("http://vendor.test/", "bookworm", "stable"),
            source("cdrom:[Debian]/", "bookworm"),
            source("http://n.test/debian/", "stable"),
        ],
        "bookworm",
    )
    assert found == [
        Mirror("http://m.test/debian/", ""),
        Mirror("http://m.test/debian/", "-updates"),
        Mirror("http://m.test/debian-security/", "-security"),
        Mirror("http://n.test/debian/", ""),
    ]
