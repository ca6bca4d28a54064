"""Who may sign in: accounts, what they told of themselves, their sessions. Pure, as `comunik_pbx.forwarding` is."""
