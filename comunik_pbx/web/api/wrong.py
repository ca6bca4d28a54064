"""What is wrong with a request's shape, in the caller's language: pydantic's errors by their types."""

from collections.abc import Mapping
from typing import Any

from comunik_pbx.web.languages import N_, Gettext

_MOMENT = N_("This must be a moment with its time zone, such as 2026-12-24T18:00:00+01:00.")
_NUMBER = N_("This must be a whole number.")
_TRUTH = N_("This must be true or false.")
_TEXT = N_("This must be text.")
_ELSE = N_("This is not right.")

_WORDS = {
    "missing": N_("This is needed."),
    "extra_forbidden": N_("There is no such field."),
    "json_invalid": N_("This is not JSON."),
    "string_type": _TEXT,
    "string_unicode": _TEXT,
    "bytes_type": N_("This cannot be read"),
    "string_pattern_mismatch": N_("This is not of the right form: %(pattern)s"),
    "string_too_short": N_("At least %(min_length)s characters."),
    "string_too_long": N_("At most %(max_length)s characters."),
    "int_type": _NUMBER,
    "int_parsing": _NUMBER,
    "int_parsing_size": _NUMBER,
    "int_from_float": _NUMBER,
    "greater_than_equal": N_("At least %(ge)s."),
    "less_than_equal": N_("At most %(le)s."),
    "bool_type": _TRUTH,
    "bool_parsing": _TRUTH,
    "enum": N_("Right: %(expected)s"),
    "model_attributes_type": N_("This must be an object."),
    "model_type": N_("This must be an object."),
    "dict_type": N_("This must be an object."),
}


def words(error: Mapping[str, Any], text: Gettext) -> str:
    """One error, as a sentence."""
    kind = str(error["type"])
    if kind.startswith(("datetime", "date_", "timezone")):
        return text(_MOMENT)
    context = dict(error.get("ctx") or {})
    if "expected" in context:
        context["expected"] = str(context["expected"]).replace(" or ", ", ")
    return text(_WORDS.get(kind, _ELSE)) % context
