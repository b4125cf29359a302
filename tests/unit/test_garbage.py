"""The garbage collector is held back by any number at once, and never stays so."""

import gc

import pytest

from controller.garbage import Collector


def fail(collector: Collector) -> None:
    with collector.held_back():
        raise LookupError


def test_it_collects_again_once_nobody_holds_it_back() -> None:
    collector = Collector()
    with collector.held_back():
        with collector.held_back():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(LookupError):
        fail(collector)
    assert gc.isenabled()
