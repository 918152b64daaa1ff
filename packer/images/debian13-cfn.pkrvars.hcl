# debian13-cfn: debian13 that also does what the stacks of the 2016 condor_annex tool ask
# for: its contract seed-cfn is tried out and tested with this image.
#
# Every field is explained in debian13.pkrvars.hcl.

description = "Debian 13 with HTCondor 23.9 from Debian, for the 2016 tool's stacks, too"

base = {
  owner = "136693071363"
  name = {
    x86_64 = "debian-13-amd64-*"
    arm64  = "debian-13-arm64-*"
  }
}

ssh_user = "admin"

instance_type = {
  x86_64 = "t3.small"
  arm64  = "t4g.small"
}

htcondor = {
  source = "distro"
  suite  = "trixie"
  series = "23.9"
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

contracts = ["annexkit", "seed-cfn"]

helper_scripts = {
  source = "annexkit"
}

tags = {}

environment = {}
