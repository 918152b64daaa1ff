# ubuntu2404: Ubuntu 24.04 with Ubuntu's own HTCondor (universe).
#
# Every field is explained in debian13.pkrvars.hcl. What was proved of this image, and
# what not, stands in README.md.

description = "Ubuntu 24.04 with HTCondor 23.4 from Ubuntu"

# The account is Canonical's:
# https://documentation.ubuntu.com/aws/aws-how-to/instances/find-ubuntu-images/
base = {
  owner = "099720109477"
  name = {
    x86_64 = "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-*"
    arm64  = "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-arm64-server-*"
  }
}

family = "debian"

ssh_user = "ubuntu"

instance_type = {
  x86_64 = "t3.small"
  arm64  = "t4g.small"
}

# Ubuntu's own package, from the builder's own sources; for both architectures, which
# HTCondor's own repository for Ubuntu is not.
htcondor = {
  source = "distro"
  suite  = "noble"
  series = "23.4"
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
