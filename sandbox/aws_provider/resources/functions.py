"""Lambda and what feeds it: `aws_lambda_function`, `aws_lambda_permission`, `aws_cloudwatch_log_subscription_filter`, `aws_sqs_queue`."""

import json
from pathlib import Path
from typing import Any

from sandbox.aws_provider.core import Resource, State, fresh_name, given
from sandbox.aws_provider.errors import ProviderError
from sandbox.aws_provider.resources.mapped import Calls, Mapped
from sandbox.aws_provider.schema import Rules, words

_GONE = frozenset({"ResourceNotFoundException"})
_LOGGING = {
    "application_log_level": "ApplicationLogLevel",
    "log_group": "LogGroup",
    "system_log_level": "SystemLogLevel",
}
_CODE = frozenset({"filename", "source_code_hash", "s3_bucket", "s3_key", "image_uri"})


class Function(Mapped):
    """A function from a zip file on this machine; its id is its name."""

    type_name = "aws_lambda_function"
    noun = "Lambda Function"
    gone_codes = _GONE
    rules = Rules(
        replaced_by=words("function_name package_type region"),
        defaults={"memory_size": 128, "timeout": 3, "package_type": "Zip", "publish": False},
        computed_blocks=words("ephemeral_storage logging_config tracing_config"),
        follows={
            name: frozenset({"source_code_hash", "filename"}) for name in ("code_sha256", "last_modified", "version")
        },
    )
    calls = Calls(
        "lambda", "create_function", "get_function", "delete_function", "FunctionName", "Configuration",
        "FunctionName", "update_function_configuration",
    )  # fmt: skip
    sent = {
        "description": "Description",
        "role": "Role",
        "runtime": "Runtime",
        "handler": "Handler",
        "memory_size": "MemorySize",
        "timeout": "Timeout",
    }
    seen = {
        "function_name": "FunctionName",
        "arn": "FunctionArn",
        "version": "Version",
        "code_sha256": "CodeSha256",
        "last_modified": "LastModified",
        "source_code_size": "CodeSize",
    }

    def arguments(self, planned: State) -> dict[str, Any]:
        blocks = {**_render_blocks(planned), "Code": {"ZipFile": _read_package(planned["filename"])}}
        return {"FunctionName": planned["function_name"], "PackageType": planned["package_type"], **blocks}

    def render(self, found: dict[str, Any], state: State) -> State:
        arn = found["FunctionArn"]
        variables = found.get("Environment", {}).get("Variables")
        target = found.get("DeadLetterConfig", {}).get("TargetArn")
        path = f"arn:aws:apigateway:{self.region}:lambda:path/2015-03-31/functions/{arn}/invocations"
        return {
            "invoke_arn": path,
            "qualified_arn": f"{arn}:{found.get('Version', '$LATEST')}",
            "logging_config": _read_logging(found.get("LoggingConfig") or {}, state),
            "environment": [{"variables": variables}] if variables is not None else [],
            "dead_letter_config": [{"target_arn": target}] if target else state.get("dead_letter_config") or [],
        }

    def tagged_as(self, identity: str) -> str:
        return self.cloud.arn("lambda", f"function:{identity}", self.region)

    def update(self, prior: State, planned: State, changed: set[str]) -> None:
        if changed & _CODE:
            self.aws.update_function_code(FunctionName=prior["id"], ZipFile=_read_package(planned["filename"]))
        if changed & {"environment", "dead_letter_config", "logging_config"}:
            self.aws.update_function_configuration(FunctionName=prior["id"], **_render_blocks(planned))
        super().update(prior, planned, changed)


def _render_blocks(planned: State) -> dict[str, Any]:
    blocks: dict[str, Any] = {}
    for item in planned["environment"] or []:
        blocks["Environment"] = {"Variables": item["variables"] or {}}
    for item in planned["dead_letter_config"] or []:
        blocks["DeadLetterConfig"] = {"TargetArn": item["target_arn"]}
    for item in planned["logging_config"] or []:
        blocks["LoggingConfig"] = {"LogFormat": item["log_format"], **given(item, _LOGGING)}
    return blocks


def _read_logging(found: dict[str, Any], state: State) -> list[dict[str, Any]]:
    """As it was given where AWS's stand-in keeps none."""
    if not found:
        return state.get("logging_config") or []
    return [{"log_format": found["LogFormat"], **{name: found.get(key) for name, key in _LOGGING.items()}}]


def _read_package(path: str | None) -> bytes:
    try:
        return Path(path or "").read_bytes()
    except OSError as error:
        raise ProviderError(f"reading ZIP file ({path}): {error}", "Set filename to a file that exists.") from error


class Permission(Resource):
    """A statement in a function's policy; its id is the statement's."""

    type_name = "aws_lambda_permission"
    noun = "Lambda Permission"
    gone_codes = _GONE
    rules = Rules(
        replaced_by=words(
            "action event_source_token function_name function_url_auth_type principal principal_org_id qualifier region "
            "source_account source_arn statement_id statement_id_prefix"
        )
    )

    def create(self, planned: State) -> str:
        names = {"source_arn": "SourceArn", "source_account": "SourceAccount", "principal": "Principal"}
        identity = fresh_name(planned, "statement_id", "statement_id_prefix")
        self.client("lambda").add_permission(
            FunctionName=planned["function_name"],
            StatementId=identity,
            Action=planned["action"],
            **given(planned, names),
        )
        return identity

    def read(self, state: State) -> State | None:
        policy = json.loads(self.client("lambda").get_policy(FunctionName=state["function_name"])["Policy"])
        found = next((one for one in policy["Statement"] if one["Sid"] == state["id"]), None)
        return None if found is None else {"statement_id": found["Sid"], "action": found["Action"]}

    def delete(self, state: State) -> None:
        self.client("lambda").remove_permission(FunctionName=state["function_name"], StatementId=state["id"])


class SubscriptionFilter(Resource):
    """A log group's way into a function; its id is group and name."""

    type_name = "aws_cloudwatch_log_subscription_filter"
    noun = "CloudWatch Logs Subscription Filter"
    gone_codes = _GONE
    rules = Rules(replaced_by=words("log_group_name name region"), defaults={"distribution": "ByLogStream"})

    def create(self, planned: State) -> str:
        self._put(planned)
        return f"{planned['log_group_name']}|{planned['name']}"

    def read(self, state: State) -> State | None:
        found = self.client("logs").describe_subscription_filters(logGroupName=state["log_group_name"])
        one = next((one for one in found["subscriptionFilters"] if one["filterName"] == state["name"]), None)
        if one is None:
            return None
        return {
            "destination_arn": one["destinationArn"],
            "filter_pattern": one["filterPattern"],
            "role_arn": one.get("roleArn", ""),
            "distribution": one.get("distribution", "ByLogStream"),
        }

    def update(self, prior: State, planned: State, changed: set[str]) -> None:
        self._put(planned)

    def delete(self, state: State) -> None:
        self.client("logs").delete_subscription_filter(logGroupName=state["log_group_name"], filterName=state["name"])

    def _put(self, planned: State) -> None:
        self.client("logs").put_subscription_filter(
            logGroupName=planned["log_group_name"],
            filterName=planned["name"],
            filterPattern=planned["filter_pattern"] or "",
            destinationArn=planned["destination_arn"],
        )


_QUEUE_NUMBERS = {
    "delay_seconds": "DelaySeconds",
    "max_message_size": "MaximumMessageSize",
    "message_retention_seconds": "MessageRetentionPeriod",
    "receive_wait_time_seconds": "ReceiveMessageWaitTimeSeconds",
    "visibility_timeout_seconds": "VisibilityTimeout",
}


class Queue(Mapped):
    """A queue; its id is its URL, its attributes are texts."""

    type_name = "aws_sqs_queue"
    noun = "SQS Queue"
    gone_codes = frozenset({"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"})
    rules = Rules(
        replaced_by=words("fifo_queue name name_prefix region"),
        defaults={
            "delay_seconds": 0,
            "max_message_size": 262144,
            "message_retention_seconds": 345600,
            "receive_wait_time_seconds": 0,
            "visibility_timeout_seconds": 30,
        },
        json_documents=words("policy redrive_policy redrive_allow_policy"),
    )
    calls = Calls(
        "sqs", "create_queue", "get_queue_attributes", "delete_queue", "QueueUrl", "Attributes", "QueueUrl",
    )  # fmt: skip
    seen = {"arn": "QueueArn"}

    def arguments(self, planned: State) -> dict[str, Any]:
        return {"QueueName": fresh_name(planned), "Attributes": _render_queue(planned)}

    def read(self, state: State) -> State | None:
        found = self.aws.get_queue_attributes(QueueUrl=state["id"], AttributeNames=["All"])["Attributes"]
        numbers = {name: int(found[key]) for name, key in _QUEUE_NUMBERS.items() if key in found}
        sse = {"sqs_managed_sse_enabled": found.get("SqsManagedSseEnabled") == "true"}
        tags = self.split_tags(state, self.read_tags(state["id"], found))
        return {**numbers, **sse, "arn": found["QueueArn"], "url": state["id"], **tags}

    def update(self, prior: State, planned: State, changed: set[str]) -> None:
        self.aws.set_queue_attributes(QueueUrl=prior["id"], Attributes=_render_queue(planned))
        super().update(prior, planned, changed)


def _render_queue(planned: State) -> dict[str, str]:
    return {
        **{key: str(int(planned[name])) for name, key in _QUEUE_NUMBERS.items() if planned[name] is not None},
        **({"SqsManagedSseEnabled": "true"} if planned["sqs_managed_sse_enabled"] is True else {}),
    }
