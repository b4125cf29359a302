"""All that the provider offers: schema and class of every resource type and data source.

`read_catalog` is called where a server starts. To simulate a further type, write its class and name it here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.aws_provider.core import DataSource, Resource, unsimulated, unsimulated_data
from sandbox.aws_provider.data_sources.account import CallerIdentity, Parameter, Partition, Region
from sandbox.aws_provider.data_sources.ec2 import AvailabilityZones, Image, Subnets, Vpc
from sandbox.aws_provider.data_sources.places import EipData, TypeOfferings, ZoneData
from sandbox.aws_provider.data_sources.policy_document import PolicyDocument
from sandbox.aws_provider.resources.alarms import Dashboard, MetricAlarm
from sandbox.aws_provider.resources.balancer import Listener, LoadBalancer, TargetGroup, TargetGroupAttachment
from sandbox.aws_provider.resources.bucket import (
    Bucket,
    BucketPolicy,
    Encryption,
    LifeCycle,
    PublicAccessBlock,
    Versioning,
)
from sandbox.aws_provider.resources.database import DbInstance, SubnetGroup
from sandbox.aws_provider.resources.dns import Record, Zone
from sandbox.aws_provider.resources.ebs import Volume, VolumeAttachment
from sandbox.aws_provider.resources.eip import Eip, EipAssociation
from sandbox.aws_provider.resources.functions import Function, Permission, Queue, SubscriptionFilter
from sandbox.aws_provider.resources.iam import InstanceProfile, Role, RolePolicy, RolePolicyAttachment
from sandbox.aws_provider.resources.iam_policy import ManagedPolicy
from sandbox.aws_provider.resources.instance import Instance
from sandbox.aws_provider.resources.key_pair import KeyPair
from sandbox.aws_provider.resources.log_group import LogGroup
from sandbox.aws_provider.resources.parameter import SsmParameter
from sandbox.aws_provider.resources.scaling import Group, LaunchTemplate
from sandbox.aws_provider.resources.security_group import SecurityGroup
from sandbox.aws_provider.resources.security_group_rule import EgressRule, IngressRule
from sandbox.aws_provider.resources.table import Table
from sandbox.aws_provider.schema import Block, read_block, read_published_schemas
from sandbox.aws_provider.settings import read_provider_block

RESOURCE_CLASSES: tuple[type[Resource], ...] = (
    Bucket,
    BucketPolicy,
    Dashboard,
    DbInstance,
    EgressRule,
    Eip,
    EipAssociation,
    Encryption,
    Function,
    Group,
    IngressRule,
    Instance,
    InstanceProfile,
    KeyPair,
    LaunchTemplate,
    LifeCycle,
    Listener,
    LoadBalancer,
    LogGroup,
    ManagedPolicy,
    MetricAlarm,
    Permission,
    PublicAccessBlock,
    Queue,
    Record,
    Role,
    RolePolicy,
    RolePolicyAttachment,
    SecurityGroup,
    SsmParameter,
    SubnetGroup,
    SubscriptionFilter,
    Table,
    TargetGroup,
    TargetGroupAttachment,
    Versioning,
    Volume,
    VolumeAttachment,
    Zone,
)
DATA_SOURCE_CLASSES: tuple[type[DataSource], ...] = (
    AvailabilityZones,
    CallerIdentity,
    EipData,
    Image,
    Parameter,
    Partition,
    PolicyDocument,
    Region,
    Subnets,
    TypeOfferings,
    Vpc,
    ZoneData,
)


@dataclass(frozen=True)
class ResourceType:
    """A resource type's schema, rules laid over it, and its class."""

    block: Block
    implementation: type[Resource]


@dataclass(frozen=True)
class DataSourceType:
    """A data source's schema and its class."""

    block: Block
    implementation: type[DataSource]


@dataclass(frozen=True)
class Catalog:
    """The provider as a whole; `version` is the real provider's whose schemas these are."""

    version: str
    provider: Block
    resources: Mapping[str, ResourceType]
    data_sources: Mapping[str, DataSourceType]


def _read_resource(name: str, document: Mapping[str, Any], classes: Mapping[str, type[Resource]]) -> ResourceType:
    found = classes.get(name)
    block = read_block(document, found.rules) if found else read_block(document)
    return ResourceType(block, found or unsimulated(name, block))


def _read_data_source(
    name: str, document: Mapping[str, Any], classes: Mapping[str, type[DataSource]]
) -> DataSourceType:
    block = read_block(document)
    return DataSourceType(block, classes.get(name) or unsimulated_data(name, block))


def read_catalog() -> Catalog:
    published = read_published_schemas()
    resources = {item.type_name: item for item in RESOURCE_CLASSES}
    data_sources = {item.type_name: item for item in DATA_SOURCE_CLASSES}
    return Catalog(
        version=published.version,
        provider=read_provider_block(),
        resources={name: _read_resource(name, document, resources) for name, document in published.resources.items()},
        data_sources={
            name: _read_data_source(name, document, data_sources) for name, document in published.data_sources.items()
        },
    )
