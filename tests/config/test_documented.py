"""Every setting stands in docs/configuration.md with its unit, default and reason, as the code has them."""

from pathlib import Path

import pytest
from pydantic.fields import FieldInfo

from comunik_pbx.config.settings import documented, right, shown_default, unit

DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"


def row(key: str, field: FieldInfo) -> str:
    """A setting's line in the document."""
    default = shown_default(field)
    cells = (f"`{key}`", right(field), unit(field), default, field.description or "")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


@pytest.mark.parametrize(("section", "key", "field"), list(documented()), ids=lambda value: str(value)[:30])
def test_setting_is_documented(section: str, key: str, field: FieldInfo) -> None:
    assert right(field)
    assert field.description
    text = DOCUMENT.read_text(encoding="utf-8")
    if section:
        text = text.partition(f"## `{section}`")[2]
    part = text.partition("\n## ")[0] if section else text.partition("\n## ")[2].partition("\n## ")[0]
    assert row(key, field) in part.splitlines()
