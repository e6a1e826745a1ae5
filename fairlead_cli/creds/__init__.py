"""`fairlead creds`: TURN credentials in the form that each client wants."""
