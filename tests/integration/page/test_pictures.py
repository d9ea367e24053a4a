"""The pictures in the documentation show what the screens say now."""

from __future__ import annotations

import json
from pathlib import Path

import aiohttp

from tests.support.pictures import PICTURES, serving_stories, text_of

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "docs" / "pictures"


async def test_every_picture_is_current_and_shown(tmp_path: Path) -> None:
    noted = json.loads((FOLDER / "texts.json").read_text())
    page = (ROOT / "docs" / "page.md").read_text()
    with serving_stories(tmp_path) as stories:
        async with aiohttp.ClientSession() as client:
            for picture in PICTURES:
                async with client.get(stories[picture.story].url + picture.path) as answer:
                    said = text_of(await answer.text())
                assert noted.get(picture.file) == said, f"{picture.name} is out of date: run scripts/pictures"
                assert f"(pictures/{picture.file})" in page
    assert {file.name for file in FOLDER.glob("*.png")} == {picture.file for picture in PICTURES}
