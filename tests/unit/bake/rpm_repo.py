"""An rpm repository for tests, as createrepo_c writes it: made on disk."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

NAMESPACES = (
    'xmlns="http://linux.duke.edu/metadata/common" '
    'xmlns:rpm="http://linux.duke.edu/metadata/rpm"'
)
Evr = tuple[str, str, str]


def zstandard(data: bytes) -> bytes:
    done = subprocess.run(["zstd", "-c"], input=data, capture_output=True, check=True)
    return done.stdout


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
    ".zst": zstandard,
    "": bytes,
}


@dataclass
class RpmRepo:
    """The repository below a folder."""

    root: Path

    @property
    def uri(self) -> str:
        return f"file://{self.root}"

    def publish(
        self,
        *versions: Evr,
        arch: str = "x86_64",
        extension: str = ".gz",
        kind: str = "sha256",
    ) -> Path:
        """Write an index that has these versions of condor; return the packed list."""
        return self._write(_primary(versions, arch), extension, kind)

    def offer(self, packages: Mapping[str, Evr], *, arch: str = "x86_64") -> Path:
        """Write an index that has these packages, none else; return the packed list."""
        text = _entries([(name, arch, evr) for name, evr in packages.items()])
        return self._write(text, ".gz", "sha256")

    def _write(self, text: str, extension: str, kind: str) -> Path:
        data = PACKERS[extension](text.encode())
        digest = hashlib.sha256(data).hexdigest()
        name = f"repodata/{digest}-primary.xml{extension}"
        packed = self.root / name
        packed.parent.mkdir(parents=True, exist_ok=True)
        packed.write_bytes(data)
        (self.root / "repodata" / "repomd.xml").write_text(
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            '<repomd xmlns="http://linux.duke.edu/metadata/repo">\n'
            '  <data type="filelists"><location href="repodata/f.xml.gz"/></data>\n'
            '  <data type="primary">\n'
            f'    <checksum type="{kind}">{digest}</checksum>\n'
            f'    <location href="{name}"/>\n'
            f"    <size>{len(data)}</size>\n  </data>\n</repomd>\n"
        )
        return packed


def _primary(versions: tuple[Evr, ...], arch: str) -> str:
    named = [("condor-doc", arch, ("9", "99", "1")), ("aaa", arch, ("0", "1", "1"))]
    named += [("condor", arch, version) for version in versions]
    named += [("condor", "src", ("0", "100", "1")), ("zzz", arch, ("0", "2", "1"))]
    return _entries(named)


def _entries(named: list[tuple[str, str, Evr]]) -> str:
    return (
        f'<?xml version="1.0"?>\n<metadata {NAMESPACES} packages="{len(named)}">\n'
        + "\n".join(
            f'<package type="rpm"><name>{name}</name><arch>{of}</arch>'
            f'<version epoch="{evr[0]}" ver="{evr[1]}" rel="{evr[2]}"/>'
            "<description>not &lt;name&gt;condor&lt;/name&gt; &amp; é</description>"
            '<format><rpm:provides><rpm:entry name="condor"/></rpm:provides></format>'
            "</package>"
            for name, of, evr in named
        )
        + "\n</metadata>\n"
    )
