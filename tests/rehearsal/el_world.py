"""A small world of rpm packages: signed repositories, built with the real tools.

The packages are stubs that own the paths of the real ones. What makes them, installs
them and refuses them is real: rpmbuild, rpmsign, createrepo_c, dnf and rpm.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

KEYS = ("alma", "epel", "osg", "htcondor", "stranger")
UNITS = "/usr/lib/systemd/system"
UNIT = "[Unit]\nDescription=a stub\n[Service]\nType=oneshot\nExecStart=/bin/true\n"
INSTALL = "[Install]\nWantedBy=multi-user.target\n"
TIMER = "[Unit]\nDescription=a stub\n[Timer]\nOnCalendar=daily\n" + INSTALL
OS_RELEASE = textwrap.dedent("""\
    NAME="AlmaLinux"
    VERSION="9.6 (Sage Margay)"
    ID="almalinux"
    ID_LIKE="rhel centos fedora"
    VERSION_ID="9.6"
    PLATFORM_ID="platform:el9"
    PRETTY_NAME="AlmaLinux 9.6 (Sage Margay)"
    """)
OWN_REPOSITORIES = textwrap.dedent("""\
    [baseos]
    name=AlmaLinux 9 - BaseOS
    baseurl=file:///world/repos/base
    enabled=1
    gpgcheck=1
    gpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-AlmaLinux-9

    [appstream]
    name=AlmaLinux 9 - AppStream
    baseurl=file:///world/repos/appstream
    enabled=1
    gpgcheck=1
    gpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-AlmaLinux-9

    [crb]
    name=AlmaLinux 9 - CRB
    baseurl=file:///world/repos/crb
    enabled=0
    gpgcheck=1
    gpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-AlmaLinux-9
    """)
OSG_REPOSITORY = textwrap.dedent("""\
    [osg]
    name=OSG Software for Enterprise Linux 9
    baseurl=file:///world/repos/osg
    priority=98
    enabled=1
    gpgcheck=1
    gpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-OSG-25-developer
    """)
CONFIG_VAL = """\
#!/bin/sh
[ "$1" != -dump ] || exit 0
sed -n "s/^$1 *= *//p" /etc/condor/config.d/*.config 2>/dev/null | tail -n 1
"""
CONDOR_USER = """\
getent group condor >/dev/null || groupadd --system condor
getent passwd condor >/dev/null ||
  useradd --system --gid condor --home-dir /var/lib/condor --no-create-home condor
"""


@dataclass(frozen=True)
class Stub:
    """A package: its files by path, with what runs before and after they are laid."""

    name: str
    version: str = "1"
    files: Mapping[str, str] = field(default_factory=dict)
    requires: Sequence[str] = ()
    provides: Sequence[str] = ()
    pre: str = ""
    post: str = ""

    @property
    def spec(self) -> str:
        """The text of the spec file."""
        lists = {"Requires": self.requires, "Provides": self.provides}
        lines = [f"{key}: {item}" for key, items in lists.items() for item in items]
        scripts = {"%pre": self.pre, "%post": self.post}
        return "\n".join(
            [
                *(f"Name: {self.name}", f"Version: {self.version}"),
                *("Release: 1.el9", "Summary: a stub", "License: none"),
                *("BuildArch: noarch", "AutoReqProv: no", *lines),
                *("%description", "A stub.", "%install", "mkdir -p %{buildroot}"),
                f"cp -a %{{_topdir}}/tree/{self.name}-{self.version}/. %{{buildroot}}/",
                *(f"{head}\n{body}" for head, body in scripts.items() if body),
                *("%files", *self.files, ""),
            ]
        )

    def write(self, folder: Path) -> None:
        """Write spec and files below *folder*; what begins with ``#!`` can be run."""
        (folder / f"{self.name}-{self.version}.spec").write_text(self.spec)
        tree = folder / "tree" / f"{self.name}-{self.version}"
        tree.mkdir(parents=True)
        for path, text in self.files.items():
            target = tree / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
            target.chmod(0o755 if text.startswith("#!") else 0o644)


def condor(version: str) -> Stub:
    """HTCondor as its rpm does it: a user, a unit that is enabled and not started."""
    return Stub(
        "condor",
        version,
        {
            "/usr/bin/condor_version": "#!/bin/sh\n"
            f"echo '$CondorVersion: {version} 2026-01-02 BuildID: stub $'\n",
            "/usr/bin/condor_config_val": CONFIG_VAL,
            "/etc/condor/condor_config": "LOCAL_CONFIG_DIR = /etc/condor/config.d\n",
            f"{UNITS}/condor.service": UNIT + INSTALL,
        },
        requires=("voms",),
        pre=CONDOR_USER,
        post="systemctl enable --quiet condor.service",
    )


def units(*names: str) -> dict[str, str]:
    return {f"{UNITS}/{name}": UNIT + INSTALL for name in names}


RELEASE = Stub(
    "almalinux-release",
    "9.6",
    {
        "/usr/lib/os-release": OS_RELEASE,
        "/etc/almalinux-release": "AlmaLinux release 9.6 (Sage Margay)\n",
        "/etc/yum.repos.d/almalinux.repo": OWN_REPOSITORIES,
    },
    provides=("system-release = 9.6", "system-release(releasever) = 9"),
)
# What a machine has before the bake: what scriptlets need, and something to upgrade.
THERE = (RELEASE, Stub("bash", provides=("/bin/sh",)), Stub("tzdata"))

REPOSITORIES: Mapping[str, tuple[str, Sequence[Stub]]] = {
    "base": (
        "alma",
        (
            *(Stub(name) for name in ("ca-certificates", "python3", "sudo")),
            Stub("tzdata", "2"),
            Stub(
                "nftables", files={"/etc/sysconfig/nftables.conf": "# nothing here\n"}
            ),
            Stub(
                "cloud-init",
                files={
                    "/usr/bin/cloud-init": "#!/bin/sh\necho 'status: disabled'\n",
                    **units(
                        "cloud-init-local.service",
                        "cloud-config.service",
                        "cloud-final.service",
                    ),
                },
            ),
            Stub("openssh-server", files=units("sshd.service")),
            Stub(
                "initscripts-service",
                "10.11.8",
                {"/usr/sbin/service": '#!/bin/sh\nexec systemctl "$2" "$1"\n'},
                provides=("/sbin/service",),
            ),
        ),
    ),
    "appstream": (
        "alma",
        (Stub("awscli2", "2.27.0", {"/usr/bin/aws": "#!/bin/sh\necho aws-cli\n"}),),
    ),
    "crb": ("alma", (Stub("gsoap"),)),
    "epel": (
        "epel",
        (
            condor("99.0.0"),  # newer than anybody's: only a priority keeps it away
            Stub("voms", requires=("gsoap",)),
            Stub(
                "fetch-crl",
                "3.0.22",
                {
                    "/usr/sbin/fetch-crl": "#!/bin/sh\nexit 1\n",
                    f"{UNITS}/fetch-crl.service": UNIT.replace(
                        "/bin/true", "/usr/sbin/fetch-crl"
                    ),
                    f"{UNITS}/fetch-crl.timer": TIMER,
                },
            ),
        ),
    ),
    "osg": (
        "osg",
        (
            condor("25.0.4"),
            Stub(
                "osg-release",
                "25",
                {"/etc/yum.repos.d/osg.repo": OSG_REPOSITORY},
            ),
            Stub(
                "osg-ca-certs",
                "1.138",
                {"/etc/grid-security/certificates/0a1b2c3d.0": "a certificate\n"},
                # As a run of fetch-crl in the bake would: not for the image.
                post="echo old >/etc/grid-security/certificates/0a1b2c3d.r0",
            ),
            Stub(
                "osg-wn-client",
                "25",
                {"/etc/osg/wn-client/setup.sh": "# the worker node's environment\n"},
                requires=("voms",),
            ),
            Stub(
                "osg-oasis",
                "25",
                {**units("autofs.service"), "/etc/auto.cvmfs": "#!/bin/sh\n"},
            ),
        ),
    ),
    "htcondor": ("htcondor", (condor("24.0.20"),)),
    "unsigned": ("", (condor("24.0.20"),)),
    "strangers": ("stranger", (condor("24.0.20"),)),
}

# No key has a passphrase; each is a repository's own, as with the real ones.
BUILD = r"""
set -eu
export DEBIAN_FRONTEND=noninteractive GNUPGHOME=/root/keys
apt-get update --quiet
apt-get install --yes --quiet --no-install-recommends -o Dpkg::Use-Pty=0 \
  createrepo-c curl dnf file gpg gpg-agent nftables rpm
mkdir -m 700 "$GNUPGHOME"
cd /world
mkdir keys
for key in @KEYS@; do
  gpg --batch --quiet --pinentry-mode loopback --passphrase '' \
    --quick-generate-key "$key" rsa2048 sign 1d
  gpg --batch --armor --export "=$key" >"keys/$key"
done
cat keys/osg keys/stranger >keys/two
for spec in specs/*/*.spec; do
  from=${spec%/*} to=repos/${spec#specs/}
  rpmbuild -bb --quiet --define "_topdir /world/$from" \
    --define "_rpmdir ${PWD}/${to%/*}" --define '_rpmfilename %{name}-%{version}.rpm' \
    "$spec"
done
while read -r folder key; do
  rpmsign --addsign --define "_gpg_name $key" "repos/$folder"/*.rpm >/dev/null
done <<SIGNED
@SIGNED@
SIGNED
for folder in repos/*; do createrepo_c --quiet "$folder"; done
ln -s repos "$(uname -m)"
gpgconf --kill all
rm -rf "$GNUPGHOME"
install -D -m 644 keys/alma /etc/pki/rpm-gpg/RPM-GPG-KEY-AlmaLinux-9
install -D -m 644 keys/osg /etc/pki/rpm-gpg/RPM-GPG-KEY-OSG-25-developer
# rpm here would take the network from its scriptlets, which a machine may not; EL 9's
# rpm (4.16) has no such plug-in.
mkdir -p /etc/rpm
echo '%__transaction_unshare %{nil}' >/etc/rpm/macros.rehearsal
systemctl disable --quiet ssh.service
rpm --install --nosignature repos/there/*.rpm
touch /etc/cloud/cloud-init.disabled
apt-get clean
: >/etc/machine-id
"""


def write_world(folder: Path) -> str:
    """Write all specs below *folder*; return the script that builds the rest there.

    It runs as root in the rehearsal's base image, with the folder at ``/world``; that
    machine then is what a bake starts from.
    """
    signed = [("there", "alma")]
    for name, (key, stubs) in {**REPOSITORIES, "there": ("", THERE)}.items():
        specs = folder / "specs" / name
        for stub in stubs:
            specs.mkdir(parents=True, exist_ok=True)
            stub.write(specs)
        signed += [(name, key)] if key else []
    lines = "\n".join(" ".join(pair) for pair in signed)
    return BUILD.replace("@KEYS@", " ".join(KEYS)).replace("@SIGNED@", lines)
