# Rendered by annexkit. Do not edit: change packer/images/alma9-osg.pkrvars.hcl and bake again.
# Input digest: dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd

packer {
  required_version = ">= 1.6.6, < 1.7.0"
}

variable "region" {
  type        = string
  description = "AWS region of the bake"
}

variable "endpoint" {
  type        = string
  description = "EC2 endpoint; empty for AWS itself"
}

variable "max_retries" {
  type        = number
  description = "Repeats of a failed AWS call; 0 for the SDK's own"
}

variable "build_id" {
  type        = string
  description = "Id of this build"
}

variable "build_date" {
  type        = string
  description = "When it began, ISO 8601 in UTC"
}

variable "digest" {
  type        = string
  description = "Digest of everything the image is made from"
}

variable "expires" {
  type        = number
  description = "When the reaper may take what is left, epoch"
}

variable "owner" {
  type        = string
  description = "Who bakes, for the tags"
}

variable "ami_name" {
  type        = string
  description = "Name of the AMI and of the builder's key pair"
}

variable "manifest" {
  type        = string
  description = "Where Packer writes its manifest"
}

variable "packages" {
  type        = string
  description = "Where the list of packages is downloaded to"
}

variable "ssh_interface" {
  type        = string
  description = "public_ip or private_ip"
}

variable "subnet_id" {
  type        = string
  description = "Subnet of the builder; empty for the default VPC's"
}

variable "ssh_cidrs" {
  type        = list(string)
  description = "Who may reach the builder by SSH"
}

variable "user_data" {
  type        = string
  description = "User data of the builder"
}

variable "poll_seconds" {
  type        = number
  description = "Seconds between two looks at the AMI"
}

variable "poll_attempts" {
  type        = number
  description = "How many looks before giving up"
}

locals {
  tags = {
    Name               = var.ami_name,
    "annexkit:owner"   = var.owner,
    "annexkit:build"   = var.build_id,
    "annexkit:image"   = "alma9-osg",
    "annexkit:expires" = "${var.expires}",
  }
  environment = [
    "ANNEXKIT_PROVISION=/var/tmp/annexkit/provision",
    "ANNEXKIT_IMAGE=alma9-osg",
    "ANNEXKIT_BUILD=${var.build_id}",
    "ANNEXKIT_DIGEST=${var.digest}",
    "ANNEXKIT_DATE=${var.build_date}",
    "ANNEXKIT_CONTRACTS=annexkit seed-cfn",
    "ANNEXKIT_SSH_USER=ec2-user",
    "ANNEXKIT_HTCONDOR_SOURCE=repository",
    "ANNEXKIT_HTCONDOR_VERSION=25",
    "ANNEXKIT_HTCONDOR_SUITE=osg",
    "ANNEXKIT_PACKAGES=osg-release osg-ca-certs fetch-crl osg-wn-client",
    "ANNEXKIT_REPOSITORIES=epel osg",
    "ANNEXKIT_ENABLE_REPOSITORIES=crb",
    "ANNEXKIT_REPOSITORY_EPEL_URL=https://dl.fedoraproject.org/pub/epel/9/Everything/$basearch",
    "ANNEXKIT_REPOSITORY_EPEL_KEY_URL=https://dl.fedoraproject.org/pub/epel/RPM-GPG-KEY-EPEL-9",
    "ANNEXKIT_REPOSITORY_EPEL_KEY_FINGERPRINT=FF8AD1344597106ECE813B918A3872BF3228467C",
    "ANNEXKIT_REPOSITORY_EPEL_PRIORITY=99",
    "ANNEXKIT_REPOSITORY_OSG_URL=https://repo.osg-htc.org/osg/25-main/el9/release/$basearch",
    "ANNEXKIT_REPOSITORY_OSG_KEY_URL=https://repo.osg-htc.org/osg/RPM-GPG-KEY-OSG-25-developer",
    "ANNEXKIT_REPOSITORY_OSG_KEY_FINGERPRINT=962A9BCDD330245F2703C88B74E5BE22D4E9B1FC",
    "ANNEXKIT_REPOSITORY_OSG_PRIORITY=98",
    "ANNEXKIT_CFN_SOURCE=annexkit",
  ]
}

source "amazon-ebs" "alma9-osg" {
  region                                = var.region
  custom_endpoint_ec2                   = var.endpoint
  max_retries                           = var.max_retries
  ami_name                              = var.ami_name
  ami_description                       = "AlmaLinux 9 with OSG 25: HTCondor 25.0, worker-node client, CA certificates"
  ami_virtualization_type               = "hvm"
  source_ami                            = "ami-0123456789abcdef0"
  instance_type                         = "t3.small"
  shutdown_behavior                     = "terminate"
  user_data                             = var.user_data
  subnet_id                             = var.subnet_id
  associate_public_ip_address           = var.subnet_id != "" && var.ssh_interface == "public_ip" ? true : null
  ssh_username                          = "ec2-user"
  ssh_interface                         = var.ssh_interface
  ssh_timeout                           = "10m"
  ssh_clear_authorized_keys             = true
  temporary_key_pair_type               = "ed25519"
  temporary_key_pair_name               = var.ami_name
  temporary_security_group_source_cidrs = var.ssh_cidrs
  tags                                  = local.tags
  snapshot_tags                         = local.tags
  run_tags                              = local.tags
  run_volume_tags                       = local.tags

  launch_block_device_mappings {
    device_name           = "/dev/xvda"
    volume_type           = "gp3"
    volume_size           = 16
    iops                  = 3000
    throughput            = 125
    encrypted             = true
    delete_on_termination = true
  }

  aws_polling {
    delay_seconds = var.poll_seconds
    max_attempts  = var.poll_attempts
  }
}

build {
  sources = [
    "source.amazon-ebs.alma9-osg",
  ]

  provisioner "shell" {
    inline = [
      "mkdir -p /var/tmp/annexkit/provision",
    ]
  }

  provisioner "file" {
    source      = "${path.root}/../../../provision/"
    destination = "/var/tmp/annexkit/provision/"
  }

  provisioner "shell" {
    script           = "${path.root}/../../../provision/10-system.sh"
    environment_vars = local.environment
    execute_command  = "chmod +x {{ .Path }}; sudo -n env {{ .Vars }} {{ .Path }}"
  }

  provisioner "shell" {
    script           = "${path.root}/../../../provision/15-repositories.sh"
    environment_vars = local.environment
    execute_command  = "chmod +x {{ .Path }}; sudo -n env {{ .Vars }} {{ .Path }}"
  }

  provisioner "shell" {
    script           = "${path.root}/../../../provision/20-htcondor.sh"
    environment_vars = local.environment
    execute_command  = "chmod +x {{ .Path }}; sudo -n env {{ .Vars }} {{ .Path }}"
  }

  provisioner "shell" {
    script           = "${path.root}/../../../provision/25-packages.sh"
    environment_vars = local.environment
    execute_command  = "chmod +x {{ .Path }}; sudo -n env {{ .Vars }} {{ .Path }}"
  }

  provisioner "shell" {
    script           = "${path.root}/../../../provision/30-cloud-init.sh"
    environment_vars = local.environment
    execute_command  = "chmod +x {{ .Path }}; sudo -n env {{ .Vars }} {{ .Path }}"
  }

  provisioner "shell" {
    script           = "${path.root}/../../../provision/40-contracts.sh"
    environment_vars = local.environment
    execute_command  = "chmod +x {{ .Path }}; sudo -n env {{ .Vars }} {{ .Path }}"
  }

  provisioner "shell" {
    script           = "${path.root}/../../../provision/50-imds.sh"
    environment_vars = local.environment
    execute_command  = "chmod +x {{ .Path }}; sudo -n env {{ .Vars }} {{ .Path }}"
  }

  provisioner "shell" {
    script           = "${path.root}/../../../provision/60-advertise.sh"
    environment_vars = local.environment
    execute_command  = "chmod +x {{ .Path }}; sudo -n env {{ .Vars }} {{ .Path }}"
  }

  provisioner "shell" {
    script           = "${path.root}/../../../provision/80-record.sh"
    environment_vars = local.environment
    execute_command  = "chmod +x {{ .Path }}; sudo -n env {{ .Vars }} {{ .Path }}"
  }

  provisioner "file" {
    direction   = "download"
    source      = "/var/tmp/annexkit/packages.tsv"
    destination = var.packages
  }

  provisioner "shell" {
    script           = "${path.root}/../../../provision/90-hygiene.sh"
    environment_vars = local.environment
    execute_command  = "chmod +x {{ .Path }}; sudo -n env {{ .Vars }} {{ .Path }}"
  }

  provisioner "shell" {
    script           = "${path.root}/../../../provision/95-validate.sh"
    environment_vars = local.environment
    execute_command  = "chmod +x {{ .Path }}; sudo -n env {{ .Vars }} {{ .Path }}"
  }

  post-processor "manifest" {
    output     = var.manifest
    strip_path = true
    custom_data = {
      build  = var.build_id,
      digest = var.digest,
      image  = "alma9-osg",
      arch   = "x86_64",
    }
  }
}
