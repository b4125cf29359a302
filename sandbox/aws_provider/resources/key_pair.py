"""`aws_key_pair`: the public half of a key, imported into EC2."""

from typing import Any

from sandbox.aws_provider.core import State, Tagged, fresh_name, read_tags
from sandbox.aws_provider.plan import Plan
from sandbox.aws_provider.resources.ec2_tags import retag, tag_specifications
from sandbox.aws_provider.schema import Rules


class KeyPair(Tagged):
    """A key pair; its id is its name."""

    type_name = "aws_key_pair"
    noun = "EC2 Key Pair"
    gone_codes = frozenset({"InvalidKeyPair.NotFound"})
    rules = Rules(replaced_by=frozenset({"key_name", "key_name_prefix", "public_key", "region"}))

    def adjust(self, plan: Plan, prior: State | None) -> None:
        """A comment behind the key, which AWS does not keep, is no other key."""
        if prior and ("public_key",) in plan.replace and _key_of(prior) == _key_of(plan.state):
            plan.replace.remove(("public_key",))
            plan.changed.discard("public_key")
            plan.state["public_key"] = prior["public_key"]

    def create(self, planned: State) -> str:
        made = self.client("ec2").import_key_pair(
            KeyName=fresh_name(planned, "key_name", "key_name_prefix"),
            PublicKeyMaterial=planned["public_key"].encode(),
            TagSpecifications=tag_specifications("key-pair", planned["tags_all"]),
        )
        return str(made["KeyName"])

    def read(self, state: State) -> State | None:
        found: dict[str, Any] = self.client("ec2").describe_key_pairs(KeyNames=[state["id"]], IncludePublicKey=True)
        pair = found["KeyPairs"][0]
        return {
            "arn": self.cloud.arn("ec2", f"key-pair/{pair['KeyName']}", self.region),
            "key_name": pair["KeyName"],
            "key_name_prefix": state.get("key_name_prefix") or "",
            "key_pair_id": pair["KeyPairId"],
            "key_type": pair.get("KeyType", "rsa"),
            "fingerprint": pair["KeyFingerprint"],
            "public_key": state.get("public_key") or pair.get("PublicKey"),
            **self.split_tags(state, read_tags(pair.get("Tags"))),
        }

    def update(self, prior: State, planned: State, changed: set[str]) -> None:
        retag(self.client("ec2"), prior["key_pair_id"], prior, planned)

    def delete(self, state: State) -> None:
        self.client("ec2").delete_key_pair(KeyName=state["id"])


def _key_of(state: State) -> list[str]:
    """Kind and body of a key in OpenSSH's notation."""
    return str(state["public_key"]).split()[:2]
