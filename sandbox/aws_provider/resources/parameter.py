"""`aws_ssm_parameter`; its id is its name."""

from typing import Any

from sandbox.aws_provider.core import State
from sandbox.aws_provider.resources.mapped import Calls, Mapped
from sandbox.aws_provider.schema import Rules, words


class SsmParameter(Mapped):
    """A parameter with its value in the state, as the real provider keeps it."""

    type_name = "aws_ssm_parameter"
    noun = "SSM Parameter"
    gone_codes = frozenset({"ParameterNotFound"})
    rules = Rules(
        replaced_by=words("name region"),
        defaults={"tier": "Standard", "data_type": "text"},
        json_documents=frozenset({"value"}),
        follows={"version": frozenset({"value", "insecure_value", "type"})},
    )
    calls = Calls("ssm", "put_parameter", "get_parameter", "delete_parameter", "Name", "Parameter")
    sent = {"name": "Name", "value": "Value", "type": "Type", "description": "Description", "tier": "Tier"}
    seen = {"arn": "ARN", "version": "Version", "data_type": "DataType"}

    def locate(self, identity: str) -> dict[str, Any]:
        return {"Name": identity}

    def read(self, state: State) -> State | None:
        found = self.aws.get_parameter(Name=state["id"], WithDecryption=True)["Parameter"]
        values = {name: found[key] for name, key in {**self.sent, **self.seen}.items() if key in found}
        tags = self.split_tags(state, self.read_tags(state["id"], found))
        return {**values, "insecure_value": None, "has_value_wo": False, **tags}

    def update(self, prior: State, planned: State, changed: set[str]) -> None:
        if changed & set(self.sent):
            about = {"Description": planned["description"]} if planned["description"] else {}
            self.aws.put_parameter(
                Name=prior["id"], Value=planned["value"], Type=planned["type"], Overwrite=True, **about
            )
        super().update(prior, planned, changed - set(self.sent))
