# alma9: AlmaLinux 9 with HTCondor 24.0 (long-term support) from HTCondor's own repository.
#
# Every field is explained in debian13.pkrvars.hcl. What was proved of this image, and
# what not, stands in README.md.

description = "AlmaLinux 9 with HTCondor 24.0 from the HTCondor project"

# The account is AlmaLinux's, its images are named "AlmaLinux OS 9.<minor>.<date> <arch>":
# https://wiki.almalinux.org/cloud/AWS.html (account and names as test-kitchen's EC2
# driver has them, too; not looked up in AWS here).
base = {
  owner = "764336703387"
  name = {
    x86_64 = "AlmaLinux OS 9*x86_64*"
    arm64  = "AlmaLinux OS 9*aarch64*"
  }
}

family = "el"

ssh_user = "ec2-user"

instance_type = {
  x86_64 = "t3.small"
  arm64  = "t4g.small"
}

# The address is that of HTCondor's manual ("Linux (from our repositories)").
# key_fingerprint: HTCondor's release package of 24.x brings OSG 24's developer key as its
# own (htcondor-release.spec in HTCondor's sources, whose changelog has 24.0 in the same
# file); the fingerprint is the one that OSG publishes
# (https://osg-htc.org/docs/release/signing/). That 24.0 is signed with it was not seen;
# another key stops the bake. For 25 no published fingerprint was found, so this is 24.0.
htcondor = {
  source          = "upstream"
  suite           = "el9"
  series          = "24.0"
  url             = "https://htcss-downloads.chtc.wisc.edu/repo/24.0/el9/$basearch/release"
  key_url         = "https://htcss-downloads.chtc.wisc.edu/repo/keys/HTCondor-24.0-Key"
  key_fingerprint = "F77FE0C70A9BAA739FD352C99DF75B52EFFC3BE6"
}

# HTCondor's packages for EL depend on EPEL's. The fingerprint is the one that public
# logs of dnf show and others pin; Fedora's own list (https://fedoraproject.org/security/)
# was not looked up here.
repositories = {
  epel = {
    url             = "https://dl.fedoraproject.org/pub/epel/9/Everything/$basearch"
    key_url         = "https://dl.fedoraproject.org/pub/epel/RPM-GPG-KEY-EPEL-9"
    key_fingerprint = "FF8AD1344597106ECE813B918A3872BF3228467C"
    priority        = 99
  }
}

# What EPEL's packages need of AlmaLinux lies in "crb", which is off by default
# (https://docs.fedoraproject.org/en-US/epel/getting-started/).
enable_repositories = ["crb"]

packages = []

steps = [
  "10-system",
  "15-repositories",
  "20-htcondor",
  "25-packages",
  "30-cloud-init",
  "40-contracts",
  "50-imds",
  "60-advertise",
  "80-record",
  "90-hygiene",
  "95-validate",
]

root_volume = {
  size       = 16
  iops       = 3000
  throughput = 125
  encrypted  = true
}

contracts = ["annexkit"]

tags = {}

environment = {}
