"""What keeps an account or a checkout from baking and launching, visit by visit.

Of these none needs an instance or a pool; test_doctor.py has those that do.
"""

from __future__ import annotations

from tests.rehearsal.deeds import (
    OPTIONAL,
    a_profile,
    another_profile,
    damaged_registry,
    disabled,
    file_in_the_way,
    no_gateway,
    no_route,
    no_subnets,
    no_vpc,
    no_way_out,
    nowhere,
    only_here,
    open_group,
    open_key,
    open_password,
    others_profile,
    others_registry,
    others_role,
    pair,
    private_subnets,
    setting,
    strange_group,
    without,
)
from tests.rehearsal.patient import Ailment, Visit

SIZE = "60"  # nodes: more than the rehearsal's account has a quota for
_TYPES = "LAUNCH_INSTANCE_TYPES"
VISITS = (
    Visit(
        "a new checkout",
        (
            Ailment("annex's key open", "ssh key", "its mode is 0644", open_key),
            Ailment(
                "recipe misspelt",
                "recipe",
                "no image 'debain13'",
                setting(BAKE_IMAGE="debain13"),
            ),
            Ailment(
                "no such Packer",
                "packer",
                "no program 'pakcer'",
                setting(PACKER_PROGRAM="pakcer"),
            ),
            Ailment(
                "annexes as administrators",
                "pool settings",
                "administrator",
                setting(POOL_IDENTITY="condor"),
            ),
            Ailment(
                "no scheduler",
                "scheduler",
                "two ways instead of three",
                setting(LAUNCH_SCHEDULER="0"),
            ),
            Ailment(
                "quota too small",
                "quotas",
                "vCPUs on-demand",
                setting(LAUNCH_COUNT=SIZE),
            ),
            Ailment(
                "no such subnet to bake in",
                "bake network",
                "no subnet subnet-1",
                setting(BAKE_SUBNET_ID="subnet-1"),
            ),
            Ailment(
                "another's security group",
                "security group",
                "is not annexkit's",
                strange_group,
            ),
            Ailment("another's role", "node role", "is not annexkit's", others_role),
            Ailment("no way out", "routes", "nodes cannot reach the pool", no_route),
        ),
    ),
    Visit(
        "files of others",
        (
            Ailment(
                "key file open to others",
                "ssh key",
                "its mode is 0644",
                pair("alice", 0o644),
            ),
            Ailment(
                "a file of the checkout is gone",
                "recipe",
                "cannot be read",
                without("cloud-init/builder.yaml"),
            ),
            Ailment(
                "another program as Packer",
                "packer",
                "Packer",
                setting(PACKER_PROGRAM="/bin/true"),
            ),
            Ailment(
                "another account's registry",
                "account",
                "account 210987654321",
                others_registry,
            ),
            Ailment(
                "a name that none can have",
                "pool settings",
                "no name for annexes",
                setting(POOL_IDENTITY="an nex"),
            ),
            Ailment(
                "spot quota too small",
                "quotas",
                "vCPUs spot",
                setting(LAUNCH_MARKET="spot", LAUNCH_COUNT=SIZE),
            ),
            Ailment(
                "no such subnet",
                "network",
                "no subnet subnet-1",
                setting(LAUNCH_SUBNETS="subnet-1"),
            ),
            Ailment(
                "a file where the journal goes",
                "state folder",
                "is no folder",
                file_in_the_way,
            ),
            Ailment(
                "another's instance profile",
                "node role",
                "the instance profile annexkit-node is not annexkit's",
                others_profile,
            ),
        ),
    ),
    Visit(
        "an old account",
        (
            Ailment("no such key pair", "key pair", "no key pair 'carol'", only_here),
            Ailment("a gateway that is gone", "routes", "is gone", no_gateway),
            Ailment(
                "a misspelt type",
                "instance types",
                "is no instance type",
                setting(**{_TYPES: "m7i.larg"}),
            ),
            Ailment(
                "no update interval",
                "pool settings",
                "a second or more",
                setting(POOL_UPDATE_INTERVAL="0s"),
            ),
            Ailment(
                "a group open to the world",
                "security group",
                "is open to everybody",
                open_group,
            ),
        ),
    ),
    Visit(
        "half done",
        (
            Ailment(
                "half a key pair",
                "ssh key",
                "needs its name in EC2 and its private file",
                setting(LAUNCH_KEY_NAME="erin"),
            ),
            Ailment(
                "a type without a console in time",
                "instance types",
                "no Nitro type",
                setting(**{_TYPES: "m4.large"}),
            ),
            Ailment("no gateway at all", "routes", "no way out", no_way_out),
            Ailment(
                "nobody may call back",
                "pool settings",
                "nobody is let in",
                setting(POOL_CCB="0"),
            ),
        ),
    ),
    Visit(
        "almost",
        (
            Ailment(
                "another's key pair",
                "key pair",
                "not that of the key pair 'frank'",
                pair("frank", elsewhere=True),
            ),
            Ailment(
                "a password for everybody",
                "pool secret",
                "others can reach the pool password",
                open_password,
            ),
            Ailment("a damaged registry", "registry", "is not JSON", damaged_registry),
            Ailment("private subnets", "routes", "no public address", private_subnets),
        ),
    ),
    Visit(
        "not made yet",
        (
            Ailment("no key file", "ssh key", "is not there", nowhere),
            Ailment(
                "a type of another architecture",
                "instance types",
                "runs arm64",
                setting(**{_TYPES: "m7g.large"}),
            ),
        ),
    ),
    Visit(
        "too large a type",
        (
            Ailment(
                "quota for the small type only",
                "quotas",
                "but not of m7i.2xlarge",
                setting(LAUNCH_COUNT="5", **{_TYPES: "t3.small,m7i.2xlarge"}),
            ),
        ),
        flags=("--region", "eu-west-1"),  # where nobody had the quota raised
    ),
    Visit(
        "a region misspelt",
        (Ailment("misspelt", "region", "unknown region", lambda _: None),),
        flags=("--region", "us-wset-2"),
    ),
    Visit(
        "a region misspelt in the settings",
        (
            Ailment(
                "misspelt in the settings",
                "region",
                "unknown region",
                setting(BAKE_REGIONS="us-wset-1"),
            ),
        ),
    ),
    Visit(
        "a region that is not enabled",
        (Ailment("not enabled", "region", "is not enabled", disabled),),
        flags=("--region", OPTIONAL),
    ),
    Visit(
        "no default VPC",
        (Ailment("no VPC", "network", "no default VPC", no_vpc("eu-north-1")),),
        flags=("--region", "eu-north-1"),
    ),
    Visit(
        "no default subnet",
        (
            Ailment(
                "no subnets", "network", "no default subnet", no_subnets("sa-east-1")
            ),
        ),
        flags=("--region", "sa-east-1"),
    ),
    Visit(
        "no credentials",
        (Ailment("nobody", "identity", "credentials", a_profile),),
    ),
    Visit(
        "no such profile",
        (Ailment("another name", "identity", "sight", another_profile),),
    ),
)
