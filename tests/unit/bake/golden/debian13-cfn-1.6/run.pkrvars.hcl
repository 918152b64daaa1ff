region        = "us-west-2"
endpoint      = ""
max_retries   = 0
build_id      = "20260102T030405-0a1b2c"
build_date    = "2026-01-02T03:04:05Z"
digest        = "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"
expires       = 1800000000
owner         = "alice"
ami_name      = "annexkit-debian13-x86_64-20260102T030405-0a1b2c"
manifest      = "manifest.json"
packages      = "packages.tsv"
ssh_interface = "public_ip"
subnet_id     = ""
ssh_cidrs = [
  "203.0.113.7/32",
]
user_data     = "#cloud-config\n"
poll_seconds  = 30
poll_attempts = 120
