# debian13: Debian 13 with Debian's own HTCondor, the image most annexes start from.
#
# A recipe says what an image is; annexkit renders the Packer template from it. It holds
# plain values only: no variables, no functions. Every field is explained here, once.
# No secret belongs in a recipe: it is committed, and its values are seen by whoever
# may describe the AMI.

# What people read as the AMI's description; 255 characters at most.
description = "Debian 13 with HTCondor 23.9 from Debian"

# The AMI the builder starts from: of the images that this account owns and whose name
# matches the architecture's pattern (* and ? stand for anything), the newest one.
# The account is Debian's: https://wiki.debian.org/Cloud/AmazonEC2Image
base = {
  owner = "136693071363"
  name = {
    x86_64 = "debian-13-amd64-*"
    arm64  = "debian-13-arm64-*"
  }
}

# Whose package manager the base AMI has: debian (apt) or el (dnf); debian if left out.
family = "debian"

# The login user of the base AMI; it may use sudo without a password.
ssh_user = "admin"

# The builder's instance type, by architecture.
instance_type = {
  x86_64 = "t3.small"
  arm64  = "t4g.small"
}

# Where HTCondor comes from.
#   source = "distro"           the distribution's own package, suite = its release
#   source = "distro-unstable"  the package of suite = "sid", with only those of its
#                               dependencies that the release has too old; mirror from
#                               the builder's own sources
#   source = "upstream"         HTCondor's own repository: then also url, component
#                               (for apt only), key_url (its signing key) and either
#                               key_fingerprint (of the one key in that file; its
#                               owner publishes it) or key_sha256 (of the file)
#   source = "repository"       the one of repositories that suite names
# series: the version must begin with it, or the bake stops; leave it out to take any.
htcondor = {
  source = "distro"
  suite  = "trixie"
  series = "23.9"
}

# Further package repositories, for family "el" (alma9-osg has some): name -> url (the
# folder of repodata; $basearch is x86_64 or aarch64), key_url with key_fingerprint or
# key_sha256 as above, priority (91-99; dnf takes a package from the lowest that has it,
# the base AMI's own have 99, source "upstream" has 90). They serve the bake alone.
repositories = {}

# Repositories that the base AMI knows but leaves off, and the bake needs (family "el").
enable_repositories = []

# Further packages. Of some the tables of provision/ know units and files: fetch-crl,
# osg-oasis. Packages need step 25-packages, repositories 15-repositories, too.
packages = []

# The steps of provision/, without .sh, in the order they run. The last three are
# fixed: write down what is installed, remove what no image may carry, check it.
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

# The root volume, always gp3: size in GiB, iops 3000-16000, throughput in MiB/s
# 125-1000 and at most a quarter of iops. An AMI with an encrypted root cannot be public.
root_volume = {
  size       = 10
  iops       = 3000
  throughput = 125
  encrypted  = true
}

# How an instance may get its pool configuration: annexkit, annex-ec2, seed-cfn
# (docs/architecture.md, "Words").
contracts = ["annexkit", "annex-ec2"]

# Only with contract seed-cfn, and then required: who brings /opt/aws/bin/cfn-init
# (docs/seed-cfn.md):
#   helper_scripts = { source = "annexkit" }   ours: what the 2016 tool's stacks use
#   helper_scripts = { source = "aws", ... }   AWS's own tarball: also url, and sha256
#                                              of that file

# Further tags for the AMI, its snapshots, the builder and its volume.
tags = {}

# Further environment variables for every step.
environment = {}
