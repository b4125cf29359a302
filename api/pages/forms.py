"""Forms of the admin's pages: their fields as texts, and the one that a person must have typed to go on."""

from litestar import Request
from litestar.datastructures import FormMultiDict

from api.errors import BadInputError
from api.fields import parse_form
from api.pages.shell import AnyRequest


class Form:
    """The fields of a form; what did not come is empty."""

    def __init__(self, sent: FormMultiDict) -> None:
        self._sent = sent

    def text(self, name: str) -> str:
        value = self._sent.get(name, "")
        return value if isinstance(value, str) else ""

    def texts(self, name: str) -> list[str]:
        """All values of a field that may come several times, each once."""
        return list(dict.fromkeys(value for value in self._sent.getall(name, []) if isinstance(value, str)))

    def numbers(self, name: str) -> list[int]:
        """Those that are whole numbers."""
        return [int(text) for text in self.texts(name) if text.isascii() and text.isdecimal() and len(text) <= 15]

    def number(self, name: str) -> int:
        """Raises BadInputError with the field's name."""
        text = self.text(name).strip()
        if not text.isascii() or not text.isdecimal() or len(text) > 15:
            raise BadInputError(f"{name} must be a whole number", extra={"field": name})
        return int(text)


async def read_form(request: AnyRequest) -> Form:
    """Raises BadInputError for a body that is no form."""
    assert isinstance(request, Request)
    try:
        return Form(await parse_form(request))
    except (ValueError, LookupError):
        raise BadInputError("the form could not be read; load the page again") from None
