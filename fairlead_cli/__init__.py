"""The operator's command: fairlead up | check | creds. Stands above the daemons; nothing imports it."""
