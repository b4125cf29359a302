"""Route 53: `aws_route53_zone`, `aws_route53_record`."""

import uuid
from typing import Any

from sandbox.aws_provider.core import Resource, State, Tagged, read_tags, removed_tags, render_tags
from sandbox.aws_provider.schema import Rules, words

_GONE = frozenset({"NoSuchHostedZone", "InvalidChangeBatch"})


class Zone(Tagged):
    """A public hosted zone; its id is that of AWS without the path."""

    type_name = "aws_route53_zone"
    noun = "Route 53 Hosted Zone"
    gone_codes = _GONE
    rules = Rules(
        replaced_by=words("delegation_set_id name vpc"),
        defaults={"comment": "Managed by Terraform", "force_destroy": False},
    )

    def create(self, planned: State) -> str:
        made = self.client("route53").create_hosted_zone(
            Name=planned["name"],
            CallerReference=str(uuid.uuid4()),
            HostedZoneConfig={"Comment": planned["comment"] or ""},
        )
        return str(made["HostedZone"]["Id"]).rpartition("/")[2]

    def complete(self, identity: str, planned: State) -> None:
        self._write_tags(identity, planned, [])

    def read(self, state: State) -> State | None:
        answer = self.client("route53").get_hosted_zone(Id=state["id"])
        servers = sorted(answer.get("DelegationSet", {}).get("NameServers", []))
        tags = self.client("route53").list_tags_for_resource(ResourceType="hostedzone", ResourceId=state["id"])
        return {
            "arn": f"arn:aws:route53:::hostedzone/{state['id']}",
            "zone_id": state["id"],
            "name": answer["HostedZone"]["Name"].rstrip("."),
            "comment": answer["HostedZone"].get("Config", {}).get("Comment", ""),
            "name_servers": servers,
            "primary_name_server": servers[0] if servers else "",
            **self.split_tags(state, read_tags(tags["ResourceTagSet"]["Tags"])),
        }

    def update(self, prior: State, planned: State, changed: set[str]) -> None:
        if "comment" in changed:
            self.client("route53").update_hosted_zone_comment(Id=prior["id"], Comment=planned["comment"] or "")
        if "tags_all" in changed:
            self._write_tags(prior["id"], planned, removed_tags(prior, planned))

    def delete(self, state: State) -> None:
        self.client("route53").delete_hosted_zone(Id=state["id"])

    def _write_tags(self, identity: str, planned: State, removed: list[str]) -> None:
        arguments: dict[str, Any] = {"AddTags": render_tags(planned["tags_all"])} if planned["tags_all"] else {}
        if removed:
            arguments["RemoveTagKeys"] = removed
        if arguments:
            self.client("route53").change_tags_for_resource(ResourceType="hostedzone", ResourceId=identity, **arguments)


class Record(Resource):
    """A record set; its id is zone, name and type."""

    type_name = "aws_route53_record"
    noun = "Route 53 Record"
    gone_codes = _GONE
    rules = Rules(replaced_by=words("name set_identifier type zone_id"))

    def create(self, planned: State) -> str:
        self._change("UPSERT" if planned["allow_overwrite"] is True else "CREATE", planned)
        return f"{planned['zone_id']}_{planned['name']}_{planned['type']}"

    def read(self, state: State) -> State | None:
        wanted = state["name"].rstrip(".") + "."
        pages = (
            self.client("route53").get_paginator("list_resource_record_sets").paginate(HostedZoneId=state["zone_id"])
        )
        for page in pages:
            for found in page["ResourceRecordSets"]:
                if (found["Name"], found["Type"]) == (wanted, state["type"]):
                    records = [one["Value"] for one in found.get("ResourceRecords", [])]
                    return {"fqdn": wanted.rstrip("."), "records": records or None, "ttl": found.get("TTL")}
        return None

    def update(self, prior: State, planned: State, changed: set[str]) -> None:
        self._change("UPSERT", planned)

    def delete(self, state: State) -> None:
        self._change("DELETE", state)

    def _change(self, action: str, state: State) -> None:
        record: dict[str, Any] = {"Name": state["name"], "Type": state["type"]}
        for alias in state["alias"] or []:
            record["AliasTarget"] = {
                "DNSName": alias["name"],
                "HostedZoneId": alias["zone_id"],
                "EvaluateTargetHealth": alias["evaluate_target_health"],
            }
        if state["records"]:
            record |= {"TTL": int(state["ttl"]), "ResourceRecords": [{"Value": one} for one in state["records"]]}
        batch = {"Changes": [{"Action": action, "ResourceRecordSet": record}]}
        self.client("route53").change_resource_record_sets(HostedZoneId=state["zone_id"], ChangeBatch=batch)
