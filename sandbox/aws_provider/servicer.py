"""The provider's side of plugin protocol 6: one method for each procedure of `tfplugin6.Provider`.

Called by the gRPC server from many threads. Several terraforms, and several aliases within one, share it: each is one
connection, so the configuration is kept by peer. Errors become diagnostics here and nowhere else.
"""

import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from sandbox.aws_provider import wire
from sandbox.aws_provider.catalog import Catalog, ResourceType
from sandbox.aws_provider.cloud import ClientPool, Cloud, Fallbacks
from sandbox.aws_provider.core import Resource, State
from sandbox.aws_provider.errors import CloudError, ProviderError, render_cloud_error
from sandbox.aws_provider.plan import plan_change
from sandbox.aws_provider.schema import Block
from sandbox.aws_provider.values import UNKNOWN, decode, encode, is_known, settle, without_unknowns

_log = logging.getLogger(__name__)
_MOST_PEERS = 1024  # connections remembered; a run of terraform opens about three
_ERROR = 1


def _attribute_path(*steps: str | int) -> Any:
    kinds = {str: "attribute_name", int: "element_key_int"}
    return wire.AttributePath(steps=[wire.Step(**{kinds[type(step)]: step}) for step in steps])


@contextmanager
def _reported(response: Any, doing: str) -> Iterator[None]:
    """Turns what is raised inside into a diagnostic of the response."""
    try:
        yield
    except ProviderError as refusal:
        diagnostic = response.diagnostics.add(severity=_ERROR, summary=refusal.summary, detail=refusal.detail)
        if refusal.attribute:
            diagnostic.attribute.CopyFrom(_attribute_path(refusal.attribute))
    except CloudError as error:
        response.diagnostics.add(severity=_ERROR, summary=f"{doing}: {render_cloud_error(error)}")
    except Exception as error:  # a mistake of ours ends this one call, not the server
        _log.exception("%s failed inside the provider", doing)
        response.diagnostics.add(severity=_ERROR, summary=f"{doing}: {type(error).__name__}: {error}")


def _refuse_read_only(block: Block, config: State) -> None:
    name = block.find_read_only(config)
    if name:
        detail = f'Can\'t configure a value for "{name}": its value will be decided automatically by applying this.'
        raise ProviderError("Value for unconfigurable attribute", detail, name)


def _changed(block: Block, prior: State, planned: State) -> set[str]:
    return {name for name, item in block.members().items() if not item.same(prior.get(name), planned.get(name))}


def _keep_equal(block: Block, before: State, now: State) -> State:
    """What means the same as before stays as it was written: no drift is shown for another order or notation."""
    for name, member in block.members().items():
        if name in before and member.same(before[name], now[name]):
            now[name] = before[name]
    return now


class Servicer:
    """Answers Terraform with the types of a catalog."""

    def __init__(self, catalog: Catalog, fallbacks: Fallbacks) -> None:
        self._catalog = catalog
        self._fallbacks = fallbacks
        self._pool = ClientPool()
        self._lock = threading.Lock()
        self._clouds: OrderedDict[str, Cloud] = OrderedDict()

    def _cloud(self, context: Any) -> Cloud:
        try:
            return self._clouds[context.peer()]
        except KeyError:
            raise ProviderError("The provider is not configured", "Terraform calls ConfigureProvider first.") from None

    def _take_resource(self, type_: ResourceType, state: State, context: Any) -> Resource:
        region = state.get("region")
        return type_.implementation(self._cloud(context), region if isinstance(region, str) else None)

    @cached_property
    def _schemas(self) -> Any:
        response = wire.SchemaResponse(provider=self._catalog.provider.to_schema_message())
        for name, resource in self._catalog.resources.items():
            response.resource_schemas[name].CopyFrom(resource.block.to_schema_message())
        for name, data_source in self._catalog.data_sources.items():
            response.data_source_schemas[name].CopyFrom(data_source.block.to_schema_message())
        response.server_capabilities.get_provider_schema_optional = True
        return response

    def stop(self) -> None:
        """Ends all waiting on AWS, for the end of this process."""
        for cloud in list(self._clouds.values()):
            cloud.stop()

    def GetMetadata(self, request: Any, context: Any) -> Any:
        response = wire.MetadataResponse()
        response.server_capabilities.get_provider_schema_optional = True
        for name in self._catalog.resources:
            response.resources.add(type_name=name)
        for name in self._catalog.data_sources:
            response.data_sources.add(type_name=name)
        return response

    def GetProviderSchema(self, request: Any, context: Any) -> Any:
        return self._schemas

    def ValidateProviderConfig(self, request: Any, context: Any) -> Any:
        return wire.ValidateProviderResponse()

    def ValidateResourceConfig(self, request: Any, context: Any) -> Any:
        response = wire.DiagnosticsResponse()
        with _reported(response, f"validating {request.type_name}"):
            type_, config = self._catalog.resources[request.type_name], decode(request.config)
            _refuse_read_only(type_.block, config)
            type_.implementation.check(config)
        return response

    def ValidateDataResourceConfig(self, request: Any, context: Any) -> Any:
        response = wire.DiagnosticsResponse()
        with _reported(response, f"validating data.{request.type_name}"):
            _refuse_read_only(self._catalog.data_sources[request.type_name].block, decode(request.config))
        return response

    def ConfigureProvider(self, request: Any, context: Any) -> Any:
        response = wire.DiagnosticsResponse()
        with _reported(response, "configuring the provider"):
            config = self._catalog.provider.fill(without_unknowns(decode(request.config)))
            cloud = Cloud(config, self._fallbacks, self._pool)
            with self._lock:
                self._clouds[context.peer()] = cloud
                self._clouds.move_to_end(context.peer())
                if len(self._clouds) > _MOST_PEERS:
                    self._clouds.popitem(last=False)
        return response

    def StopProvider(self, request: Any, context: Any) -> Any:
        cloud = self._clouds.get(context.peer())
        if cloud:
            cloud.stop()
        return wire.StopResponse()

    def UpgradeResourceState(self, request: Any, context: Any) -> Any:
        response = wire.UpgradeResponse()
        with _reported(response, f"reading the state of {request.type_name}"):
            block = self._catalog.resources[request.type_name].block
            response.upgraded_state.CopyFrom(encode(block.fill(json.loads(request.raw_state.json))))
        return response

    def ReadResource(self, request: Any, context: Any) -> Any:
        response = wire.ReadResponse(private=request.private, new_state=request.current_state)
        type_, state = self._catalog.resources[request.type_name], decode(request.current_state)
        with _reported(response, f"reading {type_.implementation.noun} ({state.get('id')})"):
            actual = _read(self._take_resource(type_, state, context), state)
            if actual is None:
                response.new_state.CopyFrom(encode(None))
            else:
                now = type_.block.fill({**state, **actual})
                response.new_state.CopyFrom(encode(_keep_equal(type_.block, state, now)))
        return response

    def PlanResourceChange(self, request: Any, context: Any) -> Any:
        response = wire.PlanResponse(planned_private=request.prior_private, legacy_type_system=True)
        type_ = self._catalog.resources[request.type_name]
        prior, proposed = decode(request.prior_state), decode(request.proposed_new_state)
        with _reported(response, f"planning {type_.implementation.noun}"):
            if proposed is not None:
                config = decode(request.config)
                resource = self._take_resource(type_, proposed, context)
                if "region" in type_.block.attributes and proposed["region"] is None:
                    proposed["region"] = resource.region
                resource.propose(prior, proposed, config)
                plan = plan_change(type_.block, prior, proposed, config)
                resource.adjust(plan, prior)
                response.requires_replace.extend(_attribute_path(*path) for path in plan.replace)
                proposed = plan.state
            response.planned_state.CopyFrom(encode(proposed))
        return response

    def ApplyResourceChange(self, request: Any, context: Any) -> Any:
        response = wire.ApplyResponse(private=request.planned_private, legacy_type_system=True)
        type_ = self._catalog.resources[request.type_name]
        prior, planned = decode(request.prior_state), decode(request.planned_state)
        if planned is None:
            self._destroy(type_, prior, response, context)
        elif prior is None:
            self._create(type_, planned, response, context)
        else:
            self._update(type_, prior, planned, response, context)
        return response

    def _create(self, type_: ResourceType, planned: State, response: Any, context: Any) -> None:
        noun = type_.implementation.noun
        response.new_state.CopyFrom(encode(None))
        identity = ""
        with _reported(response, f"creating {noun}"):
            resource = self._take_resource(type_, planned, context)
            identity = resource.create(planned)
        if not identity:
            return
        if not context.is_active():
            # Terraform was killed while AWS answered: nobody records this resource, only its tags tell of it.
            _log.warning("%s %s was created for a terraform that is gone", type_.implementation.type_name, identity)
        # until all is done, the state holds what is certain; Terraform marks it tainted because of the diagnostic
        response.new_state.CopyFrom(encode(type_.block.fill({**without_unknowns(planned), "id": identity})))
        with _reported(response, f"creating {noun} ({identity})"):
            resource.complete(identity, planned)
            response.new_state.CopyFrom(encode(_read_back(type_, resource, identity, planned)))

    def _update(self, type_: ResourceType, prior: State, planned: State, response: Any, context: Any) -> None:
        response.new_state.CopyFrom(encode(prior))
        with _reported(response, f"updating {type_.implementation.noun} ({prior['id']})"):
            resource = self._take_resource(type_, prior, context)
            resource.update(prior, planned, _changed(type_.block, prior, planned))
            response.new_state.CopyFrom(encode(_read_back(type_, resource, prior["id"], planned)))

    def _destroy(self, type_: ResourceType, prior: State, response: Any, context: Any) -> None:
        response.new_state.CopyFrom(encode(prior))
        kind = type_.implementation
        with _reported(response, f"{kind.removal} {kind.noun} ({prior['id']})"):
            resource = self._take_resource(type_, prior, context)
            try:
                resource.delete(prior)
            except CloudError as error:
                if not resource.is_gone(error):
                    raise
            response.new_state.CopyFrom(encode(None))

    def ImportResourceState(self, request: Any, context: Any) -> Any:
        response = wire.ImportResponse()
        type_ = self._catalog.resources[request.type_name]
        with _reported(response, f"importing {type_.implementation.noun} ({request.id})"):
            identity, _, region = (
                request.id.partition("@") if "region" in type_.block.attributes else (request.id, "", "")
            )
            resource = self._take_resource(type_, {"region": region or None}, context)
            state = type_.block.fill({**type_.block.defaults(), **resource.import_(identity)})
            if "region" in state:
                state["region"] = resource.region
            response.imported_resources.add(type_name=request.type_name, state=encode(state))
        return response

    def ReadDataSource(self, request: Any, context: Any) -> Any:
        response = wire.ReadDataResponse()
        type_, config = self._catalog.data_sources[request.type_name], decode(request.config)
        with _reported(response, f"reading {type_.implementation.noun}"):
            source = type_.implementation(self._cloud(context), config.get("region"))
            if "region" in type_.block.attributes and config["region"] is None:
                config["region"] = source.region
            response.state.CopyFrom(encode(type_.block.fill({**config, **source.read(config)})))
        return response


def _read(resource: Resource, state: State) -> State | None:
    try:
        return resource.read(state)
    except CloudError as error:
        if resource.is_gone(error):
            return None
        raise


def _read_back(type_: ResourceType, resource: Resource, identity: str, planned: State) -> State:
    """The state after a create or update: as planned, and from AWS what was unknown."""
    expected = {**without_unknowns(planned), "id": identity}
    actual = _read(resource, expected)
    if actual is None:
        raise ProviderError(
            f"{type_.implementation.noun} {identity} vanished right after it was written", "Apply again."
        )
    planned = {**planned, "id": identity}
    actual = type_.block.fill({**expected, **actual})
    for name, nested in type_.block.blocks.items():
        if nested.nesting == "set" and not is_known(planned[name]):
            planned[name] = UNKNOWN  # a set's items have no place by which they could be paired
    state: State = type_.block.fill(without_unknowns(settle(planned, actual)))
    return state
