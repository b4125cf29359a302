"""S3: `aws_s3_bucket` and the types that each set one part of a bucket; all their ids are the bucket's name."""

from typing import Any, ClassVar

from sandbox.aws_provider.core import Resource, State, Tagged, fresh_name, read_tags, render_tags
from sandbox.aws_provider.errors import CloudError, ProviderError, read_code
from sandbox.aws_provider.resources.mapped import dig
from sandbox.aws_provider.schema import Rules, words

_GONE = frozenset({"NoSuchBucket", "404"})
_HOME = "us-east-1"  # the one region that S3 does not want to be told


class Bucket(Tagged):
    """A bucket; with something in it, it is deleted by force alone."""

    type_name = "aws_s3_bucket"
    noun = "S3 Bucket"
    gone_codes = _GONE
    rules = Rules(
        replaced_by=words("bucket bucket_prefix object_lock_enabled region"),
        defaults={"force_destroy": False},
        computed_blocks=words(
            "cors_rule grant lifecycle_rule logging object_lock_configuration replication_configuration "
            "server_side_encryption_configuration versioning website"
        ),
    )

    def create(self, planned: State) -> str:
        name = fresh_name(planned, "bucket", "bucket_prefix")
        place = {} if self.region == _HOME else {"CreateBucketConfiguration": {"LocationConstraint": self.region}}
        self.client("s3").create_bucket(Bucket=name, **place)
        return name

    def complete(self, identity: str, planned: State) -> None:
        self._write_tags(identity, planned)

    def read(self, state: State) -> State | None:
        name = state["id"]
        self.client("s3").head_bucket(Bucket=name)
        return {
            "bucket": name,
            "arn": f"arn:aws:s3:::{name}",
            "bucket_domain_name": f"{name}.s3.amazonaws.com",
            "bucket_regional_domain_name": f"{name}.s3.{self.region}.amazonaws.com",
            "bucket_region": self.region,
            **self.split_tags(state, self._read_tags(name)),
        }

    def update(self, prior: State, planned: State, changed: set[str]) -> None:
        if "tags_all" in changed:
            self._write_tags(prior["id"], planned)

    def delete(self, state: State) -> None:
        s3, name = self.client("s3"), state["id"]
        if state["force_destroy"]:
            # moto deletes single versions, and delete markers, only while versioning is on; AWS always does.
            s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
            for page in s3.get_paginator("list_object_versions").paginate(Bucket=name):
                for one in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
                    s3.delete_object(Bucket=name, Key=one["Key"], VersionId=one["VersionId"])
        s3.delete_bucket(Bucket=name)

    def _read_tags(self, name: str) -> dict[str, str]:
        try:
            return read_tags(self.client("s3").get_bucket_tagging(Bucket=name)["TagSet"])
        except CloudError as error:
            if read_code(error) != "NoSuchTagSet":
                raise
            return {}

    def _write_tags(self, name: str, planned: State) -> None:
        if planned["tags_all"]:
            self.client("s3").put_bucket_tagging(Bucket=name, Tagging={"TagSet": render_tags(planned["tags_all"])})
        else:
            self.client("s3").delete_bucket_tagging(Bucket=name)


class _Part(Resource):
    """One part of a bucket: a call puts it, one gets it, one takes it away."""

    name: ClassVar[str]  # as in put_bucket_…, get_bucket_…, delete_bucket_…
    method: ClassVar[str] = "bucket_{}"
    deletes: ClassVar[str] = ""  # where the method is not called like the others; "-": AWS has none
    found: ClassVar[str]  # what of the answer tells that it is there
    gone_codes = _GONE

    def put(self, planned: State) -> dict[str, Any]:
        raise NotImplementedError

    def look(self, found: Any) -> State:
        """Attributes as AWS has them; what is not looked at stays as planned."""
        return {}

    def create(self, planned: State) -> str:
        self._call("put", planned["bucket"], **self.put(planned))
        return str(planned["bucket"])

    def read(self, state: State) -> State | None:
        found = dig(self._call("get", state["id"]), self.found)
        return None if found is None else {"bucket": state["id"], **self.look(found)}

    def update(self, prior: State, planned: State, changed: set[str]) -> None:
        self._call("put", prior["id"], **self.put(planned))

    def delete(self, state: State) -> None:
        if self.deletes != "-":
            self._call("delete", state["id"])

    def _call(self, verb: str, bucket: str, **arguments: Any) -> Any:
        part = self.deletes if verb == "delete" and self.deletes else self.name
        return getattr(self.client("s3"), f"{verb}_{self.method.format(part)}")(Bucket=bucket, **arguments)


class Versioning(_Part):
    """Whether a bucket keeps earlier versions; once on, it is only ever suspended."""

    type_name = "aws_s3_bucket_versioning"
    noun = "S3 Bucket Versioning"
    name = "versioning"
    found = "Status"
    rules = Rules(replaced_by=words("bucket expected_bucket_owner region"))

    def put(self, planned: State) -> dict[str, Any]:
        return {"VersioningConfiguration": {"Status": planned["versioning_configuration"][0]["status"]}}

    def look(self, found: Any) -> State:
        return {"versioning_configuration": [{"status": found, "mfa_delete": ""}]}

    def delete(self, state: State) -> None:
        self._call("put", state["id"], VersioningConfiguration={"Status": "Suspended"})


class Encryption(_Part):
    """How what lies in a bucket is encrypted."""

    type_name = "aws_s3_bucket_server_side_encryption_configuration"
    noun = "S3 Bucket Server-side Encryption Configuration"
    name = "encryption"
    found = "ServerSideEncryptionConfiguration.Rules"
    rules = Rules(replaced_by=words("bucket expected_bucket_owner region"))
    gone_codes = _GONE | {"ServerSideEncryptionConfigurationNotFoundError"}

    def put(self, planned: State) -> dict[str, Any]:
        rules = []
        for rule in planned["rule"]:
            default = rule["apply_server_side_encryption_by_default"][0]
            key = {"KMSMasterKeyID": default["kms_master_key_id"]} if default["kms_master_key_id"] else {}
            algorithm = {"SSEAlgorithm": default["sse_algorithm"], **key}
            rules.append(
                {
                    "ApplyServerSideEncryptionByDefault": algorithm,
                    "BucketKeyEnabled": bool(rule["bucket_key_enabled"]),
                }
            )
        return {"ServerSideEncryptionConfiguration": {"Rules": rules}}


_SWITCHES = {
    "block_public_acls": "BlockPublicAcls",
    "block_public_policy": "BlockPublicPolicy",
    "ignore_public_acls": "IgnorePublicAcls",
    "restrict_public_buckets": "RestrictPublicBuckets",
}


class PublicAccessBlock(_Part):
    """What keeps a bucket from the public."""

    type_name = "aws_s3_bucket_public_access_block"
    noun = "S3 Bucket Public Access Block"
    name = "public_access_block"
    method = "{}"
    found = "PublicAccessBlockConfiguration"
    rules = Rules(replaced_by=words("bucket region"), defaults=dict.fromkeys(_SWITCHES, False))
    gone_codes = _GONE | {"NoSuchPublicAccessBlockConfiguration"}

    def put(self, planned: State) -> dict[str, Any]:
        return {"PublicAccessBlockConfiguration": {key: bool(planned[name]) for name, key in _SWITCHES.items()}}

    def look(self, found: Any) -> State:
        return {name: found.get(key, False) for name, key in _SWITCHES.items()}


class LifeCycle(_Part):
    """What ends by itself in a bucket."""

    type_name = "aws_s3_bucket_lifecycle_configuration"
    noun = "S3 Bucket Lifecycle Configuration"
    name = "lifecycle_configuration"
    deletes = "lifecycle"
    found = "Rules"
    rules = Rules(replaced_by=words("bucket expected_bucket_owner region"))
    gone_codes = _GONE | {"NoSuchLifecycleConfiguration"}

    def put(self, planned: State) -> dict[str, Any]:
        return {"LifecycleConfiguration": {"Rules": [_render_rule(rule) for rule in planned["rule"]]}}


def _render_rule(rule: State) -> dict[str, Any]:
    rendered: dict[str, Any] = {"ID": rule["id"], "Status": rule["status"]}
    for block in rule["filter"] or []:
        if block["tag"] or block["and"]:
            raise ProviderError("The stand-in knows lifecycle filters by prefix alone", "Use filter { prefix = … }.")
        rendered["Filter"] = {"Prefix": block["prefix"] or ""}
    for block in rule["expiration"] or []:
        rendered["Expiration"] = {"Days": int(block["days"])}
    for block in rule["noncurrent_version_expiration"] or []:
        rendered["NoncurrentVersionExpiration"] = {"NoncurrentDays": int(block["noncurrent_days"])}
    for block in rule["abort_incomplete_multipart_upload"] or []:
        days = int(block["days_after_initiation"])
        rendered["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": days}
    return rendered


class BucketPolicy(_Part):
    """Who may do what with a bucket."""

    type_name = "aws_s3_bucket_policy"
    noun = "S3 Bucket Policy"
    name = "policy"
    found = "Policy"
    rules = Rules(replaced_by=words("bucket region"), json_documents=frozenset({"policy"}))
    gone_codes = _GONE | {"NoSuchBucketPolicy"}

    def put(self, planned: State) -> dict[str, Any]:
        return {"Policy": planned["policy"]}

    def look(self, found: Any) -> State:
        return {"policy": found}
