"""Which credentials a Terraform finds in its environment."""

from controller.terraform import choose_environment, put_keys
from schemas.credentials import AwsKeys

KEYS = AwsKeys(access_key_id="AKIAEXAMPLEEXAMPLE01", secret_access_key="x" * 40)
MIXED = {
    "PATH": "/bin",
    "AWS_REGION": "us-west-2",
    "AWS_PROFILE": "somebody",
    "AWS_SESSION_TOKEN": "of other keys",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "/token",
    "AWS_ACCESS_KEY_ID": "other",
    "LABLINK_ENCRYPTION_KEY": "never",
}


def test_keys_that_are_set_are_the_only_way() -> None:
    found = put_keys(choose_environment(MIXED), KEYS)
    assert found["AWS_ACCESS_KEY_ID"] == KEYS.access_key_id
    assert found["AWS_SECRET_ACCESS_KEY"] == KEYS.secret_access_key
    assert found["AWS_REGION"] == "us-west-2"
    assert (
        not {"AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_WEB_IDENTITY_TOKEN_FILE", "LABLINK_ENCRYPTION_KEY"} & found.keys()
    )


def test_session_token_goes_with_its_keys() -> None:
    temporary = KEYS.model_copy(update={"session_token": "of these keys"})
    assert put_keys(MIXED, temporary)["AWS_SESSION_TOKEN"] == "of these keys"


def test_without_keys_all_stays() -> None:
    assert put_keys(MIXED, None) == MIXED


def test_terraform_tells_its_log_to_a_file_or_not_at_all() -> None:
    wordy = {"TF_LOG": "TRACE", "TF_LOG_PROVIDER": "DEBUG"}
    assert not wordy.keys() & choose_environment(MIXED | wordy).keys()
    to_file = wordy | {"TF_LOG_PATH": "/var/log/terraform.log"}
    assert choose_environment(to_file).items() >= to_file.items()
