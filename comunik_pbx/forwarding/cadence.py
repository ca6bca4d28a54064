"""Ring cadences: how long one ring lasts, silence included, in each country's network.

Source: `ringcadence` in Asterisk's indications.conf, by ISO 3166 country (a test compares this table with an
installed one). Countries it does not list ring in cycles of 5 seconds, as ITU-T E.180 recommends and most of
the world does; those of the North American numbering plan ring in 6.
"""

ITU_CYCLE_SECONDS = 5.0

_CYCLE_SECONDS = {
    "AT": 6.0, "AU": 3.0, "BE": 4.0, "CL": 4.0, "ES": 4.5, "GB": 3.0, "IL": 4.0, "IN": 3.0, "JP": 3.0, "MX": 6.0,
    "MY": 6.0, "NZ": 3.0, "PT": 6.0, "SE": 6.0, "SG": 3.0, "US": 6.0, "ZA": 3.0,
    "CA": 6.0, "DO": 6.0, "JM": 6.0, "PR": 6.0,
}  # fmt: skip


def cycle_seconds(country: str) -> float:
    """Seconds from the start of one ring to the start of the next, for an ISO 3166 country code."""
    return _CYCLE_SECONDS.get(country.upper(), ITU_CYCLE_SECONDS)
