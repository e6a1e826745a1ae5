"""`fairlead up`: the three daemons under one roof."""
