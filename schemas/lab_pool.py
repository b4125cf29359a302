"""A pool of client VMs as `lablink.yaml` declares it; part of `schemas.lab`, which checks it against the whole."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    Tag,
    model_validator,
)
from pydantic_core import core_schema

from schemas.aws_values import AmiId, AmiSource, Cidr, Gigabytes, InstanceType, OptionalRegion, Region, Zone
from schemas.cron import Cron, TimeZone
from schemas.frozen import Frozen
from schemas.values import (
    Duration,
    Extension,
    Flag,
    Image,
    Line,
    Moment,
    PositiveDuration,
    RelativePath,
    Repository,
    Size,
    SoftwareName,
    Written,
    parse_duration,
    refuse,
    unique,
)


class OneOrSeveral:
    """Annotation of a list that may be written as its only entry."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(
            lambda value: (value,) if isinstance(value, str) else value, handler(source)
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        several = handler(schema)
        return {"anyOf": [several["items"], several]}


AccessCode = Annotated[str, Written(r"[!-~]{4,100}", "must be 4 to 100 letters, digits and signs without spaces")]


class Declared(Frozen):
    """Base of every part of the document. Attribute docstrings become the descriptions that editors show."""

    model_config = ConfigDict(
        use_attribute_docstrings=True, populate_by_name=True, serialize_by_alias=True, hide_input_in_errors=True
    )


class Demand(Declared):
    """An elastic size: assigned + waiting + spare, clamped to `min` and `max`."""

    min: Size = 0
    """VMs that are always there."""
    max: Size
    """VMs that are never exceeded."""
    spare: Size = 0
    """Ready VMs kept beside the assigned ones."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise refuse(f"min ({self.min}) must not be above max ({self.max})")
        return self


class Volume(Declared):
    """The root volume of a VM."""

    size: Gigabytes = 50
    """GiB."""
    type: Literal["gp3", "gp2"] = "gp3"


class StartupScript(Declared):
    """A script that runs on each VM before its container starts."""

    path: RelativePath
    """File, relative to `lablink.yaml`."""
    on_error: Literal["continue", "fail"] = "continue"
    """What a failing script means: `fail` makes the VM failed, and it is replaced."""


class Ssh(Declared):
    """Who reaches port 22 beside the allocator."""

    ingress: Annotated[tuple[Cidr, ...], OneOrSeveral()] = ()
    """Networks in CIDR notation; empty: closed."""


WindowEnd = Literal["drain", "end", "keep"]


class Window(Declared):
    """From one moment to another, the pool has this size."""

    name: Line = ""
    from_at: Moment = Field(alias="from")
    """When it begins, with its offset from UTC: 2026-12-01T09:00-08:00."""
    to_at: Moment = Field(alias="to")
    """When it ends."""
    size: Size
    """How many VMs there are within the window, whatever `size` says. Where windows overlap, the largest of their sizes holds."""
    lead: Duration = parse_duration("0s")
    """How long before `from` the VMs start to be made."""
    end: WindowEnd = "drain"
    """Afterwards, of VMs above the ordinary size: `drain` ends each once it is free, `end` also ends the sessions of those who came within the window, `keep` lets them stay until the pool's next edit or window."""

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.to_at <= self.from_at:
            raise refuse("`to` must be after `from`")
        return self


class CronWindow(Declared):
    """At each time that `cron` names, for a while, the pool has this size."""

    name: Line = ""
    cron: Cron
    """Minute, hour, day of month, month, day of week: `0 9 * * mon-fri`."""
    lasts: PositiveDuration = Field(alias="for")
    """How long each window lasts."""
    timezone: TimeZone = "UTC"
    """Name in the IANA time zone database."""
    size: Size
    """How many VMs there are within the window, whatever `size` says. Where windows overlap, the largest of their sizes holds."""
    lead: Duration = parse_duration("0s")
    """How long before the window the VMs start to be made."""
    end: WindowEnd = "drain"
    """Afterwards, of VMs above the ordinary size: `drain` ends each once it is free, `end` also ends the sessions of those who came within the window, `keep` lets them stay until the pool's next edit or window."""


class Session(Declared):
    """What ends an assignment, and what then becomes of the VM."""

    max: PositiveDuration | None = None
    """The longest that an assignment lasts."""
    idle: PositiveDuration | None = None
    """How long the software may be unused before the assignment ends."""
    extend: Duration = parse_duration("30m")
    """By how much people may push the end by `max` themselves, in its last half hour and while nobody waits; `0s`: not at all."""
    after: Literal["replace", "reboot", "keep"] = "replace"
    """What becomes of the VM: `replace` it by a new one, `reboot` it and offer it again, or `keep` it running and offer it again. The next person gets a new container in any case; what changed outside of it stays unless the VM is replaced."""


class Update(Declared):
    """How outdated VMs are replaced."""

    surge: Size = 1
    """VMs above the size while replacing."""
    unavailable: Size = 1
    """VMs that may be missing from the size while replacing."""
    assigned: Literal["wait", "drain"] = "wait"
    """Outdated VMs in use: `wait` for their release, or `drain` them."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not self.surge and not self.unavailable:
            raise refuse("surge and unavailable cannot both be 0: no VM could ever be replaced")
        return self


class Health(Declared):
    """When a VM counts as broken, and what follows."""

    boot: PositiveDuration = parse_duration("20m")
    """From launch to ready; longer is a failed start."""
    silent: PositiveDuration = parse_duration("5m")
    """Without a word from the VM."""
    gpu: Literal["require", "ignore"] = "require"
    """Whether a VM with a GPU whose GPU does not work is broken."""
    abandoned: PositiveDuration | None = parse_duration("24h")
    """A VM that nobody uses shuts itself down when LabLink was silent for that long; null: never."""
    reboot_first: Flag = False
    """Try a reboot before a replacement."""
    assigned: Literal["notify", "replace"] = "notify"
    """A broken VM in use: tell its person and an admin (`notify`), or also give the person another one after five minutes (`replace`)."""


def _by_shape(value: Any) -> str:
    """Picks the one branch that an error message is about."""
    return "mapping" if isinstance(value, (dict, Demand)) else "plain"


def _by_cron(value: Any) -> str:
    """The branch's name stands in pydantic's locations, where a key of the document would be taken for the value under it."""
    return "by cron" if isinstance(value, CronWindow) or (isinstance(value, dict) and "cron" in value) else "by dates"


AnySize = Annotated[Annotated[Size, Tag("plain")] | Annotated[Demand, Tag("mapping")], Discriminator(_by_shape)]
Ami = Annotated[
    Annotated[AmiSource, Tag("plain")] | Annotated[dict[Region, AmiId], Tag("mapping")], Discriminator(_by_shape)
]
AnyWindow = Annotated[
    Annotated[Window, Tag("by dates")] | Annotated[CronWindow, Tag("by cron")], Discriminator(_by_cron)
]


class Pool(Declared):
    """VMs that are alike. `region` is the deployment's where the file leaves it out: after `Lab` it is never empty."""

    size: AnySize = 0
    """How many VMs: a number, or {min, max, spare}."""
    instance_type: Annotated[
        tuple[InstanceType, ...],
        Field(min_length=1, max_length=10),
        AfterValidator(unique("instance type")),
        OneOrSeveral(),
    ] = ("g4dn.xlarge",)
    """EC2 instance type, or several in order of preference for when capacity lacks."""
    zones: Annotated[
        tuple[Zone, ...],
        Field(max_length=20),
        AfterValidator(unique("zone")),
        OneOrSeveral(),
    ] = ()
    """Availability zones to try; empty: any."""
    region: OptionalRegion = ""
    """AWS region of this pool; left out: the deployment's."""
    market: Literal["on-demand", "spot"] = "on-demand"
    """`spot` is cheaper, and AWS takes VMs back two minutes after saying so: free ones are replaced, people are warned and given another."""
    ami: Ami = {"us-west-2": "ami-0601752c11b394251"}
    """AMI id, a mapping from regions to AMI ids, or an SSM parameter path."""
    volume: Volume = Volume()
    image: Image = "ghcr.io/talmolab/lablink-client-base-image:linux-amd64-v0.1.2"
    """Container image of the desktop."""
    repository: Repository = ""
    """Git repository that the desktop begins with; empty: none."""
    software: SoftwareName = ""
    """The process whose running means "in use"."""
    extension: Extension = ""
    """Extension of the files that an admin can collect, without the dot."""
    startup_script: StartupScript | None = None
    ssh: Ssh = Ssh()
    schedule: tuple[AnyWindow, ...] = ()
    """Windows that override `size`."""
    session: Session = Session()
    update: Update = Update()
    health: Health = Health()
    drift: Literal["report", "correct"] = "report"
    """Instances that were changed behind our back: `report` tells of them, `correct` also replaces free ones; who has one keeps it."""
    access_code: AccessCode | None = None
    """What users must know to request from this pool."""
    paused: Flag = False
    """Observe and report only."""
    orphans: Literal["report", "terminate"] = "report"
    """Tagged instances that nothing explains: `terminate` ends them after a day."""

    @property
    def declared_ami(self) -> str:
        """The AMI id or SSM parameter that is declared for the pool's region."""
        return self.ami if isinstance(self.ami, str) else self.ami[self.region]

    @property
    def literal_ami(self) -> str | None:
        """The AMI id, where one is declared; None for a parameter, which AWS has to be asked for."""
        return None if self.declared_ami.startswith("/") else self.declared_ami

    @property
    def ami_source(self) -> str:
        """What an AMI is pinned for. The same parameter stands for another AMI in each region."""
        return self.literal_ami or f"{self.region}:{self.declared_ami}"
