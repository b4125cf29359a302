"""Changes of the desired file wake the reconciler; the drafts that we ourselves write beside it do not."""

from pathlib import Path

import anyio
import pytest

from controller.desired_file import replace_file
from controller.wakeups import watch_file

pytestmark = pytest.mark.anyio


async def test_an_edit_wakes_and_a_draft_that_never_took_its_place_does_not(tmp_path: Path) -> None:
    path = tmp_path / "lablink.yaml"
    path.write_text("pools: {}\n")
    woken: list[str] = []
    async with anyio.create_task_group() as group:
        group.start_soon(watch_file, path, lambda channel, _key: woken.append(channel))
        with anyio.fail_after(20):
            while not woken:  # the watch has begun
                path.write_text("pools: {}\n")
                await anyio.sleep(0.1)
        await anyio.sleep(1.0)
        woken.clear()
        for number in range(3):
            draft = tmp_path / f".lablink.yaml.{number}"
            draft.write_text("draft")
            draft.unlink()
        await anyio.sleep(1.5)
        assert woken == []
        replace_file(path, "pools: {client: {size: 1}}\n")
        with anyio.fail_after(20):
            while not woken:
                await anyio.sleep(0.05)
        group.cancel_scope.cancel()


async def test_a_folder_that_is_not_there_yet_ends_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    woken: list[str] = []
    async with anyio.create_task_group() as group:
        group.start_soon(watch_file, folder / "lablink.yaml", lambda channel, _key: woken.append(channel))
        await anyio.sleep(0.2)
        folder.mkdir()
        with anyio.fail_after(20):
            while not woken:
                (folder / "lablink.yaml").write_text("pools: {}\n")
                await anyio.sleep(0.2)
        group.cancel_scope.cancel()
