"""AWS's public on-demand prices as data, with their date. Declared prices (`prices:`) and live ones win over this table. Pure.

A family costs the same multiple of its first size everywhere, so a region needs one figure a family. A region or family that
is not listed has no price here, and none is guessed. Source: https://aws.amazon.com/ec2/pricing/on-demand/, /ebs/pricing/,
/vpc/pricing/, /rds/postgresql/pricing/, /elasticloadbalancing/pricing/, /cloudwatch/pricing/, /lambda/pricing/.
"""

AS_OF = "2025-11-01"
US = ("us-east-1", "us-east-2", "us-west-2")

# USD per hour, Linux, in the regions of US. The first size of a family is what other regions are given by.
FAMILIES: dict[str, dict[str, float]] = {
    "t3": {"large": 0.0832, "nano": 0.0052, "micro": 0.0104, "small": 0.0208, "medium": 0.0416, "xlarge": 0.1664, "2xlarge": 0.3328},
    "t3a": {"large": 0.0752, "nano": 0.0047, "micro": 0.0094, "small": 0.0188, "medium": 0.0376, "xlarge": 0.1504, "2xlarge": 0.3008},
    "t4g": {"large": 0.0672, "nano": 0.0042, "micro": 0.0084, "small": 0.0168, "medium": 0.0336, "xlarge": 0.1344, "2xlarge": 0.2688},
    "m5": {"large": 0.096, "xlarge": 0.192, "2xlarge": 0.384, "4xlarge": 0.768, "8xlarge": 1.536, "12xlarge": 2.304},
    "m6i": {"large": 0.096, "xlarge": 0.192, "2xlarge": 0.384, "4xlarge": 0.768, "8xlarge": 1.536, "12xlarge": 2.304},
    "m7i": {"large": 0.1008, "xlarge": 0.2016, "2xlarge": 0.4032, "4xlarge": 0.8064, "8xlarge": 1.6128},
    "c5": {"large": 0.085, "xlarge": 0.17, "2xlarge": 0.34, "4xlarge": 0.68, "9xlarge": 1.53},
    "c6i": {"large": 0.085, "xlarge": 0.17, "2xlarge": 0.34, "4xlarge": 0.68, "8xlarge": 1.36},
    "c7i": {"large": 0.08925, "xlarge": 0.1785, "2xlarge": 0.357, "4xlarge": 0.714, "8xlarge": 1.428},
    "r5": {"large": 0.126, "xlarge": 0.252, "2xlarge": 0.504, "4xlarge": 1.008, "8xlarge": 2.016},
    "r6i": {"large": 0.126, "xlarge": 0.252, "2xlarge": 0.504, "4xlarge": 1.008, "8xlarge": 2.016},
    "g3s": {"xlarge": 0.75},
    "g3": {"4xlarge": 1.14, "8xlarge": 2.28, "16xlarge": 4.56},
    "g4dn": {
        "xlarge": 0.526, "2xlarge": 0.752, "4xlarge": 1.204, "8xlarge": 2.176, "12xlarge": 3.912, "16xlarge": 4.352, "metal": 7.824,
    },
    "g5": {
        "xlarge": 1.006, "2xlarge": 1.212, "4xlarge": 1.624, "8xlarge": 2.448, "12xlarge": 5.672, "16xlarge": 4.096,
        "24xlarge": 8.144, "48xlarge": 16.288,
    },
    "g5g": {"xlarge": 0.42, "2xlarge": 0.556, "4xlarge": 0.828, "8xlarge": 1.372, "16xlarge": 2.744},
    "g6": {
        "xlarge": 0.8048, "2xlarge": 0.9776, "4xlarge": 1.3232, "8xlarge": 2.0144, "12xlarge": 4.6016, "16xlarge": 3.3968,
        "24xlarge": 6.6752, "48xlarge": 13.3504,
    },
    "g6e": {
        "xlarge": 1.861, "2xlarge": 2.24208, "4xlarge": 3.00424, "8xlarge": 4.52856, "12xlarge": 10.49264, "16xlarge": 7.57719,
        "24xlarge": 15.06559, "48xlarge": 30.13118,
    },
    "p3": {"2xlarge": 3.06, "8xlarge": 12.24, "16xlarge": 24.48},
}  # fmt: skip

# USD per hour of a family's first size, elsewhere.
ELSEWHERE: dict[str, dict[str, float]] = {
    "ca-central-1": {"t3": 0.0928, "m5": 0.107, "c5": 0.093, "r5": 0.138, "g4dn": 0.584, "g5": 1.117},
    "eu-west-1": {"t3": 0.0912, "m5": 0.107, "c5": 0.096, "r5": 0.141, "g4dn": 0.587, "g5": 1.123, "p3": 3.305},
    "eu-west-2": {"t3": 0.0944, "m5": 0.111, "c5": 0.101, "r5": 0.148, "g4dn": 0.615},
    "eu-central-1": {"t3": 0.096, "m5": 0.115, "c5": 0.097, "r5": 0.152, "g4dn": 0.658, "g5": 1.258, "p3": 3.823},
    "ap-northeast-1": {"t3": 0.1088, "m5": 0.124, "c5": 0.107, "r5": 0.152, "g4dn": 0.71, "g5": 1.459, "p3": 4.194},
    "ap-southeast-1": {"t3": 0.1056, "m5": 0.12, "c5": 0.098, "r5": 0.152, "g4dn": 0.736},
    "ap-southeast-2": {"t3": 0.1056, "m5": 0.12, "c5": 0.111, "r5": 0.151, "g4dn": 0.684},
    "ap-south-1": {"t3": 0.0896, "m5": 0.101, "c5": 0.085, "r5": 0.13, "g4dn": 0.579},
    "sa-east-1": {"t3": 0.1344, "m5": 0.153, "c5": 0.131, "r5": 0.201, "g4dn": 0.894},
}

# USD per GiB and month.
VOLUMES: dict[str, dict[str, float]] = {
    **{region: {"gp3": 0.08, "gp2": 0.10} for region in US},
    "ca-central-1": {"gp3": 0.088, "gp2": 0.11},
    "eu-west-1": {"gp3": 0.088, "gp2": 0.11},
    "eu-west-2": {"gp3": 0.0928, "gp2": 0.116},
    "eu-central-1": {"gp3": 0.0952, "gp2": 0.119},
    "ap-northeast-1": {"gp3": 0.096, "gp2": 0.12},
    "ap-southeast-1": {"gp3": 0.096, "gp2": 0.12},
    "ap-southeast-2": {"gp3": 0.096, "gp2": 0.12},
    "ap-south-1": {"gp3": 0.0912, "gp2": 0.114},
    "sa-east-1": {"gp3": 0.152, "gp2": 0.19},
}

# USD per hour, PostgreSQL in one zone, in the regions of US; a standby doubles it.
DATABASES: dict[str, float] = {
    "db.t3.micro": 0.018, "db.t3.small": 0.036, "db.t3.medium": 0.072, "db.t3.large": 0.145,
    "db.t4g.micro": 0.016, "db.t4g.small": 0.032, "db.t4g.medium": 0.065, "db.t4g.large": 0.129,
    "db.m5.large": 0.178, "db.m5.xlarge": 0.356,
}  # fmt: skip

# Small parts that differ little from region to region: counted as in the regions of US everywhere.
PARTS: dict[str, float] = {
    "ipv4": 0.005,  # a public address, per hour; the same in every region
    "load_balancer": 0.0225,  # Application Load Balancer, per hour
    "load_balancer_unit": 0.008,  # its capacity unit, per hour
    "database_storage": 0.115,  # RDS gp3, per GiB and month
    "snapshot": 0.05,  # EBS, per GiB and month
    "logs": 0.50,  # CloudWatch Logs, per GiB taken in
    "logs_kept": 0.03,  # per GiB and month
    "lambda": 0.20e-6,  # per call
    "lambda_gib_s": 0.0000166667,  # per GiB-second
    "traffic": 0.09,  # to the internet, per GiB
}
