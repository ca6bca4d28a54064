"""A private Asterisk and real SIP phones, without root, for the demo and the tests: the sandbox company on loopback.

Asterisk: `layout` where everything is, `debian_packages` and `programs` which Asterisk and SIPp, `company` who works
there, `asterisk_etc` its configuration, `asterisk_process` start, console, stop, `sandbox` all of it together.
Phones: `phones` and `phone_call` for stories, `softphone` the process with baresip, `sipp` exact SIP answers,
`tones` who is heard.
"""
