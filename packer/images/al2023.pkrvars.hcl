# al2023: Amazon Linux 2023 with HTCondor 24.0 (long-term support) from HTCondor's own
# repository. There is no EPEL for it, and HTCondor needs none there.
#
# Every field is explained in debian13.pkrvars.hcl. What was proved of this image, and
# what not, stands in README.md.

description = "Amazon Linux 2023 with HTCondor 24.0 from the HTCondor project"

# The account is Amazon's. The standard image, not the minimal one, with one of its
# kernels: images that differ in the kernel alone are published at the same time
# (https://docs.aws.amazon.com/linux/al2023/ug/naming-and-versioning.html).
base = {
  owner = "137112412989"
  name = {
    x86_64 = "al2023-ami-2023.*-kernel-6.1-x86_64"
    arm64  = "al2023-ami-2023.*-kernel-6.1-arm64"
  }
}

family = "el"

ssh_user = "ec2-user"

instance_type = {
  x86_64 = "t3.small"
  arm64  = "t4g.small"
}

# HTCondor's manual lists Amazon Linux 2023 for x86_64 only ("Linux (from our
# repositories)"); where its repository has no aarch64, a bake for arm64 stops before it
# costs anything.
# key_fingerprint: HTCondor's release package of 24.x brings OSG 24's developer key as its
# own (htcondor-release.spec in HTCondor's sources, whose changelog has 24.0 in the same
# file); the fingerprint is the one that OSG publishes
# (https://osg-htc.org/docs/release/signing/). That 24.0 is signed with it was not seen;
# another key stops the bake. For 25 no published fingerprint was found, so this is 24.0.
htcondor = {
  source          = "upstream"
  suite           = "amzn2023"
  series          = "24.0"
  url             = "https://htcss-downloads.chtc.wisc.edu/repo/24.0/amzn2023/$basearch/release"
  key_url         = "https://htcss-downloads.chtc.wisc.edu/repo/keys/HTCondor-24.0-Key"
  key_fingerprint = "F77FE0C70A9BAA739FD352C99DF75B52EFFC3BE6"
}

steps = [
  "10-system",
  "20-htcondor",
  "30-cloud-init",
  "40-contracts",
  "50-imds",
  "60-advertise",
  "80-record",
  "90-hygiene",
  "95-validate",
]

root_volume = {
  size       = 10
  iops       = 3000
  throughput = 125
  encrypted  = true
}

contracts = ["annexkit"]

tags = {}

environment = {}
