# debian13-c25: Debian 13 with HTCondor 25.14 from Debian's unstable suite, for pools
# and access points that speak the newer annex contract.
#
# Every field is explained in debian13.pkrvars.hcl.

description = "Debian 13 with HTCondor 25.14 from Debian unstable"

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
  source = "distro-unstable"
  suite  = "sid"
  series = "25.14"
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

contracts = ["annexkit", "annex-ec2"]

tags = {}

environment = {}
