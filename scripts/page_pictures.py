"""Make docs/pictures: what the page looks like on a bad night, in the system's Chromium. `scripts/pictures` runs it."""

import json
import tempfile
from pathlib import Path

from tests.support.browsing import Tab, chromium
from tests.support.pictures import PICTURES, serving_stories, text_of

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"


def main() -> None:
    """Make every picture, and note what it says."""
    FOLDER.mkdir(exist_ok=True)
    said = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        chromium() as browser,
        serving_stories(Path(folder)) as stories,
    ):
        for one in PICTURES:
            served = stories[one.story]
            context = browser.new_context(viewport=one.size, color_scheme=one.scheme)  # type: ignore[arg-type]
            page = Tab(context, served.url).open(one.path)
            page.wait_for_function("document.getElementById('live').hidden === false")
            page.screenshot(path=FOLDER / one.file)
            said[one.file] = text_of(page.request.get(served.url + one.path).text())
            context.close()
    (FOLDER / "texts.json").write_text(json.dumps(said, indent=2) + "\n")


if __name__ == "__main__":
    main()
