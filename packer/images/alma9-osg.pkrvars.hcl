# alma9-osg: AlmaLinux 9 with the Open Science Grid's stack, the successor of the 2016
# guide's: EPEL, repository priorities, OSG release, CA certificates, fetch-crl at boot
# and by timer, worker-node client, OSG's HTCondor, the AWS CLI and cfn-init.
#
# Every field is explained in debian13.pkrvars.hcl. What was proved of this image, and
# what not, stands in README.md.

description = "AlmaLinux 9 with OSG 25: HTCondor 25.0, worker-node client, CA certificates"

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

# OSG's own HTCondor, not EPEL's: by priority. OSG takes HTCondor's long-term support
# series of the same number into its main repository.
htcondor = {
  source = "repository"
  suite  = "osg"
  series = "25"
}

# Addresses and priorities are those of https://osg-htc.org/docs/common/yum/ (EPEL must
# have a higher number than OSG). OSG's fingerprint stands at
# https://osg-htc.org/docs/release/signing/, and the key file in the sources of that page
# has it (looked at). EPEL's: see alma9.pkrvars.hcl.
repositories = {
  epel = {
    url             = "https://dl.fedoraproject.org/pub/epel/9/Everything/$basearch"
    key_url         = "https://dl.fedoraproject.org/pub/epel/RPM-GPG-KEY-EPEL-9"
    key_fingerprint = "FF8AD1344597106ECE813B918A3872BF3228467C"
    priority        = 99
  }
  osg = {
    url             = "https://repo.osg-htc.org/osg/25-main/el9/release/$basearch"
    key_url         = "https://repo.osg-htc.org/osg/RPM-GPG-KEY-OSG-25-developer"
    key_fingerprint = "962A9BCDD330245F2703C88B74E5BE22D4E9B1FC"
    priority        = 98
  }
}

# What EPEL's packages need of AlmaLinux lies in "crb", which is off by default
# (https://docs.fedoraproject.org/en-US/epel/getting-started/).
enable_repositories = ["crb"]

# osg-release leaves OSG's own repository in the image, as its documentation wants it. For
# CVMFS add "osg-oasis" (and 25 GiB of root volume for its cache): see
# provision/files/etc/cvmfs/default.local.
packages = [
  "osg-release",
  "osg-ca-certs",
  "fetch-crl",
  "osg-wn-client",
]

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

# The guide's image is one for the 2016 tool's stacks: docs/seed-cfn.md. What they call
# comes from AlmaLinux's own repositories (provision/family/el.sh).
contracts = ["annexkit", "seed-cfn"]

helper_scripts = {
  source = "annexkit"
}

tags = {}

environment = {}
