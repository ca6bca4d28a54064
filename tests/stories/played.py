"""What Asterisk plays to people, in which language."""

import asyncio
import re

from tests.stories.company import Company


class Played:
    """The sound files that Asterisk plays from now on, with their language, as its log has them."""

    def __init__(self, company: Company) -> None:
        self._log = company.sandbox.layout.full_log
        self._from = len(self._log.read_text(errors="replace"))

    @property
    def files(self) -> list[tuple[str, str]]:
        text = self._log.read_text(errors="replace")[self._from :]
        return re.findall(r"Playing '([^'.]+)\.[a-z0-9]+' \(language '(\w+)'\)", text)

    async def has(self, file: str, language: str = "fr", within: float = 15.0) -> None:
        """Wait until a file is played."""
        try:
            async with asyncio.timeout(within):
                while (file, language) not in self.files:  # noqa: ASYNC110  a log tells nobody when it grows
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"{file} ({language}) was not played, but {self.files}") from None
