"""The document that sets every field: valid in all its parts, and in force as it is."""

from schemas.document import edit_lab, parse_lab
from schemas.lab import Demand, Lab
from schemas.lab_schema import lab_json_schema
from schemas.yaml_tree import read_tree

EVERYTHING = """\
# yaml-language-server: $schema=./lablink.schema.json
format: 1                      # of this file
deployment: lablink
environment: prod
region: us-west-2

admin: {user: admin, password_hash: "$2b$12$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}   # bcrypt

pools:
  client:
    size: {min: 0, max: 20, spare: 2}
    instance_type: [g4dn.xlarge, g5.xlarge]       # several in order of preference
    zones: []
    region: us-west-2
    market: spot
    ami: {us-west-2: ami-0601752c11b394251, eu-west-1: ami-0601752c11b394252}
    volume: {size: 50, type: gp3}
    image: ghcr.io/talmolab/lablink-client-base-image:linux-amd64-v0.1.2
    repository: https://github.com/talmolab/sleap-tutorial-data.git
    software: sleap
    extension: slp
    startup_script: {path: deploy/startup.sh, on_error: continue}
    ssh: {ingress: []}
    schedule:
      - {name: workshop, from: 2026-12-01T09:00-08:00, to: 2026-12-03T18:00-08:00, size: 20, lead: 15m, end: drain}
      - {name: office hours, cron: "0 9 * * mon-fri", for: 8h, timezone: America/Los_Angeles, size: 5}
    session: {max: 12h, idle: 2h, after: keep}
    update: {surge: 1, unavailable: 1, assigned: drain}
    health: {boot: 20m, silent: 5m, gpu: require, reboot_first: true, assigned: notify}
    drift: correct
    access_code: null
    paused: false
    orphans: report

courses:
  friday-course:
    pool: client
    from: 2026-12-04T09:00-08:00
    to: 2026-12-04T17:00-08:00
    seats: 40
    roster: roster.txt         # one email a line
    access_code: null
    alarm: [60m, 15m]
    grace: 30m

budget: {hourly: 30, monthly: 1500, approve_above: 10}
prices: {g4dn.xlarge: 0.52, eu-west-1/g5.xlarge: 1.123, gp3: 0.08}

database: {mode: embedded}
state: {backend: database}
dns: {enabled: false, terraform_managed: true, domain: "", zone_id: "", create_zone: false}
ssl: {provider: none, email: "", certificate_arn: "", staging: false}
eip: {strategy: dynamic}
allocator: {instance_type: t3.large, volume: {size: 100}, image: "", ssh: {ingress: []}, open_port_5000: false}
logs: {cloudwatch_days: 7, database_days: 30}
backup: {bucket: "", every: 6h, keep: 28}
notify: [{webhook: "https://example.org/hook", on: [PoolStalled, BudgetReached, VmUnhealthy]}]
vm_auth: token
repeat: pin
seat_hold: 5m
desired: {git_commit: false}
public_queries: false
"""


def test_all_of_it_is_in_force_after_an_edit_that_touches_one_line() -> None:
    edited = edit_lab(EVERYTHING, {"pools.client.session.after": "reboot"})
    pool = parse_lab(edited).lab.pools["client"]
    assert (pool.size, pool.session.after) == (Demand(min=0, max=20, spare=2), "reboot")
    lines, after = EVERYTHING.splitlines(), edited.splitlines()
    assert len([line for line in lines if line not in after]) == 1
    assert "format: 1                      # of this file" in after


def test_every_field_of_the_models_is_in_it_or_has_an_example_elsewhere() -> None:
    document = read_tree(EVERYTHING, "lablink.yaml").value
    properties = lab_json_schema()
    assert set(document) == set(properties["properties"]) == set(Lab.model_fields)
    assert set(document["pools"]["client"]) == set(properties["$defs"]["Pool"]["properties"])
    assert set(document["courses"]["friday-course"]) == set(properties["$defs"]["Course"]["properties"])


def test_a_hundred_pools_are_parsed_and_edited() -> None:
    pool = "  {}:\n    size: 5  # VMs\n    volume: {{size: 50, type: gp3}}\n    health: {{boot: 20m}}\n"
    text = "pools:\n" + "".join(pool.format(f"p{number}") for number in range(100))
    edited = edit_lab(text, {"pools.p50.size": 7})
    assert [name for name, declared in parse_lab(edited).lab.pools.items() if declared.size == 7] == ["p50"]
