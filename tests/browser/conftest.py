"""One sandbox and one Chromium for all tests of a process; each test finds the same in it, whichever ran before."""

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.lab import Lab, Watched, find_chromium, open_sandbox

DOCUMENT = """\
region: us-west-2
pools:
  desk: {size: 1, instance_type: t3.large}     # a participant's way
  race: {size: 1, instance_type: t3.large}     # two for one VM
  lean: {size: 0, instance_type: t3.large}     # the admin's
  rare: {size: 0, instance_type: c5.large}     # of what AWS has none
"""


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with open_sandbox(tmp_path_factory.mktemp("browser"), DOCUMENT) as lab:
        yield lab


@pytest.fixture
def lab(sandbox: Lab) -> Lab:
    sandbox.begin(DOCUMENT)
    return sandbox


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def watched(lab: Lab, chromium: Browser) -> Iterator[Watched]:
    watched = Watched(chromium, lab.url)
    yield watched
    for context in watched.contexts:
        context.close()
    assert watched.trouble == []
