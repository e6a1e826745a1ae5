"""How frames reach a session and leave it."""
