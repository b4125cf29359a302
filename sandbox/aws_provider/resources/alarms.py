"""CloudWatch: `aws_cloudwatch_metric_alarm`, `aws_cloudwatch_dashboard`; ids are their names."""

from typing import Any

from sandbox.aws_provider.core import Resource, State, given
from sandbox.aws_provider.resources.mapped import Calls, Mapped
from sandbox.aws_provider.schema import Rules, words


class MetricAlarm(Mapped):
    """An alarm on one metric. AWS has one call for making and changing it, and it takes all of it."""

    type_name = "aws_cloudwatch_metric_alarm"
    noun = "CloudWatch Metric Alarm"
    gone_codes = frozenset({"ResourceNotFound"})
    rules = Rules(
        replaced_by=words("alarm_name region"), defaults={"actions_enabled": True, "treat_missing_data": "missing"}
    )
    calls = Calls(
        "cloudwatch", "put_metric_alarm", "describe_alarms", "delete_alarms", "AlarmName", "MetricAlarms.0", lists=True
    )
    sent = {
        "alarm_name": "AlarmName",
        "alarm_description": "AlarmDescription",
        "namespace": "Namespace",
        "metric_name": "MetricName",
        "statistic": "Statistic",
        "comparison_operator": "ComparisonOperator",
        "threshold": "Threshold",
        "period": "Period",
        "evaluation_periods": "EvaluationPeriods",
        "treat_missing_data": "TreatMissingData",
        "alarm_actions": "AlarmActions",
        "ok_actions": "OKActions",
        "actions_enabled": "ActionsEnabled",
    }
    seen = {"arn": "AlarmArn"}

    def create(self, planned: State) -> str:
        dimensions = [{"Name": name, "Value": value} for name, value in (planned["dimensions"] or {}).items()]
        self.aws.put_metric_alarm(Dimensions=dimensions, **given(planned, self.sent))
        return str(planned["alarm_name"])

    def render(self, found: dict[str, Any], state: State) -> State:
        return {"dimensions": {one["Name"]: one["Value"] for one in found.get("Dimensions", [])}}

    def tagged_as(self, identity: str) -> str:
        return self.cloud.arn("cloudwatch", f"alarm:{identity}", self.region)

    def update(self, prior: State, planned: State, changed: set[str]) -> None:
        self.create(planned)
        super().update(prior, planned, changed & {"tags_all"})

    def delete(self, state: State) -> None:
        self.aws.delete_alarms(AlarmNames=[state["id"]])


class Dashboard(Resource):
    """A dashboard: a name and a document."""

    type_name = "aws_cloudwatch_dashboard"
    noun = "CloudWatch Dashboard"
    gone_codes = frozenset({"ResourceNotFound", "DashboardNotFound"})
    rules = Rules(replaced_by=words("dashboard_name region"), json_documents=frozenset({"dashboard_body"}))

    def create(self, planned: State) -> str:
        self._put(planned)
        return str(planned["dashboard_name"])

    def read(self, state: State) -> State | None:
        found = self.client("cloudwatch").get_dashboard(DashboardName=state["id"])
        return {"dashboard_arn": found["DashboardArn"], "dashboard_body": found["DashboardBody"]}

    def update(self, prior: State, planned: State, changed: set[str]) -> None:
        self._put(planned)

    def delete(self, state: State) -> None:
        self.client("cloudwatch").delete_dashboards(DashboardNames=[state["id"]])

    def _put(self, planned: State) -> None:
        names = {"dashboard_name": "DashboardName", "dashboard_body": "DashboardBody"}
        self.client("cloudwatch").put_dashboard(**given(planned, names))
