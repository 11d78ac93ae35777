"""Files: kept once each under their SHA-256, in pieces, beside the logs. They never travel over the bus."""
