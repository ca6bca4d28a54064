"""`/api/v1`: what the pages do, for programs. Tokens come from `comunik-pbx token make`.

Read in this order: `app` (the application and its errors), `caller` (whose token it is, and what it is for), then the
operations: `rules`, `profile`, `calls`, `company`.
"""
