"""The reviewed table: which calls of AWS the client tier's Terraform and our own program make, and where that is said.

Terraform's come from the real provider's resource code (hashicorp/terraform-provider-aws, internal/service/…); AWS's own pages
say what a call wants besides (https://docs.aws.amazon.com/service-authorization/latest/reference/). Nobody may do more.
"""

# resource type of terraform/ → what the provider calls for its create, read, update, delete
PROVIDER = {
    # internal/service/ec2/ec2_instance.go
    "aws_instance": """
        ec2:RunInstances ec2:DescribeInstances ec2:DescribeInstanceTypes ec2:DescribeInstanceAttribute ec2:DescribeVolumes
        ec2:DescribeInstanceCreditSpecifications ec2:DescribeTags ec2:DescribeVpcs ec2:DescribeImages ec2:CreateTags
        ec2:DeleteTags ec2:StopInstances ec2:TerminateInstances iam:PassRole iam:GetInstanceProfile
    """,
    # internal/service/ec2/vpc_security_group.go
    "aws_security_group": """
        ec2:CreateSecurityGroup ec2:DescribeSecurityGroups ec2:RevokeSecurityGroupEgress ec2:RevokeSecurityGroupIngress
        ec2:DeleteSecurityGroup ec2:CreateTags ec2:DeleteTags
    """,
    # internal/service/ec2/vpc_security_group_ingress_rule.go, …_egress_rule.go
    "aws_vpc_security_group_ingress_rule": """
        ec2:AuthorizeSecurityGroupIngress ec2:DescribeSecurityGroupRules ec2:ModifySecurityGroupRules
        ec2:RevokeSecurityGroupIngress
    """,
    "aws_vpc_security_group_egress_rule": """
        ec2:AuthorizeSecurityGroupEgress ec2:DescribeSecurityGroupRules ec2:ModifySecurityGroupRules
        ec2:RevokeSecurityGroupEgress
    """,
    # internal/service/iam/role.go: a delete looks for profiles and policies that hold the role
    "aws_iam_role": """
        iam:CreateRole iam:GetRole iam:DeleteRole iam:TagRole iam:ListRolePolicies iam:ListAttachedRolePolicies
        iam:ListInstanceProfilesForRole
    """,
    # internal/service/iam/role_policy.go
    "aws_iam_role_policy": "iam:PutRolePolicy iam:GetRolePolicy iam:DeleteRolePolicy",
    # internal/service/iam/instance_profile.go: adding a role to a profile wants PassRole
    "aws_iam_instance_profile": """
        iam:CreateInstanceProfile iam:GetInstanceProfile iam:DeleteInstanceProfile iam:AddRoleToInstanceProfile
        iam:RemoveRoleFromInstanceProfile iam:TagInstanceProfile iam:PassRole
    """,
    # internal/service/ec2/ec2_key_pair.go
    "aws_key_pair": "ec2:ImportKeyPair ec2:DescribeKeyPairs ec2:DeleteKeyPair ec2:CreateTags ec2:DeleteTags",
    # internal/service/ec2/vpc_data_source.go
    "data.aws_vpc": "ec2:DescribeVpcs ec2:DescribeVpcAttribute",
}

# why → what our own program or the host calls by itself
OURS = {
    "list instances, end and start them, reboot a sick one (controller/ec2.py)": """
        ec2:DescribeInstances ec2:TerminateInstances ec2:StartInstances ec2:RebootInstances ec2:CreateTags ec2:DeleteTags
    """,
    "evidence of a VM that failed": "ec2:GetConsoleOutput",
    "what a first run left (controller/ec2.py, find_base)": """
        ec2:DescribeVpcs ec2:DescribeSecurityGroups ec2:DescribeSecurityGroupRules ec2:DescribeKeyPairs iam:GetRole
        iam:GetRolePolicy iam:GetInstanceProfile iam:ListRolePolicies iam:ListAttachedRolePolicies
    """,
    "what a hand changed of a base, made as it was (controller/base.py, and the provider's updates)": """
        iam:DetachRolePolicy iam:DeleteRolePolicy iam:PutRolePermissionsBoundary iam:UpdateAssumeRolePolicy iam:UntagRole
        iam:UntagInstanceProfile
    """,
    "a key pair whose private half is lost (controller/ec2_base.py, renew_key_pair)": """
        ec2:DescribeKeyPairs ec2:DeleteKeyPair ec2:ImportKeyPair ec2:CreateTags
    """,
    "zones on offer for a type; prices": """
        ec2:DescribeInstanceTypeOfferings ec2:DescribeSpotPriceHistory pricing:GetProducts
    """,
    "what the account may run (api/aws_quotas.py)": "servicequotas:GetServiceQuota ec2:DescribeInstanceTypes",
    "keys, host parameter, AMI by its public parameter": "ssm:GetParameter ssm:PutParameter",
    "log of containers and host (CloudWatch agent); a Lambda's own log": """
        logs:CreateLogStream logs:DescribeLogStreams logs:PutLogEvents
    """,
    "gauges (CloudWatch agent, controller)": "cloudwatch:PutMetricData",
    "the log Lambda's token (lablink keys); Lambda wants PassRole of whoever changes a function": """
        lambda:GetFunctionConfiguration lambda:UpdateFunctionConfiguration iam:PassRole
    """,
    "log batches that could not be delivered": "sqs:ReceiveMessage sqs:DeleteMessage sqs:SendMessage",
    "the image (host/lablink-host, docker pull)": "ecr:GetAuthorizationToken ecr:BatchGetImage ecr:GetDownloadUrlForLayer",
    # https://developer.hashicorp.com/terraform/language/backend/s3#permissions-required
    "states in S3 and their lock; backups": """
        s3:ListBucket s3:GetObject s3:PutObject s3:DeleteObject dynamodb:DescribeTable dynamodb:GetItem dynamodb:PutItem
        dynamodb:DeleteItem
    """,
    "the database's password": "secretsmanager:GetSecretValue",
    "notifications": "sns:Publish",
    # https://docs.aws.amazon.com/ebs/latest/userguide/dlm-prerequisites.html
    "daily snapshots (Data Lifecycle Manager's role)": """
        ec2:CreateSnapshot ec2:DeleteSnapshot ec2:DescribeInstances ec2:DescribeSnapshots ec2:DescribeVolumes ec2:CreateTags
    """,
    "who may take a role": "sts:AssumeRole",
}

NEEDED = {action for text in [*PROVIDER.values(), *OURS.values()] for action in text.split()}
