"""The decision: given a call, the directory, the rules and the hour, where does it go and why.

Pure: nothing here does I/O, reads a clock or knows asyncio (import-linter holds it). Read in this order:
`call` (who calls whom), `directory` (extensions, DIDs, trunks), `numbers` (what may be dialled),
`rules` (what users asked for), `steps` (what a plan is made of), `plan` (the decision), `explain` (in words and JSON),
`saving` (what may be saved).
"""
