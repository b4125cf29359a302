"""Messages of Terraform's plugin protocol 6, built at import from one table: no protoc, no generated files.

The field numbers are those of `tfplugin6.proto` in Terraform's documentation; fields that this server neither reads
nor writes are left out (protobuf skips them). Read by the servicer, the schema and the server.
"""

from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

# One message a line, fields as "name number type"; s string, b bytes, B bool, i int64, a capital word another message,
# `*` repeated, `map:X` a map from string to X, an indented line goes on. Enums are int64 here: both are varints.
_MESSAGES = """
DynamicValue: msgpack 1 b; json 2 b
Step: attribute_name 1 s; element_key_string 2 s; element_key_int 3 i
AttributePath: steps 1 Step*
Diagnostic: severity 1 i; summary 2 s; detail 3 s; attribute 4 AttributePath
RawState: json 1 b
Block: version 1 i; attributes 2 Attribute*; block_types 3 NestedBlock*
Attribute: name 1 s; type 2 b; required 4 B; optional 5 B; computed 6 B; sensitive 7 B
NestedBlock: type_name 1 s; block 2 Block; nesting 3 i; min_items 4 i; max_items 5 i
Schema: version 1 i; block 2 Block
ServerCapabilities: plan_destroy 1 B; get_provider_schema_optional 2 B; move_resource_state 3 B
Empty:
TypeName: type_name 1 s
MetadataResponse: server_capabilities 1 ServerCapabilities; diagnostics 2 Diagnostic*; data_sources 3 TypeName*;
  resources 4 TypeName*
SchemaResponse: provider 1 Schema; resource_schemas 2 map:Schema; data_source_schemas 3 map:Schema; diagnostics 4
  Diagnostic*; provider_meta 5 Schema; server_capabilities 6 ServerCapabilities
ConfigRequest: config 1 DynamicValue
ValidateProviderResponse: diagnostics 2 Diagnostic*
TypedConfigRequest: type_name 1 s; config 2 DynamicValue
DiagnosticsResponse: diagnostics 1 Diagnostic*
UpgradeRequest: type_name 1 s; version 2 i; raw_state 3 RawState
UpgradeResponse: upgraded_state 1 DynamicValue; diagnostics 2 Diagnostic*
ConfigureRequest: terraform_version 1 s; config 2 DynamicValue
ReadRequest: type_name 1 s; current_state 2 DynamicValue; private 3 b
ReadResponse: new_state 1 DynamicValue; diagnostics 2 Diagnostic*; private 3 b
PlanRequest: type_name 1 s; prior_state 2 DynamicValue; proposed_new_state 3 DynamicValue; config 4 DynamicValue;
  prior_private 5 b
PlanResponse: planned_state 1 DynamicValue; requires_replace 2 AttributePath*; planned_private 3 b; diagnostics 4
  Diagnostic*; legacy_type_system 5 B
ApplyRequest: type_name 1 s; prior_state 2 DynamicValue; planned_state 3 DynamicValue; config 4 DynamicValue;
  planned_private 5 b
ApplyResponse: new_state 1 DynamicValue; private 2 b; diagnostics 3 Diagnostic*; legacy_type_system 4 B
ImportRequest: type_name 1 s; id 2 s
ImportedResource: type_name 1 s; state 2 DynamicValue; private 3 b
ImportResponse: imported_resources 1 ImportedResource*; diagnostics 2 Diagnostic*
ReadDataRequest: type_name 1 s; config 2 DynamicValue
ReadDataResponse: state 1 DynamicValue; diagnostics 2 Diagnostic*
StopResponse: Error 1 s
"""

# procedure: (request, response), as in the service `tfplugin6.Provider`
PROCEDURES: Mapping[str, tuple[str, str]] = {
    "GetMetadata": ("Empty", "MetadataResponse"),
    "GetProviderSchema": ("Empty", "SchemaResponse"),
    "ValidateProviderConfig": ("ConfigRequest", "ValidateProviderResponse"),
    "ValidateResourceConfig": ("TypedConfigRequest", "DiagnosticsResponse"),
    "ValidateDataResourceConfig": ("TypedConfigRequest", "DiagnosticsResponse"),
    "UpgradeResourceState": ("UpgradeRequest", "UpgradeResponse"),
    "ConfigureProvider": ("ConfigureRequest", "DiagnosticsResponse"),
    "ReadResource": ("ReadRequest", "ReadResponse"),
    "PlanResourceChange": ("PlanRequest", "PlanResponse"),
    "ApplyResourceChange": ("ApplyRequest", "ApplyResponse"),
    "ImportResourceState": ("ImportRequest", "ImportResponse"),
    "ReadDataSource": ("ReadDataRequest", "ReadDataResponse"),
    "StopProvider": ("Empty", "StopResponse"),
}

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {"s": _Field.TYPE_STRING, "b": _Field.TYPE_BYTES, "B": _Field.TYPE_BOOL, "i": _Field.TYPE_INT64}
_PACKAGE = "lablink_tfplugin6"


def _add_field(message: descriptor_pb2.DescriptorProto, text: str) -> None:
    name, number, kind = text.split()
    field = message.field.add(name=name, number=int(number), label=_Field.LABEL_OPTIONAL)
    if kind.startswith("map:"):
        entry = "".join(part.capitalize() for part in name.split("_")) + "Entry"
        pair = message.nested_type.add(name=entry)
        pair.options.map_entry = True
        _add_field(pair, "key 1 s")
        _add_field(pair, f"value 2 {kind[4:]}")
        kind = f"{message.name}.{entry}*"
    if kind.endswith("*"):
        kind, field.label = kind[:-1], _Field.LABEL_REPEATED
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"


def _build_messages() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name=f"{_PACKAGE}.proto", package=_PACKAGE, syntax="proto3")
    for line in _MESSAGES.replace("\n  ", " ").strip().splitlines():
        name, _, fields = line.partition(":")
        message = file.message_type.add(name=name)
        for text in filter(None, (part.strip() for part in fields.split(";"))):
            _add_field(message, text)
        if name == "Step":  # a oneof, so that the index 0 keeps its presence
            message.oneof_decl.add(name="selector")
            for field in message.field:
                field.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        message.name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{message.name}"))
        for message in file.message_type
    }


_CLASSES = _build_messages()


def __getattr__(name: str) -> Any:
    """Message classes by their name in the table: `wire.Schema(version=1)`."""
    try:
        return _CLASSES[name]
    except KeyError:
        raise AttributeError(f"plugin protocol 6 has no message {name} in the table of {__name__}") from None
