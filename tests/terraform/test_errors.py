"""What Terraform and AWS say, as typed causes with a sentence that tells what to do."""

import pytest

from controller.errors import ADVICE, SIGNS, UNCERTAIN, Cause, CloudError, classify, read_failures
from controller.result import FAILED, Result

RUN = "creating EC2 Instance: operation error EC2: RunInstances, https response error StatusCode: 400, RequestID: 1, api error "
WORDS = {
    RUN + "InsufficientInstanceCapacity: We currently do not have sufficient g4dn.xlarge capacity": Cause.CAPACITY,
    RUN + "RequestLimitExceeded: Request limit exceeded.": Cause.THROTTLING,
    RUN + "Throttling: Rate exceeded": Cause.THROTTLING,
    RUN + "VcpuLimitExceeded: You have requested more vCPU capacity than your limit": Cause.QUOTA,
    RUN + "InstanceLimitExceeded: You have requested more instances": Cause.QUOTA,
    RUN + "MaxSpotInstanceCountExceeded: Max spot instance count exceeded": Cause.QUOTA,
    RUN + "InvalidAMIID.NotFound: The image id '[ami-1]' does not exist": Cause.BAD_AMI,
    RUN + "InvalidAMIID.Malformed: Invalid id": Cause.BAD_AMI,
    RUN + "UnauthorizedOperation: You are not authorized": Cause.CREDENTIALS,
    RUN + "AuthFailure: AWS was not able to validate the provided access credentials": Cause.CREDENTIALS,
    RUN + "ExpiredToken: The security token included in the request is expired": Cause.CREDENTIALS,
    "InvalidClientTokenId: The security token included in the request is invalid": Cause.CREDENTIALS,
    "No valid credential sources found": Cause.CREDENTIALS,
    "Error acquiring the state lock": Cause.LOCK,
    "Failed to save state: write terraform.tfstate: no space left on device": Cause.STATE_DISK_FULL,
    "Saved plan is stale": Cause.STALE_PLAN,
    "waiting for EC2 Instance (i-1) create: timeout while waiting for state to become 'running'": Cause.TIMEOUT,
    "dial tcp 127.0.0.1:1: connect: connection refused": Cause.NETWORK,
    RUN.replace("400", "500") + "InternalError: An internal error has occurred": Cause.NETWORK,
    "execution halted": Cause.INTERRUPTED,
    "something else": Cause.UNKNOWN,
}


@pytest.mark.parametrize(("said", "cause"), WORDS.items())
def test_words_have_their_cause(said: str, cause: Cause) -> None:
    assert classify(said) is cause


def diagnostic(host: str, detail: str, severity: str = "error") -> dict[str, object]:
    address = f'aws_instance.vm["{host}"]'
    return {
        "type": "diagnostic",
        "diagnostic": {"severity": severity, "summary": "creating EC2 Instance", "detail": detail, "address": address},
    }


def test_a_failure_names_its_vm_and_what_to_do() -> None:
    (failure,) = read_failures([diagnostic("lab-1", "api error InsufficientInstanceCapacity: none")])
    assert (failure.hostname, failure.cause) == ("lab-1", Cause.CAPACITY)
    assert failure.message.startswith("lab-1: creating EC2 Instance: api error InsufficientInstanceCapacity: none. ")
    assert failure.message.endswith(ADVICE[Cause.CAPACITY])


def test_warnings_are_no_failures() -> None:
    assert read_failures([diagnostic("lab-1", "careful", "warning"), {"type": "version"}]) == ()


def test_a_run_is_called_by_its_most_telling_cause() -> None:
    said = [diagnostic("a", "odd"), diagnostic("b", "api error VcpuLimitExceeded: too many")]
    result = Result(FAILED, read_failures(said))
    assert result.cause is Cause.QUOTA
    assert result.message.startswith("b: ")
    assert result.message.endswith("(1 more failed.)")
    assert result.hosts(Cause.QUOTA) == ["b"]


def test_every_cause_has_its_advice() -> None:
    assert set(ADVICE) == set(Cause)
    assert set(SIGNS) | {Cause.PROVIDER, Cause.UNKNOWN} == set(Cause)
    assert set(Cause) > UNCERTAIN


def test_a_cloud_error_says_what_was_tried() -> None:
    error = CloudError(Cause.THROTTLING, "listing the instances of us-west-2", "Rate exceeded")
    assert str(error) == f"listing the instances of us-west-2: Rate exceeded. {ADVICE[Cause.THROTTLING]}"
