"""The schema of the `provider "aws"` block, which `schema.json` does not have: what the stand-in honours or accepts."""

from typing import Any

from sandbox.aws_provider.schema import Block, read_block, words

_TEXTS = (
    "access_key",
    "custom_ca_bundle",
    "ec2_metadata_service_endpoint",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "profile",
    "region",
    "retry_mode",
    "s3_us_east_1_regional_endpoint",
    "secret_key",
    "skip_metadata_api_check",
    "sts_region",
    "token",
)
_SWITCHES = (
    "insecure",
    "s3_use_path_style",
    "skip_credentials_validation",
    "skip_region_validation",
    "skip_requesting_account_id",
    "use_dualstack_endpoint",
    "use_fips_endpoint",
)
_SECRETS = {"access_key", "secret_key", "token"}
_ENDPOINTS = words(
    "acm autoscaling budgets cloudtrail cloudwatch dlm dynamodb ec2 ecr elasticache elbv2 events iam kms lambda logs "
    "rds route53 s3 secretsmanager sns sqs ssm sts"
)


def _optional(type_: Any, **more: Any) -> dict[str, Any]:
    return {"type": type_, "optional": True, **more}


def read_provider_block() -> Block:
    document = {
        "attributes": {
            **{name: _optional("string", sensitive=name in _SECRETS) for name in _TEXTS},
            **{name: _optional("bool") for name in _SWITCHES},
            "max_retries": _optional("number"),
            "allowed_account_ids": _optional(["set", "string"]),
            "forbidden_account_ids": _optional(["set", "string"]),
            "shared_config_files": _optional(["list", "string"]),
            "shared_credentials_files": _optional(["list", "string"]),
        },
        "block_types": {
            "default_tags": {
                "nesting_mode": "list",
                "max_items": 1,
                "block": {"attributes": {"tags": _optional(["map", "string"])}},
            },
            "endpoints": {
                "nesting_mode": "set",
                "block": {"attributes": {name: _optional("string") for name in _ENDPOINTS}},
            },
        },
    }
    return read_block(document)
